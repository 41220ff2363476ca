/* Tests of io/name_list.c. */
#include "io/name_list.h"

#include "tests/support/main.h"

START_TEST(names_stand_with_commas_between_them)
{
    peft_name_list list = {.room = sizeof list.text};
    ck_assert_str_eq(list.text, "");
    peft_name_list_add(&list, "a");
    ck_assert_str_eq(list.text, "a");
    peft_name_list_add(&list, "bc");
    peft_name_list_add(&list, "d");
    ck_assert_str_eq(list.text, "a, bc, d");
    ck_assert_uint_eq(list.count, 3);
}
END_TEST

START_TEST(no_name_is_cut_and_all_are_counted)
{
    peft_name_list list = {.room = sizeof "ab, cd"};
    peft_name_list_add(&list, "ab");
    peft_name_list_add(&list, "cde");
    ck_assert_str_eq(list.text, "ab");
    peft_name_list_add(&list, "cd");
    ck_assert_str_eq(list.text, "ab, cd");
    peft_name_list_add(&list, "");
    ck_assert_str_eq(list.text, "ab, cd");
    ck_assert_uint_eq(list.count, 4);
}
END_TEST

START_TEST(there_is_no_room_beyond_the_text)
{
    peft_name_list list = {.room = 2 * sizeof list.text};
    for (int k = 0; k < PEFT_MESSAGE_BYTES; k++) peft_name_list_add(&list, "name");
    ck_assert_uint_lt(strlen(list.text), sizeof list.text);
    ck_assert_uint_eq(list.count, PEFT_MESSAGE_BYTES);
}
END_TEST

TEST_MAIN("name_list", tcase_add_test(tc, names_stand_with_commas_between_them);
          tcase_add_test(tc, no_name_is_cut_and_all_are_counted); tcase_add_test(tc, there_is_no_room_beyond_the_text))
