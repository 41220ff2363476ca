/* tests/fuzz/fuzz_tokenizer_files.h - a tokenizer that opens gives ids below its size for any text, within the length
 * asked for. What a harness adds is which files the parts of its input are; the part behind them is the text. */
#ifndef PEFT_TESTS_FUZZ_FUZZ_TOKENIZER_FILES_H
#define PEFT_TESTS_FUZZ_FUZZ_TOKENIZER_FILES_H

#include <string.h>

#include "models/tokenizer.h"
#include "models/unicode.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_encode(peft_tokenizer *tokenizer, fuzz_bytes text)
{
    enum { MOST = 24 };
    static peft_encoding encoding;
    static const char any[] = "a bb, [MASK] \xc3\x84\xe4\xb8\xad ccc";
    const char *bytes = text.data ? (const char *)text.data : any;
    size_t size = text.data ? text.size : sizeof any - 1;
    for (int pair = 0; pair < 2; pair++) {
        peft_status status = peft_tokenizer_encode(tokenizer, bytes, size, pair ? any : NULL, pair ? sizeof any - 1 : 0,
                                                   MOST, &encoding, NULL);
        FUZZ_CHECK(status == PEFT_OK ? encoding.length <= MOST : encoding.length == 0);
        for (size_t i = 0; i < encoding.length; i++)
            FUZZ_CHECK(encoding.input_ids[i] >= 0 && encoding.input_ids[i] < peft_tokenizer_vocab_size(tokenizer));
    }
}

static void fuzz_tokenizer_files(const uint8_t *data, size_t size, const char *const *names, size_t count)
{
    enum { MOST_PARTS = 8 };
    fuzz_bytes parts[MOST_PARTS];
    FUZZ_CHECK(count < MOST_PARTS);
    fuzz_split(data, size, parts, count + 1);
    for (size_t i = 0; i < count; i++) fuzz_write(names[i], parts[i]);
    peft_tokenizer *tokenizer;
    peft_error error = {0};
    peft_status status = peft_tokenizer_open(&tokenizer, fuzz_path("tokenizer"), &error);
    FUZZ_CHECK((status == PEFT_OK) == (tokenizer != NULL));
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return;
    fuzz_accepted++;
    fuzz_encode(tokenizer, parts[count]);
    peft_tokenizer_close(tokenizer);
}

#endif
