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
     .help = "task, one of `peft tasks`, or of a file of tasks: FILE.yaml, FILE.yaml:NAME",                            \
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
        {.name = "vector_column",                                                                                      \
         .type = PEFT_OPTION_STRING,                                                                                   \
         AT(vector_column),                                                                                            \
         .placeholder = "NAME",                                                                                        \
         .help = "column with a vector of each example, for methods that read one (--intuition vectors)",              \
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
    bool own = o->train || o->dev, known = o->task && !peft_task_is_file(o->task);
    const peft_task *task = known ? peft_task_find(o->task, error) : NULL;
    if (own && o->task)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--task %s and own files (--train, --dev) exclude each other",
                         o->task);
    if (!own && !o->task)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "no data: give --task NAME and --data DIR, or own files by --train FILE and --dev FILE");
    if (known && !task) return PEFT_ERR_ARGUMENT;
    if (o->vector_column && !own)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--vector-column goes with own files (--train, --dev)");
    if (task && !o->data)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--task %s needs --data DIR, the folder that holds %s/", o->task,
                         task->folder);
    return PEFT_OK;
}

/* `task`: NULL for own files. */
static peft_status path_of(const peft_data_options *o, const peft_task *task, const char *split_name, char **path,
                           peft_error *error)
{
    *path = NULL;
    if (task) {
        const peft_split *split = peft_task_split(task, split_name, error);
        return split ? peft_task_path(task, o->data, split, path, error) : PEFT_ERR_ARGUMENT;
    }
    const char *own = strcmp(split_name, "train") == 0 ? o->train : o->dev;
    if (!own) return PEFT_OK;
    *path = strdup(own);
    return *path ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", own);
}

peft_status peft_corpus_path(const peft_data_options *o, const char *split, char **path, peft_error *error)
{
    peft_task_list list = {0};
    const peft_task *task = NULL;
    *path = NULL;
    peft_status status = o->task ? peft_task_open(o->task, &list, &task, error) : PEFT_OK;
    if (status == PEFT_OK) status = path_of(o, task, split, path, error);
    peft_task_list_free(&list);
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

static peft_status open_task(peft_corpus *c, const peft_data_options *o, const peft_task *known, peft_error *error)
{
    c->task = known;
    peft_status status = known ? PEFT_OK : peft_task_open(o->task, &c->tasks, &c->task, error);
    if (status != PEFT_OK) return status;
    c->name = c->task->name;
    c->regression = peft_task_is_regression(c->task);
    c->knows_classes = c->task->labels || c->regression;
    c->quoting = c->task->quoting;
    return PEFT_OK;
}

static peft_status open_own(peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted,
                            peft_error *error)
{
    if (wanted->train && !o->train) return peft_fail(error, PEFT_ERR_ARGUMENT, "own data: --train FILE is missing");
    if (wanted->dev && !o->dev) return peft_fail(error, PEFT_ERR_ARGUMENT, "own data: --dev FILE is missing");
    c->name = "own";
    c->regression = o->regression;
    c->quoting = o->no_quoting ? PEFT_UNQUOTED : wanted->quoting;
    return PEFT_OK;
}

/* How a split is read: as the task says, or the options. Classes that nobody has named yet are the run's, else those of
 * the training file, else what the file itself holds. */
static peft_status columns_of(const peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted,
                              const char *split_name, peft_dataset_columns *columns, peft_error *error)
{
    const peft_split *split = c->task ? peft_task_split(c->task, split_name, error) : NULL;
    if (c->task && !split) return PEFT_ERR_ARGUMENT;
    *columns = c->task ? peft_task_columns(c->task, split)
                       : (peft_dataset_columns){.text = o->text_column,
                                                .text_pair = o->text_pair_column,
                                                .label = o->label_column,
                                                .vector = o->vector_column,
                                                .regression = o->regression,
                                                .quoting = c->quoting};
    if (c->knows_classes) return PEFT_OK;
    bool told = !wanted->label_names && c->train;
    columns->label_names = told ? (const char *const *)c->train->label_names : wanted->label_names;
    columns->num_labels = told ? c->train->num_labels : wanted->num_labels;
    columns->of_model = wanted->of_model;
    return PEFT_OK;
}

static peft_status open_part(peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted,
                             const char *split, peft_dataset **part, char **path, peft_error *error)
{
    peft_dataset_columns columns;
    peft_dataset *dataset = NULL;
    peft_status status = columns_of(c, o, wanted, split, &columns, error);
    if (status == PEFT_OK) status = path_of(o, c->task, split, path, error);
    if (status == PEFT_OK) status = peft_dataset_load_file(*path, &columns, &dataset, error);
    if (status == PEFT_OK && c->knows_classes) status = peft_dataset_adopt_names(dataset, &wanted->of_model, error);
    *part = dataset;
    return status;
}

/* The training file is read also where it alone knows the classes. */
static bool reads_train(const peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted)
{
    if (wanted->train) return true;
    return c->task ? !c->knows_classes && !wanted->label_names : o->train != NULL;
}

static peft_status open_parts(peft_corpus *c, const peft_data_options *o, const peft_corpus_wanted *wanted,
                              peft_error *error)
{
    peft_status status = PEFT_OK;
    if (reads_train(c, o, wanted)) status = open_part(c, o, wanted, "train", &c->train, &c->train_path, error);
    if (status == PEFT_OK && wanted->train) status = check_several(c->train, c->train_path, error);
    if (status == PEFT_OK && wanted->dev) status = open_part(c, o, wanted, wanted->dev, &c->dev, &c->dev_path, error);
    const peft_dataset *any = any_part(c);
    if (status != PEFT_OK || !any) return status;
    c->num_labels = (int64_t)any->num_labels;
    if (c->task && c->task->metrics[0])
        memcpy(c->metrics, c->task->metrics, sizeof c->metrics);
    else
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

/* Of a task's own classes the second is meant if it names none, wherever a model's order has put it. */
static const char *positive_of_task(const peft_task *task)
{
    return task->positive ? task->positive : task->labels ? task->labels[1].name : NULL;
}

/* A model may write the name of a class in another way than the task. */
static bool is_alike(const char *a, const char *b)
{
    char *left = peft_label_key(a), *right = peft_label_key(b);
    bool alike = left && right && strcmp(left, right) == 0;
    free(left);
    free(right);
    return alike;
}

json_t *peft_corpus_answers(const peft_corpus *c)
{
    const peft_task *task = c->task;
    const peft_dataset *any = any_part(c);
    json_t *answers = task && task->answers && any ? json_array() : NULL;
    for (size_t k = 0; answers && k < any->num_labels; k++)
        for (size_t j = 0; j < task->num_labels; j++)
            if (is_alike(any->label_names[k], task->labels[j].name))
                json_array_append_new(answers, json_string(task->answers[j]));
    return answers;
}

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
    const char *name = c->task ? positive_of_task(c->task) : NULL;
    if (name && !c->knows_classes) return find_positive(c, name, error);
    for (int32_t k = 0; name && k < 2; k++)
        if (is_alike(any->label_names[k], name)) c->positive = k;
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
    peft_status status = wanted->task ? PEFT_OK : peft_data_options_check(o, error);
    if (status != PEFT_OK) return status;
    status = wanted->task || o->task ? open_task(c, o, wanted->task, error) : open_own(c, o, wanted, error);
    if (status == PEFT_OK) status = open_parts(c, o, wanted, error);
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
    peft_task_list_free(&c->tasks);
    *c = (peft_corpus){0};
}
