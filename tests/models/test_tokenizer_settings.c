/* Tests of models/tokenizer_folder.c, tokenizer_class.c and special_tokens.c: the files of a folder together give the
 * ids that transformers gives, and contradictions are noted. The values are those of
 * tests/fixtures/tokenizer/settings.json, which make_settings.py beside it has made. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/tokenizer.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { PATH_BYTES = 4096, NO_LIMIT = 1 << 20, MAX_NOTES = 16, NOTE_BYTES = 256 };

static json_t *fixture;
static peft_encoding encoding;
static peft_error error;

static void setup(void)
{
    char path[PATH_BYTES];
    scratch_setup();
    snprintf(path, sizeof path, "%s/tokenizer/settings.json", getenv("PEFT_FIXTURES"));
    fixture = json_load_file(path, JSON_ALLOW_NUL, NULL);
    ck_assert_ptr_nonnull(fixture);
}

static void teardown(void)
{
    peft_encoding_free(&encoding);
    json_decref(fixture);
    scratch_teardown();
}

typedef struct said {
    char notes[MAX_NOTES][NOTE_BYTES];
    size_t count;
} said;

static void take_note(void *argument, const char *text)
{
    said *s = argument;
    ck_assert_uint_lt(s->count, MAX_NOTES);
    snprintf(s->notes[s->count++], NOTE_BYTES, "%s", text);
}

static void write_files(json_t *entry)
{
    const char *name;
    json_t *text;
    json_object_foreach(json_object_get(entry, "files"), name, text)
        scratch_write(name, json_string_value(text), json_string_length(text));
}

static void remove_files(json_t *entry)
{
    const char *name;
    json_t *text;
    json_object_foreach(json_object_get(entry, "files"), name, text) remove(scratch(name));
}

static void expect_ids(const peft_tokenizer *with, const json_t *first, const json_t *second, size_t max_length,
                       const json_t *ids, const char *name)
{
    peft_status status =
        peft_tokenizer_encode(with, json_string_value(first), json_string_length(first), json_string_value(second),
                              json_string_length(second), max_length, &encoding, &error);
    ck_assert_msg(status == PEFT_OK, "%s: %s", name, error.message);
    const char *text = json_string_value(first);
    ck_assert_msg(encoding.length == json_array_size(ids), "%s: \"%s\": expected %zu tokens, found %zu", name, text,
                  json_array_size(ids), encoding.length);
    for (size_t i = 0; i < encoding.length; i++)
        ck_assert_msg(json_integer_value(json_array_get(ids, i)) == encoding.input_ids[i],
                      "%s: \"%s\": token %zu: expected %d, found %d", name, text, i,
                      (int)json_integer_value(json_array_get(ids, i)), encoding.input_ids[i]);
}

static void expect_all_ids(const peft_tokenizer *with, const json_t *entry, const char *name)
{
    const json_t *texts = json_object_get(fixture, "texts"), *pairs = json_object_get(fixture, "pairs");
    const json_t *ids = json_object_get(entry, "ids");
    size_t count = json_array_size(texts);
    ck_assert_uint_eq(json_array_size(ids), count + json_array_size(pairs));
    for (size_t i = 0; i < count; i++)
        expect_ids(with, json_array_get(texts, i), NULL, NO_LIMIT, json_array_get(ids, i), name);
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_t *pair = json_array_get(pairs, i);
        expect_ids(with, json_array_get(pair, 0), json_array_get(pair, 1),
                   (size_t)json_integer_value(json_array_get(pair, 2)), json_array_get(ids, count + i), name);
    }
}

/* Each of the words expected is in one note, and there are no more notes than words. */
static void expect_notes(const peft_tokenizer *with, const json_t *words, const char *name)
{
    said s = {0};
    peft_tokenizer_notes(with, take_note, &s);
    ck_assert_msg(s.count == json_array_size(words), "%s: expected %zu notes, found %zu; the first: %s", name,
                  json_array_size(words), s.count, s.notes[0]);
    for (size_t i = 0; i < s.count; i++) {
        const char *word = json_string_value(json_array_get(words, i));
        ck_assert_msg(strstr(s.notes[i], word) != NULL, "%s: expected \"%s\" in \"%s\"", name, word, s.notes[i]);
    }
}

START_TEST(ids_are_those_of_the_reference)
{
    json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(fixture, "entries"), i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        peft_tokenizer *opened;
        write_files(entry);
        ck_assert_msg(peft_tokenizer_open(&opened, scratch(""), &error) == PEFT_OK, "%s: %s", name, error.message);
        expect_all_ids(opened, entry, name);
        expect_notes(opened, json_object_get(entry, "notes"), name);
        peft_tokenizer_close(opened);
        remove_files(entry);
    }
    ck_assert_uint_gt(i, 24);
}
END_TEST

START_TEST(the_side_may_contradict_tokenizer_json)
{
    static const char json[] = "{\"truncation\": {\"direction\": \"Left\"}, \"model\": {\"type\": \"WordPiece\","
                               " \"unk_token\": \"a\", \"vocab\": {\"a\": 0, \"b\": 1}},"
                               " \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}}";
    static const char config[] = "{\"truncation_side\": \"right\"}";
    scratch_write("tokenizer.json", json, strlen(json));
    scratch_write("tokenizer_config.json", config, strlen(config));
    peft_tokenizer *opened;
    ck_assert_msg(peft_tokenizer_open(&opened, scratch(""), &error) == PEFT_OK, "%s", error.message);
    ck_assert_int_eq(peft_tokenizer_encode(opened, "a b b", 5, NULL, 0, 2, &encoding, &error), PEFT_OK);
    ck_assert_int_eq(encoding.input_ids[0], 0);
    said s = {0};
    peft_tokenizer_notes(opened, take_note, &s);
    ck_assert_uint_eq(s.count, 1);
    ck_assert_msg(strstr(s.notes[0], "truncation: Left in tokenizer.json and right") != NULL, "%s", s.notes[0]);
    peft_tokenizer_close(opened);
}
END_TEST

static json_t *entry_named(const char *name)
{
    json_t *entry, *entries = json_object_get(fixture, "entries");
    size_t i;
    json_array_foreach(entries, i,
                       entry) if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0) return entry;
    return NULL;
}

static void survive(const char *name)
{
    json_t *entry = entry_named(name);
    ck_assert_ptr_nonnull(entry);
    write_files(entry);
    const char *folder = scratch("");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_tokenizer *opened;
        fail_own_allocation(call);
        peft_status status = peft_tokenizer_open(&opened, folder, &error);
        failed = allocation_failed();
        ck_assert_msg(status == (failed ? PEFT_ERR_MEMORY : PEFT_OK), "%s: allocation %d: status %d, \"%s\"", name,
                      (int)call, (int)status, error.message);
        ck_assert((status == PEFT_OK) == (opened != NULL));
        peft_tokenizer_close(opened);
    }
    remove_files(entry);
}

START_TEST(opening_survives_every_failed_allocation)
{
    survive("added tokens");
    survive("decoder");
    survive("vocab.txt and special added tokens");
}
END_TEST

TEST_MAIN("tokenizer_settings", tcase_add_checked_fixture(tc, setup, teardown);
          tcase_add_test(tc, ids_are_those_of_the_reference);
          tcase_add_test(tc, the_side_may_contradict_tokenizer_json);
          tcase_add_test(tc, opening_survives_every_failed_allocation))
