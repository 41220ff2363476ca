#include "io/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/foreign.h"
#include "io/json.h"
#include "io/safetensors_format.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are used as stored, little-endian"
#endif

_Static_assert((int)MAX_HEADER_BYTES < (int)PEFT_JSON_MAX_BYTES, "a legal header has to be legal JSON text");

struct peft_safetensors {
    peft_mapped_file mapping; /* zero where the bytes are the caller's */
    char *path;
    peft_file_tensor *tensors; /* by name */
    size_t count;
    json_t *header; /* holds names and metadata */
};

/* The file while its header is being checked. */
typedef struct parse {
    const unsigned char *bytes;
    uint64_t size;
    uint64_t header_bytes;
    peft_safetensors *file;
    peft_error *error;
} parse;

static uint64_t read_u64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

static uint64_t data_bytes(const parse *p)
{
    return p->size - LENGTH_BYTES - p->header_bytes;
}

/* Check 1: the lengths. */
static peft_status check_lengths(parse *p)
{
    const char *path = p->file->path;
    if (p->size < LENGTH_BYTES)
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: expected 8 bytes of header length, found a file of %" PRIu64,
                         path, p->size);
    p->header_bytes = read_u64(p->bytes);
    if (p->header_bytes > MAX_HEADER_BYTES)
        return peft_fail(p->error, PEFT_ERR_FORMAT,
                         "%s: expected a header of at most %d bytes, found %" PRIu64 "; is this a safetensors file?",
                         path, MAX_HEADER_BYTES, p->header_bytes);
    if (p->header_bytes > p->size - LENGTH_BYTES)
        return peft_fail(p->error, PEFT_ERR_FORMAT,
                         "%s: expected a header of %" PRIu64 " bytes, found only %" PRIu64
                         " in the file; is it cut short?",
                         path, p->header_bytes, p->size - LENGTH_BYTES);
    return PEFT_OK;
}

/* Check 2: UTF-8, one JSON object from the first byte on, no duplicate keys, then spaces only. */
static peft_status check_json(parse *p)
{
    const char *path = p->file->path;
    const char *text = (const char *)p->bytes + LENGTH_BYTES;
    size_t length = (size_t)p->header_bytes;
    while (length && text[length - 1] == ' ') length--;
    if (length == 0 || text[0] != '{' || text[length - 1] != '}')
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: header: expected a JSON object from { to }, then spaces",
                         path);
    return peft_json_parse(text, length, path, &p->file->header, p->error);
}

/* Element types of the format that peft_dtype lacks. */
static const char *const other_dtypes[] = {
    "I8",  "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16",
    "U16", "U32",     "C64",     "U64",     "F4",          "F6_E2M3",     "F6_E3M2",
};

static peft_status parse_dtype(const parse *p, const char *name, const json_t *value, peft_dtype *dtype)
{
    const char *path = p->file->path;
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < PEFT_NUM_DTYPES; i++)
        if (strcmp(text, peft_dtype_name((peft_dtype)i)) == 0) {
            *dtype = (peft_dtype)i;
            return PEFT_OK;
        }
    for (size_t i = 0; text && i < sizeof other_dtypes / sizeof other_dtypes[0]; i++)
        if (strcmp(text, other_dtypes[i]) == 0)
            return peft_fail(p->error, PEFT_ERR_UNSUPPORTED, "%s: %s: dtype %s is not offered here", path, name, text);
    char found[PEFT_JSON_TEXT];
    return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: %s: expected a dtype such as \"F32\", found %s", path, name,
                     peft_json_text(value, found));
}

static bool is_size(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static peft_status parse_shape(const parse *p, const char *name, const json_t *value, peft_shape *shape)
{
    const char *path = p->file->path;
    char found[PEFT_JSON_TEXT];
    size_t ndim = json_array_size(value);
    if (!json_is_array(value))
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: %s: shape: expected a list, found %s", path, name,
                         peft_json_text(value, found));
    for (size_t d = 0; d < ndim; d++)
        if (!is_size(json_array_get(value, d)))
            return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: %s: shape: expected integers of 0 or more, found %s", path,
                             name, peft_json_text(json_array_get(value, d), found));
    if (ndim > PEFT_MAX_DIMS)
        return peft_fail(p->error, PEFT_ERR_UNSUPPORTED, "%s: %s: expected at most %d dimensions, found %zu", path,
                         name, PEFT_MAX_DIMS, ndim);
    shape->ndim = (int32_t)ndim;
    for (size_t d = 0; d < ndim; d++) shape->size[d] = json_integer_value(json_array_get(value, d));
    return PEFT_OK;
}

