/* Settings that --config reads are printed by --print-config, read again, and are then the same. The first part of the
 * input is the verb and the kind of file, "train yaml"; the second the file. */
#include <string.h>

#include "peft/cli/arguments.h"
#include "peft/cli/commands.h"
#include "tests/fuzz/fuzz.h"

static const peft_command *const commands[] = {
#define X(name) &peft_command_##name,
#include "peft/cli/commands.inc"
#undef X
    NULL};
static const peft_program program = {.name = "peft", .version = "0", .commands = commands};

static const peft_command *find_command(fuzz_bytes name)
{
    for (const peft_command *const *c = commands; *c; c++)
        if (strlen((*c)->name) == name.size && memcmp((*c)->name, name.data, name.size) == 0) return *c;
    return NULL;
}

static peft_status read_settings(const peft_command *command, const char *path, json_t **settings, peft_error *error)
{
    const char *const words[] = {"--config", path, "--print-config"};
    peft_arguments arguments;
    peft_status status = peft_arguments_parse(&arguments, &program, command, 3, words, error);
    *settings = status == PEFT_OK ? peft_arguments_to_json(&arguments) : NULL;
    peft_arguments_free(&arguments);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes parts[2];
    fuzz_split(data, size, parts, 2);
    const uint8_t *blank = parts[0].data ? memchr(parts[0].data, ' ', parts[0].size) : NULL;
    if (!blank || !parts[1].data) return 0;
    const peft_command *command = find_command((fuzz_bytes){parts[0].data, (size_t)(blank - parts[0].data)});
    if (!command) return 0;
    const bool json = parts[0].data[parts[0].size - 1] == 'n';

    json_t *settings, *again;
    peft_error error = {0};
    peft_status status = read_settings(command, fuzz_write(json ? "s.json" : "s.yaml", parts[1]), &settings, &error);
    FUZZ_CHECK((status == PEFT_OK) == (settings != NULL));
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return 0;
    fuzz_accepted++;
    char *text = json_dumps(settings, JSON_REAL_PRECISION(17));
    FUZZ_CHECK(text != NULL);
    status =
        read_settings(command, fuzz_write("again.json", (fuzz_bytes){(uint8_t *)text, strlen(text)}), &again, &error);
    if (status) fprintf(stderr, "%s\n", error.message);
    FUZZ_CHECK(status == PEFT_OK && json_equal(settings, again));
    free(text);
    json_decref(settings);
    json_decref(again);
    return 0;
}
