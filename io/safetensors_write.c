#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/safetensors_format.h"

static peft_status check_tensor(const char *path, const peft_file_tensor *tensor, peft_error *error)
{
    char shape[PEFT_SHAPE_TEXT];
    int64_t elements = peft_shape_checked_count(&tensor->shape, tensor->dtype);
    if (elements < 0 || (size_t)elements * peft_dtype_bytes(tensor->dtype) != tensor->bytes)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s: %zu bytes are not those of %s %s", path, tensor->name,
                         tensor->bytes, peft_dtype_name(tensor->dtype), peft_shape_text(&tensor->shape, shape));
    if (strcmp(tensor->name, METADATA_KEY) == 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s: not a tensor's name in this format", path, tensor->name);
    return PEFT_OK;
}

static bool is_utf8(const char *text)
{
    utf8proc_int32_t character = 1;
    utf8proc_ssize_t length;
    for (const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text; *at; at += length)
        if ((length = utf8proc_iterate(at, -1, &character)) < 1) return false;
    return true;
}

/* Adds a member and takes `value`, also when it fails; a NULL is a value for which there was no memory. */
static peft_status add_member(json_t *object, const char *key, json_t *value, const char *path, peft_error *error)
{
    peft_status status = PEFT_OK;
    if (json_object_get(object, key))
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: %s: this name comes twice", path, key);
    else if (!is_utf8(key))
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: a name is not UTF-8", path);
    else if (json_object_set(object, key, value))
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    json_decref(value);
    return status;
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

static peft_status add_metadata(json_t *header, const peft_key_value *metadata, size_t count, const char *checksum,
                                const char *path, peft_error *error)
{
    if (count == 0) return PEFT_OK;
    json_t *object = json_object();
    peft_status status = add_member(header, METADATA_KEY, object, path, error);
    for (size_t i = 0; i < count && status == PEFT_OK; i++) {
        const char *value = metadata[i].value ? metadata[i].value : checksum;
        if (!is_utf8(value))
            return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: __metadata__: %s: the value is not UTF-8", path,
                             metadata[i].key);
        status = add_member(object, metadata[i].key, json_string(value), path, error);
    }
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

typedef struct header_bytes {
    char *data;
    size_t size;
} header_bytes;

/* The length, then the text padded with spaces. Not json_dumps: where memory runs out inside of a key, jansson 2.14
 * goes on and returns a text that lacks a part. */
static peft_status header_to_bytes(const json_t *header, const char *path, header_bytes *out, peft_error *error)
{
    size_t length = json_dumpb(header, NULL, 0, JSON_COMPACT);
    size_t padded = (length + LENGTH_BYTES - 1) / LENGTH_BYTES * LENGTH_BYTES;
    if (padded > MAX_HEADER_BYTES)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: the header of %zu bytes is larger than readers accept, %d",
                         path, padded, MAX_HEADER_BYTES);
    char *data = out->data = malloc(LENGTH_BYTES + padded);
    out->size = LENGTH_BYTES + padded;
    if (length == 0 || !data || json_dumpb(header, data + LENGTH_BYTES, padded, JSON_COMPACT) != length)
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    memset(data + LENGTH_BYTES + length, ' ', padded - length);
    for (int i = 0; i < LENGTH_BYTES; i++) data[i] = (char)((uint64_t)padded >> 8 * i & 255);
    return PEFT_OK;
}

/* Only where the metadata ask for it: it takes a pass over all bytes. */
static void find_checksum(const peft_file_tensor *const *tensors, size_t count, const peft_key_value *metadata,
                          size_t num_metadata, char text[PEFT_CHECKSUM_TEXT])
{
    bool wanted = false;
    uint64_t sum = 0;
    for (size_t i = 0; i < num_metadata; i++) {
        wanted = wanted || !metadata[i].value;
        if (metadata[i].value) sum += peft_checksum_of_metadata(metadata[i].key, metadata[i].value);
    }
    for (size_t i = 0; i < count && wanted; i++) sum += peft_checksum_of_tensor(tensors[i]);
    peft_checksum_to_text(sum, text);
}

static peft_status build_header(const peft_file_tensor *const *tensors, size_t count, const peft_key_value *metadata,
                                size_t num_metadata, const char *path, header_bytes *out, peft_error *error)
{
    char checksum[PEFT_CHECKSUM_TEXT];
    find_checksum(tensors, count, metadata, num_metadata, checksum);
    json_t *header = json_object();
    peft_status status = add_metadata(header, metadata, num_metadata, checksum, path, error);
    if (status == PEFT_OK) status = add_tensors(header, tensors, count, path, error);
    if (status == PEFT_OK) status = header_to_bytes(header, path, out, error);
    json_decref(header);
    return status;
}

static peft_status write_file(const char *path, const header_bytes *header, const peft_file_tensor *const *tensors,
                              size_t count, peft_error *error)
{
    peft_writer *writer;
    peft_status status = peft_writer_open(path, &writer, error);
    if (status) return status;
    status = peft_writer_write(writer, header->data, header->size, error);
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

    header_bytes header = {0};
    peft_status status = build_header(order, count, metadata, num_metadata, path, &header, error);
    if (status == PEFT_OK) status = write_file(path, &header, order, count, error);
    free(header.data);
    free(order);
    return status;
}
