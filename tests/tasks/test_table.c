/* Tests of tasks/table.c and its formats: what rows come out, and what is refused, where. */
#include "tasks/table.h"

#include <stdio.h>
#include <string.h>

#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

static peft_error error;

static const peft_table_request text_and_label = {.columns = {{.name = "text"}, {.name = "label", .optional = true}}};

static peft_status read_bytes(const char *name, const char *content, size_t bytes, const peft_table_request *request,
                              peft_table *table)
{
    error = (peft_error){0};
    return peft_table_read(scratch_write(name, content, bytes), request, table, &error);
}

static void read_good(const char *name, const char *content, const peft_table_request *request, peft_table *table)
{
    peft_status status = read_bytes(name, content, strlen(content), request, table);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
}

/* Files that all say the same: two rows with these cells, on these lines. */
static const struct {
    const char *name, *content;
    size_t lines[2];
} same[] = {
    {"a.tsv", "text\tlabel\none two\tx\nthree\ty\n", {2, 3}},
    {"a.tsv", "\xEF\xBB\xBFtext\tlabel\r\none two\tx\r\nthree\ty\r\n", {2, 3}},
    {"a.tsv", "label\tother\ttext\nx\t\tone two\n\ny\t9\tthree", {2, 4}},
    {"a.csv", "text,label\none two,x\nthree,y\n", {2, 3}},
    {"a.csv", "\"text\",\"label\"\r\n\"one two\",\"x\"\r\n\r\n\"three\",y", {2, 4}},
    {"a.csv", "other,label,text\n\"a\n\n\"\"b\"\",\",x,one two\n,y,three\n", {2, 5}},
    {"a.jsonl",
     "{\"text\": \"one two\", \"label\": \"x\"}\n{\"label\": \"y\", \"text\": \"three\", \"z\": [1]}\n",
     {1, 2}},
    {"a.jsonl",
     "\xEF\xBB\xBF\n{\"text\": \"one\\u0020two\", \"label\": \"x\"}\r\n\n{\"label\":\"y\",\"text\":\"three\"}",
     {2, 4}},
    {"a.jsonl",
     " \n{\"id\": 18446744073709551616, \"text\": \"one two\", \"label\": \"x\"}\n\t\r\n"
     "{\"label\":\"y\",\"text\":\"three\", \"score\": NaN}\n \n",
     {2, 4}},
};

START_TEST(formats_agree_on_what_the_rows_are)
{
    peft_table table;
    read_good(same[_i].name, same[_i].content, &text_and_label, &table);
    ck_assert_uint_eq(table.num_rows, 2);
    ck_assert_str_eq(table.columns[0][0].text, "one two");
    ck_assert_uint_eq(table.columns[0][0].bytes, 7);
    ck_assert_str_eq(table.columns[1][0].text, "x");
    ck_assert_str_eq(table.columns[0][1].text, "three");
    ck_assert_str_eq(table.columns[1][1].text, "y");
    ck_assert_uint_eq(table.lines[0], same[_i].lines[0]);
    ck_assert_uint_eq(table.lines[1], same[_i].lines[1]);
    ck_assert_ptr_null(table.columns[2]);
    peft_table_free(&table);
}
END_TEST

START_TEST(quotes_and_blanks_are_letters_where_nothing_is_quoted)
{
    peft_table_request request = text_and_label;
    request.quoting = PEFT_UNQUOTED;
    peft_table table;
    read_good("a.tsv", "text\tlabel\n \"so\", he said \t\"\n", &request, &table);
    ck_assert_str_eq(table.columns[0][0].text, " \"so\", he said ");
    ck_assert_str_eq(table.columns[1][0].text, "\"");
    peft_table_free(&table);
}
END_TEST

START_TEST(quoted_fields_of_csv_hold_commas_quotes_and_lines)
{
    peft_table table;
    read_good("a.csv", "text,label\n\"a, \"\"b\"\"\r\nc\", d \n", &text_and_label, &table);
    ck_assert_str_eq(table.columns[0][0].text, "a, \"b\"\nc");
    ck_assert_str_eq(table.columns[1][0].text, " d ");
    peft_table_free(&table);
}
END_TEST

START_TEST(numbers_and_booleans_of_json_become_text)
{
    static const char *const expected[] = {"3", "4.8", "true", "-2"};
    peft_table table;
    read_good("a.jsonl",
              "{\"text\": \"a\", \"label\": 3}\n{\"text\": \"b\", \"label\": 4.8}\n"
              "{\"text\": \"c\", \"label\": true}\n{\"text\": \"d\", \"label\": -2}\n",
              &text_and_label, &table);
    for (size_t i = 0; i < 4; i++) ck_assert_str_eq(table.columns[1][i].text, expected[i]);
    peft_table_free(&table);
}
END_TEST

