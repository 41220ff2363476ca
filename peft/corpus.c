#include "peft/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "ops/nearest.h"

#define AT(field) .offset = offsetof(peft_data_options, field)

#define READ_OPTIONS                                                                                                   \
    {.name = "task",                                                                                                   \
     .elsewhere = "task_name",                                                                                         \
     .type = PEFT_OPTION_STRING,                                                                                       \
     AT(task),                                                                                                         \
     .placeholder = "NAME",                                                                                            \
     .help = "task, one of `peft tasks`",                                                                              \
     .group = "Data"},                                                                                                 \
        {.name = "data",                                                                                               \
         .type = PEFT_OPTION_STRING,                                                                                   \
         AT(data),                                                                                                     \
         .placeholder = "DIR",                                                                                         \
         .help = "folder with a folder for each task, in GLUE's layout (RTE/train.tsv, ...)",                          \
         .group = "Data"},                                                                                             \
        {.name = "train",                                                                                              \
         .type = PEFT_OPTION_STRING,                                                                                   \
         AT(train),                                                                                                    \
         .placeholder = "FILE",                                                                                        \
         .help = "own training file instead of a task: .csv, .tsv or .jsonl",                                          \
         .group = "Data"},                                                                                             \
        {.name = "dev",                                                                                                \
         .type = PEFT_OPTION_STRING,                                                                                   \
         AT(dev),                                                                                                      \
         .placeholder = "FILE",                                                                                        \
         .help = "own file to evaluate on",                                                                            \
         .group = "Data"},                                                                                             \
        {.name = "text_column",                                                                                        \
         .type = PEFT_OPTION_STRING,                                                                                   \
         AT(text_column),                                                                                              \
         .initial = "text",                                                                                            \
         .placeholder = "NAME",                                                                                        \
         .help = "column of own files with the text",                                                                  \
         .group = "Data"},                                                                                             \
        {.name = "text_pair_column",                                                                                   \
         .type = PEFT_OPTION_STRING,                                                                                   \
         AT(text_pair_column),                                                                                         \
         .placeholder = "NAME",                                                                                        \
         .help = "column with the second text of a pair",                                                              \
         .group = "Data"},                                                                                             \
        {.name = "label_column",                                                                                       \
         .type = PEFT_OPTION_STRING,                                                                                   \
         AT(label_column),                                                                                             \
         .initial = "label",                                                                                           \
         .placeholder = "NAME",                                                                                        \
         .help = "column with the label",                                                                              \
         .group = "Data"},                                                                                             \
        {.name = "regression",                                                                                         \
         .type = PEFT_OPTION_BOOL,                                                                                     \
         AT(regression),                                                                                               \
         .initial = "false",                                                                                           \
         .help = "the labels of own files are numbers, not classes",                                                   \
         .group = "Data"},                                                                                             \
        {.name = "no_quoting",                                                                                         \
         .type = PEFT_OPTION_BOOL,                                                                                     \
         AT(no_quoting),                                                                                               \
         .initial = "false",                                                                                           \
         .help = "in own .csv and .tsv files a quote is a letter like any other",                                      \
         .group = "Data"},                                                                                             \
    {                                                                                                                  \
        .name = "positive_class", .type = PEFT_OPTION_STRING, AT(positive_class), .placeholder = "NAME",               \
        .help = "of two classes, the one that f1 is about; the second if not set", .group = "Data"                     \
    }

const peft_option peft_read_option_table[] = {READ_OPTIONS, {0}};

const peft_option peft_data_option_table[] = {READ_OPTIONS,
                                              {.name = "max_train",
                                               .type = PEFT_OPTION_INT,
                                               AT(max_train),
                                               .initial = "0",
                                               .min = 0,
                                               .max = 1e9,
                                               .placeholder = "N",
                                               .help = "train on N examples only, drawn with the seed; 0: on all",
                                               .group = "Data"},
                                              {0}};

peft_status peft_data_options_check(const peft_data_options *o, peft_error *error)
{
    bool own = o->train || o->dev;
    const peft_task *task = o->task ? peft_task_find(o->task, error) : NULL;
    if (own && o->task)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--task %s and own files (--train, --dev) exclude each other",
                         o->task);
    if (!own && !o->task)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "no data: give --task NAME and --data DIR, or own files by --train FILE and --dev FILE");
    if (o->task && !task) return PEFT_ERR_ARGUMENT;
    if (task && !o->data)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--task %s needs --data DIR, the folder that holds %s/", o->task,
                         task->folder);
    return PEFT_OK;
}

