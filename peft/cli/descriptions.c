#include "peft/cli/descriptions.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/json.h"
#include "io/safetensors.h"

/* ---- texts ---- */

static bool ends_with_letter(const char *text, size_t bytes)
{
    size_t at = bytes;
    utf8proc_int32_t letter = 0;
    while (at > 0 && ((unsigned char)text[--at] & 0xC0) == 0x80) {}
    if (bytes == 0 ||
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &letter) < 0)
        return false;
    utf8proc_category_t category = utf8proc_category(letter);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

static bool prepare(peft_arena *arena, peft_cell *cell)
{
    const char *begin = cell->text, *end = cell->text + cell->bytes;
    while (begin < end && isspace((unsigned char)*begin)) begin++;
    while (end > begin && isspace((unsigned char)end[-1])) end--;
    const size_t bytes = (size_t)(end - begin);
    const bool adds_stop = ends_with_letter(begin, bytes);
    char *text = peft_arena_take(arena, bytes + 2);
    if (!text) return false;
    memcpy(text, begin, bytes);
    if (adds_stop) text[bytes] = '.';
    *cell = (peft_cell){text, bytes + adds_stop};
    return true;
}

peft_status peft_descriptions_prepare(peft_dataset *texts, peft_error *error)
{
    for (size_t k = 0; k < texts->count; k++) {
        peft_cell *cell = &texts->table.columns[0][k];
        if (!prepare(&texts->table.arena, cell))
            return peft_fail(error, PEFT_ERR_MEMORY, "descriptions: out of memory");
        if (cell->bytes == 0)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "description on line %zu: is empty; say what the task is",
                             texts->lines ? texts->lines[k] : k + 1);
    }
    return PEFT_OK;
}

/* ---- vectors ---- */

/* To length sqrt(size). */
static peft_status set_length(peft_vectors *v, peft_error *error)
{
    for (int64_t n = 0; n < v->count; n++) {
        float *row = v->values + n * v->size;
        double squares = 0;
        for (int64_t i = 0; i < v->size; i++) squares += (double)row[i] * (double)row[i];
        if (!isfinite(squares) || squares <= 0)
            return peft_fail(error, PEFT_ERR_NUMERIC,
                             "vector of description %lld: its length is %g; are the encoder's weights sound?",
                             (long long)n + 1, sqrt(squares));
        double factor = sqrt((double)v->size / squares);
        for (int64_t i = 0; i < v->size; i++) row[i] = (float)(factor * (double)row[i]);
    }
    return PEFT_OK;
}

static peft_status encode(peft_inference *inference, peft_sentence *sentence, const peft_dataset *texts,
                          peft_vectors *v, peft_error *error)
{
    peft_status status = peft_sentence_fit(sentence, peft_model_hidden_size(inference->loaded.model), error);
    inference->predictor.sentence = sentence;
    if (status == PEFT_OK) status = peft_inference_run(inference, PEFT_PREDICT_EMBEDDING, texts, &v->values, error);
    if (status != PEFT_OK) return status;
    v->count = (int64_t)texts->count;
    v->size = peft_sentence_size(sentence);
    status = set_length(v, error);
    if (status == PEFT_OK) return status;
    free(v->values);
    *v = (peft_vectors){0};
    return status;
}

peft_status peft_descriptions_encode(const peft_dataset *texts, const peft_inference_options *options,
                                     const peft_arguments *arguments, peft_output *output, peft_vectors *vectors,
                                     peft_error *error)
{
    peft_inference inference = {0};
    peft_sentence *sentence = NULL;
    peft_inference_options own = *options;
    *vectors = (peft_vectors){0};
    peft_status status = peft_sentence_open(&sentence, options->model, error);
    own.model = status == PEFT_OK ? strdup(peft_sentence_encoder(sentence)) : NULL;
    own.adapter = NULL;
    if (status == PEFT_OK && !own.model) status = peft_fail(error, PEFT_ERR_MEMORY, "descriptions: out of memory");
    if (status == PEFT_OK) status = peft_inference_open(&inference, &own, PEFT_WITHOUT_HEAD, arguments, output, error);
    if (status == PEFT_OK) {
        status = encode(&inference, sentence, texts, vectors, error);
        peft_inference_close(&inference);
    }
    peft_sentence_close(sentence);
    free(own.model);
    return status;
}

/* ---- files ---- */

static peft_status load_safetensors(const char *path, peft_vectors *v, peft_error *error)
{
    peft_safetensors *file;
    peft_status status = peft_safetensors_open(path, &file, error);
    if (status != PEFT_OK) return status;
    const peft_file_tensor *tensor = peft_safetensors_count(file) == 1 ? peft_safetensors_at(file, 0) : NULL;
    if (!tensor || tensor->shape.ndim != 2 || peft_shape_count(&tensor->shape) < 1)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected one tensor [descriptions, size], found %zu tensors",
                           path, peft_safetensors_count(file));
    if (status == PEFT_OK) {
        v->count = tensor->shape.size[0];
        v->size = tensor->shape.size[1];
        v->values = malloc((size_t)(v->count * v->size) * sizeof *v->values);
        status = v->values ? peft_file_tensor_read_finite(tensor, v->values, error)
                           : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    }
    peft_safetensors_close(file);
    return status;
}

static peft_status take_row(const char *path, const json_t *row, int64_t n, peft_vectors *v, peft_error *error)
{
    if (!json_is_array(row) || (int64_t)json_array_size(row) != v->size)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: embeddings[%lld]: expected %lld numbers, as in the first row",
                         path, (long long)n, (long long)v->size);
    for (int64_t i = 0; i < v->size; i++) {
        const json_t *value = json_array_get(row, (size_t)i);
        float number = (float)json_number_value(value);
        if (!json_is_number(value) || !isfinite((double)number))
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: embeddings[%lld][%lld]: expected a finite number", path,
                             (long long)n, (long long)i);
        v->values[n * v->size + i] = number;
    }
    return PEFT_OK;
}

static peft_status load_json(const char *path, peft_vectors *v, peft_error *error)
{
    json_t *document = NULL, *list = NULL;
    peft_status status = peft_json_load(path, &document, error);
    if (status == PEFT_OK && json_is_object(document))
        status = peft_json_array(document, "embeddings", &list, path, error);
    if (status == PEFT_OK && json_array_size(json_array_get(list, 0)) == 0)
        status = peft_fail(error, PEFT_ERR_FORMAT,
                           "%s: expected {\"embeddings\": [[...], ...]}, as `peft embed --json` "
                           "writes it",
                           path);
    if (status == PEFT_OK) {
        v->count = (int64_t)json_array_size(list);
        v->size = (int64_t)json_array_size(json_array_get(list, 0));
        v->values = malloc((size_t)(v->count * v->size) * sizeof *v->values);
        if (!v->values) status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    }
    for (int64_t n = 0; n < v->count && status == PEFT_OK; n++)
        status = take_row(path, json_array_get(list, (size_t)n), n, v, error);
    json_decref(document);
    return status;
}

static bool ends_with(const char *path, const char *end)
{
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcmp(path + length - tail, end) == 0;
}

peft_status peft_vectors_load(const char *path, peft_vectors *vectors, peft_error *error)
{
    *vectors = (peft_vectors){0};
    peft_status status =
        ends_with(path, ".json") ? load_json(path, vectors, error) : load_safetensors(path, vectors, error);
    if (status == PEFT_OK) return status;
    free(vectors->values);
    *vectors = (peft_vectors){0};
    return status;
}
