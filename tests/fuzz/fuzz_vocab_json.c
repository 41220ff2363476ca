/* vocab.json, merges.txt, what may lie beside them, and a text. */
#include "tests/fuzz/fuzz_tokenizer_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"tokenizer/vocab.json", "tokenizer/merges.txt",
                                        "tokenizer/tokenizer_config.json"};
    fuzz_tokenizer_files(data, size, names, 3);
    return 0;
}
