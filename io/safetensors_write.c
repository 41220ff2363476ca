#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"

enum { LENGTH_BYTES = 8 };

static const char metadata_key[] = "__metadata__";

static peft_status check_tensor(const char *path, const peft_file_tensor *tensor, peft_error *error)
{
    char shape[PEFT_SHAPE_TEXT];
    int64_t elements = peft_shape_checked_count(&tensor->shape, tensor->dtype);
    if (elements < 0 || (size_t)elements * peft_dtype_bytes(tensor->dtype) != tensor->bytes)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s: %zu bytes are not those of %s %s", path, tensor->name,
                         tensor->bytes, peft_dtype_name(tensor->dtype), peft_shape_text(&tensor->shape, shape));
    if (strcmp(tensor->name, metadata_key) == 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s: not a tensor's name in this format", path, tensor->name);
    return PEFT_OK;
}

/* Adds a member and takes `value`, also when it fails. */
static peft_status add_member(json_t *object, const char *key, json_t *value, const char *path, peft_error *error)
{
    if (json_object_get(object, key)) {
        json_decref(value);
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s: this name comes twice", path, key);
    }
    if (json_object_set_new(object, key, value))
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: %s: out of memory, or a name that is not UTF-8", path, key);
    return PEFT_OK;
}

static json_t *shape_to_json(const peft_shape *shape)
{
    json_t *list = json_array();
    for (int32_t d = 0; d < shape->ndim; d++)
        if (json_array_append_new(list, json_integer(shape->size[d]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static peft_status add_metadata(json_t *header, const peft_key_value *metadata, size_t count, const char *path,
                                peft_error *error)
{
    if (count == 0) return PEFT_OK;
    json_t *object = json_object();
    peft_status status = add_member(header, metadata_key, object, path, error);
    for (size_t i = 0; i < count && status == PEFT_OK; i++)
        status = add_member(object, metadata[i].key, json_string(metadata[i].value), path, error);
    return status;
}

static peft_status add_tensors(json_t *header, const peft_file_tensor *const *tensors, size_t count, const char *path,
                               peft_error *error)
{
    json_int_t begin = 0;
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < count && status == PEFT_OK; i++) {
        const peft_file_tensor *tensor = tensors[i];
        json_int_t end = begin + (json_int_t)tensor->bytes;
        json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", peft_dtype_name(tensor->dtype), "shape",
                                  shape_to_json(&tensor->shape), "data_offsets", begin, end);
        status = add_member(header, tensor->name, entry, path, error);
        begin = end;
    }
    return status;
}

/* Wide types first: as the data begin at a multiple of 8, every tensor is then aligned for its type. */
static int compare_places(const void *a, const void *b)
{
    const peft_file_tensor *left = *(const peft_file_tensor *const *)a, *right = *(const peft_file_tensor *const *)b;
    size_t x = peft_dtype_bytes(left->dtype), y = peft_dtype_bytes(right->dtype);
    return x != y ? (x < y) - (x > y) : strcmp(left->name, right->name);
}

static peft_status build_header(const peft_file_tensor *const *tensors, size_t count, const peft_key_value *metadata,
                                size_t num_metadata, const char *path, char **text, peft_error *error)
{
    *text = NULL;
    json_t *header = json_object();
    peft_status status = add_metadata(header, metadata, num_metadata, path, error);
    if (status == PEFT_OK) status = add_tensors(header, tensors, count, path, error);
    if (status == PEFT_OK) *text = json_dumps(header, JSON_COMPACT);
    if (status == PEFT_OK && !*text) status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    json_decref(header);
    return status;
}

static peft_status write_header(peft_writer *writer, const char *text, peft_error *error)
{
    size_t length = strlen(text), padding = (LENGTH_BYTES - length % LENGTH_BYTES) % LENGTH_BYTES;
    unsigned char prefix[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++) prefix[i] = (unsigned char)((uint64_t)(length + padding) >> 8 * i);
    peft_status status = peft_writer_write(writer, prefix, sizeof prefix, error);
    if (status == PEFT_OK) status = peft_writer_write(writer, text, length, error);
    if (status == PEFT_OK) status = peft_writer_write(writer, "        ", padding, error);
    return status;
}

static peft_status write_file(const char *path, const char *header, const peft_file_tensor *const *tensors,
                              size_t count, peft_error *error)
{
    peft_writer *writer;
    peft_status status = peft_writer_open(path, &writer, error);
    if (status) return status;
    status = write_header(writer, header, error);
    for (size_t i = 0; i < count && status == PEFT_OK; i++)
        status = peft_writer_write(writer, tensors[i]->data, tensors[i]->bytes, error);
    if (status == PEFT_OK) return peft_writer_commit(writer, error);
    peft_writer_discard(writer);
    return status;
}

peft_status peft_safetensors_write(const char *path, const peft_file_tensor *tensors, size_t count,
                                   const peft_key_value *metadata, size_t num_metadata, peft_error *error)
{
    for (size_t i = 0; i < count; i++) {
        peft_status status = check_tensor(path, &tensors[i], error);
        if (status) return status;
    }
    const peft_file_tensor **order = malloc((count + 1) * sizeof *order);
    if (!order) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < count; i++) order[i] = &tensors[i];
    qsort(order, count, sizeof *order, compare_places);

    char *header;
    peft_status status = build_header(order, count, metadata, num_metadata, path, &header, error);
    if (status == PEFT_OK) status = write_file(path, header, order, count, error);
    free(header);
    free(order);
    return status;
}
