/* vocab.txt, what may lie beside it, and a text. */
#include "tests/fuzz/fuzz_tokenizer_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"tokenizer/vocab.txt", "tokenizer/tokenizer_config.json",
                                        "tokenizer/added_tokens.json", "tokenizer/special_tokens_map.json"};
    fuzz_tokenizer_files(data, size, names, 4);
    return 0;
}
