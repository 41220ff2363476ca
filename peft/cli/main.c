/* peft/cli/main.c - the program `peft`. Its verbs come from the list in meson.build, in the order of `peft --help`. */
#include "peft/cli/commands.h"
#include "peft/cli/program.h"
#include "peft/cli/signals.h"
#include "peft/cli/version.h"

static const peft_command *const commands[] = {
#define X(name) &peft_command_##name,
#include "peft/cli/commands.inc"
#undef X
    NULL};

static const peft_program program = {
    .name = "peft",
    .version = PEFT_VERSION,
    .description = "Fine-tunes frozen transformers with small adapters of the LoRA family, compares the variants and "
                   "reads and writes the adapter files of Hugging Face PEFT.",
    .commands = commands,
    .report_versions = peft_version_report,
};

int main(int argc, char **argv)
{
    peft_output_open_streams();
    peft_signals_watch();
    return peft_program_run(&program, argc, (const char *const *)argv, stdout, stderr);
}