START_TEST(texts_of_json_hold_any_character)
{
    peft_table table;
    read_good("a.jsonl", "{\"text\": \"a\\u0000b\"}\n", &text_and_label, &table);
    ck_assert_uint_eq(table.columns[0][0].bytes, 3);
    ck_assert_mem_eq(table.columns[0][0].text, "a\0b", 4);
    peft_table_free(&table);
}
END_TEST

START_TEST(files_without_header_take_the_names_from_the_caller)
{
    static const char *const header[] = {"label", "mark", "text", NULL};
    peft_table_request request = text_and_label;
    request.header = header;
    peft_table table;
    read_good("a.tsv", "1\t*\tfirst\n0\t\tsecond\n", &request, &table);
    ck_assert_uint_eq(table.num_rows, 2);
    ck_assert_str_eq(table.columns[0][0].text, "first");
    ck_assert_str_eq(table.columns[1][1].text, "0");
    ck_assert_uint_eq(table.lines[0], 1);
    peft_table_free(&table);
}
END_TEST

START_TEST(optional_columns_may_be_absent)
{
    peft_table table;
    read_good("a.tsv", "index\ttext\n0\ta\n", &text_and_label, &table);
    ck_assert_ptr_null(table.columns[1]);
    peft_table_free(&table);
    read_good("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}", &text_and_label, &table);
    ck_assert_ptr_null(table.columns[1]);
    peft_table_free(&table);
}
END_TEST

START_TEST(broken_rows_are_skipped_and_counted_on_request)
{
    peft_table_request request = text_and_label;
    request.skip_broken_rows = true;
    peft_table table;
    read_good("a.tsv", "text\tlabel\na\tx\nb\nc\tz\ty\nd\ty\n", &request, &table);
    ck_assert_uint_eq(table.num_rows, 2);
    ck_assert_uint_eq(table.num_skipped, 2);
    ck_assert_str_eq(table.columns[0][1].text, "d");
    peft_table_free(&table);
}
END_TEST

START_TEST(many_rows_are_kept)
{
    enum { ROWS = 3000 };
    static char content[64 * ROWS];
    size_t bytes = (size_t)sprintf(content, "text\tlabel\n");
    for (int i = 0; i < ROWS; i++) bytes += (size_t)sprintf(content + bytes, "sentence number %d\t%d\n", i, i % 2);
    peft_table table;
    read_good("a.tsv", content, &text_and_label, &table);
    ck_assert_uint_eq(table.num_rows, ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        char expected[64];
        sprintf(expected, "sentence number %zu", i);
        ck_assert_str_eq(table.columns[0][i].text, expected);
    }
    peft_table_free(&table);
}
END_TEST

