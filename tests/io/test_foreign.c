/* Tests of io/foreign.c: files in the place of others are called by their name, and nothing else is. */
#include "io/foreign.h"

#include <string.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "io/yaml.h"
#include "tests/io/scratch.h"

#define BYTES(text) (text), sizeof(text) - 1

static const struct {
    const char *data;
    size_t bytes;
    const char *name;
} foreign[] = {
    {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 90868376\n"), "a Git LFS pointer"},
    {BYTES("<!DOCTYPE html>\n<html><head><title>404</title>"), "an HTML page"},
    {BYTES("\r\n  <HTML lang=\"en\">"), "an HTML page"},
    {BYTES("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>"), "an XML document"},
    {BYTES("\xFF\xFEt\0e\0x\0t\0"), "UTF-16 text; convert its encoding: iconv -f UTF-16 "},
    {BYTES("\xFE\xFF\0t\0e\0x\0t"), "UTF-16 text; convert its encoding: iconv -f UTF-16 "},
    {BYTES("t\0e\0x\0t\0,\0"), "UTF-16 text; convert its encoding: iconv -f UTF-16LE"},
    {BYTES("\0t\0e\0x\0t\0,"), "UTF-16 text; convert its encoding: iconv -f UTF-16BE"},
    {BYTES("\xFF\xFE\0\0t\0\0\0"), "UTF-32 text"},
    {BYTES("\x1F\x8B\x08\0\0"), "compressed by gzip"},
    {BYTES("PK\x03\x04\x14\0"), "a zip archive"},
    {BYTES("\x28\xB5\x2F\xFD\x04"), "compressed by zstd"},
    {BYTES("PAR1\x15\x04"), "a Parquet file"},
};

typedef peft_status reader(const char *path, peft_error *error);

static peft_status read_json(const char *path, peft_error *error)
{
    json_t *root;
    return peft_json_load(path, &root, error);
}

static peft_status read_weights(const char *path, peft_error *error)
{
    peft_safetensors *file;
    return peft_safetensors_open(path, &file, error);
}

START_TEST(foreign_files_are_called_by_their_name)
{
    static reader *const readers[] = {read_json, read_weights};
    const char *path = scratch_write("x", foreign[_i].data, foreign[_i].bytes);
    for (size_t r = 0; r < sizeof readers / sizeof readers[0]; r++) {
        peft_error error = {0};
        ck_assert_int_eq(readers[r](path, &error), PEFT_ERR_FORMAT);
        const char *said = strstr(error.message, "x: this is ");
        ck_assert_msg(said && strncmp(said + 11, foreign[_i].name, strlen(foreign[_i].name)) == 0, "%s", error.message);
    }
}
END_TEST

START_TEST(yaml_files_are_told_apart_too)
{
    static const char page[] = "<html>\n<body>: [\n";
    peft_error error = {0};
    json_t *root;
    ck_assert_int_eq(peft_yaml_load(scratch_write("x.yaml", page, sizeof page - 1), &root, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "x.yaml: this is an HTML page"));
}
END_TEST

START_TEST(lines_that_end_with_cr_alone_are_foreign_to_text_alone)
{
    static const char old_mac[] = "text,label\ra,b\r", mixed[] = "text,label\ra,b\n";
    ck_assert_ptr_nonnull(strstr(peft_foreign_text(old_mac, sizeof old_mac - 1), "CR alone"));
    ck_assert_ptr_null(peft_foreign_kind(old_mac, sizeof old_mac - 1));
    ck_assert_ptr_null(peft_foreign_text(mixed, sizeof mixed - 1));
}
END_TEST

START_TEST(what_a_file_may_be_is_not_foreign)
{
    static const char *const own[] = {"", "{\"a\": 1}", "text,label\n", "version 2", "B", "P", "\xEF\xBB\xBFtext"};
    static const char header[] = "\x48\0\0\0\0\0\0\0{\"a\":";
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        ck_assert_ptr_null(peft_foreign_text(own[i], strlen(own[i])));
    ck_assert_ptr_null(peft_foreign_kind(header, sizeof header - 1));
}
END_TEST

START_TEST(only_malformed_files_are_looked_at)
{
    peft_error error = {0};
    peft_fail(&error, PEFT_ERR_MEMORY, "out of memory");
    ck_assert_int_eq(peft_fail_foreign(&error, PEFT_ERR_MEMORY, "x", foreign[0].data, foreign[0].bytes),
                     PEFT_ERR_MEMORY);
    ck_assert_str_eq(error.message, "out of memory");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("foreign");
    tcase_add_checked_fixture(tests, scratch_setup, scratch_teardown);
    tcase_add_loop_test(tests, foreign_files_are_called_by_their_name, 0, sizeof foreign / sizeof foreign[0]);
    tcase_add_test(tests, yaml_files_are_told_apart_too);
    tcase_add_test(tests, lines_that_end_with_cr_alone_are_foreign_to_text_alone);
    tcase_add_test(tests, what_a_file_may_be_is_not_foreign);
    tcase_add_test(tests, only_malformed_files_are_looked_at);
    return run_tests(tests);
}
