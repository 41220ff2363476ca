/* Tests of ops/status.c: a message is one line, whatever names and texts it quotes, and fits into its memory. */
#include "ops/status.h"

#include <string.h>

#include "tests/support/main.h"

static const struct {
    const char *quoted, *message;
} quotes[] = {
    {"neg", "label \"neg\""},
    {"a\nb\r\nc\td", "label \"a\\nb\\r\\nc\\td\""},
    {"\x1b[31mred\x7f", "label \"\\x1b[31mred\\x7f\""},
    {"\xC2\x85\xC2\x9B\xC2\xA0", "label \"\\u0085\\u009b\xC2\xA0\""},
    {"\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xA6", "label \"\\u2028\\u2029\xE2\x80\xA6\""},
    {"\xC3\xA9 \xC2", "label \"\xC3\xA9 \xC2\""},
};

START_TEST(a_message_is_one_line)
{
    peft_error error = {0};
    ck_assert_int_eq(peft_fail(&error, PEFT_ERR_FORMAT, "label \"%s\"", quotes[_i].quoted), PEFT_ERR_FORMAT);
    ck_assert_str_eq(error.message, quotes[_i].message);
    peft_fail_in(&error, PEFT_ERR_FORMAT, "a.csv");
    ck_assert_str_eq(error.message + strlen("a.csv: "), quotes[_i].message);
}
END_TEST

START_TEST(a_long_message_is_cut)
{
    static char lines[PEFT_MESSAGE_BYTES + 10];
    for (size_t length = PEFT_MESSAGE_BYTES / 2 - 3; length < PEFT_MESSAGE_BYTES + 2; length++) {
        peft_error error;
        memset(&error, 'x', sizeof error);
        memset(lines, '\n', sizeof lines);
        lines[length] = '\0';
        peft_fail(&error, PEFT_ERR_FORMAT, "%s", lines);
        size_t expected = 2 * length < PEFT_MESSAGE_BYTES ? 2 * length : PEFT_MESSAGE_BYTES - 1;
        ck_assert_uint_eq(strlen(error.message), expected);
        ck_assert_int_eq(strcmp(error.message + expected - 3, "...") == 0, 2 * length >= PEFT_MESSAGE_BYTES);
    }
}
END_TEST

TEST_MAIN("status", tcase_add_loop_test(tc, a_message_is_one_line, 0, sizeof quotes / sizeof quotes[0]);
          tcase_add_test(tc, a_long_message_is_cut))