static const struct {
    const char *name, *content, *message;
    size_t bytes; /* 0: up to the NUL */
} bad[] = {
    {"a.tsv", "text\tlabel\na\tx\nb\n", "a.tsv:3: expected 2 columns, found 1", 0},
    {"a.tsv", "text\tlabel\na\tx\ty\n", "a.tsv:2: expected 2 columns, found 3", 0},
    {"a.csv", "text,label\n\"a\nb\"\n", "a.csv:2: expected 2 columns, found 1", 0},
    {"a.tsv", "text\tlabel\na\0b\tx\n", "a.tsv:2: byte 2 of the line: a NUL byte", 17},
    {"a.tsv", "text\tlabel\nab\xFF\tx\n", "a.tsv:2: byte 3 of the line: expected UTF-8, found 0xFF", 0},
    {"a.tsv", "text\tlabel\n\xC3", "a.tsv:2: byte 1 of the line: expected UTF-8, found 0xC3", 0},
    {"a.tsv", "text\tlabel\n\xED\xA0\x80\tx\n", "a.tsv:2: byte 1 of the line: expected UTF-8, found 0xED", 0},
    {"a.tsv", "text\tlabel\n\xC0\xAF\tx\n", "a.tsv:2: byte 1 of the line: expected UTF-8, found 0xC0", 0},
    {"a.tsv", "", "a.tsv: the file is empty", 0},
    {"a.tsv", "\xEF\xBB\xBF", "a.tsv: the file is empty", 0},
    {"a.tsv", "text\tlabel\n", "a.tsv: no rows in the file", 0},
    {"a.jsonl", "\n \n\t\n", "a.jsonl: no rows in the file", 0},
    {"a.jsonl", "{\"text\": NaN}\n", "a.jsonl:1: \"text\": expected a string, number, true or false, found NaN", 0},
    {"a.csv", "text,label\ra,x\rb,y\r", "a.csv: this is text whose lines end with CR alone", 0},
    {"a.tsv", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", "a.tsv: this is a Git LFS pointer",
     0},
    {"a.jsonl", "<!DOCTYPE html>\n<html>\n", "a.jsonl: this is an HTML page", 0},
    {"a.csv", "\xFF\xFEt\0e\0x\0t\0\n\0", "a.csv: this is UTF-16 text", 12},
    {"a.tsv", "index\t\"a\nb\"\n1\t2\n", "a.tsv:1: column \"text\": unknown. Known: index, a\\nb", 0},
    {"a.csv", "text,label\na,x\n\"b,y\nc,z\n", "a.csv:3: a quoted field in the row that begins here has no closing", 0},
    {"a.csv", "text,label\na \"b\" c,x\n", "a.csv:2: a '\"' out of place", 0},
    {"a.csv", "text,label\n\"a\"b,x\n", "a.csv:2: a '\"' out of place", 0},
    {"a.tsv", "index\ttexts\tlabel\n0\ta\tx\n",
     "a.tsv:1: column \"text\": unknown; did you mean \"texts\"? Known: index, texts, label", 0},
    {"a.tsv", "text\ttext\tlabel\n0\ta\tx\n", "a.tsv:1: column \"text\" is there twice", 0},
    {"a.jsonl", "{\"txt\": \"a\"}\n", "a.jsonl:1: column \"text\": unknown; did you mean \"txt\"? Known: txt", 0},
    {"a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"", "a.jsonl:2: character 12: ", 0},
    {"a.jsonl", "{\"text\": \"a\"}\n[\"b\"]\n", "a.jsonl:2: expected a JSON object, found a list", 0},
    {"a.jsonl", "{\"text\": \"a\"}\n{\"other\": 1}\n", "a.jsonl:2: \"text\" is not here, unlike in the first object",
     0},
    {"a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\", \"label\": 1}\n", "a.jsonl:2: \"label\" is there here", 0},
    {"a.jsonl", "{\"text\": null}\n", "a.jsonl:1: \"text\": expected a string, number, true or false", 0},
    {"a.jsonl", "{\"text\": \"a\", \"text\": \"b\"}\n", "a.jsonl:1: character", 0},
};

START_TEST(hostile_files_are_refused_where_they_are_wrong)
{
    peft_table table;
    size_t bytes = bad[_i].bytes ? bad[_i].bytes : strlen(bad[_i].content);
    ck_assert_int_eq(read_bytes(bad[_i].name, bad[_i].content, bytes, &text_and_label, &table), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, bad[_i].message) != NULL, "found: %s", error.message);
    ck_assert_uint_eq(table.num_rows, 0);
    ck_assert_ptr_null(table.columns[0]);
}
END_TEST

START_TEST(other_kinds_of_files_are_refused)
{
    peft_table table;
    ck_assert_int_eq(read_bytes("a.json", "{}", 2, &text_and_label, &table), PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "a.json: file type \".json\": unknown; did you mean \".jsonl\"?"));
    ck_assert_int_eq(peft_table_read("/dev.tsv/x", &text_and_label, &table, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_int_eq(peft_table_read(scratch("none.tsv"), &text_and_label, &table, &error), PEFT_ERR_FILE);
}
END_TEST

START_TEST(chosen_rows_are_copied_in_their_order)
{
    static const uint32_t rows[] = {2, 0, 2};
    peft_table table, part;
    read_good("a.tsv", "text\nzero\none\ntwo\n", &text_and_label, &table);
    ck_assert_int_eq(peft_table_select(&table, rows, 3, &part, &error), PEFT_OK);
    peft_table_free(&table);
    ck_assert_str_eq(part.columns[0][0].text, "two");
    ck_assert_str_eq(part.columns[0][1].text, "zero");
    ck_assert_uint_eq(part.lines[1], 2);
    ck_assert_ptr_null(part.columns[1]);
    peft_table_free(&part);
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    static const char *const files[] = {"a.tsv", "a.csv", "a.jsonl"};
    static const char *const contents[] = {"text\tlabel\na\tx\n", "text,label\n\"a\",x\n",
                                           "{\"text\": \"a\", \"label\": 1}\n"};
    const char *path = scratch_write(files[_i], contents[_i], strlen(contents[_i]));
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_table table;
        fail_own_allocation(call);
        peft_status status = peft_table_read(path, &text_and_label, &table, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_table_free(&table);
    }
}
END_TEST

/* ---- plain text ---- */

START_TEST(every_line_is_a_row)
{
    static const char text[] = "\xEF\xBB\xBFone\ttwo\r\n\n three \n\n";
    peft_table table;
    ck_assert_int_eq(peft_table_from_lines(text, sizeof text - 1, "a.txt", false, &table, &error), PEFT_OK);
    static const char *const expected[] = {"one\ttwo", "", " three ", ""};
    ck_assert_uint_eq(table.num_rows, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_str_eq(table.columns[0][i].text, expected[i]);
        ck_assert_uint_eq(table.lines[i], i + 1);
    }
    ck_assert_ptr_null(table.columns[1]);
    peft_table_free(&table);
}
END_TEST

START_TEST(a_tab_on_the_first_line_makes_pairs)
{
    static const char text[] = "one\ttwo\n\t\nthree\t";
    peft_table table;
    ck_assert_int_eq(peft_table_from_lines(text, sizeof text - 1, "a.txt", true, &table, &error), PEFT_OK);
    static const char *const expected[][2] = {{"one", "two"}, {"", ""}, {"three", ""}};
    ck_assert_uint_eq(table.num_rows, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_str_eq(table.columns[0][i].text, expected[i][0]);
        ck_assert_str_eq(table.columns[1][i].text, expected[i][1]);
    }
    peft_table_free(&table);
}
END_TEST

static const struct {
    const char *text;
    size_t bytes;
    const char *message;
} bad_lines[] = {
    {"", 0, "a.txt: the file is empty"},
    {"\xEF\xBB\xBF", 3, "a.txt: the file is empty"},
    {"a\tb\nc\n", 6, "a.txt:2: expected two texts with one tab between them, found 0 tabs"},
    {"a\tb\tc\n", 6, "a.txt:1: expected two texts with one tab between them, found 2 tabs"},
    {"a\nb\tc\n", 6, "a.txt:2: expected one text, as on the first line, found 1 tabs"},
    {"a\n\0b\n", 5, "a.txt:2: byte 1 of the line: a NUL byte"},
    {"version https://git-lfs.github.com/spec/v1\n", 43, "a.txt: this is a Git LFS pointer"},
    {"a\rb\r", 4, "a.txt: this is text whose lines end with CR alone"},
    {"a\nb\xC3", 4, "a.txt:2: byte 2 of the line: expected UTF-8, found 0xC3"},
};

START_TEST(bad_lines_are_refused)
{
    peft_table table;
    ck_assert_int_eq(peft_table_from_lines(bad_lines[_i].text, bad_lines[_i].bytes, "a.txt", true, &table, &error),
                     PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, bad_lines[_i].message) != NULL, "found: %s", error.message);
    ck_assert_uint_eq(table.num_rows, 0);
}
END_TEST

