/* The tensors of an accepted file lie within it, do not overlap, fill it, and are as large as their shapes say. */
#include "io/safetensors.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

/* Length of the header (below 256), header, data. */
#define FILE_OF(length, header, data) FUZZ_SEED(length "\0\0\0\0\0\0\0" header data)

const fuzz_seed fuzz_seeds[] = {
    FILE_OF("\x38", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}", "01234567"),
    FILE_OF("\x90",
            "{\"__metadata__\":{\"format\":\"pt\"},"
            "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F16\",\"shape\":[3],"
            "\"data_offsets\":[8,14]}}      ",
            "01234567012345"),
    FILE_OF("\x08", "{}      ", ""),
    {"", 0},
};
size_t fuzz_accepted;

/* How often each byte of the data belongs to a tensor, taken over all tensors: once. */
static void check_cover(const peft_safetensors *file, const uint8_t *data, size_t size)
{
    size_t total = 0;
    uint8_t *owners = calloc(size, 1);
    FUZZ_CHECK(owners != NULL);
    for (size_t i = 0; i < peft_safetensors_count(file); i++) {
        const peft_file_tensor *tensor = peft_safetensors_at(file, i);
        size_t begin = (size_t)((const uint8_t *)tensor->data - data);
        FUZZ_CHECK(begin >= 8 && begin <= size && tensor->bytes <= size - begin);
        FUZZ_CHECK((size_t)peft_shape_count(&tensor->shape) * peft_dtype_bytes(tensor->dtype) == tensor->bytes);
        FUZZ_CHECK(peft_safetensors_find(file, tensor->name) == tensor);
        for (size_t b = 0; b < tensor->bytes; b++) FUZZ_CHECK(!owners[begin + b]++);
        total += tensor->bytes;
    }
    for (size_t b = size - total; b < size; b++) FUZZ_CHECK(owners[b] == 1);
    free(owners);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    peft_safetensors *file;
    peft_error error = {0};
    peft_status status = peft_safetensors_open_memory("input", data, size, &file, &error);
    FUZZ_CHECK((status == PEFT_OK) == (file != NULL));
    FUZZ_CHECK(status == PEFT_OK || strncmp(error.message, "input:", 6) == 0);
    if (status) return 0;
    fuzz_accepted++;
    check_cover(file, data, size);
    peft_safetensors_close(file);
    return 0;
}
