/* modules.json and what it leads to: a vector of finite numbers for any tokens. */
#include <math.h>

#include "peft/sentence.h"
#include "tests/fuzz/fuzz.h"

static void check_vector(peft_sentence *sentence)
{
    enum { HIDDEN = 4, TOKENS = 3, MOST = 1 << 12 };
    static const float tokens[TOKENS * HIDDEN] = {1, -2, 0.5f, 3, 0, 0, 0, 0, -1, 2, 4, 1e-3f}, mean[HIDDEN] = {1};
    static float vector[MOST];
    if (peft_sentence_fit(sentence, HIDDEN, NULL) || peft_sentence_size(sentence) > MOST) return;
    peft_sentence_vector(sentence, tokens, TOKENS, mean, vector);
    for (int64_t k = 0; k < peft_sentence_size(sentence); k++) FUZZ_CHECK(isfinite(vector[k]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"sentence/modules.json", "sentence/1_Pooling/config.json",
                                        "sentence/sentence_bert_config.json",
                                        "sentence/config_sentence_transformers.json"};
    enum { FILES = sizeof names / sizeof names[0] };
    fuzz_bytes parts[FILES];
    fuzz_split(data, size, parts, FILES);
    for (int k = 0; k < FILES; k++) fuzz_write(names[k], parts[k]);
    peft_sentence *sentence;
    peft_error error = {0};
    peft_status status = peft_sentence_open(&sentence, fuzz_path("sentence"), &error);
    FUZZ_CHECK((status == PEFT_OK) == (sentence != NULL));
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return 0;
    fuzz_accepted++;
    check_vector(sentence);
    peft_sentence_close(sentence);
    return 0;
}