/* Leaves the place of the data in tensor->data and tensor->bytes; all offsets are within the file. */
static peft_status parse_offsets(const parse *p, const json_t *value, peft_file_tensor *tensor)
{
    const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !is_size(begin) || !is_size(end) ||
        json_integer_value(begin) > json_integer_value(end)) {
        char found[PEFT_JSON_TEXT];
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: %s: data_offsets: expected [begin, end], found %s",
                         p->file->path, tensor->name, peft_json_text(value, found));
    }
    uint64_t last = (uint64_t)json_integer_value(end);
    if (last > data_bytes(p))
        return peft_fail(p->error, PEFT_ERR_FORMAT,
                         "%s: %s: data_offsets: the data end at byte %" PRIu64 ", but the file has only %" PRIu64
                         " bytes of data; is it cut short?",
                         p->file->path, tensor->name, last, data_bytes(p));
    tensor->data = p->bytes + LENGTH_BYTES + p->header_bytes + json_integer_value(begin);
    tensor->bytes = (size_t)(json_integer_value(end) - json_integer_value(begin));
    return PEFT_OK;
}

/* Check 4: the size that dtype and shape say is that of the offsets. */
static peft_status check_size(const parse *p, const peft_file_tensor *tensor)
{
    char shape[PEFT_SHAPE_TEXT];
    const char *path = p->file->path, *dtype = peft_dtype_name(tensor->dtype);
    int64_t elements = peft_shape_checked_count(&tensor->shape, tensor->dtype);
    if (elements < 0)
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: %s: %s %s has more bytes than any memory", path, tensor->name,
                         dtype, peft_shape_text(&tensor->shape, shape));
    size_t expected = (size_t)elements * peft_dtype_bytes(tensor->dtype);
    if (tensor->bytes != expected)
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: %s: expected %zu bytes for %s %s, found %zu by data_offsets",
                         path, tensor->name, expected, dtype, peft_shape_text(&tensor->shape, shape), tensor->bytes);
    return PEFT_OK;
}

/* Checks 3 and 4: one entry of the header. */
static peft_status parse_tensor(const parse *p, const char *name, const json_t *entry, peft_file_tensor *tensor)
{
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    *tensor = (peft_file_tensor){.name = name, .path = p->file->path};
    if (json_object_size(entry) != 3 || !dtype || !shape || !offsets)
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: %s: expected the fields dtype, shape and data_offsets alone",
                         p->file->path, name);
    peft_status status = parse_dtype(p, name, dtype, &tensor->dtype);
    if (status == PEFT_OK) status = parse_shape(p, name, shape, &tensor->shape);
    if (status == PEFT_OK) status = parse_offsets(p, offsets, tensor);
    if (status == PEFT_OK) status = check_size(p, tensor);
    return status;
}

static peft_status check_metadata(const parse *p, json_t *metadata)
{
    char found[PEFT_JSON_TEXT];
    const char *key;
    json_t *value;
    if (json_is_null(metadata)) return PEFT_OK; /* as the reference reads an absent one */
    if (!json_is_object(metadata))
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: __metadata__: expected an object, found %s", p->file->path,
                         peft_json_text(metadata, found));
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: __metadata__: %s: expected a string, found %s",
                             p->file->path, key, peft_json_text(value, found));
    }
    return PEFT_OK;
}

static peft_status parse_entries(parse *p)
{
    peft_safetensors *file = p->file;
    const char *name;
    json_t *entry;
    file->tensors = malloc((json_object_size(file->header) + 1) * sizeof *file->tensors);
    if (!file->tensors) return peft_fail(p->error, PEFT_ERR_MEMORY, "%s: out of memory", file->path);
    json_object_foreach(file->header, name, entry)
    {
        peft_status status = strcmp(name, METADATA_KEY) == 0
                                 ? check_metadata(p, entry)
                                 : parse_tensor(p, name, entry, &file->tensors[file->count++]);
        if (status) return status;
    }
    return PEFT_OK;
}

static int compare_places(const void *a, const void *b)
{
    const peft_file_tensor *left = a, *right = b;
    uintptr_t x = (uintptr_t)left->data, y = (uintptr_t)right->data;
    return x != y ? (x > y) - (x < y) : (left->bytes > right->bytes) - (left->bytes < right->bytes);
}

