/* peft/cli/tasks.c - `peft tasks [NAME]`: the tasks that are known, and the default ones built from WordNet. */
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "peft/cli/arguments.h"
#include "peft/cli/commands.h"
#include "peft/cli/table.h"
#include "peft/output_folder.h"
#include "tasks/task_file.h"
#include "tasks/wordnet.h"

typedef struct tasks_options {
    char *build_wordnet, *wordnet;
    int64_t seed;
    bool force;
} tasks_options;

static const peft_option table[] = {{.name = "build_wordnet",
                                     .type = PEFT_OPTION_STRING,
                                     .offset = offsetof(tasks_options, build_wordnet),
                                     .placeholder = "DIR",
                                     .help = "write the tasks wn-class, wn-entail and wn-sense into this folder"},
                                    {.name = "wordnet",
                                     .type = PEFT_OPTION_STRING,
                                     .offset = offsetof(tasks_options, wordnet),
                                     .initial = "/usr/share/wordnet",
                                     .placeholder = "DIR",
                                     .help = "files of WordNet 3.0 (Debian package wordnet-base)"},
                                    {.name = "seed",
                                     .type = PEFT_OPTION_INT,
                                     .offset = offsetof(tasks_options, seed),
                                     .initial = "0",
                                     .min = 0,
                                     .max = 1e15,
                                     .placeholder = "N",
                                     .help = "which synsets are drawn"},
                                    {.name = "force",
                                     .type = PEFT_OPTION_BOOL,
                                     .offset = offsetof(tasks_options, force),
                                     .initial = "false",
                                     .help = "write over files of these tasks that are there"},
                                    {0}};

static const peft_command_part parts[] = {{table, 0}, {0}};

static void joined(const char *const *words, char *text, size_t bytes)
{
    size_t used = 0;
    *text = 0;
    for (; *words && used < bytes; words++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", used ? ", " : "", *words);
}

static void labels_text(const peft_task *task, char *text, size_t bytes)
{
    const char *names[32] = {0};
    for (size_t k = 0; task->labels && k < task->num_labels && k < 31; k++) names[k] = task->labels[k].name;
    if (task->labels)
        joined(names, text, bytes);
    else
        snprintf(text, bytes, "%s", peft_task_is_regression(task) ? "a score" : "those of the training file");
}

/* A new array; nothing where there is no list. */
static json_t *list_json(const char *const *words)
{
    json_t *list = json_array();
    for (; words && *words; words++) json_array_append_new(list, json_string(*words));
    return list;
}

static json_t *task_json(const peft_task *task)
{
    json_t *labels = json_array(), *splits = json_array();
    for (size_t k = 0; task->labels && k < task->num_labels; k++)
        json_array_append_new(labels, json_string(task->labels[k].name));
    for (const peft_split *split = task->splits; split->name; split++)
        json_array_append_new(splits, json_string(split->name));
    return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:s?}", "name", task->name, "folder", task->folder,
                     "help", task->help, "source", task->source, "descriptions", list_json(task->descriptions),
                     "metrics", list_json(task->metrics), "labels", labels, "splits", splits, "answer_words",
                     list_json(task->answers), "prompt", task->prompt);
}

/* All known tasks, or those that a word stands for. */
static peft_status list_tasks(const char *word, peft_task_list *list, peft_error *error)
{
    if (word) return peft_task_list_open(word, list, error);
    *list = (peft_task_list){0};
    list->tasks = peft_arena_take(&list->arena, peft_num_tasks() * sizeof *list->tasks);
    if (!list->tasks) return peft_fail(error, PEFT_ERR_MEMORY, "tasks: out of memory");
    for (size_t k = 0; k < peft_num_tasks(); k++) list->tasks[list->count++] = peft_task_at(k);
    return PEFT_OK;
}

/* One task that was asked for is an object, several are an array. */
static peft_status print_json(const peft_task_list *list, bool one, peft_output *output, peft_error *error)
{
    json_t *document = one ? task_json(list->tasks[0]) : json_array();
    for (size_t k = 0; !one && k < list->count; k++) json_array_append_new(document, task_json(list->tasks[k]));
    if (!document) return peft_fail(error, PEFT_ERR_MEMORY, "tasks: out of memory");
    peft_status status = peft_output_json(output, document, error);
    json_decref(document);
    return status;
}

