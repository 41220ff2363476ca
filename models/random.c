#include "models/random.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/safetensors.h"
#include "models/model_internal.h"
#include "ops/rng.h"

/* What the tensors of one kind begin with. */
typedef struct values {
    float *matrix, *scale, *bias;
} values;

static const float *values_of(const values *v, const peft_weight *weight)
{
    return weight->shape.ndim == 2 ? v->matrix : peft_model_is_scale(weight) ? v->scale : v->bias;
}

static peft_status make_values(const peft_model *model, uint64_t seed, values *v, peft_error *error)
{
    size_t most[2] = {1, 1}; /* of a vector, of a matrix */
    for (int64_t k = 0; k < model->num_weights; k++) {
        size_t count = (size_t)peft_shape_count(&model->weights[k].shape),
               *of = &most[model->weights[k].shape.ndim == 2];
        if (count > *of) *of = count;
    }
    *v = (values){calloc(most[1], sizeof(float)), calloc(most[0], sizeof(float)), calloc(most[0], sizeof(float))};
    if (!v->matrix || !v->scale || !v->bias) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", model->dir);
    peft_random_normal(v->matrix, most[1], 0, model->initializer_range, seed, peft_stream("random model"));
    for (size_t k = 0; k < most[0]; k++) v->scale[k] = 1;
    return PEFT_OK;
}

static peft_status write_tensors(const peft_model *model, const values *v, const char *path, peft_error *error)
{
    static const peft_key_value metadata[] = {{"format", "pt"}};
    peft_file_tensor *tensors = calloc((size_t)model->num_weights + 1, sizeof *tensors);
    if (!tensors) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    for (int64_t k = 0; k < model->num_weights; k++) {
        const peft_weight *weight = &model->weights[k];
        tensors[k] = (peft_file_tensor){.name = weight->name,
                                        .dtype = PEFT_F32,
                                        .shape = peft_weight_stored_shape(weight),
                                        .data = values_of(v, weight),
                                        .bytes = (size_t)peft_shape_count(&weight->shape) * sizeof(float)};
    }
    peft_status status = peft_safetensors_write(path, tensors, (size_t)model->num_weights, metadata, 1, error);
    free(tensors);
    return status;
}

static peft_status write_weights(const peft_model *model, uint64_t seed, const char *path, peft_error *error)
{
    values v;
    peft_status status = make_values(model, seed, &v, error);
    if (status == PEFT_OK) status = write_tensors(model, &v, path, error);
    free(v.matrix);
    free(v.scale);
    free(v.bias);
    return status;
}

peft_status peft_random_model_write(const char *folder, json_t *config, uint64_t seed, peft_error *error)
{
    char *config_path = NULL, *weights_path = NULL;
    peft_model *model = calloc(1, sizeof *model);
    peft_status status = PEFT_OK;
    if (!model || !(model->dir = strdup(folder)))
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
    if (status == PEFT_OK) status = peft_path_join(folder, "config.json", &config_path, error);
    if (status == PEFT_OK) status = peft_path_join(folder, "model.safetensors", &weights_path, error);
    if (status == PEFT_OK) status = peft_model_describe(model, config, config_path, error);
    if (status == PEFT_OK) status = write_weights(model, seed, weights_path, error);
    if (status == PEFT_OK) status = peft_json_save(config_path, config, PEFT_JSON_AS_IS, error);
    peft_model_close(model);
    free(config_path);
    free(weights_path);
    return status;
}