static int compare_names(const void *a, const void *b)
{
    const peft_file_tensor *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* Checks 5 and 6: the tensors fill the data from first to last byte, without holes and overlaps. */
static peft_status check_tiling(parse *p)
{
    peft_safetensors *file = p->file;
    uint64_t end = 0;
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_places);
    for (size_t i = 0; i < file->count; i++) {
        const peft_file_tensor *tensor = &file->tensors[i];
        uint64_t begin = (uint64_t)((const unsigned char *)tensor->data - p->bytes) - LENGTH_BYTES - p->header_bytes;
        if (begin != end)
            return peft_fail(p->error, PEFT_ERR_FORMAT,
                             "%s: %s: expected its data to begin at byte %" PRIu64
                             ", where the tensor before ends, found %" PRIu64,
                             file->path, tensor->name, end, begin);
        end += tensor->bytes;
    }
    if (end != data_bytes(p))
        return peft_fail(p->error, PEFT_ERR_FORMAT, "%s: expected %" PRIu64 " bytes of data, found %" PRIu64,
                         file->path, end, data_bytes(p));
    return PEFT_OK;
}

static peft_status parse_file(parse *p)
{
    peft_status status = check_lengths(p);
    if (status == PEFT_OK) status = check_json(p);
    if (status == PEFT_OK) status = parse_entries(p);
    if (status == PEFT_OK) status = check_tiling(p);
    if (status == PEFT_OK) qsort(p->file->tensors, p->file->count, sizeof *p->file->tensors, compare_names);
    return status;
}

peft_status peft_safetensors_open_memory(const char *path, const void *data, size_t bytes, peft_safetensors **file,
                                         peft_error *error)
{
    *file = NULL;
    peft_safetensors *opened = calloc(1, sizeof *opened);
    if (!opened) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    parse p = {.bytes = data, .size = bytes, .file = opened, .error = error};
    peft_status status = peft_path_join("", path, &opened->path, error);
    if (status == PEFT_OK) status = parse_file(&p);
    if (status)
        peft_safetensors_close(opened);
    else
        *file = opened;
    return status;
}

peft_status peft_safetensors_open(const char *path, peft_safetensors **file, peft_error *error)
{
    *file = NULL;
    peft_mapped_file mapping;
    peft_status status = peft_file_map(path, &mapping, error);
    if (status) return status;
    status = peft_safetensors_open_memory(path, mapping.data, mapping.bytes, file, error);
    if (status) status = peft_fail_foreign(error, status, path, mapping.data, mapping.bytes);
    if (status)
        peft_file_unmap(&mapping);
    else
        (*file)->mapping = mapping;
    return status;
}

void peft_safetensors_close(peft_safetensors *file)
{
    if (!file) return;
    json_decref(file->header);
    free(file->tensors);
    free(file->path);
    peft_file_unmap(&file->mapping);
    free(file);
}

void peft_safetensors_release(const peft_safetensors *file)
{
    peft_file_release(&file->mapping);
}

size_t peft_safetensors_count(const peft_safetensors *file)
{
    return file->count;
}

const peft_file_tensor *peft_safetensors_at(const peft_safetensors *file, size_t index)
{
    return &file->tensors[index];
}

const peft_file_tensor *peft_safetensors_find(const peft_safetensors *file, const char *name)
{
    peft_file_tensor key = {.name = name};
    return bsearch(&key, file->tensors, file->count, sizeof *file->tensors, compare_names);
}

const char *peft_safetensors_path(const peft_safetensors *file)
{
    return file->path;
}

const char *peft_safetensors_metadata(const peft_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, METADATA_KEY), key));
}

peft_status peft_safetensors_verify(const peft_safetensors *file, peft_error *error)
{
    const char *expected = peft_safetensors_metadata(file, PEFT_CHECKSUM_KEY), *key;
    char found[PEFT_CHECKSUM_TEXT];
    uint64_t sum = 0;
    json_t *value;
    if (!expected) return PEFT_OK;
    for (size_t i = 0; i < file->count; i++) {
        sum += peft_checksum_of_tensor(&file->tensors[i]);
        peft_safetensors_release(file); /* no more of a large model is in memory than one tensor */
    }
    json_object_foreach(json_object_get(file->header, METADATA_KEY), key, value)
    {
        sum += peft_checksum_of_metadata(key, json_string_value(value));
    }
    peft_checksum_to_text(sum, found);
    if (strcmp(found, expected) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FORMAT,
                     "%s: damaged: expected the checksum %.16s, found %s; take it from where it came from again",
                     file->path, expected, found);
}