static peft_status path_of_task(const peft_data_options *o, const char *split_name, char **path, peft_error *error)
{
    const peft_task *task = peft_task_find(o->task, error);
    const peft_split *split = task ? peft_task_split(task, split_name, error) : NULL;
    if (!split) return PEFT_ERR_ARGUMENT;
    char *folder = NULL;
    peft_status status = peft_path_join(o->data, task->folder, &folder, error);
    if (status == PEFT_OK) status = peft_path_join(folder, split->file, path, error);
    free(folder);
    return status;
}

peft_status peft_corpus_path(const peft_data_options *o, const char *split, char **path, peft_error *error)
{
    *path = NULL;
    if (o->task) return path_of_task(o, split, path, error);
    const char *own = strcmp(split, "train") == 0 ? o->train : o->dev;
    if (!own) return PEFT_OK;
    *path = strdup(own);
    return *path ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", own);
}

static peft_status open_task(peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted,
                             peft_error *error)
{
    c->task = peft_task_find(o->task, error);
    if (!c->task) return PEFT_ERR_ARGUMENT;
    c->name = c->task->name;
    c->regression = !c->task->labels;
    c->num_labels = (int64_t)c->task->num_labels;
    memcpy(c->metrics, c->task->metrics, sizeof c->metrics);
    peft_status status = PEFT_OK;
    if (wanted->train) status = peft_dataset_load(c->task, o->data, "train", &c->train, error);
    if (status == PEFT_OK && wanted->dev) status = peft_dataset_load(c->task, o->data, wanted->dev, &c->dev, error);
    if (status == PEFT_OK && c->train) status = peft_dataset_adopt_names(c->train, &wanted->of_model, error);
    if (status == PEFT_OK && c->dev) status = peft_dataset_adopt_names(c->dev, &wanted->of_model, error);
    return status;
}

/* Two classes are scored as GLUE scores its binary tasks, more by accuracy. */
static void choose_metrics(peft_corpus *c)
{
    static const char *const of_scores[] = {"pearson", "spearman", NULL}, *const of_two[] = {"accuracy", "f1", NULL},
                             *const of_more[] = {"accuracy", NULL, NULL};
    memcpy(c->metrics, c->regression ? of_scores : c->num_labels == 2 ? of_two : of_more, sizeof c->metrics);
}

/* A single class teaches nothing. */
static peft_status check_several(const peft_dataset *train, const char *path, peft_error *error)
{
    for (size_t i = 1; i < train->count; i++)
        if (!train->classes || train->classes[i] != train->classes[0]) return PEFT_OK;
    if (!train->classes) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FORMAT, "%s: labels: expected 2 different ones or more, found \"%s\" alone", path,
                     train->label_names[train->classes[0]]);
}

static const peft_dataset *any_part(const peft_corpus *c)
{
    return c->train ? c->train : c->dev;
}

static peft_status open_own(peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted,
                            peft_error *error)
{
    if (wanted->train && !o->train) return peft_fail(error, PEFT_ERR_ARGUMENT, "own data: --train FILE is missing");
    if (wanted->dev && !o->dev) return peft_fail(error, PEFT_ERR_ARGUMENT, "own data: --dev FILE is missing");
    peft_dataset_columns columns = {.text = o->text_column,
                                    .text_pair = o->text_pair_column,
                                    .label = o->label_column,
                                    .regression = o->regression,
                                    .quoting = c->quoting,
                                    .label_names = wanted->label_names,
                                    .num_labels = wanted->num_labels,
                                    .of_model = wanted->of_model};
    peft_status status = PEFT_OK;
    if (o->train) status = peft_dataset_load_file(o->train, &columns, &c->train, error);
    if (status == PEFT_OK && wanted->train) status = check_several(c->train, o->train, error);
    if (status == PEFT_OK && wanted->dev) {
        if (c->train && !columns.label_names) {
            columns.label_names = (const char *const *)c->train->label_names;
            columns.num_labels = c->train->num_labels;
        }
        status = peft_dataset_load_file(o->dev, &columns, &c->dev, error);
    }
    if (status != PEFT_OK) return status;
    const peft_dataset *any = any_part(c);
    c->name = "own";
    c->regression = o->regression;
    c->num_labels = any ? (int64_t)any->num_labels : 0;
    choose_metrics(c);
    return PEFT_OK;
}

