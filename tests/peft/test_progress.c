/* Tests of peft/cli/progress.c with a clock of our own: seconds are what the test says. */
#include "peft/cli/progress.h"
#include "peft/cli/text.h"
#include "tests/support/main.h"

#include <string.h>

static char *text;
static size_t bytes;
static FILE *stream;
static peft_output output;

static void setup(void)
{
    stream = open_memstream(&text, &bytes);
    peft_output_init(&output, stream, stream);
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

static size_t count(const char *part)
{
    size_t found = 0;
    fflush(stream);
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) found++;
    return found;
}

START_TEST(without_a_terminal_a_line_comes_every_ten_seconds_and_at_the_end)
{
    peft_progress progress;
    peft_progress_start(&progress, &output, "train", "steps", 0, 100, 0.0);
    for (int step = 1; step <= 25; step++) peft_progress_update(&progress, step, "loss 0.5", step);
    peft_progress_finish(&progress, 25.0);
    check_written("peft: train 10%: 10/100 steps, 1.0/s, 1:30 left, loss 0.5\n"
                  "peft: train 20%: 20/100 steps, 1.0/s, 1:20 left, loss 0.5\n"
                  "peft: train 25%: 25/100 steps, 1.0/s, 1:15 left, loss 0.5\n");
}
END_TEST

START_TEST(the_last_line_is_written_once)
{
    peft_progress progress;
    peft_progress_start(&progress, &output, "train", "steps", 0, 10, 0.0);
    peft_progress_update(&progress, 10, "", 20.0);
    peft_progress_finish(&progress, 20.0);
    check_written("peft: train 100%: 10/10 steps, 0.500/s, took 0:20\n");
}
END_TEST

START_TEST(resumed_work_is_not_counted_as_speed)
{
    peft_progress progress;
    peft_progress_start(&progress, &output, "train", "steps", 90, 7290, 0.0);
    peft_progress_update(&progress, 110, "", 10.0);
    check_written("peft: train 1%: 110/7290 steps, 2.0/s, 59:50 left\n");
}
END_TEST

START_TEST(quiet_shows_nothing)
{
    peft_progress progress;
    output.quiet = true;
    output.terminal = true;
    peft_progress_start(&progress, &output, "train", "steps", 0, 10, 0.0);
    peft_progress_update(&progress, 5, "", 50.0);
    peft_progress_finish(&progress, 60.0);
    check_written("");
}
END_TEST

START_TEST(a_bar_is_drawn_in_place_ten_times_a_second_at_most)
{
    peft_progress progress;
    output.terminal = true;
    peft_progress_start(&progress, &output, "train", "steps", 0, 1000, 0.0);
    for (int step = 1; step <= 1000; step++) peft_progress_update(&progress, step, "loss 0.5", step * 0.001);
    ck_assert_uint_le(count("\r\033[K"), 10);
    ck_assert_uint_ge(count("\r\033[K"), 9);
    ck_assert_uint_eq(count("\n"), 0);
    ck_assert_uint_eq(output.open_lines, 1);
    peft_progress_finish(&progress, 1.0);
    ck_assert_uint_eq(count("\n"), 1);
    ck_assert_uint_eq(count("100% [####"), 1);
    ck_assert_uint_eq(output.open_lines, 0);
}
END_TEST

START_TEST(a_drawn_line_leaves_the_last_column_free)
{
    char detail[200];
    memset(detail, 'x', sizeof detail - 1);
    detail[sizeof detail - 1] = '\0';
    for (size_t length = 0; length < sizeof detail; length++) {
        peft_progress progress;
        teardown();
        setup();
        output.terminal = true;
        peft_progress_start(&progress, &output, "train", "steps", 0, 10, 0.0);
        peft_progress_update(&progress, 5, detail + length, 1.0);
        fflush(stream);
        ck_assert_uint_le(peft_text_columns(text + strlen("\r\033[K")), 79);
    }
}
END_TEST

