/* Tests of peft/cli/arguments.c: what each spelling sets, who goes before whom, and what is refused with which words.
 */
#include "peft/cli/arguments.h"
#include "tests/peft/sample_program.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_WORDS = 16 };

static peft_arguments arguments;
static peft_error error;
static char config_path[64];

static void setup(void)
{
    memset(&error, 0, sizeof error);
    memset(&arguments, 0, sizeof arguments);
    snprintf(config_path, sizeof config_path, "/tmp/peft-test-%ld.yaml", (long)getpid());
}

static void teardown(void)
{
    peft_arguments_free(&arguments);
    unlink(config_path);
}

static peft_status parse_words(const peft_command *command, const char *const *words)
{
    int count = 0;
    while (words[count]) count++;
    peft_arguments_free(&arguments);
    return peft_arguments_parse(&arguments, &sample_program, command, count, words, &error);
}

#define PARSE(...) parse_words(&sample_fit, (const char *const[]){__VA_ARGS__, NULL})

#define REFUSED(message_, ...)                                                                                         \
    do {                                                                                                               \
        ck_assert_int_eq(PARSE(__VA_ARGS__), PEFT_ERR_ARGUMENT);                                                       \
        ck_assert_str_eq(error.message, message_);                                                                     \
    } while (0)

static const sample_values *values(void)
{
    return arguments.values;
}

