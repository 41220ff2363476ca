/* Tensors of an accepted folder are found by their names, which rise. The parts of the input are
 * model.safetensors.index.json, and header and data of two shards, a.safetensors and b.safetensors; without an index,
 * "-", the first shard is model.safetensors. */
#include "io/weights.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes parts[5];
    fuzz_split(data, size, parts, 5);
    const bool single = parts[0].size == 1 && *parts[0].data == '-';
    const fuzz_bytes nothing = {0};
    fuzz_write("weights/model.safetensors.index.json", single ? nothing : parts[0]);
    fuzz_write_safetensors("weights/model.safetensors", single ? parts[1] : nothing, parts[2]);
    fuzz_write_safetensors("weights/a.safetensors", parts[1], parts[2]);
    fuzz_write_safetensors("weights/b.safetensors", parts[3], parts[4]);

    peft_weights *weights;
    peft_error error = {0};
    peft_status status = peft_weights_open(fuzz_path("weights"), &weights, &error);
    FUZZ_CHECK((status == PEFT_OK) == (weights != NULL));
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return 0;
    fuzz_accepted++;
    for (size_t i = 0; i < peft_weights_count(weights); i++) {
        const peft_file_tensor *tensor = peft_weights_at(weights, i);
        FUZZ_CHECK(peft_weights_find(weights, tensor->name) == tensor);
        FUZZ_CHECK(i == 0 || strcmp(peft_weights_at(weights, i - 1)->name, tensor->name) < 0);
    }
    peft_weights_close(weights);
    return 0;
}
