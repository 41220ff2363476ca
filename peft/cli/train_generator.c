/* peft/cli/train_generator.c - `peft train-generator`. */
#include "peft/generator_train.h"
#include "peft/generator_tune.h"

#include <stdlib.h>
#include <string.h>

#include "peft/cli/commands.h"
#include "peft/cli/descriptions.h"
#include "peft/cli/document.h"
#include "peft/output_folder.h"

typedef struct train_generator_options {
    char *library, *encoder, *vectors, *output, *loss;
    char *from, *model, *task, *data; /* end to end */
    int64_t max_train, length;
    double regulariser, answer_scale;
    bool force, resume, dry_run, canonical;
    peft_t2l_options network;
    peft_train_options train;
    peft_inference_options inference;
} train_generator_options;

#define AT(field)    .offset = offsetof(train_generator_options, field)
#define TRAIN(name_) .name = #name_, .offset = offsetof(peft_train_options, name_), .group = "Training"

static const peft_option table[] = {
    {.name = "library",
     .type = PEFT_OPTION_STRING,
     AT(library),
     .placeholder = "DIR",
     .help = "folder with library.json, which lists tasks with their descriptions and adapters"},
    {.name = "encoder",
     .type = PEFT_OPTION_STRING,
     AT(encoder),
     .placeholder = "DIR",
     .help = "sentence encoder of the descriptions"},
    {.name = "vectors",
     .type = PEFT_OPTION_STRING,
     AT(vectors),
     .placeholder = "FILE",
     .help = "their vectors in place of an encoder, in the order of library.json"},
    {.name = "output", .type = PEFT_OPTION_STRING, AT(output), .placeholder = "DIR", .help = "folder of the generator"},
    {.name = "force",
     .type = PEFT_OPTION_BOOL,
     AT(force),
     .initial = "false",
     .help = "start anew in a folder that holds something"},
    {.name = "resume",
     .type = PEFT_OPTION_BOOL,
     AT(resume),
     .initial = "false",
     .help = "go on from the checkpoint in the folder"},
    {.name = "dry_run",
     .type = PEFT_OPTION_BOOL,
     AT(dry_run),
     .initial = "false",
     .help = "say what memory it will take, and stop"},
    {.name = "loss",
     .type = PEFT_OPTION_STRING,
     AT(loss),
     .initial = "factors",
     .choices = peft_t2l_loss_names,
     .placeholder = "NAME",
     .help = "how far from the library's adapters: their tensors, or products B A of LoRAs"},
    {.name = "canonical",
     .type = PEFT_OPTION_BOOL,
     AT(canonical),
     .initial = "false",
     .help = "bring LoRAs of the library into one form first, in which factors of like updates are alike"},
    {0}};

#define END(name_) .name = #name_, .offset = offsetof(train_generator_options, name_), .group = "End to end"

static const peft_option end_table[] = {
    {END(from), .type = PEFT_OPTION_STRING, .placeholder = "DIR",
     .help = "generator to go on with, by what its adapters do on tasks, in place of --library"},
    {END(model), .type = PEFT_OPTION_STRING, .placeholder = "DIR", .help = "folder of its base model"},
    {END(task), .type = PEFT_OPTION_STRING, .placeholder = "FILE", .help = "tasks with descriptions (docs/tasks.md)"},
    {END(data), .type = PEFT_OPTION_STRING, .placeholder = "DIR", .help = "folder of the data of known tasks"},
    {END(max_train), .type = PEFT_OPTION_INT, .initial = "0", .max = 1e9, .placeholder = "N",
     .help = "examples of each task, drawn with the seed; 0: all"},
    {.name = "train_length",
     .offset = offsetof(train_generator_options, length),
     .type = PEFT_OPTION_INT,
     .initial = "128",
     .min = 1,
     .max = 1 << 20,
     .placeholder = "N",
     .help = "tokens that examples are cut to",
     .group = "End to end"},
    {END(answer_scale), .type = PEFT_OPTION_FLOAT, .initial = "20", .min = DBL_MIN, .max = 1e4, .placeholder = "X",
     .help = "a logit is so many times a cosine"},
    {END(regulariser), .type = PEFT_OPTION_FLOAT, .initial = "1e-3", .max = 1e6, .placeholder = "X",
     .help = "weight of the mean squares of what is emitted"},
    {0}};

static const char *const schedules[] = {"linear", "cosine", "constant", NULL};

