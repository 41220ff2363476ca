/* Any bytes as text: the tokenizer returns ids of its vocabulary within the length asked for, or says where the text is
 * not UTF-8. The first byte of the input is the maximum length, the second how much of the rest is the first text. */
#include "models/tokenizer.h"
#include "models/unicode.h"
#include "tests/fuzz/fuzz.h"

static peft_tokenizer *open_fixture(void)
{
    peft_tokenizer *opened;
    FUZZ_CHECK(peft_tokenizer_open(&opened, fuzz_fixture("tokenizer/minilm-cut"), NULL) == PEFT_OK);
    return opened;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static peft_tokenizer *tokenizer;
    static peft_encoding encoding;
    if (!tokenizer) tokenizer = open_fixture();
    if (size < 2) return 0;

    const char *text = (const char *)data + 2;
    size_t max_length = data[0], first = (size - 2) * data[1] / UINT8_MAX, second = size - 2 - first;
    const char *pair = second ? text + first : NULL;
    bool valid = peft_utf8_check(text, first) == first && (!pair || peft_utf8_check(pair, second) == second);
    peft_status status = peft_tokenizer_encode(tokenizer, text, first, pair, second, max_length, &encoding, NULL);

    size_t specials = pair ? 3 : 2;
    FUZZ_CHECK(status == (max_length < specials ? PEFT_ERR_ARGUMENT : valid ? PEFT_OK : PEFT_ERR_FORMAT));
    fuzz_accepted += status == PEFT_OK;
    FUZZ_CHECK(encoding.length <= max_length &&
               (status == PEFT_OK ? encoding.length >= specials : encoding.length == 0));
    FUZZ_CHECK(encoding.length == max_length || encoding.truncated == 0);
    for (size_t i = 0; i < encoding.length; i++) {
        FUZZ_CHECK(encoding.input_ids[i] >= 0 && encoding.input_ids[i] < peft_tokenizer_vocab_size(tokenizer));
        FUZZ_CHECK(encoding.token_type_ids[i] == 0 || (pair && encoding.token_type_ids[i] == 1));
    }
    return 0;
}
