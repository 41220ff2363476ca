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

static peft_status print(const peft_plan *plan, peft_output *output, peft_error *error)
{
    return output->json ? print_json(plan, output, error) : print_table(plan, output, error);
}

peft_status peft_plan_show(const peft_train_job *job, peft_output *output, peft_error *error)
{
    peft_plan plan;
    peft_status status = peft_train_plan(job, &plan, error);
    return status == PEFT_OK ? print(&plan, output, error) : status;
}

/* ---- the verb ---- */

typedef struct plan_options {
    peft_job_options job;
    int64_t sequences;
} plan_options;

static const peft_option table[] = {{.name = "sequences",
                                     .type = PEFT_OPTION_INT,
                                     .offset = offsetof(plan_options, sequences),
                                     .initial = "0",
                                     .min = 0,
                                     .max = 1e12,
                                     .placeholder = "N",
                                     .help = "without data: plan for so many examples of --max-length tokens; 0: one "
                                             "batch of them",
                                     .group = "Data"},
                                    {0}};

static peft_status show(const plan_options *o, const peft_train_job *job, peft_output *output, peft_error *error)
{
    const peft_data_options *data = &o->job.data;
    peft_plan plan;
    if (data->task || data->train || data->dev) {
        if (!o->sequences) return peft_plan_show(job, output, error);
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--sequences stands for data, and there are some");
    }
    peft_status status = peft_train_plan_full(job, o->sequences, &plan, error);
    return status == PEFT_OK ? print(&plan, output, error) : status;
}

static void note(void *argument, const char *text)
{
    peft_output_say(argument, PEFT_SAY_NOTE, "%s", text);
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    plan_options *options = arguments->values;
    peft_train_job job;
    json_t *settings = NULL;
    peft_status status = peft_job_fill(&job, &options->job, arguments, &settings, error);
    job.note = note;
    job.note_argument = output;
    if (status == PEFT_OK) status = show(options, &job, output, error);
    json_decref(settings);
    return status;
}

static const peft_command_part parts[] = {{peft_job_run_table, offsetof(plan_options, job)},
                                          {peft_data_option_table, offsetof(plan_options, job.data)},
                                          {peft_target_option_table, offsetof(plan_options, job.targets)},
                                          {peft_train_option_table, offsetof(plan_options, job.train)},
                                          {table, 0},
                                          {0}};

static const char *const required[] = {"model", NULL};

const peft_command peft_command_plan = {
    .name = "plan",
    .summary = "show the memory that a training run will take",
    .example = "peft plan --model minilm --task wn-entail --data data --variant lora --rank 8\n"
               "peft plan --model minilm --sequences 10000 --max-length 128 --variant full",
    .description =
        "Takes the options of `peft train`. Nothing is trained and nothing is written: the memory of the "
        "largest batch is known from the graph alone.\n"
        "Without data it plans for full batches: --batch-size sequences of --max-length tokens, two classes.",
    .parts = parts,
    .bytes = sizeof(plan_options),
    .required = required,
    .selector = "variant",
    .extension = peft_variant_extension,
    .run = run,
};
