/* Tests of output.c, table.c and text.c in peft/cli: what a reader or another program sees. */
#include "peft/cli/output.h"
#include "peft/cli/table.h"
#include "peft/cli/text.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

#include <math.h>
#include <string.h>

static char *text;
static size_t bytes;
static FILE *stream;

static void setup(void)
{
    stream = open_memstream(&text, &bytes);
}

static void teardown(void)
{
    fclose(stream);
    free(text);
}

static void check_written(const char *expected)
{
    fflush(stream);
    ck_assert_str_eq(text, expected);
}

static peft_output to_stream(void)
{
    peft_output output;
    peft_output_init(&output, stream, stream);
    return output;
}

START_TEST(lines_break_at_spaces_and_are_indented)
{
    peft_text_wrap(stream, "one two three four\nfive", 2, 6, 12);
    check_written("one\n  two three\n  four\n  five\n");
}
END_TEST

START_TEST(a_word_that_is_too_long_stands_alone)
{
    peft_text_wrap(stream, "a incomprehensibilities b", 0, 0, 10);
    check_written("a\nincomprehensibilities\nb\n");
}
END_TEST

START_TEST(columns_are_characters_not_bytes)
{
    ck_assert_uint_eq(peft_text_columns("± é"), 3);
    peft_text_wrap(stream, "ééé ééé", 0, 0, 7);
    check_written("ééé ééé\n");
}
END_TEST

START_TEST(messages_are_one_line_each_without_control_characters)
{
    peft_output output = to_stream();
    peft_output_say(&output, PEFT_SAY_ERROR, "%s", "a\nb\033[2Jc");
    check_written("peft: a b [2Jc\n");
}
END_TEST

START_TEST(quiet_leaves_errors_and_verbose_adds_details)
{
    static const struct {
        bool quiet, verbose;
        const char *expected;
    } cases[] = {{false, false, "peft: error\npeft: note\n"},
                 {true, false, "peft: error\n"},
                 {false, true, "peft: error\npeft: note\npeft: detail\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        teardown();
        setup();
        peft_output output = to_stream();
        output.quiet = cases[i].quiet;
        output.verbose = cases[i].verbose;
        peft_output_say(&output, PEFT_SAY_ERROR, "error");
        peft_output_say(&output, PEFT_SAY_NOTE, "note");
        peft_output_say(&output, PEFT_SAY_DETAIL, "detail");
        check_written(cases[i].expected);
    }
}
END_TEST

START_TEST(a_message_takes_the_place_of_the_progress_bar)
{
    peft_output output = to_stream();
    output.open_lines = 1;
    peft_output_say(&output, PEFT_SAY_ERROR, "x");
    check_written("\r\033[Kpeft: x\n");
    ck_assert_uint_eq(output.open_lines, 0);
}
END_TEST

START_TEST(json_is_one_document_with_short_numbers)
{
    peft_output output = to_stream();
    json_t *document = json_pack("{s: f, s: [i, i]}", "accuracy", 0.1, "list", 1, 2);
    ck_assert_int_eq(peft_output_json(&output, document, NULL), PEFT_OK);
    check_written("{\n  \"accuracy\": 0.1,\n  \"list\": [\n    1,\n    2\n  ]\n}\n");
    json_decref(document);
}
END_TEST

START_TEST(a_full_disk_is_noticed)
{
    FILE *full = fopen("/dev/full", "w");
    if (!full) return;
    peft_output output;
    peft_error error = {0};
    peft_output_init(&output, full, stream);
    fputs("result", full);
    ck_assert_int_eq(peft_output_finish(&output, &error), PEFT_ERR_WRITE);
    ck_assert_str_eq(error.message, "standard output: cannot write, there is no space for it: No space left on device");
    fclose(full);
}
END_TEST

static void fill(peft_text_table *table)
{
    peft_text_table_init(table, (const char *const[]){"variant", "accuracy", "runs"}, 3);
    peft_text_table_cell(table, "%s", "lora");
    peft_text_table_mean(table, 0.5, 0.0125, 3);
    peft_text_table_cell(table, "%d", 10);
    peft_text_table_cell(table, "%s", "lora2\033");
    peft_text_table_mean(table, 0.25, (double)NAN, 3);
    peft_text_table_cell(table, "%d", 1);
    peft_text_table_cell(table, "%s", "sora");
    peft_text_table_mean(table, (double)NAN, (double)NAN, 3);
    peft_text_table_cell(table, "%d", 0);
}

START_TEST(words_stand_left_and_numbers_right)
{
    peft_text_table table;
    fill(&table);
    ck_assert_int_eq(peft_text_table_print(&table, stream, NULL), PEFT_OK);
    check_written("variant       accuracy  runs\n"
                  "lora     0.500 ± 0.013    10\n"
                  "lora2            0.250     1\n"
                  "sora                 -     0\n");
    peft_text_table_free(&table);
}
END_TEST

START_TEST(a_row_that_is_not_complete_is_an_error)
{
    peft_text_table table;
    peft_text_table_init(&table, (const char *const[]){"a", "b"}, 2);
    peft_text_table_cell(&table, "1");
    ck_assert_int_eq(peft_text_table_print(&table, stream, NULL), PEFT_ERR_ARGUMENT);
    peft_text_table_free(&table);
    check_written("");
}
END_TEST

START_TEST(a_table_without_memory_says_so_when_it_is_printed)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_text_table table;
        fail_allocation(call);
        fill(&table);
        failed = allocation_failed();
        ck_assert_int_eq(peft_text_table_print(&table, stream, NULL), failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_text_table_free(&table);
    }
}
END_TEST

START_TEST(a_bold_cell_takes_no_more_room)
{
    static const char *const headings[] = {"name", "score"};
    peft_text_table table;
    peft_text_table_init(&table, headings, 2);
    peft_text_table_cell(&table, "a");
    peft_text_table_cell(&table, "10");
    peft_text_table_bold(&table);
    peft_text_table_cell(&table, "b");
    peft_text_table_cell(&table, "9");
    ck_assert_int_eq(peft_text_table_print(&table, stream, NULL), PEFT_OK);
    check_written("name  score\n"
                  "a        \033[1m10\033[0m\n"
                  "b         9\n");
    peft_text_table_free(&table);
}
END_TEST

TEST_MAIN("output", tcase_add_checked_fixture(tc, setup, teardown);
          tcase_add_test(tc, lines_break_at_spaces_and_are_indented);
          tcase_add_test(tc, a_word_that_is_too_long_stands_alone);
          tcase_add_test(tc, columns_are_characters_not_bytes);
          tcase_add_test(tc, messages_are_one_line_each_without_control_characters);
          tcase_add_test(tc, quiet_leaves_errors_and_verbose_adds_details);
          tcase_add_test(tc, a_message_takes_the_place_of_the_progress_bar);
          tcase_add_test(tc, json_is_one_document_with_short_numbers); tcase_add_test(tc, a_full_disk_is_noticed);
          tcase_add_test(tc, words_stand_left_and_numbers_right); tcase_add_test(tc, a_bold_cell_takes_no_more_room);
          tcase_add_test(tc, a_row_that_is_not_complete_is_an_error);
          tcase_add_test(tc, a_table_without_memory_says_so_when_it_is_printed))