static const peft_option train_table[] = {
    {TRAIN(steps), .type = PEFT_OPTION_INT, .initial = "0", .max = 1e12, .placeholder = "N",
     .help = "optimiser steps; 0: as many as the epochs take"},
    {TRAIN(epochs), .type = PEFT_OPTION_FLOAT, .initial = "1000", .min = DBL_MIN, .max = 1e9, .placeholder = "X",
     .help = "passes over the descriptions"},
    {TRAIN(batch_size), .type = PEFT_OPTION_INT, .initial = "4", .min = 1, .max = 65536, .placeholder = "N",
     .help = "descriptions in a step"},
    {TRAIN(learning_rate), .type = PEFT_OPTION_FLOAT, .initial = "1e-3", .min = DBL_MIN, .max = 1e3, .placeholder = "X",
     .help = "learning rate after the warm-up"},
    {TRAIN(schedule), .type = PEFT_OPTION_STRING, .initial = "linear", .choices = schedules, .placeholder = "NAME",
     .help = "how the rate goes on after the warm-up"},
    {TRAIN(warmup), .type = PEFT_OPTION_FLOAT, .initial = "0.1", .max = 1e12, .placeholder = "X",
     .help = "below 1: share of the steps in which the rate rises; else steps"},
    {TRAIN(weight_decay), .type = PEFT_OPTION_FLOAT, .initial = "1e-3", .max = 1e3, .placeholder = "X",
     .help = "decay of the network's values"},
    {TRAIN(max_grad_norm), .type = PEFT_OPTION_FLOAT, .initial = "1", .max = 1e12, .placeholder = "X",
     .help = "norm that gradients are clipped to; 0: not"},
    {TRAIN(label_smoothing), .type = PEFT_OPTION_FLOAT, .initial = "0.1", .max = 1, .placeholder = "X",
     .help = "end to end: share of the target that is spread over all answers"},
    {TRAIN(checkpoint_every), .type = PEFT_OPTION_INT, .initial = "1000", .max = 1e12, .placeholder = "N",
     .help = "steps between checkpoints; 0: one at the end"},
    {TRAIN(seed), .type = PEFT_OPTION_INT, .initial = "0", .max = 9007199254740991.0, .placeholder = "N",
     .help = "of start values, order and dropout"},
    {0}};

/* ---- the vectors ---- */

/* Descriptions as a dataset, one a line: blanks within them are one blank to every encoder. */
static peft_status open_texts(const char *const *descriptions, int64_t count, peft_dataset **texts, peft_error *error)
{
    size_t bytes = 0;
    for (int64_t d = 0; d < count; d++) bytes += strlen(descriptions[d]) + 1;
    char *lines = malloc(bytes + 1), *at = lines;
    if (!lines) return peft_fail(error, PEFT_ERR_MEMORY, "descriptions: out of memory");
    for (int64_t d = 0; d < count; d++) {
        for (const char *c = descriptions[d]; *c; c++) *at++ = *c == '\n' || *c == '\r' ? ' ' : *c;
        *at++ = '\n';
    }
    peft_table rows;
    peft_status status = peft_table_from_lines(lines, bytes, "descriptions", false, &rows, error);
    if (status == PEFT_OK) status = peft_dataset_from_table(&rows, texts, error);
    free(lines);
    return status;
}

/* A call of the verb. */
typedef struct call {
    train_generator_options *options;
    const peft_arguments *arguments;
    peft_output *output;
    peft_vectors vectors;
} call;

static peft_status encode(call *c, const char *const *descriptions, int64_t count, peft_error *error)
{
    peft_dataset *texts = NULL;
    peft_inference_options options = c->options->inference;
    options.model = c->options->encoder;
    peft_status status = open_texts(descriptions, count, &texts, error);
    if (status == PEFT_OK) status = peft_descriptions_prepare(texts, error);
    if (status == PEFT_OK)
        status = peft_descriptions_encode(texts, &options, c->arguments, c->output, &c->vectors, error);
    peft_dataset_free(texts);
    return status;
}

static peft_status find_vectors(call *c, const char *const *descriptions, int64_t count, peft_error *error)
{
    const char *file = c->options->vectors;
    if (!file) return encode(c, descriptions, count, error);
    peft_status status = peft_vectors_load(file, &c->vectors, error);
    if (status != PEFT_OK || c->vectors.count == count) return status;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected %lld vectors, one for each description, found %lld", file,
                     (long long)count, (long long)c->vectors.count);
}

