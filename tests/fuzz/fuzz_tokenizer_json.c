/* tokenizer.json, tokenizer_config.json, and a text. */
#include "tests/fuzz/fuzz_tokenizer_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"};
    fuzz_tokenizer_files(data, size, names, 2);
    return 0;
}
