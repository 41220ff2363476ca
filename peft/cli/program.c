#include "peft/cli/program.h"

#include "ops/nearest.h"
#include "peft/cli/arguments.h"
#include "peft/cli/help.h"
#include "peft/cli/signals.h"

#include <signal.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, WRONG_USAGE = 2, BAD_INPUT = 3, NO_MEMORY = 4 };

const peft_exit_meaning peft_exit_meanings[] = {{DONE, "done"},
                                                {FAILED, "failed, or a check that was asked for did not hold"},
                                                {WRONG_USAGE, "wrong usage"},
                                                {BAD_INPUT, "bad input file"},
                                                {NO_MEMORY, "out of memory"},
                                                {128 + SIGHUP, "stopped by the end of the connection (SIGHUP)"},
                                                {128 + SIGINT, "stopped by Ctrl-C (SIGINT)"},
                                                {128 + SIGTERM, "stopped by SIGTERM"},
                                                {0, NULL}};

int peft_exit_code(peft_status status)
{
    static const int codes[] = {
        [PEFT_OK] = DONE,
        [PEFT_ERR_ARGUMENT] = WRONG_USAGE,
        [PEFT_ERR_SHAPE] = BAD_INPUT,
        [PEFT_ERR_DTYPE] = BAD_INPUT,
        [PEFT_ERR_MEMORY] = NO_MEMORY,
        [PEFT_ERR_FILE] = BAD_INPUT,
        [PEFT_ERR_FORMAT] = BAD_INPUT,
        [PEFT_ERR_UNSUPPORTED] = FAILED,
        [PEFT_ERR_NUMERIC] = FAILED,
        [PEFT_ERR_WRITE] = FAILED,
    };
    return status == PEFT_ERR_CANCELLED ? peft_interrupted_exit_code() : codes[status];
}

/* Names of the verbs, one behind the other, as peft_nearest wants them. */
enum { MAX_VERBS = 64 };

static size_t list_verbs(const peft_program *program, const char *names[MAX_VERBS])
{
    size_t count = 0;
    for (; program->commands[count] && count < MAX_VERBS; count++) names[count] = program->commands[count]->name;
    return count;
}

peft_status peft_program_find(const peft_program *program, const char *name, const peft_command **command,
                              peft_error *error)
{
    const char *names[MAX_VERBS];
    for (const peft_command *const *at = program->commands; *at; at++) {
        *command = *at;
        if (strcmp((*at)->name, name) == 0) return PEFT_OK;
    }
    *command = NULL;
    peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "verb", name,
                      &(peft_names){names, list_verbs(program, names), sizeof *names});
    return PEFT_ERR_ARGUMENT;
}

static peft_status print_config(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    json_t *settings = peft_arguments_to_json(arguments);
    if (!settings) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    peft_status status = peft_output_json(output, settings, error);
    json_decref(settings);
    return status;
}

static peft_status run_parsed(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const peft_shared_options *shared = &arguments->shared;
    output->json = shared->json;
    output->quiet = shared->quiet;
    output->verbose = shared->verbose;
    if (shared->help) return peft_help_command(arguments, output->results, peft_output_columns(output), error);
    if (shared->print_config) return print_config(arguments, output, error);
    return arguments->command->run(arguments, output, error);
}

static peft_status run_command(const peft_program *program, const peft_command *command, int argc,
                               const char *const *argv, peft_output *output, peft_error *error)
{
    peft_arguments arguments;
    peft_status status = peft_arguments_parse(&arguments, program, command, argc, argv, error);
    if (status == PEFT_OK) status = run_parsed(&arguments, output, error);
    peft_arguments_free(&arguments);
    return status == PEFT_OK ? status : peft_fail_in(error, status, command->name);
}

static peft_status print_version(const peft_program *program, int argc, const char *const *argv, FILE *out,
                                 peft_error *error)
{
    bool verbose = argc > 0 && strcmp(argv[0], "--verbose") == 0;
    if (argc > verbose) return peft_fail(error, PEFT_ERR_ARGUMENT, "--version: unexpected word \"%s\"", argv[verbose]);
    fprintf(out, "%s %s\n", program->name, program->version);
    if (verbose) program->report_versions(out);
    return PEFT_OK;
}

static peft_status run_words(const peft_program *program, int argc, const char *const *argv, peft_output *output,
                             peft_error *error)
{
    const peft_command *command;
    const char *word = argc > 0 ? argv[0] : "";
    if (!*word) return peft_fail(error, PEFT_ERR_ARGUMENT, "a verb is missing; '%s --help' lists them", program->name);
    if (strcmp(word, "--version") == 0) return print_version(program, argc - 1, argv + 1, output->results, error);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        peft_help_program(program, output->results, peft_output_columns(output));
        return PEFT_OK;
    }
    if (word[0] == '-')
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: options follow the verb: %s VERB [options]", word,
                         program->name);
    peft_status status = peft_program_find(program, word, &command, error);
    return status == PEFT_OK ? run_command(program, command, argc - 1, argv + 1, output, error) : status;
}

/* A result that did not reach its reader is a failure like any other, not a bad input file. */
static int finish(peft_output *output)
{
    peft_error error = {0};
    if (peft_output_finish(output, &error) == PEFT_OK) return DONE;
    peft_output_say(output, PEFT_SAY_ERROR, "%s", error.message);
    return FAILED;
}

int peft_program_run(const peft_program *program, int argc, const char *const *argv, FILE *results, FILE *messages)
{
    peft_error error = {0};
    peft_output output;
    peft_output_init(&output, results, messages);
    peft_status status = run_words(program, argc - 1, argv + 1, &output, &error);
    if (status != PEFT_OK) peft_output_say(&output, PEFT_SAY_ERROR, "%s", error.message);
    int unwritten = finish(&output);
    if (status != PEFT_OK) return peft_exit_code(status);
    return output.failed ? FAILED : unwritten;
}
