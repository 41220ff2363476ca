/* peft/model_save.c - writing the folder of model_folder.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "peft/inject.h"
#include "peft/model_folder.h"
#include "peft/output_folder.h"
#include "peft/sentence.h"

/* ---- weights ---- */

typedef struct weight_file {
    peft_dtype dtype;
    char *bytes; /* all weights, one after another */
    size_t used;
    peft_file_tensor *list;
} weight_file;

static size_t bytes_of(const peft_weight *weight, peft_dtype dtype)
{
    return (size_t)peft_shape_count(&weight->shape) * peft_dtype_bytes(dtype);
}

/* In the order of the file that the model was read from. */
static bool write_floats(const peft_weight *weight, const float *values, peft_dtype dtype, char *to)
{
    int64_t rows = weight->shape.size[0], columns = peft_shape_count(&weight->shape) / rows;
    if (!weight->stored.transposed) return peft_floats_write(values, rows * columns, dtype, to);
    bool fits = true;
    for (int64_t k = 0; k < rows * columns && fits; k++, to += peft_dtype_bytes(dtype))
        fits = peft_floats_write(&values[k % rows * columns + k / rows], 1, dtype, to);
    return fits;
}

static peft_status add_weight(weight_file *f, int64_t index, const peft_weight *weight, peft_error *error)
{
    char *to = f->bytes + f->used;
    f->list[index] = (peft_file_tensor){.name = weight->name,
                                        .dtype = f->dtype,
                                        .shape = peft_weight_stored_shape(weight),
                                        .data = to,
                                        .bytes = bytes_of(weight, f->dtype)};
    f->used += f->list[index].bytes;
    float *copy;
    const float *values = peft_weight_values(weight, &copy);
    if (!values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", weight->name);
    bool fits = write_floats(weight, values, f->dtype, to);
    free(copy);
    if (fits) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_NUMERIC, "%s: a number is beyond the range of %s; write F32", weight->name,
                     peft_dtype_name(f->dtype));
}

static peft_status write_weights(peft_model *model, peft_dtype dtype, const char *path, peft_error *error)
{
    static const peft_key_value metadata[] = {{"format", "pt"}, {PEFT_CHECKSUM_KEY, NULL}};
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    size_t total = 0;
    for (int64_t k = 0; k < count; k++) total += bytes_of(&weights[k], dtype);
    weight_file f = {
        .dtype = dtype, .bytes = malloc(total + 1), .list = calloc((size_t)count + 1, sizeof(peft_file_tensor))};
    peft_status status = f.bytes && f.list ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    for (int64_t k = 0; k < count && status == PEFT_OK; k++) status = add_weight(&f, k, &weights[k], error);
    if (status == PEFT_OK) status = peft_safetensors_write(path, f.list, (size_t)count, metadata, 2, error);
    free(f.bytes);
    free(f.list);
    return status;
}

/* ---- config.json ---- */

/* Names the classes in both directions, as transformers does. */
static bool set_labels(json_t *config, int64_t count, char *const *names)
{
    json_t *by_id = json_object(), *by_name = json_object();
    bool complete = by_id && by_name;
    for (int64_t k = 0; complete && k < count; k++) {
        char id[24], standard[32];
        snprintf(id, sizeof id, "%" PRId64, k);
        snprintf(standard, sizeof standard, "LABEL_%" PRId64, k);
        const char *name = names ? names[k] : standard;
        complete = json_object_set_new(by_id, id, json_string(name)) == 0 &&
                   json_object_set_new(by_name, name, json_integer(k)) == 0;
    }
    complete = json_object_set_new(config, "id2label", by_id) == 0 && complete;
    return json_object_set_new(config, "label2id", by_name) == 0 && complete;
}

/* Without a word transformers takes the type for float32. */
static bool set_dtype(json_t *config, peft_dtype dtype)
{
    static const char *const names[PEFT_NUM_DTYPES] = {[PEFT_F16] = "float16", [PEFT_BF16] = "bfloat16"};
    return !names[dtype] || json_object_set_new(config, "torch_dtype", json_string(names[dtype])) == 0;
}

/* transformers' class for this file. Where the base model has the head, it says so itself. */
static bool set_architecture(json_t *config, const peft_model *model)
{
    const char *name = peft_model_architecture(model);
    if (json_object_get(config, "architectures") && peft_model_has_trained_head(model)) return true;
    return json_object_set_new(config, "architectures", json_pack("[s]", name)) == 0;
}

/* The type of the base model's numbers and the head's outputs are not those of this file. */
static bool describe(json_t *config, peft_model *model, peft_dtype dtype, char *const *names)
{
    static const char *const outdated[] = {"dtype", "torch_dtype"}, *const of_head[] = {"num_labels", "problem_type"};
    for (size_t k = 0; k < sizeof outdated / sizeof *outdated; k++) json_object_del(config, outdated[k]);
    if (!set_dtype(config, dtype) || !set_architecture(config, model)) return false;
    if (!peft_has_head(model)) return true;
    for (size_t k = 0; k < sizeof of_head / sizeof *of_head; k++) json_object_del(config, of_head[k]);
    int64_t labels = peft_model_num_labels(model);
    return set_labels(config, labels, names) &&
           (labels > 1 || json_object_set_new(config, "problem_type", json_string("regression")) == 0);
}

static peft_status write_config(peft_model *model, peft_dtype dtype, char *const *names, const char *path,
                                peft_error *error)
{
    char *source = NULL;
    json_t *config = NULL;
    peft_status status = peft_path_join(peft_model_dir(model), "config.json", &source, error);
    if (status == PEFT_OK) status = peft_json_load(source, &config, error);
    if (status == PEFT_OK && !describe(config, model, dtype, names))
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    if (status == PEFT_OK) status = peft_json_save(path, config, PEFT_JSON_SORTED, error);
    json_decref(config);
    free(source);
    return status;
}

/* ---- tokenizer ---- */

static peft_status copy_tokenizer(const peft_model *model, const char *folder, peft_error *error)
{
    static const char *const names[] = {"added_tokens.json", "merges.txt",      "special_tokens_map.json",
                                        "tokenizer.json",    "tokenizer.model", "tokenizer_config.json",
                                        "vocab.json",        "vocab.txt"};
    peft_status status = PEFT_OK;
    for (size_t k = 0; k < sizeof names / sizeof *names && status == PEFT_OK; k++)
        status = peft_file_copy_in(peft_model_dir(model), folder, names[k], error);
    return status;
}

/* ---- the folder ---- */

/* config.json last: a folder that has it is complete. */
peft_status peft_model_save(peft_model *model, peft_dtype dtype, char *const *label_names, const char *folder,
                            peft_error *error)
{
    char *weights = NULL, *config = NULL;
    const char *const sources[] = {peft_model_dir(model), NULL};
    peft_status status = peft_output_folder_check_sources(folder, sources, error);
    if (status == PEFT_OK) status = peft_output_folder_prepare(folder, error);
    if (status == PEFT_OK) status = peft_path_join(folder, "model.safetensors", &weights, error);
    if (status == PEFT_OK) status = peft_path_join(folder, "config.json", &config, error);
    if (status == PEFT_OK) status = copy_tokenizer(model, folder, error);
    if (status == PEFT_OK) status = peft_sentence_copy(peft_model_dir(model), folder, error);
    if (status == PEFT_OK) status = write_weights(model, dtype, weights, error);
    if (status == PEFT_OK) status = write_config(model, dtype, label_names, config, error);
    free(weights);
    free(config);
    return status;
}
