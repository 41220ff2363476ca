#include "models/model_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "models/answers.h"
#include "variants/module_name.h"

static const peft_model_kind *const kinds[] = {&peft_model_bert, &peft_model_roberta, &peft_model_distilbert,
                                               &peft_model_mpnet};
enum { NUM_KINDS = sizeof kinds / sizeof kinds[0] };

static char *formatted(peft_arena *arena, const char *suffix, const char *format, va_list arguments) PEFT_PRINTF(3, 0);

static char *formatted(peft_arena *arena, const char *suffix, const char *format, va_list arguments)
{
    char text[PEFT_MODEL_MAX_NAME];
    if (vsnprintf(text, sizeof text, format, arguments) >= (int)sizeof text) return NULL;
    size_t bytes = strlen(text) + strlen(suffix) + 1;
    char *name = peft_arena_take(arena, bytes);
    if (name) snprintf(name, bytes, "%s%s", text, suffix);
    return name;
}

peft_status peft_model_reserve(peft_model *model, int64_t num_weights, int64_t num_linears, peft_error *error)
{
    model->weights = calloc((size_t)num_weights, sizeof *model->weights);
    model->linears = calloc((size_t)num_linears, sizeof *model->linears);
    model->sources = calloc((size_t)num_weights, sizeof *model->sources);
    model->given = calloc((size_t)num_weights, sizeof *model->given);
    if (!model->weights || !model->linears || !model->sources || !model->given)
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", model->dir);
    model->weight_capacity = num_weights;
    model->linear_capacity = num_linears;
    return PEFT_OK;
}

static peft_weight *add_weight(peft_model *model, peft_shape shape, const char *name)
{
    if (!name || model->num_weights == model->weight_capacity) {
        model->incomplete = true;
        return NULL;
    }
    peft_weight *weight = &model->weights[model->num_weights++];
    *weight = (peft_weight){.name = name, .shape = shape};
    return weight;
}

bool peft_model_is_scale(const peft_weight *weight)
{
    const char *dot = strrchr(weight->name, '.');
    return weight->shape.ndim == 1 && dot && strcmp(dot, ".weight") == 0;
}

peft_weight *peft_model_add_weight(peft_model *model, peft_shape shape, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *name = formatted(&model->arena, "", format, arguments);
    va_end(arguments);
    return add_weight(model, shape, name);
}

peft_linear_layer *peft_model_add_linear(peft_model *model, int64_t out_features, int64_t in_features, uint32_t kind,
                                         const char *format, ...)
{
    const char *names[3], *const suffixes[3] = {"", ".weight", ".bias"};
    for (int k = 0; k < 3; k++) {
        va_list arguments;
        va_start(arguments, format);
        names[k] = formatted(&model->arena, suffixes[k], format, arguments);
        va_end(arguments);
    }
    peft_weight *weight = add_weight(model, peft_shape_2(out_features, in_features), names[1]);
    bool has_bias = !(kind & PEFT_LINEAR_WITHOUT_BIAS);
    peft_weight *bias = has_bias ? add_weight(model, peft_shape_1(out_features), names[2]) : NULL;
    if (!names[0] || !weight || (has_bias && !bias) || model->num_linears == model->linear_capacity) {
        model->incomplete = true;
        return NULL;
    }
    peft_linear_layer *layer = &model->linears[model->num_linears++];
    weight->stored.transposed = kind & PEFT_LINEAR_TRANSPOSED;
    *layer = (peft_linear_layer){names[0], in_features, out_features, {weight, bias}, NULL, kind & PEFT_LINEAR_OUTPUT};
    return layer;
}

static peft_status fail_kind(const char *type, const char *where, peft_error *error)
{
    char known[256] = "";
    for (int k = 0; k < NUM_KINDS; k++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", k ? ", " : "", kinds[k]->type);
    }
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: model_type: expected one of %s, found \"%s\"", where, known,
                     type);
}

static peft_status find_kind(peft_model *model, const json_t *config, const char *where, peft_error *error)
{
    const char *type = NULL;
    peft_status status = peft_json_string(config, "model_type", &type, where, error);
    if (status != PEFT_OK) return status;
    if (!type) return peft_fail(error, PEFT_ERR_FORMAT, "%s: model_type: missing", where);
    for (int k = 0; k < NUM_KINDS; k++)
        if (strcmp(kinds[k]->type, type) == 0) model->kind = kinds[k];
    return model->kind ? PEFT_OK : fail_kind(type, where, error);
}

peft_status peft_model_describe(peft_model *model, const json_t *config, const char *where, peft_error *error)
{
    peft_status status = find_kind(model, config, where, error);
    return status == PEFT_OK ? model->kind->describe(model, config, where, error) : status;
}

