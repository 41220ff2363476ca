/* Tests of peft/cli/program.c and of what is made from the tables: help, completion. */
#include "peft/cli/completion.h"
#include "peft/cli/program.h"
#include "tests/peft/sample_program.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

#include <string.h>

static char *results_text, *messages_text;
static size_t results_bytes, messages_bytes;
static FILE *results, *messages;

static void setup(void)
{
    results = open_memstream(&results_text, &results_bytes);
    messages = open_memstream(&messages_text, &messages_bytes);
}

static void teardown(void)
{
    fclose(results);
    fclose(messages);
    free(results_text);
    free(messages_text);
}

static int run_words(const char *const *words)
{
    int count = 0;
    while (words[count]) count++;
    teardown();
    setup();
    int code = peft_program_run(&sample_program, count, words, results, messages);
    fflush(results);
    fflush(messages);
    return code;
}

#define RUN(...) run_words((const char *const[]){"prog", __VA_ARGS__, NULL})

static void contains(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is missing in:\n%s", part, text);
}

START_TEST(a_verb_runs_and_its_status_becomes_the_exit_code)
{
    static const struct {
        peft_status status;
        int code;
    } cases[] = {{PEFT_OK, 0},          {PEFT_ERR_ARGUMENT, 2},    {PEFT_ERR_SHAPE, 3},  {PEFT_ERR_DTYPE, 3},
                 {PEFT_ERR_MEMORY, 4},  {PEFT_ERR_FILE, 3},        {PEFT_ERR_FORMAT, 3}, {PEFT_ERR_UNSUPPORTED, 1},
                 {PEFT_ERR_NUMERIC, 1}, {PEFT_ERR_CANCELLED, 130}, {PEFT_ERR_WRITE, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sample_result = cases[i].status;
        ck_assert_int_eq(RUN("fit", "--model=m"), cases[i].code);
        ck_assert_str_eq(results_text, "it ran\n");
        ck_assert_str_eq(messages_text, cases[i].code ? "peft: fit: it\\nfailed\n" : "");
    }
}
END_TEST

START_TEST(wrong_usage_is_one_line_and_code_2)
{
    ck_assert_int_eq(run_words((const char *const[]){"prog", NULL}), 2);
    ck_assert_str_eq(messages_text, "peft: a verb is missing; 'prog --help' lists them\n");
    ck_assert_int_eq(RUN("fitt"), 2);
    ck_assert_str_eq(messages_text, "peft: verb \"fitt\": unknown; did you mean \"fit\"? Known: fit\n");
    ck_assert_int_eq(RUN("--quiet", "fit"), 2);
    ck_assert_int_eq(RUN("fit"), 2);
    ck_assert_int_eq(RUN("--version", "fit"), 2);
    ck_assert_str_eq(results_text, "");
}
END_TEST

START_TEST(the_version_is_one_line_and_libraries_on_request)
{
    ck_assert_int_eq(RUN("--version"), 0);
    ck_assert_str_eq(results_text, "prog 1.2.3\n");
    ck_assert_int_eq(RUN("--version", "--verbose"), 0);
    ck_assert_str_eq(results_text, "prog 1.2.3\na library 1.0\n");
}
END_TEST

START_TEST(help_shows_example_usage_groups_limits_and_defaults)
{
    ck_assert_int_eq(RUN("fit", "--help"), 0);
    ck_assert_int_eq(
        strncmp(results_text, "Example:\n  prog fit --model m\n\nUsage: prog fit --model DIR [options] [FILE]\n", 70),
        0);
    contains(results_text, "\nOptions:\n  --model DIR               the base model\n");
    contains(results_text, "  --rank N                  rank of the update (from 1 to 64; default 8)\n");
    contains(results_text, "\nTraining:\n");
    contains(results_text, "(above 0; default 0.001)");
    contains(results_text, "(one of linear,\n                            cosine, constant; default linear)");
    contains(results_text, "  --[no-]shuffle ");
    contains(results_text, "\nCommon options:\n  --help ");
    ck_assert_ptr_null(strstr(results_text, "num-experts"));
    ck_assert_int_eq(RUN("fit", "--variant", "molora", "--help"), 0);
    contains(results_text, "\nOptions of --variant molora:\n  --num-experts N ");
    ck_assert_int_eq(RUN("--help"), 0);
    contains(results_text, "  fit              fit an adapter\n");
}
END_TEST

START_TEST(help_keeps_to_80_columns)
{
    ck_assert_int_eq(RUN("fit", "--help"), 0);
    for (char *line = strtok(results_text, "\n"); line; line = strtok(NULL, "\n"))
        ck_assert_msg(strlen(line) <= 80, "%zu columns: %s", strlen(line), line);
}
END_TEST

START_TEST(the_configuration_is_printed_instead_of_running)
{
    ck_assert_int_eq(RUN("fit", "--print-config", "--rank=3"), 0);
    json_t *settings = json_loads(results_text, 0, NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(settings, "rank")), 3);
    json_decref(settings);
}
END_TEST

/* Every shell's script knows the flags of the verb and of all extensions, once, and the words that are known. */
START_TEST(completion_scripts_know_flags_and_words)
{
    static const struct {
        peft_status (*write)(const peft_program *program, FILE *out, peft_error *error);
        const char *parts[5];
    } shells[] = {
        {peft_completion_bash,
         {"fit:--schedule) words='linear cosine constant' ;;", "words='lora molora lora2'", " --num-experts",
          " --no-shuffle", "fit:--model) return ;;"}},
        {peft_completion_zsh,
         {"'--schedule=[how the step size’s decay goes]:TEXT:(linear cosine constant)' \\\n", "(lora molora lora2)",
          "'--num-experts=[experts in each layer]:N:' \\\n", "'--no-shuffle[new order in each epoch]' \\\n",
          "'--learning-rate=[step size \\[at the peak\\]]"}},
        {peft_completion_fish,
         {"-l schedule -xa 'linear cosine constant' -d 'how the step size’s decay goes'\n", "-xa 'lora molora lora2'",
          "-l num-experts -x", "-l no-shuffle -d", "-l model -rF"}},
    };
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        teardown();
        setup();
        ck_assert_int_eq(shells[i].write(&sample_program, results, NULL), PEFT_OK);
        fflush(results);
        for (size_t j = 0; j < 5; j++) contains(results_text, shells[i].parts[j]);
    }
}
END_TEST

START_TEST(help_without_memory_is_code_4)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        int code = RUN("fit", "--help", "--variant=molora");
        failed = allocation_failed();
        ck_assert_int_eq(code, failed ? 4 : 0);
    }
}
END_TEST

TEST_MAIN("program", tcase_add_checked_fixture(tc, setup, teardown);
          tcase_add_test(tc, a_verb_runs_and_its_status_becomes_the_exit_code);
          tcase_add_test(tc, wrong_usage_is_one_line_and_code_2);
          tcase_add_test(tc, the_version_is_one_line_and_libraries_on_request);
          tcase_add_test(tc, help_shows_example_usage_groups_limits_and_defaults);
          tcase_add_test(tc, help_keeps_to_80_columns);
          tcase_add_test(tc, the_configuration_is_printed_instead_of_running);
          tcase_add_test(tc, completion_scripts_know_flags_and_words);
          tcase_add_test(tc, help_without_memory_is_code_4))
