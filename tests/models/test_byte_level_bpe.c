/* Tests of models/bpe.c, byte_level.c, normalizer.c, pre_tokenizer.c and byte_level_bpe.c. What the reference gives is
 * compared in test_tokenizer_settings.c. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/bpe.h"
#include "models/byte_level.h"
#include "models/tokenizer.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { NO_LIMIT = 1 << 30 };

static peft_error error;

START_TEST(each_byte_has_a_letter_of_its_own)
{
    char letters[256][PEFT_BYTE_LETTER_BYTES + 1] = {{0}};
    for (int byte = 0; byte < 256; byte++) {
        peft_byte_letter((uint8_t)byte, letters[byte]);
        for (int other = 0; other < byte; other++) ck_assert_str_ne(letters[byte], letters[other]);
    }
    ck_assert_str_eq(letters['a'], "a");
    ck_assert_str_eq(letters[' '], "\xC4\xA0");  /* U+0120 */
    ck_assert_str_eq(letters[0], "\xC4\x80");    /* U+0100 */
    ck_assert_str_eq(letters[0xAD], "\xC5\x83"); /* U+0143, the last */
    ck_assert_str_eq(letters[0xFF], "\xC3\xBF");
}
END_TEST

/* ---- merges ---- */

enum { LETTERS = 3, MOST_MERGES = 40, MOST_BYTES = 24, TOKEN_BYTES = 64 };

/* A model over a, b and c: merge m joins tokens left[m] and right[m] to token LETTERS + m. */
typedef struct sample {
    int left[MOST_MERGES], right[MOST_MERGES], count;
    char tokens[LETTERS + MOST_MERGES][TOKEN_BYTES];
    json_t *json;
} sample;

static bool is_new(const sample *s, const char *token)
{
    for (int k = 0; k < LETTERS + s->count; k++)
        if (strcmp(s->tokens[k], token) == 0) return false;
    return true;
}

static void make_sample(sample *s)
{
    *s = (sample){0};
    json_t *vocab = json_object(), *merges = json_array();
    for (int k = 0; k < LETTERS; k++) s->tokens[k][0] = (char)('a' + k);
    while (s->count < MOST_MERGES) {
        int left = rand() % (LETTERS + s->count), right = rand() % (LETTERS + s->count);
        char joined[2 * TOKEN_BYTES], spelled[2 * TOKEN_BYTES + 1];
        snprintf(joined, sizeof joined, "%s%s", s->tokens[left], s->tokens[right]);
        if (strlen(joined) >= TOKEN_BYTES / 4 || !is_new(s, joined)) continue;
        snprintf(spelled, sizeof spelled, "%s %s", s->tokens[left], s->tokens[right]);
        json_array_append_new(merges, json_string(spelled));
        s->left[s->count] = left;
        s->right[s->count] = right;
        memcpy(s->tokens[LETTERS + s->count++], joined, strlen(joined) + 1);
    }
    for (int k = 0; k < LETTERS + s->count; k++) json_object_set_new(vocab, s->tokens[k], json_integer(k));
    s->json = json_pack("{s:o, s:o}", "vocab", vocab, "merges", merges);
}

/* As the definition says it: again and again the pair that was learned first, where it stands first. */
static size_t join_one_by_one(const sample *s, int *ids, size_t count)
{
    for (int m = 0; m < s->count; m++) {
        size_t at = 0;
        while (at + 1 < count && !(ids[at] == s->left[m] && ids[at + 1] == s->right[m])) at++;
        if (at + 1 >= count) continue;
        ids[at] = LETTERS + m;
        memmove(ids + at + 1, ids + at + 2, (count-- - at - 2) * sizeof *ids);
        m = -1;
    }
    return count;
}

START_TEST(pairs_are_joined_in_the_order_in_which_they_were_learned)
{
    srand(1);
    peft_bpe_memory memory = {0};
    peft_encoding encoding = {0};
    for (int round = 0; round < 50; round++) {
        sample s;
        peft_bpe *bpe;
        make_sample(&s);
        ck_assert_msg(peft_bpe_open(&bpe, s.json, &error) == PEFT_OK, "%s", error.message);
        for (int trial = 0; trial < 100; trial++) {
            char text[MOST_BYTES];
            int ids[MOST_BYTES];
            size_t bytes = 1 + (size_t)rand() % MOST_BYTES;
            for (size_t k = 0; k < bytes; k++) text[k] = (char)('a' + (ids[k] = rand() % LETTERS));
            size_t count = join_one_by_one(&s, ids, bytes);
            encoding.length = 0;
            ck_assert_int_eq(peft_bpe_encode(bpe, text, bytes, &memory, &encoding, &error), PEFT_OK);
            ck_assert_uint_eq(encoding.length, count);
            for (size_t k = 0; k < count; k++) ck_assert_int_eq(encoding.input_ids[k], ids[k]);
        }
        peft_bpe_close(bpe);
        json_decref(s.json);
    }
    peft_bpe_memory_free(&memory);
    peft_encoding_free(&encoding);
}
END_TEST