static peft_status print_list(const peft_task_list *list, peft_output *output, peft_error *error)
{
    static const char *const headings[] = {"task", "folder", "metrics", "question"};
    peft_text_table table_of_tasks;
    peft_text_table_init(&table_of_tasks, headings, 4);
    for (size_t k = 0; k < list->count; k++) {
        const peft_task *task = list->tasks[k];
        char metrics[128];
        joined(task->metrics, metrics, sizeof metrics);
        peft_text_table_cell(&table_of_tasks, "%s", task->name);
        peft_text_table_cell(&table_of_tasks, "%s", task->folder);
        peft_text_table_cell(&table_of_tasks, "%s", metrics);
        peft_text_table_cell(&table_of_tasks, "%s", task->help);
    }
    peft_status status = peft_text_table_print(&table_of_tasks, output->results, error);
    peft_text_table_free(&table_of_tasks);
    return status;
}

static void print_files(const peft_task *task, FILE *out)
{
    fprintf(out, "Files:  ");
    for (const peft_split *split = task->splits; split->name; split++) {
        const char *folder = split->file[0] == '/' ? "" : task->folder;
        fprintf(out, " %s%s%s%s", folder, *folder ? "/" : "", split->file, split->labelled ? "" : " (no labels)");
    }
    fputc('\n', out);
}

static void print_one(const peft_task *task, FILE *out)
{
    char metrics[128], labels[512], answers[512];
    joined(task->metrics, metrics, sizeof metrics);
    labels_text(task, labels, sizeof labels);
    fprintf(out, "%s: %s\n\nLabels:  %s\nMetrics: %s\nColumns: %s%s%s -> %s\n", task->name, task->help, labels,
            *metrics ? metrics : "as own files are scored", task->text, task->text_pair ? ", " : "",
            task->text_pair ? task->text_pair : "", task->label);
    if (task->source) fprintf(out, "Source:  %s\n", task->source);
    print_files(task, out);
    if (task->answers) {
        joined(task->answers, answers, sizeof answers);
        fprintf(out, "Answers: %s\n", answers);
    }
    if (task->prompt) fprintf(out, "Prompt:  %s\n", task->prompt);
    for (const char *const *text = task->descriptions; text && *text; text++)
        fprintf(out, "%s%s\n", text == task->descriptions ? "\nDescriptions, which generators read:\n" : "", *text);
}

static peft_status print(const char *word, peft_output *output, peft_error *error)
{
    peft_task_list list;
    peft_status status = list_tasks(word, &list, error);
    if (status != PEFT_OK) return status;
    bool one = word && list.count == 1;
    if (output->json)
        status = print_json(&list, one, output, error);
    else if (one)
        print_one(list.tasks[0], output->results);
    else
        status = print_list(&list, output, error);
    peft_task_list_free(&list);
    return status;
}

/* ---- the tasks from WordNet ---- */

static peft_status check_split(const tasks_options *o, const peft_task *task, const peft_split *split,
                               peft_error *error)
{
    char *folder = NULL, *path = NULL;
    peft_status status = peft_path_join(o->build_wordnet, task->folder, &folder, error);
    if (status == PEFT_OK) status = peft_path_join(folder, split->file, &path, error);
    if (status == PEFT_OK && !o->force && peft_file_exists(path))
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: is there already; give --force to write over it", path);
    free(folder);
    free(path);
    return status;
}

static peft_status build(const tasks_options *o, peft_error *error)
{
    const char *const sources[] = {o->wordnet, NULL};
    peft_status status = peft_output_folder_check_sources(o->build_wordnet, sources, error);
    for (size_t k = 0; k < peft_num_tasks(); k++) {
        const peft_task *task = peft_task_at(k);
        if (strncmp(task->name, "wn-", strlen("wn-")) != 0) continue;
        for (const peft_split *split = task->splits; split->name && status == PEFT_OK; split++)
            status = check_split(o, task, split, error);
    }
    return status == PEFT_OK ? peft_wordnet_build(o->wordnet, o->build_wordnet, (uint64_t)o->seed, error) : status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const tasks_options *options = arguments->values;
    if (options->build_wordnet) return build(options, error);
    return print(arguments->num_operands ? arguments->operands[0] : NULL, output, error);
}

const peft_command peft_command_tasks = {
    .name = "tasks",
    .summary = "list the tasks, or build the default ones from WordNet",
    .example = "peft tasks\npeft tasks rte\npeft tasks mine.yaml\npeft tasks --build-wordnet data",
    .description =
        "Without a name, all known tasks; with one, its labels, metrics, columns and files. Tasks of your own "
        "stand in files, which are shown, too.\n"
        "--build-wordnet makes three tasks that need no download; the same seed gives the same bytes.",
    .operands = "[NAME]",
    .max_operands = 1,
    .parts = parts,
    .bytes = sizeof(tasks_options),
    .run = run,
};
