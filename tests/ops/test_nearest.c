/* Tests of ops/nearest.c: which name is meant, and the message that lists them. */
#include "ops/nearest.h"

#include <string.h>

#include "tests/support/main.h"

static const char *const words[] = {"accuracy", "lora", "lora2", "all-linear", NULL, "target_modules", "rte"};
static const peft_names names = {words, sizeof words / sizeof words[0], sizeof words[0]};

static const struct {
    const char *given, *nearest;
} guesses[] = {
    {"lora", "lora"},                    /* nothing to change */
    {"loar", "lora"},                    /* neighbours swapped: one edit */
    {"lora3", "lora"},                   /* as near as lora2, and first */
    {"acuracy", "accuracy"},             /* a letter dropped */
    {"RTE", "rte"},                      /* case */
    {"target-moduls", "target_modules"}, /* hyphen for underscore */
    {"All_Linear", "all-linear"},
    {"quality", NULL},
    {"", NULL},
    {"a very long name that resembles nothing that stands in the table", NULL},
};

START_TEST(the_name_with_the_fewest_edits_is_meant)
{
    const char *found = peft_nearest(guesses[_i].given, &names);
    if (guesses[_i].nearest)
        ck_assert_str_eq(found, guesses[_i].nearest);
    else
        ck_assert_msg(!found, "%s: found %s", guesses[_i].given, found);
}
END_TEST

START_TEST(names_inside_of_structures_are_found)
{
    static const struct {
        int before;
        const char *name;
        double after;
    } table[] = {{1, "cola", 0}, {2, "sst2", 0}};
    const peft_names inside = {&table[0].name, 2, sizeof table[0]};
    ck_assert_uint_eq(peft_names_find(&inside, "sst2"), 1);
    ck_assert_uint_eq(peft_names_find(&inside, "SST2"), 2);
    ck_assert_str_eq(peft_names_at(&inside, 0), "cola");
    ck_assert_str_eq(peft_nearest("sst-2", &inside), "sst2");
}
END_TEST

START_TEST(an_empty_table_has_no_names)
{
    const peft_names none = {NULL, 0, sizeof(char *)};
    ck_assert_uint_eq(peft_names_find(&none, "lora"), 0);
    ck_assert_ptr_null(peft_nearest("lora", &none));
}
END_TEST

START_TEST(the_message_names_the_nearest_and_all)
{
    peft_error error;
    ck_assert_int_eq(peft_fail_unknown(&error, PEFT_ERR_ARGUMENT, "variant", "lora_2", &names), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message,
                     "variant \"lora_2\": unknown; did you mean \"lora2\"? Known: accuracy, lora, lora2, "
                     "all-linear, target_modules, rte");
    peft_fail_unknown(&error, PEFT_ERR_ARGUMENT, "variant", "quality", &names);
    ck_assert_ptr_nonnull(strstr(error.message, "variant \"quality\": unknown. Known: accuracy, lora"));
}
END_TEST

START_TEST(a_long_list_is_cut)
{
    enum { MANY = 500 };
    static const char *many[MANY];
    for (size_t i = 0; i < MANY; i++) many[i] = "some_name";
    const peft_names long_list = {many, MANY, sizeof many[0]};
    peft_error error;
    peft_fail_unknown(&error, PEFT_ERR_ARGUMENT, "name", "x", &long_list);
    ck_assert_uint_eq(strlen(error.message), PEFT_MESSAGE_BYTES - 1);
    ck_assert_str_eq(error.message + PEFT_MESSAGE_BYTES - 4, "...");
}
END_TEST

TEST_MAIN("nearest",
          tcase_add_loop_test(tc, the_name_with_the_fewest_edits_is_meant, 0, sizeof guesses / sizeof guesses[0]);
          tcase_add_test(tc, names_inside_of_structures_are_found); tcase_add_test(tc, an_empty_table_has_no_names);
          tcase_add_test(tc, the_message_names_the_nearest_and_all); tcase_add_test(tc, a_long_list_is_cut))
