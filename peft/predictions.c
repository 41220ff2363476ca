#include "peft/predictions.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "peft/evaluate.h"

static const char LOGITS[] = "logits", LABELS[] = "labels", POSITIVE[] = "positive", FINGERPRINT[] = "fingerprint";

/* ---- writing ---- */

peft_status peft_predictions_save(const peft_outcomes *o, int64_t num_labels, const peft_predictions_source *source,
                                  const char *path, peft_error *error)
{
    char positive[16];
    snprintf(positive, sizeof positive, "%" PRId32, o->positive);
    const peft_key_value metadata[] = {{"format", "pt"},         {"task", source->task},
                                       {"split", source->split}, {FINGERPRINT, source->fingerprint},
                                       {POSITIVE, positive},     {PEFT_CHECKSUM_KEY, NULL}};
    const peft_file_tensor tensors[] = {{.name = LOGITS,
                                         .dtype = PEFT_F32,
                                         .shape = peft_shape_2((int64_t)o->count, num_labels),
                                         .data = o->predicted_scores,
                                         .bytes = o->count * (size_t)num_labels * sizeof(float)},
                                        {.name = LABELS,
                                         .dtype = o->classes ? PEFT_I32 : PEFT_F32,
                                         .shape = peft_shape_1((int64_t)o->count),
                                         .data = o->classes ? (const void *)o->classes : o->scores,
                                         .bytes = o->count * sizeof(float)}};
    return peft_safetensors_write(path, tensors, sizeof tensors / sizeof *tensors, metadata,
                                  sizeof metadata / sizeof *metadata, error);
}

/* ---- reading ---- */

static peft_status fail_memory(const char *path, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
}

/* The tensor called `name`, of this many dimensions. */
static const peft_file_tensor *find(const peft_safetensors *file, const char *name, int32_t ndim, peft_error *error)
{
    const peft_file_tensor *tensor = peft_safetensors_find(file, name);
    if (tensor && tensor->shape.ndim == ndim && peft_shape_count(&tensor->shape) > 0) return tensor;
    char found[PEFT_SHAPE_TEXT];
    peft_fail(error, PEFT_ERR_FORMAT, "%s: expected predictions with a tensor %s of %" PRId32 " dimensions, found %s",
              peft_safetensors_path(file), name, ndim, tensor ? peft_shape_text(&tensor->shape, found) : "none");
    return NULL;
}

static peft_status check_finite(const char *path, const char *name, const float *values, size_t count,
                                peft_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return peft_fail(error, PEFT_ERR_NUMERIC, "%s: %s: number %zu is %g", path, name, i, (double)values[i]);
    return PEFT_OK;
}

static peft_status read_floats(const peft_file_tensor *tensor, const char *path, float **values, peft_error *error)
{
    size_t count = (size_t)peft_shape_count(&tensor->shape);
    if (tensor->dtype != PEFT_F32)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: expected F32, found %s", path, tensor->name,
                         peft_dtype_name(tensor->dtype));
    if (!(*values = calloc(count, sizeof **values))) return fail_memory(path, error);
    memcpy(*values, tensor->data, count * sizeof **values);
    return check_finite(path, tensor->name, *values, count, error);
}

static peft_status read_classes(peft_predictions *p, const peft_file_tensor *tensor, const char *path,
                                peft_error *error)
{
    if (!(p->classes = calloc(p->count, sizeof *p->classes))) return fail_memory(path, error);
    memcpy(p->classes, tensor->data, p->count * sizeof *p->classes);
    for (size_t i = 0; i < p->count; i++)
        if (p->classes[i] < 0 || (size_t)p->classes[i] >= p->num_labels)
            return peft_fail(error, PEFT_ERR_FORMAT,
                             "%s: labels: number %zu: expected a class below %zu, found %" PRId32, path, i,
                             p->num_labels, p->classes[i]);
    return PEFT_OK;
}

static peft_status find_answers(peft_predictions *p, const char *path, peft_error *error)
{
    if (!(p->answers = calloc(p->count, sizeof *p->answers))) return fail_memory(path, error);
    for (size_t i = 0; i < p->count; i++)
        p->answers[i] = peft_best_class(p->logits + i * p->num_labels, (int64_t)p->num_labels);
    return PEFT_OK;
}

static void read_metadata(peft_predictions *p, const peft_safetensors *file)
{
    const char *positive = peft_safetensors_metadata(file, POSITIVE);
    const char *fingerprint = peft_safetensors_metadata(file, FINGERPRINT);
    p->positive = positive && strcmp(positive, "0") == 0 ? 0 : 1;
    if (fingerprint) snprintf(p->fingerprint, sizeof p->fingerprint, "%s", fingerprint);
}

static peft_status read(peft_predictions *p, const peft_safetensors *file, peft_error *error)
{
    const char *path = peft_safetensors_path(file);
    peft_status status = peft_safetensors_verify(file, error);
    if (status != PEFT_OK) return status;
    const peft_file_tensor *logits = find(file, LOGITS, 2, error), *labels = find(file, LABELS, 1, error);
    if (!logits || !labels) return PEFT_ERR_FORMAT;
    p->count = (size_t)logits->shape.size[0];
    p->num_labels = (size_t)logits->shape.size[1];
    if (labels->shape.size[0] != logits->shape.size[0])
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: labels: expected %zu, found %" PRId64, path, p->count,
                         labels->shape.size[0]);
    read_metadata(p, file);
    status = read_floats(logits, path, &p->logits, error);
    if (status == PEFT_OK)
        status = labels->dtype == PEFT_I32 ? read_classes(p, labels, path, error)
                                           : read_floats(labels, path, &p->scores, error);
    return status == PEFT_OK ? find_answers(p, path, error) : status;
}

peft_status peft_predictions_load(peft_predictions *p, const char *path, peft_error *error)
{
    *p = (peft_predictions){0};
    peft_safetensors *file;
    peft_status status = peft_safetensors_open(path, &file, error);
    if (status != PEFT_OK) return status;
    status = read(p, file, error);
    peft_safetensors_close(file);
    if (status != PEFT_OK) peft_predictions_free(p);
    return status;
}

void peft_predictions_free(peft_predictions *p)
{
    free(p->logits);
    free(p->classes);
    free(p->scores);
    free(p->answers);
    *p = (peft_predictions){0};
}

peft_outcomes peft_predictions_outcomes(const peft_predictions *p)
{
    return (peft_outcomes){.count = p->count,
                           .predicted = p->answers,
                           .classes = p->classes,
                           .positive = p->positive,
                           .predicted_scores = p->logits,
                           .scores = p->scores};
}
