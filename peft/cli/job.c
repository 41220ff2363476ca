#include "peft/cli/job.h"

#include <stdio.h>
#include <string.h>

const peft_option peft_job_run_table[] = {
    {.name = "model",
     .elsewhere = "model_name_or_path",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(peft_job_options, model),
     .placeholder = "DIR",
     .help = "folder of the base model: config.json, model.safetensors, tokenizer.json",
     .group = "Run"},
    {.name = "variant",
     .elsewhere = "peft_type",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(peft_job_options, variant),
     .initial = "lora",
     .placeholder = "NAME",
     .help = "method, one of `peft variants`; head: no adapter, only the head is trained; full: all weights are",
     .group = "Run"},
    {.name = "output",
     .elsewhere = "output_dir",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(peft_job_options, output),
     .placeholder = "DIR",
     .help = "folder of the run: adapter, run.json, log.jsonl, checkpoint",
     .group = "Run"},
    {.name = "force",
     .type = PEFT_OPTION_BOOL,
     .offset = offsetof(peft_job_options, force),
     .initial = "false",
     .help = "start anew where the folder holds something",
     .group = "Run"},
    {.name = "resume",
     .type = PEFT_OPTION_BOOL,
     .offset = offsetof(peft_job_options, resume),
     .initial = "false",
     .help = "go on from the folder's last checkpoint",
     .group = "Run"},
    {.name = "dry_run",
     .type = PEFT_OPTION_BOOL,
     .offset = offsetof(peft_job_options, dry_run),
     .initial = "false",
     .help = "show the plan of memory and stop",
     .group = "Run"},
    {0}};

const peft_command_part peft_job_parts[] = {{peft_job_run_table, 0},
                                            {peft_data_option_table, offsetof(peft_job_options, data)},
                                            {peft_target_option_table, offsetof(peft_job_options, targets)},
                                            {peft_train_option_table, offsetof(peft_job_options, train)},
                                            {0}};

const peft_yardstick peft_yardsticks[PEFT_NUM_YARDSTICKS] = {
    {"head", "to compare with: the head alone, on the frozen encoder", false},
    {"full", "to compare with: all weights of the model", true},
};

bool peft_variant_extension(size_t index, peft_command_extension *extension)
{
    static const peft_option none[] = {{0}};
    if (index < PEFT_NUM_YARDSTICKS) {
        *extension = (peft_command_extension){peft_yardsticks[index].name, none, sizeof(char)};
        return true;
    }
    const peft_variant *variant = peft_variant_at(index - PEFT_NUM_YARDSTICKS);
    if (!variant) return false;
    *extension = (peft_command_extension){variant->name, variant->options, variant->options_bytes};
    return true;
}

/* "lora:rank=4", as in lists of `peft compare`: here the settings are flags. */
static peft_status check_variant(const char *variant, peft_error *error)
{
    size_t name = strcspn(variant, ":");
    char flags[256] = "";
    for (const char *at = variant + name; *at == ':'; at += 1 + strcspn(at + 1, ":")) {
        int word = (int)strcspn(at + 1, ":="), value = (int)strcspn(at + 1 + word, ":");
        size_t used = strlen(flags);
        snprintf(flags + used, sizeof flags - used, " --%.*s%s%.*s", word, at + 1, value > 1 ? " " : "",
                 value > 1 ? value - 1 : 0, at + 1 + word + (value > 0));
    }
    if (!variant[name]) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "--variant %s: settings are flags here: --variant %.*s%s", variant,
                     (int)name, variant, flags);
}

peft_status peft_job_fill(peft_train_job *job, peft_job_options *options, const peft_arguments *arguments,
                          json_t **settings, peft_error *error)
{
    *settings = NULL;
    peft_status status = check_variant(options->variant, error);
    if (status != PEFT_OK) return status;
    *settings = peft_arguments_to_json(arguments);
    if (!*settings) return peft_fail(error, PEFT_ERR_MEMORY, "settings: out of memory");
    *job = (peft_train_job){.model = options->model,
                            .output = options->output,
                            .force = options->force,
                            .resume = options->resume,
                            .threads = arguments->shared.threads,
                            .train = &options->train,
                            .data = &options->data,
                            .targets = &options->targets,
                            .settings = *settings};
    for (size_t k = 0; k < PEFT_NUM_YARDSTICKS; k++) {
        if (strcmp(options->variant, peft_yardsticks[k].name) != 0) continue;
        job->all_weights = peft_yardsticks[k].all_weights;
        return PEFT_OK;
    }
    job->variant_options = peft_arguments_extension(arguments, options->variant);
    return peft_variant_get(options->variant, &job->variant, error);
}