/* ---- the run ---- */

static peft_status plan(const peft_generator_job *job, peft_output *output, peft_error *error)
{
    size_t total, batch;
    int64_t parameters = 0;
    peft_status status = peft_generator_plan(job, &total, &batch, &parameters, error);
    if (status != PEFT_OK) return status;
    if (output->json) {
        json_t *document = json_pack("{s:I, s:I, s:I}", "parameters", (json_int_t)parameters, "batch_bytes",
                                     (json_int_t)batch, "total_bytes", (json_int_t)total);
        status = peft_output_json(output, document, error);
        json_decref(document);
        return status;
    }
    fprintf(output->results, "parameters %lld\nbatch      %.1f MB\ntotal      %.1f MB\n", (long long)parameters,
            (double)batch / 1e6, (double)total / 1e6);
    return PEFT_OK;
}

static peft_status print(const json_t *summary, const char *folder, peft_output *output, peft_error *error)
{
    if (output->json) return peft_output_json(output, summary, error);
    fprintf(output->results, "tasks      %lld, %lld descriptions\nparameters %lld\nloss       %.6g\n",
            peft_document_integer(summary, "tasks"), peft_document_integer(summary, "descriptions"),
            peft_document_integer(summary, "parameters"), peft_document_number(summary, "loss"));
    if (json_object_get(summary, "mean_cosine"))
        fprintf(output->results, "cosine     %.4f of the updates with those of the library, %.4f at least\n",
                peft_document_number(summary, "mean_cosine"), peft_document_number(summary, "smallest_cosine"));
    fprintf(output->results, "generator: %s\n", folder);
    return PEFT_OK;
}

static peft_status check(const train_generator_options *o, peft_error *error)
{
    if (!o->output && !o->dry_run)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--output DIR is missing: where should the generator go?");
    if (!o->encoder == !o->vectors)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "expected either --encoder DIR or --vectors FILE, found %s",
                         o->encoder ? "both" : "neither");
    if (!o->library == !o->from)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "expected either --library DIR or --from DIR, found %s",
                         o->library ? "both" : "neither");
    if (o->from && (!o->model || !o->task))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--from: end to end takes --model DIR and --task FILE, too");
    if (o->library && (o->model || o->task))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--library: --model and --task go with --from DIR");
    if (o->from && o->dry_run)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "--dry-run: is offered for --library alone");
    return PEFT_OK;
}

static peft_t2l_loss loss_of(const char *name)
{
    int loss = 0;
    while (strcmp(peft_t2l_loss_names[loss], name) != 0) loss++;
    return (peft_t2l_loss)loss;
}

/* ---- from a library ---- */

static peft_generator_job job_of(const call *c, peft_library_folder *library)
{
    const train_generator_options *o = c->options;
    return (peft_generator_job){.library = library,
                                .library_path = o->library,
                                .output = o->output,
                                .force = o->force,
                                .resume = o->resume,
                                .network = &o->network,
                                .train = &o->train,
                                .loss = loss_of(o->loss),
                                .canonical = o->canonical,
                                .encoder = o->encoder,
                                .vectors = c->vectors.values,
                                .vector_size = c->vectors.size,
                                .threads = c->arguments->shared.threads};
}

static peft_status reconstruct(call *c, peft_callback callback, json_t **summary, peft_error *error)
{
    peft_library_folder library = {0};
    peft_status status = peft_library_folder_open(&library, c->options->library, error);
    if (status == PEFT_OK && library.num_left_out)
        peft_output_say(c->output, PEFT_SAY_NOTE,
                        "%s: the adapters have heads of their own, which are left out; give `peft predict` and `peft "
                        "eval` the answers",
                        c->options->library);
    if (status == PEFT_OK) status = find_vectors(c, library.descriptions, library.num_descriptions, error);
    peft_generator_job job = job_of(c, &library);
    job.callback = callback;
    if (status == PEFT_OK)
        status = c->options->dry_run ? plan(&job, c->output, error) : peft_generator_train(&job, summary, error);
    peft_library_folder_close(&library);
    return status;
}

/* ---- end to end ---- */

