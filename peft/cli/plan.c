/* peft/cli/plan.c - `peft plan`: what a training run will take, before it runs. */
#include "peft/cli/commands.h"
#include "peft/cli/job.h"
#include "peft/cli/plan_table.h"
#include "peft/cli/table.h"

json_t *peft_plan_json(const peft_plan *plan)
{
    json_t *lines = json_array();
    for (int k = 0; k < plan->num_lines; k++)
        json_array_append_new(lines, json_pack("{s:s, s:s, s:I, s:b}", "name", plan->lines[k].name, "meaning",
                                               plan->lines[k].meaning, "bytes", (json_int_t)plan->lines[k].bytes,
                                               "mapped", plan->lines[k].mapped));
    return json_pack("{s:o, s:I, s:I, s:I, s:I}", "lines", lines, "total_bytes", (json_int_t)plan->total,
                     "trainable_parameters", (json_int_t)plan->trained, "steps", (json_int_t)plan->steps,
                     "largest_batch_tokens", (json_int_t)plan->largest_batch_tokens);
}

static peft_status print_json(const peft_plan *plan, peft_output *output, peft_error *error)
{
    json_t *document = peft_plan_json(plan);
    if (!document) return peft_fail(error, PEFT_ERR_MEMORY, "plan: out of memory");
    peft_status status = peft_output_json(output, document, error);
    json_decref(document);
    return status;
}

static peft_status print_table(const peft_plan *plan, peft_output *output, peft_error *error)
{
    static const char *const headings[] = {"memory", "MB", "what it is"};
    const double megabyte = 1e6;
    peft_text_table table;
    peft_text_table_init(&table, headings, 3);
    for (int k = 0; k < plan->num_lines; k++) {
        const peft_plan_line *line = &plan->lines[k];
        peft_text_table_cell(&table, "%s", line->name);
        peft_text_table_cell(&table, "%.2f", (double)line->bytes / megabyte);
        peft_text_table_cell(&table, "%s%s", line->meaning, line->mapped ? " (mapped file, not in the total)" : "");
    }
    peft_text_table_cell(&table, "total");
    peft_text_table_cell(&table, "%.2f", (double)plan->total / megabyte);
    peft_text_table_cell(&table, "peak of the process without mapped files");
    peft_status status = peft_text_table_print(&table, output->results, error);
    peft_text_table_free(&table);
    fprintf(output->results, "\n%lld trainable parameters; %lld steps; the largest batch has %lld tokens\n",
            (long long)plan->trained, (long long)plan->steps, (long long)plan->largest_batch_tokens);
    return status;
}

peft_status peft_plan_show(const peft_train_job *job, peft_output *output, peft_error *error)
{
    peft_plan plan;
    peft_status status = peft_train_plan(job, &plan, error);
    if (status != PEFT_OK) return status;
    return output->json ? print_json(&plan, output, error) : print_table(&plan, output, error);
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    peft_train_job job;
    json_t *settings = NULL;
    peft_status status = peft_job_fill(&job, arguments->values, arguments, &settings, error);
    if (status == PEFT_OK) status = peft_plan_show(&job, output, error);
    json_decref(settings);
    return status;
}

static const char *const required[] = {"model", NULL};

const peft_command peft_command_plan = {
    .name = "plan",
    .summary = "show the memory that a training run will take",
    .example = "peft plan --model minilm --task wn-entail --data data --variant lora --rank 8",
    .description = "Takes the options of `peft train`. Nothing is trained and nothing is written: the memory of the "
                   "largest batch is known from the graph alone.",
    .parts = peft_job_parts,
    .bytes = sizeof(peft_job_options),
    .required = required,
    .selector = "variant",
    .extension = peft_variant_extension,
    .run = run,
};
