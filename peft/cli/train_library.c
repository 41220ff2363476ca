/* peft/cli/train_library.c - `peft train-library`: an adapter for each task of a list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "peft/cli/commands.h"
#include "peft/cli/job.h"
#include "peft/cli/runner/pool.h"
#include "peft/output_folder.h"
#include "tasks/task_file.h"

typedef struct train_library_options {
    peft_job_options job; /* first: its parts have its offsets */
    int64_t jobs;
} train_library_options;

static const peft_option table[] = {{.name = "jobs",
                                     .type = PEFT_OPTION_INT,
                                     .offset = offsetof(train_library_options, jobs),
                                     .initial = "1",
                                     .min = 1,
                                     .max = 1024,
                                     .placeholder = "N",
                                     .help = "adapters trained side by side; they share the threads",
                                     .group = "Run"},
                                    {0}};

/* The tasks, and a run for each. */
typedef struct library {
    const train_library_options *options;
    const peft_arguments *arguments;
    peft_task_list tasks;
    peft_train_run *runs; /* [tasks.count] */
    peft_run_how how;
} library;

/* ---- what is to be trained ---- */

static peft_status check_tasks(const library *l, peft_error *error)
{
    for (size_t k = 0; k < l->tasks.count; k++) {
        const peft_task *task = l->tasks.tasks[k];
        if (!task->descriptions || !task->descriptions[0])
            return peft_fail(error, PEFT_ERR_ARGUMENT,
                             "--task %s: task %s has no descriptions, which a library is "
                             "there for",
                             l->options->job.data.task, task->name);
    }
    return PEFT_OK;
}

/* Those of `peft train --config`, for one task. */
static json_t *settings_of(const library *l, const peft_task *task)
{
    static const char *const others[] = {"output",  "force", "resume", "dry_run", "jobs",
                                         "threads", "json",  "quiet",  "verbose"};
    json_t *settings = peft_arguments_to_json(l->arguments);
    for (size_t k = 0; settings && k < sizeof others / sizeof *others; k++) json_object_del(settings, others[k]);
    const char *word = l->options->job.data.task;
    char name[4096];
    bool is_one = peft_task_is_file(word) && l->tasks.count > 1;
    snprintf(name, sizeof name, is_one ? "%s:%s" : "%s", word, task->name);
    if (settings && json_object_set_new(settings, "task", json_string(name)) == 0) return settings;
    json_decref(settings);
    return NULL;
}

static peft_status make_run(library *l, size_t k, peft_error *error)
{
    const peft_task *task = l->tasks.tasks[k];
    char *folder = NULL;
    json_t *settings = settings_of(l, task);
    if (!settings) return peft_fail(error, PEFT_ERR_MEMORY, "train-library: out of memory");
    peft_status status = peft_path_join(l->options->job.output, task->name, &folder, error);
    if (status == PEFT_OK)
        status = peft_train_run_init(&l->runs[k], settings, folder, task->name, error);
    else
        json_decref(settings);
    if (status == PEFT_OK) status = peft_train_run_look(&l->runs[k], &l->how, error);
    free(folder);
    return status;
}

static peft_status open_library(library *l, const peft_arguments *arguments, peft_error *error)
{
    const train_library_options *o = arguments->values;
    const char *const sources[] = {o->job.model, NULL};
    *l = (library){.options = o, .arguments = arguments};
    l->how = (peft_run_how){o->job.force, o->job.resume,
                            arguments->shared.threads ? arguments->shared.threads / o->jobs : 0};
    if (!o->job.output) return peft_fail(error, PEFT_ERR_ARGUMENT, "--output DIR is missing: where should they go?");
    peft_status status = peft_task_list_open(o->job.data.task, &l->tasks, error);
    if (status == PEFT_OK) status = check_tasks(l, error);
    if (status == PEFT_OK)
        status = peft_output_folder_check(o->job.output, o->job.force || o->job.resume, sources, error);
    if (status == PEFT_OK) status = peft_make_directories(o->job.output, error);
    if (status != PEFT_OK) return status;
    l->runs = calloc(l->tasks.count, sizeof *l->runs);
    if (!l->runs) return peft_fail(error, PEFT_ERR_MEMORY, "train-library: out of memory");
    for (size_t k = 0; k < l->tasks.count && status == PEFT_OK; k++) status = make_run(l, k, error);
    return status;
}

static void close_library(library *l)
{
    for (size_t k = 0; l->runs && k < l->tasks.count; k++) peft_train_run_free(&l->runs[k]);
    free(l->runs);
    peft_task_list_free(&l->tasks);
}