START_TEST(colour_is_left_out_where_it_is_not_wanted)
{
    peft_progress progress;
    output.terminal = true;
    peft_progress_start(&progress, &output, "train", "steps", 0, 10, 0.0);
    peft_progress_update(&progress, 5, "", 1.0);
    ck_assert_uint_eq(count("\033[32m"), 0);
    output.colour = true;
    peft_progress_update(&progress, 5, "", 2.0);
    ck_assert_uint_eq(count("\033[32m"), 1);
}
END_TEST

START_TEST(each_part_has_a_line_above_the_bar_and_all_are_drawn_again)
{
    static const char *const parts[] = {"a: 10 %", "b:\nstarting"};
    peft_progress progress;
    output.terminal = true;
    peft_progress_start(&progress, &output, "compare", "steps", 0, 10, 0.0);
    peft_progress_parts(&progress, parts, 2);
    peft_progress_update(&progress, 5, "run 2/4", 1.0);
    ck_assert_uint_eq(output.open_lines, 3);
    ck_assert_uint_eq(count("a: 10 %\nb: starting\ncompare  50% [####"), 1);
    ck_assert_uint_eq(count("\033[2A\r\033[J"), 0);
    peft_progress_update(&progress, 6, "run 2/4", 2.0);
    ck_assert_uint_eq(count("\033[2A\r\033[Ja: 10 %\n"), 1);
    peft_output_say(&output, PEFT_SAY_NOTE, "x"); /* takes the place of all */
    ck_assert_uint_eq(count("\033[2A\r\033[Jpeft: x\n"), 1);
    ck_assert_uint_eq(output.open_lines, 0);
    peft_progress_parts(&progress, parts, 1);
    peft_progress_update(&progress, 7, "run 2/4", 3.0);
    ck_assert_uint_eq(output.open_lines, 2);
    peft_progress_finish(&progress, 4.0); /* the bar alone stays */
    ck_assert_uint_eq(count("\033[1A\r\033[Jcompare  70%"), 1);
    ck_assert_uint_eq(output.open_lines, 0);
}
END_TEST

START_TEST(parts_leave_room_on_the_terminal)
{
    const char *parts[100];
    for (size_t k = 0; k < 100; k++) parts[k] = "part";
    peft_progress progress;
    output.terminal = true;
    peft_progress_start(&progress, &output, "compare", "steps", 0, 10, 0.0);
    peft_progress_parts(&progress, parts, 100);
    peft_progress_update(&progress, 5, "", 1.0);
    ck_assert_uint_eq(output.open_lines, 24 - 2 + 1);
}
END_TEST

START_TEST(work_of_unknown_or_no_size_is_no_division_by_zero)
{
    peft_progress progress;
    peft_progress_start(&progress, &output, "train", "steps", 0, 0, 0.0);
    peft_progress_finish(&progress, 0.0);
    check_written("peft: train 0%: 0/0 steps\n");
}
END_TEST

TEST_MAIN("progress", tcase_add_checked_fixture(tc, setup, teardown);
          tcase_add_test(tc, without_a_terminal_a_line_comes_every_ten_seconds_and_at_the_end);
          tcase_add_test(tc, the_last_line_is_written_once); tcase_add_test(tc, resumed_work_is_not_counted_as_speed);
          tcase_add_test(tc, quiet_shows_nothing);
          tcase_add_test(tc, a_bar_is_drawn_in_place_ten_times_a_second_at_most);
          tcase_add_test(tc, a_drawn_line_leaves_the_last_column_free);
          tcase_add_test(tc, colour_is_left_out_where_it_is_not_wanted);
          tcase_add_test(tc, each_part_has_a_line_above_the_bar_and_all_are_drawn_again);
          tcase_add_test(tc, parts_leave_room_on_the_terminal);
          tcase_add_test(tc, work_of_unknown_or_no_size_is_no_division_by_zero))
