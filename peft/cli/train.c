/* peft/cli/train.c - `peft train`. */
#include "peft/cli/commands.h"
#include "peft/cli/job.h"
#include "peft/cli/job_progress.h"
#include "peft/cli/plan_table.h"
#include "peft/cli/run_summary.h"

static peft_status print_summary(const json_t *summary, const peft_train_job *job, peft_output *output,
                                 peft_error *error)
{
    if (output->json) return peft_output_json(output, summary, error);
    peft_run_summary_print(summary, output->results);
    fprintf(output->results, "%s: %s\n", job->all_weights ? "model" : "adapter", job->output);
    return PEFT_OK;
}

static peft_status train(peft_train_job *job, peft_output *output, peft_error *error)
{
    peft_job_progress progress;
    peft_job_progress_attach(&progress, output, job);
    json_t *summary = NULL;
    peft_status status = peft_train(job, &summary, error);
    peft_job_progress_finish(&progress);
    if (status == PEFT_OK) status = print_summary(summary, job, output, error);
    json_decref(summary);
    return status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    peft_job_options *options = arguments->values;
    peft_train_job job;
    json_t *settings = NULL;
    if (!options->output && !options->dry_run)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--output DIR is missing: where should the run go?");
    peft_status status = peft_job_fill(&job, options, arguments, &settings, error);
    if (status == PEFT_OK) status = options->dry_run ? peft_plan_show(&job, output, error) : train(&job, output, error);
    json_decref(settings);
    return status;
}

static const char *const required[] = {"model", NULL};

const peft_command peft_command_train = {
    .name = "train",
    .summary = "fine-tune a model with an adapter",
    .example = "peft train --model minilm --task wn-entail --data data --rank 8 --output runs/entail\n"
               "peft train --model minilm --train my.csv --dev my-dev.csv --output runs/mine",
    .description =
        "Trains an adapter and the head on a task's train split and reports its dev split.\n"
        "The output folder holds the adapter in Hugging Face PEFT's files (with --variant full a whole "
        "model), run.json, log.jsonl and a checkpoint; Ctrl-C saves one and stops, --resume goes on to the same bits.",
    .parts = peft_job_parts,
    .bytes = sizeof(peft_job_options),
    .required = required,
    .selector = "variant",
    .extension = peft_variant_extension,
    .run = run,
};