/* ---- library.json ---- */

static json_t *describe(const peft_task *task)
{
    json_t *descriptions = json_array();
    for (const char *const *d = task->descriptions; descriptions && *d; d++)
        json_array_append_new(descriptions, json_string(*d));
    return json_pack("{s:s, s:o, s:s}", "name", task->name, "descriptions", descriptions, "adapter", task->name);
}

/* Lists what is trained so far. */
static peft_status save(void *argument, peft_error *error)
{
    const library *l = argument;
    char *path = NULL;
    json_t *tasks = json_array();
    for (size_t k = 0; tasks && k < l->tasks.count; k++)
        if (l->runs[k].state == PEFT_RUN_DONE) json_array_append_new(tasks, describe(l->tasks.tasks[k]));
    json_t *document = json_pack("{s:o}", "tasks", tasks);
    peft_status status = document ? peft_path_join(l->options->job.output, "library.json", &path, error)
                                  : peft_fail(error, PEFT_ERR_MEMORY, "library.json: out of memory");
    if (status == PEFT_OK) status = peft_json_save(path, document, PEFT_JSON_AS_IS, error);
    json_decref(document);
    free(path);
    return status;
}

/* ---- the report ---- */

static json_t *report_of(const library *l)
{
    json_t *list = json_array();
    for (size_t k = 0; list && k < l->tasks.count; k++) {
        const peft_train_run *run = &l->runs[k];
        const json_t *metrics = json_object_get(run->summary, "metrics");
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:O?}", "task", run->name, "adapter", run->folder,
                                              "state", peft_run_state_name(run->state), "metrics", metrics));
    }
    return list;
}

static peft_status print(const library *l, peft_output *output, peft_error *error)
{
    if (output->json) {
        json_t *report = report_of(l);
        peft_status status = peft_output_json(output, report, error);
        json_decref(report);
        return status;
    }
    for (size_t k = 0; k < l->tasks.count; k++)
        fprintf(output->results, "%s  %s\n", l->runs[k].folder, peft_run_state_name(l->runs[k].state));
    return PEFT_OK;
}

static void say_failures(const library *l, peft_output *output)
{
    for (size_t k = 0; k < l->tasks.count; k++)
        if (l->runs[k].state != PEFT_RUN_DONE)
            peft_output_say(output, PEFT_SAY_ERROR, "%s: %s: %s", l->runs[k].folder,
                            peft_run_state_name(l->runs[k].state),
                            l->runs[k].message ? l->runs[k].message : "see its messages.txt");
    output->failed = peft_runs_count(l->runs, l->tasks.count, PEFT_RUN_DONE) < l->tasks.count;
}

static peft_status train_all(library *l, peft_output *output, peft_error *error)
{
    const peft_pool pool = {.runs = l->runs,
                            .count = l->tasks.count,
                            .jobs = l->options->jobs,
                            .how = l->how,
                            .label = "library",
                            .output = output,
                            .ended = save,
                            .argument = l};
    peft_status status = save(l, error);
    return status == PEFT_OK ? peft_pool_run(&pool, error) : status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    library l;
    peft_status status = open_library(&l, arguments, error);
    if (status == PEFT_OK) status = train_all(&l, output, error);
    if (status == PEFT_OK) status = print(&l, output, error);
    if (status == PEFT_OK) say_failures(&l, output);
    close_library(&l);
    return status;
}

static const peft_command_part parts[] = {{peft_job_run_table, 0},
                                          {table, 0},
                                          {peft_data_option_table, offsetof(peft_job_options, data)},
                                          {peft_target_option_table, offsetof(peft_job_options, targets)},
                                          {peft_train_option_table, offsetof(peft_job_options, train)},
                                          {0}};
static const char *const required[] = {"model", "task", NULL};

const peft_command peft_command_train_library = {
    .name = "train-library",
    .summary = "train an adapter for each task of a list, for generators to learn from",
    .example = "peft train-library --model minilm --task tasks.yaml --head answer-words --jobs 2 --output library",
    .description = "Trains as `peft train` does, once for each task of the file, each in a folder of its own and in a "
                   "process of its own, and lists them with their descriptions in library.json, which `peft "
                   "train-generator` reads. Finished ones are kept with --resume.\n"
                   "Where each task has a trained head, a generator makes adapters without one; with --head "
                   "answer-words there is none to make.",
    .parts = parts,
    .bytes = sizeof(train_library_options),
    .required = required,
    .selector = "variant",
    .extension = peft_variant_extension,
    .run = run,
};
