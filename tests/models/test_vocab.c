/* Tests of models/vocab.c. */
#include "models/vocab.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { MANY = 4000, TEXT_BYTES = 8 };

static peft_vocab *open_json(const char *text)
{
    json_t *object = json_loads(text, 0, NULL);
    peft_vocab *vocab;
    peft_error error = {0};
    peft_status status = peft_vocab_open_json(&vocab, object, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
    json_decref(object);
    return vocab;
}

START_TEST(longest_token_wins_and_needs_a_byte)
{
    peft_vocab *vocab = open_json("{\"a\": 0, \"abc\": 7, \"abcde\": 3, \"##b\": 5, \"##\": 9, \"\": 11}");
    size_t matched;
    ck_assert_int_eq(peft_vocab_longest(vocab, PEFT_VOCAB_ROOT, "abcdx", 5, &matched), 7);
    ck_assert_uint_eq(matched, 3);
    ck_assert_int_eq(peft_vocab_longest(vocab, PEFT_VOCAB_ROOT, "ab", 2, &matched), 0);
    ck_assert_uint_eq(matched, 1);
    ck_assert_int_eq(peft_vocab_longest(vocab, PEFT_VOCAB_ROOT, "x", 1, &matched), -1);
    ck_assert_int_eq(peft_vocab_longest(vocab, PEFT_VOCAB_ROOT, "", 0, &matched), -1);
    int32_t behind = peft_vocab_walk(vocab, PEFT_VOCAB_ROOT, "##", 2);
    ck_assert_int_eq(peft_vocab_longest(vocab, behind, "bc", 2, &matched), 5);
    ck_assert_int_eq(peft_vocab_longest(vocab, behind, "c", 1, &matched), -1);
    ck_assert_int_eq(peft_vocab_longest(vocab, -1, "a", 1, &matched), -1);
    ck_assert_int_eq(peft_vocab_size(vocab), 10); /* the empty token stands in no text */
    peft_vocab_close(vocab);
}
END_TEST

/* The answer by trying each token, for random texts over four letters and bytes of both signs. */
static int32_t longest_by_trying(const peft_vocab_entry *entries, size_t count, const char *text, size_t bytes,
                                 size_t *matched)
{
    int32_t id = -1;
    *matched = 0;
    for (size_t i = 0; i < count; i++) {
        const peft_vocab_entry *e = &entries[i];
        if (e->bytes <= *matched || e->bytes > bytes || memcmp(e->text, text, e->bytes) != 0) continue;
        id = e->id;
        *matched = e->bytes;
    }
    return id;
}

static size_t random_text(char text[TEXT_BYTES])
{
    static const char letters[] = {'a', 'b', '\xE4', '\0'};
    size_t bytes = (size_t)(1 + rand() % TEXT_BYTES);
    for (size_t i = 0; i < bytes; i++) text[i] = letters[rand() % 4];
    return bytes;
}

START_TEST(trie_agrees_with_trying_each_token)
{
    static char texts[MANY][TEXT_BYTES];
    peft_vocab_entry entries[MANY];
    size_t count = 0;
    srand(1);
    while (count < MANY / 10) {
        size_t bytes = random_text(texts[count]);
        bool known = false;
        for (size_t i = 0; i < count; i++)
            known = known || (entries[i].bytes == bytes && memcmp(entries[i].text, texts[count], bytes) == 0);
        if (!known) {
            entries[count] = (peft_vocab_entry){texts[count], bytes, (int32_t)(3 * count)};
            count++;
        }
    }
    peft_vocab *vocab;
    ck_assert_int_eq(peft_vocab_open(&vocab, entries, count, NULL), PEFT_OK);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(peft_vocab_find(vocab, entries[i].text, entries[i].bytes), entries[i].id);
    for (int i = 0; i < MANY; i++) {
        char text[TEXT_BYTES];
        size_t bytes = random_text(text), found_bytes, expected_bytes;
        int32_t expected = longest_by_trying(entries, count, text, bytes, &expected_bytes);
        ck_assert_int_eq(peft_vocab_longest(vocab, PEFT_VOCAB_ROOT, text, bytes, &found_bytes), expected);
        ck_assert_uint_eq(found_bytes, expected_bytes);
    }
    peft_vocab_close(vocab);
}
END_TEST

START_TEST(an_empty_vocabulary_finds_nothing)
{
    peft_vocab *vocab = open_json("{}");
    size_t matched;
    ck_assert_int_eq(peft_vocab_size(vocab), 0);
    ck_assert_int_eq(peft_vocab_find(vocab, "", 0), -1);
    ck_assert_int_eq(peft_vocab_longest(vocab, PEFT_VOCAB_ROOT, "a", 1, &matched), -1);
    peft_vocab_close(vocab);
}
END_TEST

START_TEST(bad_ids_and_repeated_tokens_are_refused)
{
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"[1]", "expected an object"},
        {"{\"a\": -1}", "token \"a\": expected an id from 0 to 16777215, found -1"},
        {"{\"a\": 16777216}", "found 16777216"},
        {"{\"a\": 99999999999999}", "found 99999999999999"},
        {"{\"a\": 1.5}", "found 1.5"},
        {"{\"a\": \"1\"}", "found \"1\""},
        {"{\"a\": null}", "found null"},
        {"{\"a\": 4, \"b\": 4}", "have the same id 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *object = json_loads(cases[i].json, 0, NULL);
        peft_error error = {0};
        peft_vocab *vocab;
        ck_assert_int_eq(peft_vocab_open_json(&vocab, object, &error), PEFT_ERR_FORMAT);
        ck_assert_ptr_null(vocab);
        ck_assert_msg(strstr(error.message, cases[i].words) != NULL, "\"%s\" lacks \"%s\"", error.message,
                      cases[i].words);
        json_decref(object);
    }
    peft_vocab_entry twice[] = {{"a", 1, 1}, {"b", 1, 2}, {"a", 1, 3}};
    peft_error error = {0};
    peft_vocab *vocab;
    ck_assert_int_eq(peft_vocab_open(&vocab, twice, 3, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, "occurs twice") != NULL, "%s", error.message);
}
END_TEST

START_TEST(opening_survives_every_failed_allocation)
{
    json_t *object = json_loads("{\"a\": 0, \"abc\": 7, \"abcde\": 3}", 0, NULL);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_vocab *vocab;
        fail_allocation(call);
        peft_status status = peft_vocab_open_json(&vocab, object, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert((status == PEFT_OK) == (vocab != NULL));
        peft_vocab_close(vocab);
    }
    json_decref(object);
}
END_TEST

TEST_MAIN("vocab", tcase_add_test(tc, longest_token_wins_and_needs_a_byte);
          tcase_add_test(tc, trie_agrees_with_trying_each_token); tcase_add_test(tc, an_empty_vocabulary_finds_nothing);
          tcase_add_test(tc, bad_ids_and_repeated_tokens_are_refused);
          tcase_add_test(tc, opening_survives_every_failed_allocation))