START_TEST(a_single_text_may_hold_anything)
{
    peft_table table;
    ck_assert_int_eq(peft_table_from_text("one\ntwo\tthree", "", &table, &error), PEFT_OK);
    ck_assert_uint_eq(table.num_rows, 1);
    ck_assert_str_eq(table.columns[0][0].text, "one\ntwo\tthree");
    ck_assert_str_eq(table.columns[1][0].text, "");
    peft_table_free(&table);
    ck_assert_int_eq(peft_table_from_text("", NULL, &table, &error), PEFT_OK);
    ck_assert_ptr_null(table.columns[1]);
    peft_table_free(&table);
}
END_TEST

START_TEST(plain_text_and_running_out_of_memory)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_table lines = {0}, text = {0};
        fail_own_allocation(call);
        peft_status status = peft_table_from_lines("a\tb\nc\td\n", 8, "a.txt", true, &lines, &error);
        if (status == PEFT_OK) status = peft_table_from_text("a", "b", &text, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_table_free(&lines);
        peft_table_free(&text);
    }
}
END_TEST

TEST_MAIN("table", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_loop_test(tc, formats_agree_on_what_the_rows_are, 0, sizeof same / sizeof same[0]);
          tcase_add_test(tc, quotes_and_blanks_are_letters_where_nothing_is_quoted);
          tcase_add_test(tc, quoted_fields_of_csv_hold_commas_quotes_and_lines);
          tcase_add_test(tc, numbers_and_booleans_of_json_become_text);
          tcase_add_test(tc, texts_of_json_hold_any_character);
          tcase_add_test(tc, files_without_header_take_the_names_from_the_caller);
          tcase_add_test(tc, optional_columns_may_be_absent);
          tcase_add_test(tc, broken_rows_are_skipped_and_counted_on_request); tcase_add_test(tc, many_rows_are_kept);
          tcase_add_loop_test(tc, hostile_files_are_refused_where_they_are_wrong, 0, sizeof bad / sizeof bad[0]);
          tcase_add_test(tc, other_kinds_of_files_are_refused);
          tcase_add_test(tc, chosen_rows_are_copied_in_their_order);
          tcase_add_loop_test(tc, running_out_of_memory_is_reported, 0, 3); tcase_add_test(tc, every_line_is_a_row);
          tcase_add_test(tc, a_tab_on_the_first_line_makes_pairs);
          tcase_add_loop_test(tc, bad_lines_are_refused, 0, sizeof bad_lines / sizeof bad_lines[0]);
          tcase_add_test(tc, a_single_text_may_hold_anything); tcase_add_test(tc, plain_text_and_running_out_of_memory))