static peft_status read_folder(peft_model *model, peft_error *error)
{
    char *path = NULL;
    json_t *config = NULL;
    peft_status status = peft_path_join(model->dir, "config.json", &path, error);
    if (status == PEFT_OK) status = peft_json_load(path, &config, error);
    if (status == PEFT_OK && !json_is_object(config))
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an object", path);
    if (status == PEFT_OK) status = find_kind(model, config, path, error);
    if (status == PEFT_OK) status = peft_weights_open(model->dir, &model->file, error);
    if (status == PEFT_OK) status = peft_model_describe(model, config, path, error);
    json_decref(config);
    free(path);
    return status == PEFT_OK ? peft_model_load_weights(model, error) : status;
}

static peft_status fail_copy(const peft_model *model, const peft_weight *weight, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: %s: out of memory for a private copy", model->dir, weight->name);
}

static peft_status copy_privately(const peft_model *model, peft_weight *weight, peft_error *error)
{
    float *value = malloc((size_t)peft_shape_count(&weight->shape) * sizeof *value);
    if (!value) return fail_copy(model, weight, error);
    peft_weight_read(weight, 0, weight->shape.ndim == 2 ? weight->shape.size[0] : 1, value);
    weight->value = value;
    return PEFT_OK;
}

/* The head is trained wherever it is there, PEFT's modules_to_save; and so is all that was drawn. Answers stay as they
 * are, in a private copy, since they go with the adapter as a head does. */
static peft_status train_head(peft_model *model, peft_error *error)
{
    peft_status status = PEFT_OK;
    if (model->answers) return copy_privately(model, &model->weights[model->answers - model->weights], error);
    for (int64_t k = 0; k < model->num_weights && status == PEFT_OK; k++)
        if (!model->sources[k] || peft_module_lies_in(model->weights[k].name, peft_model_head(model)))
            status = peft_model_train(model, &model->weights[k], error);
    return status;
}

peft_status peft_model_open(peft_model **model, const char *dir, const peft_model_options *options, peft_error *error)
{
    *model = NULL;
    peft_model *made = calloc(1, sizeof *made);
    if (!made || !(made->dir = strdup(dir))) {
        free(made);
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", dir);
    }
    if (options) made->options = *options;
    peft_status status = read_folder(made, error);
    if (status == PEFT_OK) status = train_head(made, error);
    if (status != PEFT_OK) {
        peft_model_close(made);
        return status;
    }
    *model = made;
    return PEFT_OK;
}

void peft_model_close(peft_model *model)
{
    if (!model) return;
    for (int64_t k = 0; k < model->num_weights; k++) {
        free(model->weights[k].value);
        free(model->weights[k].gradient);
        peft_weight_unpack(&model->weights[k]);
    }
    free(model->weights);
    free(model->linears);
    free(model->sources);
    free(model->given);
    peft_weights_close(model->file);
    peft_arena_free(&model->arena);
    free(model->dir);
    free(model);
}

peft_status peft_model_train(peft_model *model, peft_weight *weight, peft_error *error)
{
    if (weight->value) return PEFT_OK;
    weight->gradient = calloc((size_t)peft_shape_count(&weight->shape), sizeof *weight->gradient);
    if (weight->gradient && copy_privately(model, weight, error) == PEFT_OK) return PEFT_OK;
    free(weight->gradient);
    weight->gradient = NULL;
    return fail_copy(model, weight, error);
}

peft_status peft_model_fill(peft_model *model, peft_weight *weight, const float *values, peft_error *error)
{
    peft_status status = weight->value ? PEFT_OK : copy_privately(model, weight, error);
    if (status != PEFT_OK) return status;
    memcpy(weight->value, values, (size_t)peft_shape_count(&weight->shape) * sizeof *values);
    peft_model_set_given(model, weight);
    return PEFT_OK;
}

/* Biases and norms, for whose few numbers each step would map whole folios of the file again. */
static peft_status copy_vectors(peft_model *model, peft_error *error)
{
    for (int64_t k = 0; k < model->num_weights; k++) {
        peft_weight *weight = &model->weights[k];
        if (weight->shape.ndim != 1 || weight->value) continue;
        float *copy = peft_arena_take(&model->arena, (size_t)weight->shape.size[0] * sizeof *copy);
        if (!copy) return peft_fail(error, PEFT_ERR_MEMORY, "%s: %s: out of memory", model->dir, weight->name);
        peft_weight_read(weight, 0, 1, copy);
        weight->stored.data = copy;
    }
    return PEFT_OK;
}

/* The products read a form of their own; a device has all weights. */
static bool is_packed(const peft_model *model, const peft_context *ctx, const peft_weight *weight)
{
    bool of_linear = false;
    for (int64_t k = 0; k < model->num_linears && !of_linear; k++) of_linear = model->linears[k].base.weight == weight;
    return of_linear || peft_context_on_device(ctx);
}