static const char doubling[] =
    "{\"vocab\": {\"a\": 0, \"aa\": 1, \"aaaa\": 2, \"b\": 3}, \"merges\": [[\"a\", \"a\"], [\"aa\", \"aa\"]]}";

/* With steps as the square of the length this would take hours. */
START_TEST(a_word_of_millions_of_letters_takes_no_time)
{
    enum { BYTES = 4 << 20 };
    peft_bpe *bpe;
    json_t *model = json_loads(doubling, 0, NULL);
    ck_assert_int_eq(peft_bpe_open(&bpe, model, &error), PEFT_OK);
    char *text = malloc(BYTES);
    memset(text, 'a', BYTES);
    peft_bpe_memory memory = {0};
    peft_encoding encoding = {0};
    ck_assert_int_eq(peft_bpe_encode(bpe, text, BYTES, &memory, &encoding, &error), PEFT_OK);
    ck_assert_uint_eq(encoding.length, BYTES / 4);
    free(text);
    peft_bpe_memory_free(&memory);
    peft_encoding_free(&encoding);
    peft_bpe_close(bpe);
    json_decref(model);
}
END_TEST

/* ---- files ---- */

static void write_text(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
}

/* Status of opening a tokenizer.json of these parts. */
static peft_status open_parts(const char *normalizer, const char *pre_tokenizer, const char *model,
                              peft_tokenizer **opened)
{
    char text[2048];
    snprintf(text, sizeof text, "{\"normalizer\": %s, \"pre_tokenizer\": %s, \"model\": %s}", normalizer, pre_tokenizer,
             model);
    write_text("tokenizer.json", text);
    error = (peft_error){0};
    return peft_tokenizer_open(opened, scratch(""), &error);
}

#define BYTE_LEVEL  "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}"
#define STEPS(list) "{\"type\": \"Sequence\", \"pretokenizers\": [" list "]}"
#define MODEL(more) "{\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]" more "}"
#define MERGES(all) "{\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": " all "}"

