/* io/value_file.c - a value set as a file. */
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "io/value_set.h"

static bool is_in_files(const peft_value_item *item)
{
    return item->value->spec.kind != PEFT_VALUE_STATE;
}

peft_status peft_value_set_save(const peft_value_set *set, const char *path, peft_error *error)
{
    static const peft_key_value metadata[] = {{"format", "pt"}, {PEFT_CHECKSUM_KEY, NULL}};
    peft_file_tensor *tensors = calloc((size_t)set->count + 1, sizeof *tensors);
    if (!tensors) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    size_t count = 0;
    for (int64_t k = 0; k < set->count; k++) {
        const peft_value_item *item = &set->items[k];
        if (is_in_files(item))
            tensors[count++] = (peft_file_tensor){.name = item->name,
                                                  .dtype = PEFT_F32,
                                                  .shape = item->value->spec.shape,
                                                  .data = item->value->data,
                                                  .bytes = (size_t)peft_value_count(item->value) * sizeof(float)};
    }
    peft_status status = peft_safetensors_write(path, tensors, count, metadata, 2, error);
    free(tensors);
    return status;
}

/* Reads the tensor into `data` [elements of the value]. */
static peft_status read_value(const peft_safetensors *file, const peft_value_item *item, float *data, peft_error *error)
{
    const char *path = peft_safetensors_path(file);
    const peft_file_tensor *tensor = peft_safetensors_find(file, item->name);
    char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    peft_shape_text(&item->value->spec.shape, expected);
    if (!tensor)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: expected %s, found none", path, item->name, expected);
    if (!peft_shape_equal(&tensor->shape, &item->value->spec.shape))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: expected %s, found %s", path, item->name, expected,
                         peft_shape_text(&tensor->shape, found));
    return peft_file_tensor_read_finite(tensor, data, error);
}

/* The values one after another into `data`. */
static peft_status read_all(const peft_value_set *set, const peft_safetensors *file, float *data, peft_error *error)
{
    size_t expected = 0;
    peft_status status = PEFT_OK;
    for (int64_t k = 0; k < set->count && status == PEFT_OK; k++) {
        if (!is_in_files(&set->items[k])) continue;
        status = read_value(file, &set->items[k], data, error);
        data += peft_value_count(set->items[k].value);
        expected++;
    }
    for (size_t k = 0; status == PEFT_OK && peft_safetensors_count(file) != expected; k++) {
        const char *name = peft_safetensors_at(file, k)->name;
        const peft_value *value = peft_value_set_find(set, name);
        if (!value || value->spec.kind == PEFT_VALUE_STATE)
            status = peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: unexpected", peft_safetensors_path(file), name);
    }
    return status;
}

static void take_all(const peft_value_set *set, const float *data)
{
    for (int64_t k = 0; k < set->count; k++) {
        if (!is_in_files(&set->items[k])) continue;
        int64_t count = peft_value_count(set->items[k].value);
        memcpy(set->items[k].value->data, data, (size_t)count * sizeof *data);
        data += count;
    }
}

peft_status peft_value_set_load(const peft_value_set *set, const char *path, peft_error *error)
{
    peft_safetensors *file;
    peft_status status = peft_safetensors_open(path, &file, error);
    if (status) return status;
    int64_t total = 0;
    for (int64_t k = 0; k < set->count; k++)
        if (is_in_files(&set->items[k])) total += peft_value_count(set->items[k].value);
    float *data = malloc((size_t)total * sizeof *data + 1);
    status = data ? peft_safetensors_verify(file, error) : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    if (status == PEFT_OK) status = read_all(set, file, data, error);
    if (status == PEFT_OK) take_all(set, data);
    free(data);
    peft_safetensors_close(file);
    return status;
}
