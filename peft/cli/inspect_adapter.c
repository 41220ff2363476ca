/* peft/cli/inspect_adapter.c - an adapter folder: modules, ranks, norms. */
#include <math.h>
#include <stdlib.h>

#include "peft/adapter_read.h"
#include "peft/cli/document.h"
#include "peft/cli/inspect.h"
#include "peft/cli/table.h"

/* ---- norms ---- */

static double frobenius(const float *values, int64_t count)
{
    double squares = 0;
    for (int64_t k = 0; k < count; k++) squares += (double)values[k] * (double)values[k];
    return sqrt(squares);
}

static double dot(const float *x, const float *y, int64_t count, int64_t stride)
{
    double sum = 0;
    for (int64_t k = 0; k < count * stride; k += stride) sum += (double)x[k] * (double)y[k];
    return sum;
}

/* |s B A|, from |B A|^2 = sum over i, j of (B^T B)_ij (A A^T)_ij: the product [out, in] is never made. */
static double update_norm(const peft_lora_factors *f, int64_t in, int64_t out)
{
    double squares = 0;
    for (int64_t i = 0; i < f->rank; i++)
        for (int64_t j = 0; j <= i; j++)
            squares +=
                (i == j ? 1 : 2) * dot(f->A + i * in, f->A + j * in, in, 1) * dot(f->B + i, f->B + j, out, f->rank);
    return fabs(f->scaling) * sqrt(fmax(squares, 0)); /* rounding may leave a sum of zeros below 0 */
}

/* ---- the document ---- */

static json_t *shape_json(const peft_shape *shape)
{
    json_t *sizes = json_array();
    for (int32_t k = 0; k < shape->ndim; k++) json_array_append_new(sizes, json_integer(shape->size[k]));
    return sizes;
}

static json_t *tensor_json(const char *name, const peft_shape *shape, const float *values)
{
    return json_pack("{s:s, s:o, s:o}", "name", name, "shape", shape_json(shape), "norm",
                     peft_inspect_number(frobenius(values, peft_shape_count(shape))));
}

/* Norms of the plain LoRA that the adapter equals; null where there is none, or none is known without the model. */
static peft_status add_norms(json_t *object, const peft_adapter *a, peft_error *error)
{
    double norms[] = {nan(""), nan(""), nan("")};
    peft_lora_factors f;
    peft_status status = peft_adapter_to_lora(a, &f, error);
    if (status != PEFT_OK && status != PEFT_ERR_UNSUPPORTED) return status;
    if (status == PEFT_OK) {
        norms[0] = frobenius(f.A, f.rank * a->in_features);
        norms[1] = frobenius(f.B, f.rank * a->out_features);
        norms[2] = update_norm(&f, a->in_features, a->out_features);
        free(f.A);
        free(f.B);
    }
    json_object_set_new(object, "norm_A", peft_inspect_number(norms[0]));
    json_object_set_new(object, "norm_B", peft_inspect_number(norms[1]));
    json_object_set_new(object, "norm_update", peft_inspect_number(norms[2]));
    return PEFT_OK;
}

static peft_status add_module(json_t *modules, const peft_adapter *a, peft_error *error)
{
    json_t *tensors = json_array();
    int64_t parameters = 0;
    for (int32_t k = 0; k < a->num_values; k++) {
        const peft_value *v = &a->values[k];
        if (v->spec.kind == PEFT_VALUE_STATE) continue;
        json_array_append_new(tensors, tensor_json(v->spec.name, &v->spec.shape, v->data));
        parameters += peft_shape_count(&v->spec.shape);
    }
    json_t *object =
        json_pack("{s:s, s:I, s:f, s:f, s:I, s:I, s:I, s:o}", "module", a->module, "rank", (json_int_t)a->rank, "alpha",
                  a->alpha, "scaling", a->scaling, "in_features", (json_int_t)a->in_features, "out_features",
                  (json_int_t)a->out_features, "parameters", (json_int_t)parameters, "tensors", tensors);
    if (json_array_append_new(modules, object) != 0)
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", a->module);
    return add_norms(object, a, error);
}