static peft_status find_positive(peft_corpus *c, const char *name, peft_error *error)
{
    const peft_dataset *any = any_part(c);
    const peft_names names = {any->label_names, any->num_labels, sizeof *any->label_names};
    c->positive = (int32_t)peft_names_find(&names, name);
    if (c->positive < 2) return PEFT_OK;
    c->positive = 1;
    return peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "--positive-class: class", name, &names);
}

/* Of a task's own classes the second is meant, wherever a model's order has put it. */
static peft_status choose_positive(peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted,
                                   peft_error *error)
{
    const peft_dataset *any = any_part(c);
    c->positive = 1;
    if (!any || c->num_labels != 2 || !any->label_names)
        return o->positive_class
                   ? peft_fail(error, PEFT_ERR_ARGUMENT, "--positive-class %s goes with two classes, found %lld %s",
                               o->positive_class, (long long)c->num_labels, c->regression ? "score" : "classes")
                   : PEFT_OK;
    if (o->positive_class) return find_positive(c, o->positive_class, error);
    if (wanted->positive_class) return find_positive(c, wanted->positive_class, error);
    if (any->order != PEFT_CLASSES_OF_MODEL || !c->task) return PEFT_OK;
    for (int32_t k = 0; k < 2; k++) {
        char *name = peft_label_key(any->label_names[k]), *second = peft_label_key(c->task->labels[1].name);
        if (name && second && strcmp(name, second) == 0) c->positive = k;
        free(name);
        free(second);
    }
    return PEFT_OK;
}

const char *peft_corpus_positive(const peft_corpus *c)
{
    const peft_dataset *any = any_part(c);
    for (size_t k = 0; any && any->label_names && c->metrics[k]; k++)
        if (strcmp(c->metrics[k], "f1") == 0) return any->label_names[c->positive];
    return NULL;
}

static void replace_train(peft_corpus *c, peft_dataset *part)
{
    peft_dataset_free(c->train);
    c->train = part;
}

/* Before max_train draws from the others: those that are held out stand for what was never seen. */
static peft_status hold_out(peft_corpus *c, int64_t max_train, const peft_corpus_wanted *wanted, peft_error *error)
{
    enum { TENTH = 10, MOST = 1000 };
    if (!c->train || !wanted->hold_out) return PEFT_OK;
    size_t used = max_train && (size_t)max_train < c->train->count ? (size_t)max_train : c->train->count;
    size_t tenth = used < TENTH ? 1 : used / TENTH < MOST ? used / TENTH : MOST;
    size_t count = wanted->hold_out == PEFT_HOLD_OUT_TENTH ? tenth : (size_t)wanted->hold_out;
    peft_dataset *rest = NULL;
    peft_status status = peft_dataset_hold_out(c->train, count, wanted->seed, &c->held_out, &rest, error);
    if (status != PEFT_OK) return peft_fail_in(error, status, "--hold-out");
    replace_train(c, rest);
    return PEFT_OK;
}

static peft_status cut_train(peft_corpus *c, int64_t max_train, uint64_t seed, peft_error *error)
{
    if (!c->train || !max_train || (size_t)max_train >= c->train->count) return PEFT_OK;
    peft_dataset *drawn = NULL;
    peft_status status = peft_dataset_draw(c->train, (size_t)max_train, seed, &drawn, error);
    if (status == PEFT_OK) replace_train(c, drawn);
    return status;
}

peft_status peft_corpus_open(peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted,
                             peft_error *error)
{
    *c = (peft_corpus){0};
    peft_status status = peft_data_options_check(o, error);
    if (status != PEFT_OK) return status;
    c->quoting = o->no_quoting ? PEFT_UNQUOTED : wanted->quoting;
    status = o->task ? open_task(c, o, wanted, error) : open_own(c, o, wanted, error);
    if (status == PEFT_OK && c->train) status = peft_corpus_path(o, "train", &c->train_path, error);
    if (status == PEFT_OK && c->dev) status = peft_corpus_path(o, wanted->dev, &c->dev_path, error);
    if (status == PEFT_OK) status = choose_positive(c, o, wanted, error);
    if (status == PEFT_OK) status = hold_out(c, o->max_train, wanted, error);
    if (status == PEFT_OK) status = cut_train(c, o->max_train, wanted->seed, error);
    if (status != PEFT_OK) peft_corpus_close(c);
    return status;
}

void peft_corpus_close(peft_corpus *c)
{
    peft_dataset_free(c->train);
    peft_dataset_free(c->dev);
    peft_dataset_free(c->held_out);
    free(c->train_path);
    free(c->dev_path);
    *c = (peft_corpus){0};
}