START_TEST(what_changes_ids_is_honoured_or_refused)
{
    static const struct {
        const char *normalizer, *pre_tokenizer, *model;
        peft_status status;
        const char *words;
    } cases[] = {
        {"{\"type\": \"Replace\"}", BYTE_LEVEL, MODEL(""), PEFT_ERR_UNSUPPORTED, "normalizer: type Replace"},
        {"{\"type\": \"Sequence\", \"normalizers\": 3}", BYTE_LEVEL, MODEL(""), PEFT_ERR_FORMAT, "normalizers"},
        {"null", "null", MODEL(""), PEFT_ERR_UNSUPPORTED, "pre_tokenizer: type (none)"},
        {"null", "{\"type\": \"Metaspace\"}", MODEL(""), PEFT_ERR_UNSUPPORTED, "type Metaspace"},
        {"null", STEPS(""), MODEL(""), PEFT_ERR_UNSUPPORTED, "expected ByteLevel"},
        {"null", STEPS("{\"type\": \"Digits\"}"), MODEL(""), PEFT_ERR_UNSUPPORTED, "expected ByteLevel"},
        {"null", STEPS(BYTE_LEVEL ", " BYTE_LEVEL), MODEL(""), PEFT_ERR_UNSUPPORTED, "ByteLevel the last"},
        {"null", STEPS("{\"type\": \"Split\"}"), MODEL(""), PEFT_ERR_FORMAT, "expected a pattern"},
        {"null", STEPS("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}"), MODEL(""),
         PEFT_ERR_FORMAT, "pattern: character 1"},
        {"null", STEPS("{\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, \"behavior\": \"Contiguous\"}"),
         MODEL(""), PEFT_ERR_UNSUPPORTED, "behavior Contiguous"},
        {"null", BYTE_LEVEL, MODEL(", \"dropout\": 0.1"), PEFT_ERR_UNSUPPORTED, "dropout 0.1"},
        {"null", BYTE_LEVEL, MODEL(", \"byte_fallback\": true"), PEFT_ERR_UNSUPPORTED, "byte_fallback"},
        {"null", BYTE_LEVEL, MODEL(", \"end_of_word_suffix\": \"</w>\""), PEFT_ERR_UNSUPPORTED, "</w>"},
        {"null", BYTE_LEVEL, MODEL(", \"unk_token\": \"<unk>\""), PEFT_ERR_FORMAT,
         "\"<unk>\" is not in the vocabulary"},
        {"null", BYTE_LEVEL, MERGES("3"), PEFT_ERR_FORMAT, "merges"},
        {"null", BYTE_LEVEL, MERGES("[\"a\"]"), PEFT_ERR_FORMAT, "merge 1: expected two tokens"},
        {"null", BYTE_LEVEL, MERGES("[\"a b\", \"a b a\"]"), PEFT_ERR_FORMAT, "merge 2: expected two tokens"},
        {"null", BYTE_LEVEL, MERGES("[[\"a\", 3]]"), PEFT_ERR_FORMAT, "merge 1: expected two tokens"},
        {"null", BYTE_LEVEL, MERGES("[\"b a\"]"), PEFT_ERR_FORMAT, "not all of it is in the vocabulary"},
        {"null", BYTE_LEVEL, "{\"type\": \"BPE\"}", PEFT_ERR_FORMAT, "model: vocab"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peft_tokenizer *opened;
        peft_status status = open_parts(cases[i].normalizer, cases[i].pre_tokenizer, cases[i].model, &opened);
        ck_assert_ptr_null(opened);
        ck_assert_msg(status == cases[i].status && strstr(error.message, cases[i].words) != NULL,
                      "case %zu: expected status %d, \"%s\", found %d, \"%s\"", i, (int)cases[i].status, cases[i].words,
                      (int)status, error.message);
    }
}
END_TEST

static const char vocab_json[] = "{\"<s>\": 0, \"</s>\": 1, \"a\": 2, \"b\": 3, \"ab\": 4, \"\xC4\xA0\": 5}";

static peft_status open_older(const char *merges, peft_tokenizer **opened)
{
    write_text("vocab.json", vocab_json);
    write_text("merges.txt", merges);
    write_text("tokenizer_config.json", "{\"tokenizer_class\": \"RobertaTokenizer\"}");
    error = (peft_error){0};
    return peft_tokenizer_open(opened, scratch(""), &error);
}

START_TEST(merges_txt_may_have_either_line_ends)
{
    static const char *const texts[] = {"#version: 0.2\na b\n", "#version: 0.2\r\na b\r\n", "a b", "a b\n\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        peft_tokenizer *opened;
        peft_encoding encoding = {0};
        ck_assert_msg(open_older(texts[i], &opened) == PEFT_OK, "%zu: %s", i, error.message);
        ck_assert_int_eq(peft_tokenizer_encode(opened, "ab a", 4, NULL, 0, NO_LIMIT, &encoding, &error), PEFT_OK);
        static const int32_t expected[] = {0, 4, 5, 2, 1};
        ck_assert_uint_eq(encoding.length, 5);
        ck_assert_mem_eq(encoding.input_ids, expected, sizeof expected);
        peft_encoding_free(&encoding);
        peft_tokenizer_close(opened);
    }
    static const char *const wrong[] = {"a b\nab\n", "a b\n\na b\n", "a b\na  b\n", "a b\n\xFF b\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        peft_tokenizer *opened;
        ck_assert_int_eq(open_older(wrong[i], &opened), PEFT_ERR_FORMAT);
        ck_assert_msg(strstr(error.message, "merges.txt:2: expected two tokens") != NULL, "%s", error.message);
    }
}
END_TEST

/* ---- running out of memory ---- */

START_TEST(every_failed_allocation_is_survived)
{
    static const char steps[] =
        STEPS("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\s+\"}, \"behavior\": \"Removed\"}, "
              "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}");
    peft_tokenizer *tokenizer;
    ck_assert_msg(open_parts("{\"type\": \"NFC\"}", steps, MODEL(""), &tokenizer) == PEFT_OK, "%s", error.message);
    const char *folder = scratch("");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_tokenizer *opened;
        fail_own_allocation(call);
        peft_status status = peft_tokenizer_open(&opened, folder, &error);
        failed = allocation_failed();
        /* A pattern that finds no memory for its fast form matches without it. */
        ck_assert_msg(status == PEFT_OK || (failed && status == PEFT_ERR_MEMORY), "allocation %d: status %d, \"%s\"",
                      (int)call, (int)status, error.message);
        peft_tokenizer_close(opened);
    }
    failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_encoding fresh = {0};
        fail_allocation(call);
        peft_status status = peft_tokenizer_encode(tokenizer, "ab a b", 6, "b", 1, NO_LIMIT, &fresh, &error);
        failed = allocation_failed();
        ck_assert_msg(status == (failed ? PEFT_ERR_MEMORY : PEFT_OK), "allocation %d: status %d, \"%s\"", (int)call,
                      (int)status, error.message);
        peft_encoding_free(&fresh);
    }
    peft_tokenizer_close(tokenizer);
}
END_TEST

TEST_MAIN("byte_level_bpe", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_test(tc, each_byte_has_a_letter_of_its_own);
          tcase_add_test(tc, pairs_are_joined_in_the_order_in_which_they_were_learned);
          tcase_add_test(tc, a_word_of_millions_of_letters_takes_no_time);
          tcase_add_test(tc, what_changes_ids_is_honoured_or_refused);
          tcase_add_test(tc, merges_txt_may_have_either_line_ends);
          tcase_add_test(tc, every_failed_allocation_is_survived))
