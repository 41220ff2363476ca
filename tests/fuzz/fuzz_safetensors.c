/* The tensors of an accepted file lie within it, do not overlap, fill it, and are as large as their shapes say. An
 * input of two parts is header and data, one of a single part the whole file. */
#include "io/safetensors.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

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

static void read_file(const uint8_t *data, size_t size)
{
    peft_safetensors *file;
    peft_error error = {0};
    peft_status status = peft_safetensors_open_memory("input", data, size, &file, &error);
    FUZZ_CHECK((status == PEFT_OK) == (file != NULL));
    FUZZ_CHECK(status == PEFT_OK || strncmp(error.message, "input:", 6) == 0);
    if (status) return;
    fuzz_accepted++;
    check_cover(file, data, size);
    peft_safetensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes parts[2];
    fuzz_split(data, size, parts, 2);
    if (!parts[1].data) {
        read_file(data, size);
        return 0;
    }
    const size_t bytes = 8 + parts[0].size + parts[1].size;
    uint8_t *whole = malloc(bytes);
    FUZZ_CHECK(whole != NULL);
    for (size_t i = 0; i < 8; i++) whole[i] = (uint8_t)((uint64_t)parts[0].size >> 8 * i);
    memcpy(whole + 8, parts[0].data, parts[0].size);
    memcpy(whole + 8 + parts[0].size, parts[1].data, parts[1].size);
    read_file(whole, bytes);
    free(whole);
    return 0;
}