/* All descriptions of a list of tasks, and where those of each begin; both are the caller's (free). */
static peft_status list_descriptions(const peft_task_list *tasks, const char ***descriptions, uint32_t **first,
                                     peft_error *error)
{
    size_t count = 0, at = 0;
    for (size_t k = 0; k < tasks->count; k++)
        for (const char *const *d = tasks->tasks[k]->descriptions; d && *d; d++) count++;
    *descriptions = malloc((count + 1) * sizeof **descriptions);
    *first = malloc((tasks->count + 1) * sizeof **first);
    if (!*descriptions || !*first) return peft_fail(error, PEFT_ERR_MEMORY, "descriptions: out of memory");
    for (size_t k = 0; k < tasks->count; k++) {
        const peft_task *task = tasks->tasks[k];
        (*first)[k] = (uint32_t)at;
        for (const char *const *d = task->descriptions; d && *d; d++) (*descriptions)[at++] = *d;
        if ((*first)[k] == at)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "task %s: has no descriptions, from which a generator learns",
                             task->name);
    }
    (*first)[tasks->count] = (uint32_t)at;
    return PEFT_OK;
}

static peft_status tune_tasks(call *c, const peft_task_list *tasks, const uint32_t *first, peft_callback callback,
                              json_t **summary, peft_error *error)
{
    const train_generator_options *o = c->options;
    const peft_mixture_options mixture = {.task = o->task,
                                          .data = o->data,
                                          .max_length = o->length,
                                          .max_train = o->max_train,
                                          .seed = o->train.seed,
                                          .answer_scale = o->answer_scale};
    const peft_tune_job job = {.from = o->from,
                               .model = o->model,
                               .output = o->output,
                               .force = o->force,
                               .resume = o->resume,
                               .tasks = &mixture,
                               .train = &o->train,
                               .regulariser = o->regulariser,
                               .encoder = o->encoder,
                               .vectors = c->vectors.values,
                               .first = first,
                               .num_tasks = (int64_t)tasks->count,
                               .vector_size = c->vectors.size,
                               .threads = c->arguments->shared.threads,
                               .callback = callback};
    return peft_generator_tune(&job, summary, error);
}

static peft_status tune(call *c, peft_callback callback, json_t **summary, peft_error *error)
{
    peft_task_list tasks = {0};
    const char **descriptions = NULL;
    uint32_t *first = NULL;
    peft_status status = peft_task_list_open(c->options->task, &tasks, error);
    if (status == PEFT_OK) status = list_descriptions(&tasks, &descriptions, &first, error);
    if (status == PEFT_OK) status = find_vectors(c, descriptions, first[tasks.count], error);
    if (status == PEFT_OK) status = tune_tasks(c, &tasks, first, callback, summary, error);
    free(descriptions);
    free(first);
    peft_task_list_free(&tasks);
    return status;
}

/* ---- both ---- */

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    train_generator_options *o = arguments->values;
    call c = {.options = o, .arguments = arguments, .output = output};
    peft_job_progress progress;
    json_t *summary = NULL;
    o->train.gradient_accumulation = 1;
    o->train.loraplus_lr_ratio = 1;
    o->train.backend = o->inference.backend;
    peft_status status = check(o, error);
    const peft_callback callback = peft_job_progress_callback(&progress, output);
    progress.saves = true;
    if (status == PEFT_OK) status = (o->library ? reconstruct : tune)(&c, callback, &summary, error);
    peft_job_progress_finish(&progress);
    if (status == PEFT_OK && summary) status = print(summary, o->output, output, error);
    o->train.backend = NULL;
    free(c.vectors.values);
    json_decref(summary);
    return status;
}

static const peft_command_part parts[] = {
    {table, 0},
    {peft_t2l_option_table, offsetof(train_generator_options, network)},
    {train_table, offsetof(train_generator_options, train)},
    {end_table, 0},
    {peft_inference_computation_table, offsetof(train_generator_options, inference)},
    {0}};
static const char *const kinds[] = {"t2l", NULL};

const peft_command peft_command_train_generator = {
    .name = "train-generator",
    .summary = "train a generator of adapters",
    .example = "peft train-generator t2l --library library --encoder minilm --output runs/t2l\n"
               "peft train-generator t2l --library library --encoder minilm --loss product --output runs/m",
    .description =
        "t2l is Text-to-LoRA: a network that reads the vector of a task's description and emits an adapter. It "
        "learns to make the adapters of a library, of any method, and `peft generate` then makes one from a "
        "new description.\n"
        "Ctrl-C saves a checkpoint and stops, --resume goes on to the same bits.",
    .operands = "KIND",
    .min_operands = 1,
    .max_operands = 1,
    .operand_choices = kinds,
    .parts = parts,
    .bytes = sizeof(train_generator_options),
    .run = run,
};
