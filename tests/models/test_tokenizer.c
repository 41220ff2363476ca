/* Tests of models/tokenizer.c, wordpiece.c, added_tokens.c and vocab_txt.c.
 *
 * The vocabulary of the fixture is cut down to the strings of the reference values. With PEFT_MODEL_DIR set to a folder
 * of all-MiniLM-L6-v2 the reference values are compared with its whole vocabulary as well. */
#include "models/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { PATH_BYTES = 4096, CLS = 101, SEP = 102, MASK = 103, UNK = 100, NO_LIMIT = 1 << 20 };

static char fixture[PATH_BYTES];
static peft_tokenizer *tokenizer; /* of the fixture */
static peft_encoding encoding;
static peft_error error;

static const char *fixture_path(const char *name)
{
    snprintf(fixture, sizeof fixture, "%s/tokenizer/%s", getenv("PEFT_FIXTURES"), name);
    return fixture;
}

static peft_tokenizer *open_folder(const char *folder)
{
    peft_tokenizer *opened;
    peft_status status = peft_tokenizer_open(&opened, folder, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
    return opened;
}

static void setup(void)
{
    scratch_setup();
    tokenizer = open_folder(fixture_path("minilm-cut"));
}

static void teardown(void)
{
    peft_encoding_free(&encoding);
    peft_tokenizer_close(tokenizer);
    scratch_teardown();
}

static void encode_bytes(const peft_tokenizer *with, const char *text, size_t bytes, const char *pair, size_t max)
{
    peft_status status =
        peft_tokenizer_encode(with, text, bytes, pair, pair ? strlen(pair) : 0, max, &encoding, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
}

static void encode(const char *text, const char *pair, size_t max)
{
    encode_bytes(tokenizer, text, strlen(text), pair, max);
}

/* The encoding has these ids. */
static void expect_ids(const int32_t *ids, size_t count)
{
    ck_assert_uint_eq(encoding.length, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(encoding.input_ids[i] == ids[i], "token %zu: expected %d, found %d", i, ids[i],
                      encoding.input_ids[i]);
}

#define EXPECT(...) expect_ids((const int32_t[]){__VA_ARGS__}, sizeof(int32_t[]){__VA_ARGS__} / sizeof(int32_t))

/* Two texts have the same ids. */
static void expect_same(const char *text, const char *other)
{
    peft_encoding expected = {0};
    ck_assert_int_eq(peft_tokenizer_encode(tokenizer, other, strlen(other), NULL, 0, NO_LIMIT, &expected, &error),
                     PEFT_OK);
    encode(text, NULL, NO_LIMIT);
    expect_ids(expected.input_ids, expected.length);
    peft_encoding_free(&expected);
}

/* ---- the reference ---- */

static void compare_list(const json_t *expected, const int32_t *found, size_t count, const char *name, size_t number)
{
    ck_assert_msg(json_array_size(expected) == count, "case %zu: expected %zu tokens, found %zu", number,
                  json_array_size(expected), count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(json_integer_value(json_array_get(expected, i)) == found[i],
                      "case %zu: %s %zu: expected %d, found %d", number, name, i,
                      (int)json_integer_value(json_array_get(expected, i)), found[i]);
}

static void compare_with_reference(const peft_tokenizer *with)
{
    json_t *root = json_load_file(fixture_path("wordpiece_minilm.json"), JSON_ALLOW_NUL, NULL);
    const json_t *cases = json_object_get(root, "cases");
    ck_assert_uint_gt(json_array_size(cases), 0);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *texts = json_object_get(one, "text");
        const json_t *first = json_array_get(texts, 0), *second = json_array_get(texts, 1);
        ck_assert_int_eq(peft_tokenizer_encode(with, json_string_value(first), json_string_length(first),
                                               json_string_value(second), json_string_length(second),
                                               (size_t)json_integer_value(json_object_get(one, "max_length")),
                                               &encoding, &error),
                         PEFT_OK);
        compare_list(json_object_get(one, "input_ids"), encoding.input_ids, encoding.length, "id", i);
        compare_list(json_object_get(one, "token_type_ids"), encoding.token_type_ids, encoding.length, "type", i);
    }
    json_decref(root);
}

START_TEST(ids_and_types_are_those_of_the_reference)
{
    compare_with_reference(tokenizer);
}
END_TEST

START_TEST(so_they_are_with_the_whole_vocabulary)
{
    const char *folder = getenv("PEFT_MODEL_DIR");
    if (!folder) return;
    peft_tokenizer *whole = open_folder(folder);
    ck_assert_int_eq(peft_tokenizer_vocab_size(whole), 30522);
    compare_with_reference(whole);
    peft_tokenizer_close(whole);
}
END_TEST

/* ---- texts ---- */

START_TEST(nothing_gives_the_special_tokens_alone)
{
    encode("", NULL, NO_LIMIT);
    EXPECT(CLS, SEP);
    encode("", "", NO_LIMIT);
    EXPECT(CLS, SEP, SEP);
    ck_assert_int_eq(encoding.token_type_ids[1], 0);
    ck_assert_int_eq(encoding.token_type_ids[2], 1);
    encode_bytes(tokenizer, "\0 \0\t\x01", 5, NULL, NO_LIMIT);
    EXPECT(CLS, SEP);
}
END_TEST

START_TEST(maximum_length_is_kept_and_cut_tokens_are_counted)
{
    for (size_t max = 2; max < 12; max++) {
        encode("a b c d e f", NULL, max);
        ck_assert_uint_eq(encoding.length, max < 8 ? max : 8);
        ck_assert_uint_eq(encoding.truncated, max < 8 ? 8 - max : 0);
        ck_assert_int_eq(encoding.input_ids[encoding.length - 1], SEP);
    }
    for (size_t max = 3; max < 14; max++) {
        encode("a b c d e f", "a b c", max);
        ck_assert_uint_eq(encoding.length, max < 12 ? max : 12);
        ck_assert_uint_eq(encoding.truncated, max < 12 ? 12 - max : 0);
    }
}
END_TEST

START_TEST(maximum_length_below_the_special_tokens_is_an_error)
{
    ck_assert_int_eq(peft_tokenizer_encode(tokenizer, "a", 1, NULL, 0, 1, &encoding, &error), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_tokenizer_encode(tokenizer, "a", 1, "b", 1, 2, &encoding, &error), PEFT_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, "at least 3") != NULL, "%s", error.message);
    ck_assert_uint_eq(encoding.length, 0);
}
END_TEST

START_TEST(a_word_of_more_than_100_characters_is_unknown)
{
    char text[2 * 101 + 1] = "";
    for (int i = 0; i < 100; i++) strcat(text, "1");
    encode(text, NULL, NO_LIMIT);
    ck_assert_int_ne(encoding.input_ids[1], UNK);
    strcat(text, "1");
    encode(text, NULL, NO_LIMIT);
    EXPECT(CLS, UNK, SEP);
    text[0] = '\0'; /* characters count, not bytes, and not those that are dropped */
    for (int i = 0; i < 99; i++) strcat(text, "1");
    strcat(text, "\xC2\xAD\xC2\xAD");
    encode(text, NULL, NO_LIMIT);
    ck_assert_int_ne(encoding.input_ids[1], UNK);
}
END_TEST

START_TEST(a_part_without_a_token_makes_the_word_unknown)
{
    encode("a\xE0\xB8\x81 b", NULL, NO_LIMIT);
    EXPECT(CLS, UNK, peft_tokenizer_token_id(tokenizer, "b"), SEP);
}
END_TEST

START_TEST(normalizing_makes_texts_equal)
{
    static const char *const pairs[][2] = {
        {"Hello", "hello"},
        {"h\xC3\x89llo", "hello"},                  /* E with acute */
        {"he\xCC\x81llo", "hello"},                 /* combining acute */
        {"he\xC2\xADllo", "hello"},                 /* soft hyphen */
        {"he\x01llo\x7F", "hello"},                 /* control characters */
        {"\xEF\xBF\xBDhello\xEF\xBB\xBF", "hello"}, /* U+FFFD, byte order mark */
        {"a\xE3\x80\x80"
         "b\xC2\xA0"
         "c\td\r\ne",
         "a b c d e"},
        {"\xE6\x97\xA5\xE6\x9C\xAC", "\xE6\x97\xA5 \xE6\x9C\xAC"}, /* ideographs */
        {"a,b", "a , b"},
        {"a$b", "a $ b"},
        {"\xC4\xB0", "i"}, /* I with dot above */
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) expect_same(pairs[i][0], pairs[i][1]);
}
END_TEST

START_TEST(invalid_utf8_is_an_error_with_its_place)
{
    encode("a", NULL, NO_LIMIT);
    ck_assert_int_eq(peft_tokenizer_encode(tokenizer, "ab\xC3(", 4, NULL, 0, NO_LIMIT, &encoding, &error),
                     PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, "text: byte 2 (0xc3) is not valid UTF-8");
    ck_assert_uint_eq(encoding.length, 0);
    ck_assert_int_eq(peft_tokenizer_encode(tokenizer, "a", 1, "\xFF", 1, NO_LIMIT, &encoding, &error), PEFT_ERR_FORMAT);
    ck_assert_uint_eq(encoding.length, 0);
}
END_TEST

START_TEST(special_tokens_in_the_text_are_matched_unless_told_otherwise)
{
    int32_t a = peft_tokenizer_token_id(tokenizer, "a"), b = peft_tokenizer_token_id(tokenizer, "b");
    encode("a[MASK]b [SEP]", NULL, NO_LIMIT);
    EXPECT(CLS, a, MASK, b, SEP, SEP);
    encode("[mask]", NULL, NO_LIMIT); /* the text has to be exact */
    ck_assert_int_eq(encoding.input_ids[1], peft_tokenizer_token_id(tokenizer, "["));
    encode("[[MASK]", NULL, NO_LIMIT);
    EXPECT(CLS, peft_tokenizer_token_id(tokenizer, "["), MASK, SEP);

    peft_tokenizer_match_specials(tokenizer, false);
    encode("a[MASK]", NULL, NO_LIMIT);
    for (size_t i = 0; i < encoding.length; i++) ck_assert_int_ne(encoding.input_ids[i], MASK);
}
END_TEST

START_TEST(ids_of_tokens_can_be_asked)
{
    ck_assert_int_eq(peft_tokenizer_token_id(tokenizer, "[MASK]"), MASK);
    ck_assert_int_eq(peft_tokenizer_token_id(tokenizer, "hello"), 7592);
    ck_assert_int_eq(peft_tokenizer_token_id(tokenizer, "no such token"), -1);
    ck_assert_int_le(7592, peft_tokenizer_vocab_size(tokenizer));
}
END_TEST

/* ---- tokenizer.json ---- */

/* Sets the value at a path like "model.vocab" in a document; a list has numbers. NULL deletes. */
static void set(json_t *root, const char *path, const char *value)
{
    char part[64] = "";
    json_t *at = root;
    const char *dot;
    for (; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        snprintf(part, sizeof part, "%.*s", (int)(dot - path), path);
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part)) : json_object_get(at, part);
    }
    if (value)
        ck_assert_int_eq(json_object_set_new(at, path, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
    else
        json_object_del(at, path);
}

/* Status of opening the fixture with one value changed. */
static peft_status open_changed(const char *path, const char *value, peft_tokenizer **opened)
{
    json_t *root = json_load_file(fixture_path("minilm-cut/tokenizer.json"), 0, NULL);
    set(root, path, value);
    json_dump_file(root, scratch("tokenizer.json"), 0);
    json_decref(root);
    error = (peft_error){0};
    return peft_tokenizer_open(opened, scratch(""), &error);
}

START_TEST(what_changes_ids_is_honoured_or_refused)
{
    static const struct {
        const char *path, *value;
        peft_status status;
        const char *words;
    } cases[] = {
        {"model", NULL, PEFT_ERR_UNSUPPORTED, "model: type (none) is not offered"},
        {"model", "[]", PEFT_ERR_FORMAT, "model"},
        {"model.type", "\"Unigram\"", PEFT_ERR_UNSUPPORTED, "model: type Unigram is not offered"},
        {"model.type", "3", PEFT_ERR_FORMAT, "type"},
        {"model.unk_token", "\"[NONE]\"", PEFT_ERR_FORMAT, "unk_token \"[NONE]\" is not in the vocabulary"},
        {"model.unk_token", "7", PEFT_ERR_FORMAT, "unk_token"},
        {"model.vocab", NULL, PEFT_ERR_FORMAT, "vocab: expected an object"},
        {"model.vocab", "{}", PEFT_ERR_FORMAT, "unk_token"},
        {"model.vocab.hello", "-1", PEFT_ERR_FORMAT, "token \"hello\": expected an id"},
        {"model.vocab.hello", "100", PEFT_ERR_FORMAT, "have the same id 100"},
        {"model.vocab.hello", "4000000000", PEFT_ERR_FORMAT, "found 4000000000"},
        {"model.max_input_chars_per_word", "0", PEFT_ERR_FORMAT, "max_input_chars_per_word"},
        {"model.max_input_chars_per_word", "1000000", PEFT_ERR_FORMAT, "max_input_chars_per_word"},
        {"model.continuing_subword_prefix", "[]", PEFT_ERR_FORMAT, "continuing_subword_prefix"},
        {"normalizer.type", "\"NFKC\"", PEFT_ERR_UNSUPPORTED, "normalizer: expected type BertNormalizer, found NFKC"},
        {"normalizer.lowercase", "\"yes\"", PEFT_ERR_FORMAT, "lowercase"},
        {"normalizer.strip_accents", "1", PEFT_ERR_FORMAT, "strip_accents"},
        {"normalizer", "\"BertNormalizer\"", PEFT_ERR_FORMAT, "normalizer"},
        {"pre_tokenizer", "null", PEFT_ERR_UNSUPPORTED, "pre_tokenizer: expected type BertPreTokenizer, found none"},
        {"pre_tokenizer.type", "\"Whitespace\"", PEFT_ERR_UNSUPPORTED, "found Whitespace"},
        {"post_processor.type", "\"Sequence\"", PEFT_ERR_FORMAT, "post_processor: Sequence: expected processors"},
        {"truncation.direction", "\"Up\"", PEFT_ERR_FORMAT, "truncation: direction: expected Left or Right, found Up"},
        {"added_tokens", "{}", PEFT_ERR_FORMAT, "added_tokens"},
        {"added_tokens", "[1]", PEFT_ERR_FORMAT, "added_tokens: expected a list of objects"},
        {"added_tokens.4.id", "-3", PEFT_ERR_FORMAT, "[MASK]"},
        {"added_tokens.4.id", NULL, PEFT_ERR_FORMAT, "[MASK]: expected an id"},
        {"added_tokens.4.content", "\"\"", PEFT_ERR_FORMAT, "expected a token with content"},
        {"added_tokens.4.content", "\"[SEP]\"", PEFT_ERR_FORMAT, "occurs twice"},
        {"added_tokens.4.single_word", "3", PEFT_ERR_FORMAT, "single_word"},
        {"added_tokens.4.normalized", "[]", PEFT_ERR_FORMAT, "normalized"},
        {"added_tokens.4.lstrip", "5", PEFT_ERR_FORMAT, "lstrip"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peft_tokenizer *opened;
        peft_status status = open_changed(cases[i].path, cases[i].value, &opened);
        ck_assert_ptr_null(opened);
        ck_assert_msg(status == cases[i].status && strstr(error.message, cases[i].words) != NULL,
                      "%s: expected status %d, \"%s\", found %d, \"%s\"", cases[i].path, (int)cases[i].status,
                      cases[i].words, (int)status, error.message);
        ck_assert_msg(strstr(error.message, "tokenizer.json") != NULL, "no path in \"%s\"", error.message);
    }
}
END_TEST

START_TEST(added_tokens_have_at_most_a_thousand_bytes)
{
    char value[1004];
    for (int bytes = 1000; bytes <= 1001; bytes++) {
        peft_tokenizer *opened;
        snprintf(value, sizeof value, "\"%0*d\"", bytes, 0);
        peft_status status = open_changed("added_tokens.4.content", value, &opened);
        ck_assert_int_eq(status, bytes == 1000 ? PEFT_OK : PEFT_ERR_UNSUPPORTED);
        ck_assert(status == PEFT_OK || strstr(error.message, "at most 1000 bytes, found one of 1001"));
        peft_tokenizer_close(opened);
    }
}
END_TEST

/* With one setting changed the text has these words (ids of tokens of the fixture). */
static void expect_with(const char *path, const char *value, const char *text, const char *const *tokens, size_t count)
{
    peft_tokenizer *changed;
    ck_assert_msg(open_changed(path, value, &changed) == PEFT_OK, "%s: %s", path, error.message);
    encode_bytes(changed, text, strlen(text), NULL, NO_LIMIT);
    ck_assert_msg(encoding.length == count, "%s: expected %zu tokens, found %zu", path, count, encoding.length);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(encoding.input_ids[i] == peft_tokenizer_token_id(changed, tokens[i]),
                      "%s: token %zu: expected %s, found %d", path, i, tokens[i], encoding.input_ids[i]);
    peft_tokenizer_close(changed);
}

#define EXPECT_WITH(path, value, text, ...)                                                                            \
    expect_with(path, value, text, (const char *const[]){__VA_ARGS__},                                                 \
                sizeof(const char *[]){__VA_ARGS__} / sizeof(const char *))

START_TEST(settings_act)
{
    EXPECT_WITH("normalizer.lowercase", "false", "Hello hello", "[CLS]", "[UNK]", "hello", "[SEP]");
    EXPECT_WITH("normalizer.strip_accents", "false", "h\xC3\xA9llo", "[CLS]", "[UNK]", "[SEP]");
    EXPECT_WITH("normalizer.clean_text", "false", "hello\x01", "[CLS]", "[UNK]", "[SEP]");
    EXPECT_WITH("normalizer.clean_text", "false",
                "a\x0b"
                "b",
                "[CLS]", "a", "b", "[SEP]");
    EXPECT_WITH("normalizer", "null", "a\tb A", "[CLS]", "a", "b", "[UNK]", "[SEP]");
    EXPECT_WITH("normalizer.handle_chinese_chars", "false", "\xE6\x97\xA5\xE6\x97\xA5", "[CLS]", "\xE6\x97\xA5",
                "##\xE6\x97\xA5", "[SEP]");
    EXPECT_WITH("model.max_input_chars_per_word", "4", "hello a", "[CLS]", "[UNK]", "a", "[SEP]");
    EXPECT_WITH("model.unk_token", "\"a\"", "\xE0\xB8\x81", "[CLS]", "a", "[SEP]");
    EXPECT_WITH("model.continuing_subword_prefix", "\"\"", "hellob", "[CLS]", "hello", "b", "[SEP]");
    EXPECT_WITH("model.continuing_subword_prefix", "\"@@\"", "hellob", "[CLS]", "[UNK]", "[SEP]");
    EXPECT_WITH("post_processor", "null", "a b", "a", "b");
    EXPECT_WITH("added_tokens", "null", "[MASK]", "[CLS]", "[", "mask", "]", "[SEP]");
    EXPECT_WITH("added_tokens.4.id", "103", "a [MASK] b", "[CLS]", "a", "[MASK]", "b", "[SEP]");
}
END_TEST

START_TEST(added_tokens_may_lie_outside_of_the_vocabulary)
{
    static const char list[] = "[{\"id\": 40000, \"content\": \"a b\", \"lstrip\": true, \"rstrip\": true},"
                               " {\"id\": 40001, \"content\": \"a bc\"}]";
    EXPECT_WITH("added_tokens", list,
                "x \xE3\x80\x80"
                "a b\n ca bcc",
                "[CLS]", "x", "a b", "c", "a bc", "c", "[SEP]");
    peft_tokenizer *opened;
    ck_assert_int_eq(open_changed("added_tokens", list, &opened), PEFT_OK);
    /* The reference gives them the next ids after the number of tokens, which in this fixture is not the largest id. */
    ck_assert_int_eq(peft_tokenizer_token_id(opened, "a b"), 822);
    ck_assert_int_eq(peft_tokenizer_token_id(opened, "a bc"), 823);
    peft_tokenizer_close(opened);
}
END_TEST

/* ---- vocab.txt ---- */

static const char lines[] = "[PAD]\n[UNK]\n[CLS]\r\n[SEP]\n[MASK]\nhello\n##s\nHello";

static peft_status open_lines(const char *text, const char *config, peft_tokenizer **opened)
{
    scratch_write("vocab.txt", text, strlen(text));
    scratch_write("tokenizer_config.json", config, strlen(config));
    error = (peft_error){0};
    return peft_tokenizer_open(opened, scratch(""), &error);
}

START_TEST(lines_of_vocab_txt_are_ids)
{
    peft_tokenizer *opened;
    ck_assert_msg(open_lines(lines, "{}", &opened) == PEFT_OK, "%s", error.message);
    ck_assert_int_eq(peft_tokenizer_vocab_size(opened), 8);
    encode_bytes(opened, "Hellos [MASK] x", 15, "hello", NO_LIMIT);
    EXPECT(2, 5, 6, 4, 1, 3, 5, 3);
    ck_assert_int_eq(encoding.token_type_ids[5], 0);
    ck_assert_int_eq(encoding.token_type_ids[6], 1);
    peft_tokenizer_close(opened);

    static const char cased[] = "{\"do_lower_case\": false, \"tokenizer_class\": \"BertTokenizerFast\","
                                " \"cls_token\": {\"content\": \"hello\"}}";
    ck_assert_msg(open_lines(lines, cased, &opened) == PEFT_OK, "%s", error.message);
    encode_bytes(opened, "Hello", 5, NULL, NO_LIMIT);
    EXPECT(5, 7, 3);
    peft_tokenizer_close(opened);
}
END_TEST

START_TEST(what_vocab_txt_cannot_be_is_refused)
{
    static const struct {
        const char *text, *config;
        peft_status status;
        const char *words;
    } cases[] = {
        {"", "{}", PEFT_ERR_FORMAT, "special token [UNK] is missing"},
        {"[UNK]\n[CLS]\n", "{}", PEFT_ERR_FORMAT, "special token [SEP] is missing"},
        {"[UNK]\n\xFF\n", "{}", PEFT_ERR_FORMAT, "vocab.txt:2: the token is not valid UTF-8"},
        {lines, "[]", PEFT_ERR_FORMAT, "tokenizer_config.json"},
        {lines, "{\"do_lower_case\": 1}", PEFT_ERR_FORMAT, "do_lower_case"},
        {lines, "{\"unk_token\": \"<unk>\"}", PEFT_ERR_FORMAT, "special token <unk> is missing"},
        {lines, "{\"tokenizer_class\": \"LlamaTokenizer\"}", PEFT_ERR_UNSUPPORTED, "tokenizer_class LlamaTokenizer"},
        {lines, "{\"truncation_side\": \"middle\"}", PEFT_ERR_FORMAT, "truncation_side"},
        {lines, "{\"cls_token\": 3}", PEFT_ERR_FORMAT, "cls_token"},
        {lines, "{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}", PEFT_ERR_FORMAT, "added_tokens_decoder"},
        {lines, "{\"added_tokens_decoder\": {\"9\": \"a\"}}", PEFT_ERR_FORMAT, "added_tokens_decoder"},
        {lines, "{\"additional_special_tokens\": \"a\"}", PEFT_ERR_FORMAT, "additional_special_tokens"},
        {lines, "{\"additional_special_tokens\": [3]}", PEFT_ERR_FORMAT, "additional_special_tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peft_tokenizer *opened;
        peft_status status = open_lines(cases[i].text, cases[i].config, &opened);
        ck_assert_ptr_null(opened);
        ck_assert_msg(status == cases[i].status && strstr(error.message, cases[i].words) != NULL,
                      "case %zu: expected status %d, \"%s\", found %d, \"%s\"", i, (int)cases[i].status, cases[i].words,
                      (int)status, error.message);
    }
}
END_TEST

START_TEST(a_folder_without_a_tokenizer_is_an_error)
{
    peft_tokenizer *opened;
    ck_assert_int_eq(peft_tokenizer_open(&opened, scratch(""), &error), PEFT_ERR_FILE);
    ck_assert_msg(strstr(error.message, "expected tokenizer.json or vocab.txt") != NULL, "%s", error.message);
}
END_TEST

/* ---- running out of memory ---- */

static void open_with_each_allocation_failing(const char *folder)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_tokenizer *opened;
        fail_allocation(call);
        peft_status status = peft_tokenizer_open(&opened, folder, &error);
        failed = allocation_failed();
        /* jansson reports some failed allocations as syntax errors and survives others */
        ck_assert_msg(status == PEFT_OK || (failed && (status == PEFT_ERR_MEMORY || status == PEFT_ERR_FORMAT)),
                      "allocation %d: status %d, \"%s\"", (int)call, (int)status, error.message);
        ck_assert((status == PEFT_OK) == (opened != NULL));
        peft_tokenizer_close(opened);
    }
}

START_TEST(opening_survives_every_failed_allocation)
{
    peft_tokenizer *opened;
    ck_assert_int_eq(open_lines(lines, "{\"pad_token\": \"[PAD]\"}", &opened), PEFT_OK);
    peft_tokenizer_close(opened);
    open_with_each_allocation_failing(scratch(""));
    static const char vocab[] = "{\"[UNK]\": 100, \"[CLS]\": 101, \"[SEP]\": 102, \"a\": 7, \"##b\": 8}";
    ck_assert_int_eq(open_changed("model.vocab", vocab, &opened), PEFT_OK);
    peft_tokenizer_close(opened);
    open_with_each_allocation_failing(scratch(""));
}
END_TEST

START_TEST(encoding_survives_every_failed_allocation)
{
    char text[2000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 2 ? ' ' : 'a';
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_encoding fresh = {0};
        fail_allocation(call);
        peft_status status =
            peft_tokenizer_encode(tokenizer, text, sizeof text, text, sizeof text, NO_LIMIT, &fresh, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_uint_eq(fresh.length, failed ? 0 : sizeof text + 3);
        peft_encoding_free(&fresh);
    }
}
END_TEST

TEST_MAIN("tokenizer", tcase_add_checked_fixture(tc, setup, teardown);
          tcase_add_test(tc, ids_and_types_are_those_of_the_reference);
          tcase_add_test(tc, so_they_are_with_the_whole_vocabulary);
          tcase_add_test(tc, nothing_gives_the_special_tokens_alone);
          tcase_add_test(tc, maximum_length_is_kept_and_cut_tokens_are_counted);
          tcase_add_test(tc, maximum_length_below_the_special_tokens_is_an_error);
          tcase_add_test(tc, a_word_of_more_than_100_characters_is_unknown);
          tcase_add_test(tc, a_part_without_a_token_makes_the_word_unknown);
          tcase_add_test(tc, normalizing_makes_texts_equal);
          tcase_add_test(tc, invalid_utf8_is_an_error_with_its_place);
          tcase_add_test(tc, special_tokens_in_the_text_are_matched_unless_told_otherwise);
          tcase_add_test(tc, ids_of_tokens_can_be_asked); tcase_add_test(tc, what_changes_ids_is_honoured_or_refused);
          tcase_add_test(tc, settings_act); tcase_add_test(tc, added_tokens_may_lie_outside_of_the_vocabulary);
          tcase_add_test(tc, added_tokens_have_at_most_a_thousand_bytes);
          tcase_add_test(tc, lines_of_vocab_txt_are_ids); tcase_add_test(tc, what_vocab_txt_cannot_be_is_refused);
          tcase_add_test(tc, a_folder_without_a_tokenizer_is_an_error);
          tcase_add_test(tc, opening_survives_every_failed_allocation);
          tcase_add_test(tc, encoding_survives_every_failed_allocation))