/* The file's pages go as soon as they were read, so that both forms of the model are never there at once. */
peft_status peft_model_pack(peft_model *model, peft_context *ctx, peft_packing packing, peft_error *error)
{
    peft_status status = copy_vectors(model, error);
    for (int64_t k = 0; k < model->num_weights && status == PEFT_OK; k++) {
        peft_weight *weight = &model->weights[k];
        if (is_packed(model, ctx, weight)) status = peft_weight_pack(weight, ctx, packing, error);
        if (weight->form) peft_model_release_files(model);
    }
    return status;
}

void peft_model_release_files(const peft_model *model)
{
    if (model->file) peft_weights_release(model->file);
}

size_t peft_model_packed_bytes(const peft_model *model)
{
    size_t bytes = 0;
    for (int64_t k = 0; k < model->num_weights; k++) bytes += peft_weight_packed_bytes(&model->weights[k]);
    return bytes;
}

const char *peft_model_type(const peft_model *model)
{
    return model->kind->type;
}

const char *peft_model_architecture(const peft_model *model)
{
    static const int classes[] = {[PEFT_MODEL_WITH_HEAD] = 0,
                                  [PEFT_MODEL_HIDDEN] = 1,
                                  [PEFT_MODEL_ENCODER] = 1,
                                  [PEFT_MODEL_WORDS] = 2,
                                  [PEFT_MODEL_ANSWERS] = 1};
    return model->kind->classes[classes[model->options.part]];
}

const peft_model_options *peft_model_opened_with(const peft_model *model)
{
    return &model->options;
}

const char *peft_model_dir(const peft_model *model)
{
    return model ? model->dir : NULL;
}

int64_t peft_model_num_labels(const peft_model *model)
{
    return model->num_labels;
}

int64_t peft_model_hidden_size(const peft_model *model)
{
    return model->hidden_size;
}

int64_t peft_model_vocab_size(const peft_model *model)
{
    return model->vocab_size;
}

int64_t peft_model_max_length(const peft_model *model)
{
    return model->max_length;
}

int64_t peft_model_num_layers(const peft_model *model)
{
    return model->num_layers;
}

size_t peft_model_mapped_bytes(const peft_model *model)
{
    return model->mapped_bytes;
}

peft_dtype peft_model_dtype(const peft_model *model)
{
    bool all_f16 = true, all_bf16 = true;
    for (int64_t k = 0; k < model->num_weights; k++) {
        const peft_file_tensor *tensor = model->sources[k];
        all_f16 &= !tensor || tensor->dtype == PEFT_F16;
        all_bf16 &= !tensor || tensor->dtype == PEFT_BF16;
    }
    return all_f16 ? PEFT_F16 : all_bf16 ? PEFT_BF16 : PEFT_F32;
}

size_t peft_model_num_files(const peft_model *model)
{
    return peft_weights_num_files(model->file);
}

const char *peft_model_file(const peft_model *model, size_t index)
{
    return peft_weights_path(model->file, index);
}

bool peft_model_has_trained_head(const peft_model *model)
{
    bool any = false;
    for (int64_t k = 0; k < model->num_weights; k++) {
        if (!peft_module_lies_in(model->weights[k].name, peft_model_head(model))) continue;
        if (!model->sources[k]) return false;
        any = true;
    }
    return any;
}

bool peft_model_is_drawn(const peft_model *model, const peft_weight *weight)
{
    int64_t k = weight - model->weights;
    return !model->sources[k] && !model->given[k];
}

void peft_model_set_given(peft_model *model, const peft_weight *weight)
{
    model->given[weight - model->weights] = true;
}

peft_linear_layer *peft_model_linears(peft_model *model, int64_t *count)
{
    *count = model->num_linears;
    return model->linears;
}

peft_weight *peft_model_weights(peft_model *model, int64_t *count)
{
    *count = model ? model->num_weights : 0;
    return model ? model->weights : NULL;
}

const char *const *peft_model_default_targets(const peft_model *model)
{
    return model->kind->default_targets;
}

const char *peft_model_head(const peft_model *model)
{
    return model->answers ? PEFT_MODEL_ANSWER_HEAD : model->kind->head;
}

const char *peft_model_prefix(const peft_model *model)
{
    return model->kind->prefix;
}

peft_tensor *peft_model_embeddings(peft_graph *g, const peft_model *model, const peft_model_run *run)
{
    return model->kind->embeddings(g, model, run);
}

peft_tensor *peft_model_hidden(peft_graph *g, const peft_model *model, const peft_model_run *run)
{
    return model->kind->hidden(g, model, run);
}

peft_tensor *peft_model_logits(peft_graph *g, const peft_model *model, const peft_model_run *run)
{
    return model->answers
               ? peft_answer_logits(g, peft_model_sentence(g, model, run), peft_weight_leaf(g, model->answers))
               : model->kind->logits(g, model, run);
}
