/* Tests of models/template.c; whole encodings are compared with the reference in test_tokenizer.c. */
#include "models/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/main.h"

/* Token by token: off the longer text; where both are as long, off the one that was the shorter at first. Equal from
 * the start: off the first. */
static void truncate_one_by_one(size_t *first, size_t *second, size_t max_length)
{
    bool first_was_longer = *first > *second;
    while (*first + *second > max_length) {
        bool cut_first = *first == *second ? !first_was_longer : *first > *second;
        (*(cut_first ? first : second))--;
    }
}

START_TEST(truncation_takes_from_the_longer_text)
{
    for (size_t a = 0; a <= 12; a++)
        for (size_t b = 0; b <= 12; b++)
            for (size_t max = 0; max <= 26; max++) {
                size_t first = a, second = b, expected_first = a, expected_second = b;
                peft_truncate_longest_first(&first, &second, max);
                truncate_one_by_one(&expected_first, &expected_second, max);
                ck_assert_msg(first == expected_first && second == expected_second,
                              "%zu, %zu to %zu: expected %zu, %zu, found %zu, %zu", a, b, max, expected_first,
                              expected_second, first, second);
            }
}
END_TEST

START_TEST(truncation_does_not_overflow)
{
    size_t first = 7, second = SIZE_MAX - 3;
    peft_truncate_longest_first(&first, &second, SIZE_MAX);
    ck_assert_uint_eq(first, 7);
    ck_assert_uint_eq(second, SIZE_MAX - 7);
}
END_TEST

#define SPECIALS                                                                                                       \
    "\"special_tokens\": {\"C\": {\"id\": \"C\", \"ids\": [8], \"tokens\": [\"C\"]}, \"S\": {\"ids\": [5, 6]},"        \
    " \"big\": {\"ids\": [10]}, \"none\": {\"ids\": []}}"
#define A           "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}"
#define B           "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}"
#define S(name)     "{\"SpecialToken\": {\"id\": \"" name "\", \"type_id\": 2}}"
#define T(one, two) "{\"type\": \"TemplateProcessing\", \"single\": [" one "], \"pair\": [" two "], " SPECIALS "}"

static peft_status read_text(const char *text, peft_template *single, peft_template *pair, peft_error *error)
{
    json_t *processor = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert_msg(processor != NULL, "%s", text);
    peft_status status = peft_template_read(single, pair, processor, 10, error);
    json_decref(processor);
    return status;
}

START_TEST(pieces_come_in_order_with_their_types)
{
    peft_template single, pair;
    ck_assert_int_eq(read_text(T(S("C") "," A "," S("S"), A "," S("S") "," B), &single, &pair, NULL), PEFT_OK);
    ck_assert_uint_eq(single.num_specials, 3);
    ck_assert_uint_eq(pair.num_specials, 2);

    peft_encoding e = {0};
    static const int32_t ids[] = {100, 101, 102, 200, 201}; /* the second text from the third on */
    e.length = pair.num_specials;
    ck_assert(peft_encoding_reserve(&e, pair.num_specials));
    for (size_t i = 0; i < 5; i++) ck_assert(peft_encoding_push(&e, ids[i]));
    peft_template_apply(&pair, &e, (peft_kept){0, 2}, (peft_kept){3, 1}); /* one token of each text is cut off */
    static const int32_t expected[] = {100, 101, 5, 6, 200}, types[] = {0, 0, 2, 2, 1};
    ck_assert_uint_eq(e.length, 5);
    ck_assert_mem_eq(e.input_ids, expected, sizeof expected);
    ck_assert_mem_eq(e.token_type_ids, types, sizeof types);
    peft_encoding_free(&e);
}
END_TEST

START_TEST(what_is_malformed_or_not_offered_is_refused)
{
    static const struct {
        const char *json;
        peft_status status;
        const char *words;
    } cases[] = {
        {"{}", PEFT_ERR_UNSUPPORTED, "type (none)"},
        {"[]", PEFT_ERR_UNSUPPORTED, "type (none)"},
        {"{\"type\": \"ByteLevelish\"}", PEFT_ERR_UNSUPPORTED, "type ByteLevelish is not offered"},
        {"{\"type\": \"TemplateProcessing\"}", PEFT_ERR_FORMAT, "single: a sequence is missing"},
        {T(S("C"), A "," B), PEFT_ERR_FORMAT, "single: a sequence is missing"},
        {T(A, A), PEFT_ERR_FORMAT, "pair: a sequence is missing"},
        {T(A "," A, A "," B), PEFT_ERR_UNSUPPORTED, "single: expected sequence A"},
        {T(A, B "," A), PEFT_ERR_UNSUPPORTED, "pair: expected sequence A, then B"},
        {T(B, A "," B), PEFT_ERR_UNSUPPORTED, "single: expected sequence A"},
        {T(S("X") "," A, A "," B), PEFT_ERR_FORMAT, "expected ids of \"X\", found none"},
        {T(S("none") "," A, A "," B), PEFT_ERR_FORMAT, "expected ids of \"none\""},
        {T(S("big") "," A, A "," B), PEFT_ERR_FORMAT, "expected an id below 10, found 10"},
        {T("1", A "," B), PEFT_ERR_FORMAT, "expected pieces"},
        {T("{\"Sequence\": 1}", A "," B), PEFT_ERR_FORMAT, "expected pieces"},
        {T("{\"Sequence\": {\"id\": \"D\"}}", A "," B), PEFT_ERR_FORMAT, "expected id A or B, found D"},
        {T("{\"Sequence\": {\"id\": \"A\", \"type_id\": -1}}", A "," B), PEFT_ERR_FORMAT, "type_id"},
        {"{\"type\": \"BertProcessing\"}", PEFT_ERR_FORMAT, "expected an id below 10"},
        {"{\"type\": \"BertProcessing\", \"sep\": [\"s\", 1], \"cls\": [\"c\", \"2\"]}", PEFT_ERR_FORMAT,
         "found \"2\""},
        {"{\"type\": \"RobertaProcessing\", \"sep\": [\"s\", -1], \"cls\": [\"c\", 2]}", PEFT_ERR_FORMAT, "found -1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peft_template single, pair;
        peft_error error = {0};
        peft_status status = read_text(cases[i].json, &single, &pair, &error);
        ck_assert_msg(status == cases[i].status && strstr(error.message, cases[i].words) != NULL,
                      "%s: expected status %d, \"%s\", found %d, \"%s\"", cases[i].json, (int)cases[i].status,
                      cases[i].words, (int)status, error.message);
    }
}
END_TEST

START_TEST(a_template_has_a_limited_number_of_pieces)
{
    char list[64 * PEFT_TEMPLATE_MAX_PIECES] = A, text[80 * PEFT_TEMPLATE_MAX_PIECES];
    for (int i = 0; i < PEFT_TEMPLATE_MAX_PIECES; i++) strcat(list, "," S("C"));
    snprintf(text, sizeof text, "{\"type\": \"TemplateProcessing\", \"single\": [%s], %s}", list, SPECIALS);
    peft_template single, pair;
    ck_assert_int_eq(read_text(text, &single, &pair, NULL), PEFT_ERR_UNSUPPORTED);
}
END_TEST

TEST_MAIN("template", tcase_add_test(tc, truncation_takes_from_the_longer_text);
          tcase_add_test(tc, truncation_does_not_overflow); tcase_add_test(tc, pieces_come_in_order_with_their_types);
          tcase_add_test(tc, what_is_malformed_or_not_offered_is_refused);
          tcase_add_test(tc, a_template_has_a_limited_number_of_pieces))