static char *write_config(const char *text)
{
    FILE *file = fopen(config_path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return config_path;
}

START_TEST(every_spelling_of_a_flag_is_read)
{
    ck_assert_int_eq(PARSE("--model", "m", "--rank=16", "--learning-rate", "1e-4", "--schedule=cosine", "--no-shuffle",
                           "--json", "--seeds", "0,1"),
                     PEFT_OK);
    ck_assert_str_eq(values()->model, "m");
    ck_assert_int_eq(values()->rank, 16);
    ck_assert_double_eq(values()->training.learning_rate, 1e-4);
    ck_assert_str_eq(values()->training.schedule, "cosine");
    ck_assert(!values()->training.shuffle);
    ck_assert(arguments.shared.json);
    ck_assert_uint_eq(json_array_size(values()->seeds), 2);
}
END_TEST

START_TEST(flags_of_booleans_take_a_value_behind_an_equals_sign_only)
{
    ck_assert_int_eq(PARSE("--model=m", "--shuffle=false", "--json", "file"), PEFT_OK);
    ck_assert(!values()->training.shuffle);
    ck_assert(arguments.shared.json);
    ck_assert_uint_eq(arguments.num_operands, 1);
}
END_TEST

START_TEST(the_last_of_equal_flags_wins)
{
    ck_assert_int_eq(PARSE("--model=m", "--rank", "1", "--rank", "2"), PEFT_OK);
    ck_assert_int_eq(values()->rank, 2);
}
END_TEST

START_TEST(values_may_begin_with_a_dash_and_be_empty)
{
    REFUSED("--rank: expected an integer from 1 to 64, found \"-1\"", "--model=m", "--rank", "-1");
    ck_assert_int_eq(PARSE("--model", ""), PEFT_OK);
    ck_assert_str_eq(values()->model, "");
    ck_assert_int_eq(PARSE("--model=--odd=name"), PEFT_OK);
    ck_assert_str_eq(values()->model, "--odd=name");
}
END_TEST

START_TEST(words_behind_two_dashes_are_operands)
{
    ck_assert_int_eq(PARSE("--model=m", "--", "--rank"), PEFT_OK);
    ck_assert_uint_eq(arguments.num_operands, 1);
    ck_assert_str_eq(arguments.operands[0], "--rank");
    ck_assert_int_eq(PARSE("-", "--model=m"), PEFT_OK);
    ck_assert_str_eq(arguments.operands[0], "-");
}
END_TEST

START_TEST(wrong_words_are_refused)
{
    REFUSED("--rnak: there is no such setting; did you mean --rank?", "--model=m", "--rnak", "3");
    REFUSED("--zzzzzzzzzzz: there is no such setting", "--model=m", "--zzzzzzzzzzz");
    REFUSED("--no-rank: there is no such setting; did you mean --rank?", "--model=m", "--no-rank");
    REFUSED("-r: options are written with two dashes", "--model=m", "-r", "3");
    REFUSED("--model: expected DIR behind it", "--model");
    REFUSED("--model: expected DIR, found --rank; if it is the value, write --model=--rank", "--model", "--rank", "3");
    REFUSED("--model DIR is missing; see 'prog fit --help'", "--rank", "3");
    REFUSED("unexpected word \"b\"; see 'prog fit --help'", "--model=m", "a", "b");
    REFUSED("--shuffle: expected true or false, found \"maybe\"", "--model=m", "--shuffle=maybe");
    REFUSED("--confg: there is no such setting; did you mean --config?", "--model=m", "--confg");
}
END_TEST

START_TEST(operands_are_counted_and_chosen)
{
    const peft_command pick = {.name = "pick",
                               .operands = "a|b",
                               .min_operands = 1,
                               .max_operands = 2,
                               .operand_choices = (const char *const[]){"alpha", "beta", NULL}};
    ck_assert_int_eq(parse_words(&pick, (const char *const[]){"beta", "alpha", NULL}), PEFT_OK);
    ck_assert_int_eq(parse_words(&pick, (const char *const[]){NULL}), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "a|b is missing; see 'prog pick --help'");
    ck_assert_int_eq(parse_words(&pick, (const char *const[]){"beta", "bta", NULL}), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "a|b \"bta\": unknown; did you mean \"beta\"? Known: alpha, beta");
}
END_TEST

START_TEST(flags_go_before_the_file_and_the_file_before_defaults)
{
    char *path = write_config("model: from file\nrank: 3\nlearning_rate: 1e-2\nquiet: true\n");
    ck_assert_int_eq(PARSE("--rank", "5", "--config", path), PEFT_OK);
    ck_assert_str_eq(values()->model, "from file");
    ck_assert_int_eq(values()->rank, 5);
    ck_assert_double_eq(values()->training.learning_rate, 1e-2);
    ck_assert_str_eq(values()->training.schedule, "linear");
    ck_assert(arguments.shared.quiet);
}
END_TEST

START_TEST(a_wrong_file_is_refused)
{
    static const char *const cases[][2] = {
        {"rnak: 3", "rnak: there is no such setting; did you mean rank?"},
        {"rank: 3.5", "rank: expected an integer from 1 to 64, found 3.5"},
        {"rank: 65", "rank: expected an integer from 1 to 64, found 65"},
        {"schedule: linaer",
         "schedule: expected one of linear, cosine, constant, found \"linaer\"; did you mean \"linear\"?"},
        {"config: other.yaml", "config: there is no such setting"},
        {"num_experts: 2", "num_experts: there is no such setting"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "%s: %s", config_path, cases[i][1]);
        REFUSED(expected, "--model=m", "--config", write_config(cases[i][0]));
    }
    ck_assert_int_eq(PARSE("--model=m", "--config", write_config("[1, 2]")), PEFT_ERR_FORMAT);
    ck_assert_int_eq(PARSE("--model=m", "--config", write_config("rank: [")), PEFT_ERR_FORMAT);
    ck_assert_int_eq(PARSE("--model=m", "--config", "/nowhere/at/all.yaml"), PEFT_ERR_FILE);
    ck_assert_int_eq(PARSE("--model=m", "--config", "/nowhere/at/all.json"), PEFT_ERR_FILE);
}
END_TEST

START_TEST(a_chosen_extension_brings_its_settings)
{
    ck_assert_int_eq(PARSE("--num-experts", "2", "--model=m", "--variant", "molora"), PEFT_OK);
    const sample_molora *molora = peft_arguments_extension(&arguments, "molora");
    ck_assert_ptr_nonnull(molora);
    ck_assert_int_eq(molora->num_experts, 2);
    ck_assert_uint_eq(arguments.num_operands, 0);
    ck_assert_ptr_null(peft_arguments_extension(&arguments, "lora2"));

    char *path = write_config("variant: molora\nnum_experts: 7\n");
    ck_assert_int_eq(PARSE("--model=m", "--config", path), PEFT_OK);
    molora = peft_arguments_extension(&arguments, "molora");
    ck_assert_int_eq(molora->num_experts, 7);
    ck_assert_int_eq(PARSE("--model=m", "--config", path, "--variant=lora"), PEFT_ERR_ARGUMENT);
}
END_TEST

START_TEST(a_setting_of_another_extension_is_named_as_such)
{
    REFUSED("--num-experts: only with variant molora", "--model=m", "--num-experts", "2");
    REFUSED("variant \"molra\": unknown; did you mean \"molora\"? Known: lora, molora, lora2", "--model=m",
            "--variant=molra");
}
END_TEST

START_TEST(a_setting_that_verb_and_extension_share_reaches_both)
{
    ck_assert_int_eq(PARSE("--model=m", "--variant=lora2", "--rank=9"), PEFT_OK);
    const int64_t *lora2 = peft_arguments_extension(&arguments, "lora2"); /* target_rank, rank */
    ck_assert_int_eq(values()->rank, 9);
    ck_assert_int_eq(lora2[1], 9);
}
END_TEST

START_TEST(help_demands_nothing_and_reads_no_file)
{
    ck_assert_int_eq(PARSE("--help"), PEFT_OK);
    ck_assert(arguments.shared.help);
    ck_assert_int_eq(PARSE("--config", "/nowhere.yaml", "--no-such-flag", "-h"), PEFT_OK);
    ck_assert(arguments.shared.help);
}
END_TEST

START_TEST(the_printed_configuration_reads_back_as_itself)
{
    ck_assert_int_eq(PARSE("--print-config", "--variant=molora", "--num-experts=3", "--rank=5", "--seeds=1,2"),
                     PEFT_OK);
    json_t *printed = peft_arguments_to_json(&arguments);
    char *text = json_dumps(printed, 0);
    ck_assert_int_eq(PARSE("--print-config", "--config", write_config(text)), PEFT_OK);
    json_t *again = peft_arguments_to_json(&arguments);
    ck_assert(json_equal(printed, again));
    ck_assert_int_eq(json_integer_value(json_object_get(again, "num_experts")), 3);
    ck_assert_ptr_null(json_object_get(again, "help"));
    free(text);
    json_decref(printed);
    json_decref(again);
}
END_TEST

START_TEST(running_out_of_memory_is_reported_and_leaks_nothing)
{
    char *path = write_config("variant: molora\nnum_experts: 7\n");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = PARSE("--model", "m", "--seeds", "0,x", "--config", path);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
    }
}
END_TEST

TEST_MAIN("arguments", tcase_add_checked_fixture(tc, setup, teardown);
          tcase_add_test(tc, every_spelling_of_a_flag_is_read);
          tcase_add_test(tc, flags_of_booleans_take_a_value_behind_an_equals_sign_only);
          tcase_add_test(tc, the_last_of_equal_flags_wins);
          tcase_add_test(tc, values_may_begin_with_a_dash_and_be_empty);
          tcase_add_test(tc, words_behind_two_dashes_are_operands); tcase_add_test(tc, wrong_words_are_refused);
          tcase_add_test(tc, operands_are_counted_and_chosen);
          tcase_add_test(tc, flags_go_before_the_file_and_the_file_before_defaults);
          tcase_add_test(tc, a_wrong_file_is_refused); tcase_add_test(tc, a_chosen_extension_brings_its_settings);
          tcase_add_test(tc, a_setting_of_another_extension_is_named_as_such);
          tcase_add_test(tc, a_setting_that_verb_and_extension_share_reaches_both);
          tcase_add_test(tc, help_demands_nothing_and_reads_no_file);
          tcase_add_test(tc, the_printed_configuration_reads_back_as_itself);
          tcase_add_test(tc, running_out_of_memory_is_reported_and_leaks_nothing))
