/* Tests of models/unicode.c. */
#include "models/unicode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/main.h"

enum { NUM_CODE_POINTS = 0x110000 };

/* fixtures/tokenizer/bert_char_classes.txt lists "first last class" for what is not 0. It was made by asking the
 * reference (Hugging Face tokenizers 0.23) about each of the 1,112,064 characters alone. */
START_TEST(classes_are_those_of_the_reference)
{
    uint8_t *expected = calloc(NUM_CODE_POINTS, 1);
    char path[4096];
    snprintf(path, sizeof path, "%s/tokenizer/bert_char_classes.txt", getenv("PEFT_FIXTURES"));
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    unsigned first, last, class;
    while (fscanf(file, "%X %X %u", &first, &last, &class) == 3) memset(expected + first, (int)class, last - first + 1);
    fclose(file);

    for (int32_t c = 0; c < NUM_CODE_POINTS; c++)
        if (c < 0xD800 || c > 0xDFFF)
            ck_assert_msg(peft_char_class(c) == expected[c], "U+%04X: expected %u, found %u", (unsigned)c, expected[c],
                          peft_char_class(c));
    free(expected);
}
END_TEST

START_TEST(decomposition_is_canonical_and_complete)
{
    int32_t parts[PEFT_CHAR_MAX_DECOMPOSED];
    ck_assert_uint_eq(peft_char_decompose(0x1EA5, parts), 3); /* a with circumflex and acute */
    ck_assert_int_eq(parts[0], 'a');
    ck_assert_int_eq(parts[1], 0x302);
    ck_assert_int_eq(parts[2], 0x301);
    ck_assert_uint_eq(peft_char_decompose(0xAC01, parts), 3); /* a Hangul syllable */
    ck_assert_int_eq(parts[0], 0x1100);
    ck_assert_uint_eq(peft_char_decompose(0xFB01, parts), 1); /* the ligature fi decomposes in NFKD only */
    ck_assert_int_eq(parts[0], 0xFB01);
}
END_TEST

START_TEST(no_decomposition_is_longer_than_its_limit)
{
    int32_t parts[PEFT_CHAR_MAX_DECOMPOSED];
    for (int32_t c = 0; c < NUM_CODE_POINTS; c++) {
        size_t count = peft_char_decompose(c, parts);
        ck_assert_uint_ge(count, 1);
        ck_assert_uint_le(count, PEFT_CHAR_MAX_DECOMPOSED);
        /* what is left decomposes no further */
        for (size_t i = 0; i < count; i++) {
            int32_t again[PEFT_CHAR_MAX_DECOMPOSED];
            ck_assert_uint_eq(peft_char_decompose(parts[i], again), 1);
        }
    }
}
END_TEST

START_TEST(lower_case_is_of_single_characters)
{
    static const struct {
        int32_t upper, lower;
        size_t count;
    } cases[] = {{'A', 'a', 1},     {'a', 'a', 1},   {0xC9, 0xE9, 1},       {0x1E9E, 0xDF, 1},
                 {0x3A3, 0x3C3, 1}, {0x130, 'i', 2}, {0x10400, 0x10428, 1}, {0x4E2D, 0x4E2D, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t lower[PEFT_CHAR_MAX_LOWER];
        ck_assert_uint_eq(peft_char_lower(cases[i].upper, lower), cases[i].count);
        ck_assert_int_eq(lower[0], cases[i].lower);
    }
}
END_TEST

START_TEST(invalid_utf8_is_found_where_it_is)
{
    static const struct {
        const char *text;
        size_t bytes, valid;
    } cases[] = {
        {"", 0, 0},
        {"plain", 5, 5},
        {"nul\0nul", 7, 7},
        {"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x99\x82", 9, 9},
        {"a\x80", 2, 1},            /* continuation without a start */
        {"ab\xC3", 3, 2},           /* cut short */
        {"\xE4\xB8", 2, 0},         /* cut short */
        {"a\xC0\x80", 3, 1},        /* overlong */
        {"\xE0\x80\x80", 3, 0},     /* overlong */
        {"\xED\xA0\x80", 3, 0},     /* surrogate */
        {"\xF4\x90\x80\x80", 4, 0}, /* over U+10FFFF */
        {"abc\xFFz", 5, 3},         /* never in UTF-8 */
        {"\xC3\xA9\xC3(", 4, 2},    /* start without continuation */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(peft_utf8_check(cases[i].text, cases[i].bytes) == cases[i].valid, "case %zu: expected %zu", i,
                      cases[i].valid);
}
END_TEST

TEST_MAIN("unicode", tcase_add_test(tc, classes_are_those_of_the_reference);
          tcase_add_test(tc, decomposition_is_canonical_and_complete);
          tcase_add_test(tc, no_decomposition_is_longer_than_its_limit);
          tcase_add_test(tc, lower_case_is_of_single_characters); tcase_add_test(tc, invalid_utf8_is_found_where_it_is))