static peft_status add_tensor(json_t *list, const peft_file_tensor *tensor, peft_error *error)
{
    float *values = malloc(((size_t)peft_shape_count(&tensor->shape) + 1) * sizeof *values);
    if (!values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: %s: out of memory", tensor->path, tensor->name);
    peft_status status = peft_file_tensor_read_f32(tensor, values, error);
    if (status == PEFT_OK && json_array_append_new(list, tensor_json(tensor->name, &tensor->shape, values)) != 0)
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: %s: out of memory", tensor->path, tensor->name);
    free(values);
    return status;
}

static int64_t parameters_of_tensors(const peft_safetensors *file)
{
    int64_t count = 0;
    for (size_t k = 0; k < peft_safetensors_count(file); k++)
        count += peft_shape_count(&peft_safetensors_at(file, k)->shape);
    return count;
}

static peft_status fill(json_t *document, const peft_adapter_contents *c, peft_error *error)
{
    const bool layers = c->adapters || !c->config.variant;
    json_t *modules = json_object_get(document, "modules");
    json_t *others = json_object_get(document, layers ? "saved_in_full" : "tensors");
    peft_status status = PEFT_OK;
    for (int64_t k = 0; status == PEFT_OK && c->adapters && k < c->adapters->num_layers; k++)
        status = add_module(modules, &c->adapters->layers[k], error);
    for (size_t k = 0; status == PEFT_OK && k < c->num_others; k++) status = add_tensor(others, &c->others[k], error);
    return status;
}

static peft_status make_document(const peft_adapter_contents *c, json_t *notes, json_t **document, peft_error *error)
{
    const peft_adapter_config *config = &c->config;
    *document = json_pack(
        "{s:s, s:s, s:s?, s:s?, s:I, s:I, s:[], s:[], s:[], s:O}", "variant",
        config->variant ? config->variant->name : "head", "peft_type",
        config->variant ? config->variant->peft_type : PEFT_TYPE_HEAD, "task_type", config->task_type, "base_model",
        config->base_model_name_or_path, "parameters", (json_int_t)parameters_of_tensors(c->file), "bytes",
        peft_inspect_file_bytes(peft_safetensors_path(c->file)), "modules", "tensors", "saved_in_full", "notes", notes);
    if (!*document) return peft_fail(error, PEFT_ERR_MEMORY, "adapter: out of memory");
    peft_status status = fill(*document, c, error);
    if (status == PEFT_OK) return PEFT_OK;
    json_decref(*document);
    *document = NULL;
    return status;
}

/* Where it takes a base to make layers of the tensors and none fits, these alone are shown. */
static peft_status read_tensors(peft_adapter_contents *c, const char *folder, const peft_load_options *options,
                                peft_error *error)
{
    const peft_error cause = *error;
    json_array_clear(options->notes);
    peft_status status = peft_adapter_read_tensors(c, folder, options, error);
    if (status == PEFT_OK && peft_adapter_shows_sizes(&c->config)) {
        *error = cause;
        status = cause.status;
    }
    if (status == PEFT_OK) status = peft_note(options, error, "%s", cause.message);
    if (status != PEFT_OK) peft_adapter_contents_free(c);
    return status;
}

static peft_status describe(const peft_inspection *what, json_t **document, peft_error *error)
{
    const peft_load_options options = {.other_base = true, .notes = json_array()};
    if (!options.notes) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", what->folder);
    peft_adapter_contents contents;
    peft_status status = peft_adapter_read_with(&contents, what->folder, what->model, &options, error);
    if (status != PEFT_OK && status != PEFT_ERR_MEMORY && !what->model)
        status = read_tensors(&contents, what->folder, &options, error);
    if (status == PEFT_OK) status = make_document(&contents, options.notes, document, error);
    peft_adapter_contents_free(&contents);
    json_decref(options.notes);
    return status;
}

/* ---- the text ---- */

static void norm_cell(peft_text_table *table, const json_t *object, const char *key)
{
    const json_t *norm = json_object_get(object, key);
    if (json_is_real(norm))
        peft_text_table_cell(table, "%.4g", json_real_value(norm));
    else
        peft_text_table_cell(table, "-");
}

static peft_status print_modules(const json_t *modules, FILE *out, peft_error *error)
{
    static const char *const headings[] = {"module", "rank",       "alpha", "scale", "in",
                                           "out",    "parameters", "|A|",   "|B|",   "|update|"};
    static const char *const norms[] = {"norm_A", "norm_B", "norm_update"};
    peft_text_table table;
    peft_text_table_init(&table, headings, sizeof headings / sizeof headings[0]);
    size_t index;
    json_t *module;
    json_array_foreach(modules, index, module)
    {
        peft_text_table_cell(&table, "%s", peft_document_text(module, "module", ""));
        peft_text_table_cell(&table, "%lld", peft_document_integer(module, "rank"));
        peft_text_table_cell(&table, "%g", peft_document_number(module, "alpha"));
        peft_text_table_cell(&table, "%.4g", peft_document_number(module, "scaling"));
        peft_text_table_cell(&table, "%lld", peft_document_integer(module, "in_features"));
        peft_text_table_cell(&table, "%lld", peft_document_integer(module, "out_features"));
        peft_text_table_cell(&table, "%lld", peft_document_integer(module, "parameters"));
        for (int k = 0; k < 3; k++) norm_cell(&table, module, norms[k]);
    }
    peft_status status = peft_text_table_print(&table, out, error);
    peft_text_table_free(&table);
    return status;
}

static peft_status print_tensors(const json_t *list, const char *heading, FILE *out, peft_error *error)
{
    const char *const headings[] = {heading, "shape", "norm"};
    if (!json_array_size(list)) return PEFT_OK;
    putc('\n', out);
    peft_text_table table;
    peft_text_table_init(&table, headings, sizeof headings / sizeof headings[0]);
    size_t index;
    json_t *tensor;
    json_array_foreach(list, index, tensor)
    {
        char *shape = json_dumps(json_object_get(tensor, "shape"), 0);
        peft_text_table_cell(&table, "%s", peft_document_text(tensor, "name", ""));
        peft_text_table_cell(&table, "%s", shape ? shape : "");
        norm_cell(&table, tensor, "norm");
        free(shape);
    }
    peft_status status = peft_text_table_print(&table, out, error);
    peft_text_table_free(&table);
    return status;
}

static peft_status print(const json_t *document, FILE *out, peft_error *error)
{
    const json_t *modules = json_object_get(document, "modules"), *tensors = json_object_get(document, "tensors");
    const bool alone = json_array_size(tensors) > 0;
    fprintf(out, "adapter: %s (%s), task type %s, for the base model %s\n", peft_document_text(document, "variant", ""),
            peft_document_text(document, "peft_type", ""), peft_document_text(document, "task_type", "none"),
            peft_document_text(document, "base_model", "(not named)"));
    fprintf(out, "%zu %s, %lld parameters with those saved in full, %lld bytes\n",
            json_array_size(alone ? tensors : modules), alone ? "tensors" : "modules",
            peft_document_integer(document, "parameters"), peft_document_integer(document, "bytes"));
    size_t index;
    json_t *note;
    json_array_foreach(json_object_get(document, "notes"), index, note)
        fprintf(out, "note: %s\n", json_string_value(note));
    peft_status status = PEFT_OK;
    if (json_array_size(modules)) {
        putc('\n', out);
        status = print_modules(modules, out, error);
    }
    if (status == PEFT_OK) status = print_tensors(tensors, "tensor", out, error);
    if (status == PEFT_OK)
        status = print_tensors(json_object_get(document, "saved_in_full"), "saved in full", out, error);
    return status;
}

const peft_inspector peft_inspect_adapter = {
    .kind = "adapter", .files = {"adapter_config.json"}, .describe = describe, .print = print};
