/* tasks/task_file_fields.c - the keys of a task in a file, and what each may hold. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "ops/nearest.h"
#include "tasks/dataset.h"
#include "tasks/metrics.h"
#include "tasks/task_file_entry.h"

/* ---- errors ---- */

static size_t line_of(const peft_task_entry *e, json_t *container, const char *key)
{
    size_t line = e->lines && key ? peft_yaml_line_of_key(e->lines, container, key) : 0;
    return line ? line : e->line;
}

static peft_status fail(const peft_task_entry *e, const char *key, const char *format, ...) PEFT_PRINTF(3, 4);

/* "tasks.yaml:7: metric: ..."; without a key, about the whole task. */
static peft_status fail(const peft_task_entry *e, const char *key, const char *format, ...)
{
    char message[PEFT_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return peft_fail(e->error, PEFT_ERR_FORMAT, "%s:%zu: %s%s%s", e->path, line_of(e, e->object, key), key ? key : "",
                     key ? ": " : "", message);
}

static peft_status fail_memory(const peft_task_entry *e)
{
    return peft_fail(e->error, PEFT_ERR_MEMORY, "%s: out of memory", e->path);
}

static peft_status fail_value(const peft_task_entry *e, const char *key, const char *expected, const json_t *found)
{
    char text[PEFT_JSON_TEXT];
    return fail(e, key, "expected %s, found %s", expected, peft_json_text(found, text));
}

/* ---- texts ---- */

static const char *copy(const peft_task_entry *e, const char *text)
{
    char *copied = peft_arena_take(e->arena, strlen(text) + 1);
    if (copied) strcpy(copied, text);
    return copied;
}

/* A text that is not empty; whole numbers are texts, too, as in `labels: {0: bad, 1: good}`. */
static peft_status read_text(const peft_task_entry *e, const char *key, const json_t *value, const char **text)
{
    char number[32];
    const char *found = json_string_value(value);
    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        found = number;
    }
    if (json_is_boolean(value)) return fail_value(e, key, "a text, in quotes", value);
    if (!found || !*found || (json_is_string(value) && !peft_json_is_text(value)))
        return fail_value(e, key, "a text", value);
    *text = copy(e, found);
    return *text ? PEFT_OK : fail_memory(e);
}

/* A text or a list of them, with NULL at the end. */
static peft_status read_texts(const peft_task_entry *e, const char *key, const json_t *value, const char *const **texts,
                              size_t *count)
{
    bool single = !json_is_array(value);
    *count = single ? 1 : json_array_size(value);
    if (*count == 0) return fail(e, key, "expected a text or a list of texts, found an empty list");
    const char **list = peft_arena_take(e->arena, (*count + 1) * sizeof *list);
    peft_status status = list ? PEFT_OK : fail_memory(e);
    for (size_t i = 0; i < *count && status == PEFT_OK; i++)
        status = read_text(e, key, single ? value : json_array_get(value, i), &list[i]);
    *texts = list;
    return status;
}

/* ---- fields ---- */

typedef peft_status read_field(const peft_task_entry *e, const char *key, json_t *value, peft_task *task);

/* It names a folder of results, and stands behind the file's name in --task FILE:NAME. */
static peft_status read_name(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    peft_status status = read_text(e, key, value, &task->name);
    if (status != PEFT_OK) return status;
    bool good = task->name[0] != '.';
    for (const char *c = task->name; *c; c++) good = good && (isalnum((unsigned char)*c) || strchr("._+-", *c));
    return good ? PEFT_OK
                : fail(e, key, "expected letters, digits, '-', '_', '+' and '.', the last not in front, found \"%s\"",
                       task->name);
}

static peft_status read_descriptions(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    size_t count;
    if (task->descriptions) return fail(e, key, "stands there beside the other of description and descriptions");
    return read_texts(e, key, value, &task->descriptions, &count);
}

static peft_status read_source(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    return read_text(e, key, value, &task->source);
}

static bool is_read_for_labels(const char *split)
{
    return strcmp(split, "train") == 0 || strncmp(split, "dev", 3) == 0;
}

/* Names of the columns of files that do not begin with them; NULL: they do. */
static peft_status read_header(const peft_task_entry *e, const char *const **columns)
{
    static const char key[] = "header";
    size_t count;
    const json_t *value = json_object_get(e->object, key);
    *columns = NULL;
    return value ? read_texts(e, key, value, columns, &count) : PEFT_OK;
}

static peft_status read_files(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    const char *name, *const *header;
    json_t *file;
    peft_status status = read_header(e, &header);
    if (status != PEFT_OK) return status;
    if (!json_object_size(value))
        return fail_value(e, key, "a file for each split, as in {train: a.csv, dev: b.csv}", value);
    peft_split *splits = peft_arena_take(e->arena, (json_object_size(value) + 1) * sizeof *splits), *split = splits;
    if (!splits) return fail_memory(e);
    task->splits = splits;
    json_object_foreach(value, name, file)
    {
        split->labelled = is_read_for_labels(name);
        split->columns = header;
        split->name = copy(e, name);
        status = split->name ? read_text(e, key, file, &split->file) : fail_memory(e);
        if (status != PEFT_OK) return status;
        if (!peft_table_has_format(split->file))
            return peft_fail(e->error, PEFT_ERR_FORMAT,
                             "%s:%zu: files: %s: expected a .csv, .tsv or .jsonl file, found \"%s\"", e->path,
                             line_of(e, value, name), name, split->file);
        split++;
    }
    return PEFT_OK;
}

static peft_status check_header(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    (void)value;
    return task->splits ? PEFT_OK : fail(e, key, "says what the columns of files are called, and there are no files");
}

static peft_status read_columns(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    const struct {
        const char *name, **text;
    } known[] = {{"text", &task->text}, {"text_pair", &task->text_pair}, {"label", &task->label}};
    const peft_names names = {&known[0].name, sizeof known / sizeof known[0], sizeof known[0]};
    const char *name;
    json_t *column;
    if (!json_is_object(value)) return fail_value(e, key, "names of columns, as in {text: body, label: stars}", value);
    json_object_foreach(value, name, column)
    {
        size_t index = peft_names_find(&names, name);
        peft_status status = index < names.count ? read_text(e, key, column, known[index].text) : PEFT_ERR_FORMAT;
        if (index == names.count) {
            peft_error inner = {0};
            peft_fail_unknown(&inner, PEFT_ERR_FORMAT, "column", name, &names);
            status = peft_fail(e->error, PEFT_ERR_FORMAT, "%s:%zu: columns: %s", e->path, line_of(e, value, name),
                               inner.message);
        }
        if (status != PEFT_OK) return status;
    }
    return PEFT_OK;
}

/* [bad, good], or how the files write them and what they mean: {0: bad, 1: good} */
static peft_status read_labels(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    size_t count = json_is_object(value) ? json_object_size(value) : json_array_size(value), k = 0, index;
    if (count < 2 || count > PEFT_MAX_LABELS) {
        char text[PEFT_JSON_TEXT];
        return fail(e, key, "expected 2 to %d labels, as in [bad, good] or {0: bad, 1: good}, found %s",
                    PEFT_MAX_LABELS, peft_json_text(value, text));
    }
    peft_label *labels = peft_arena_take(e->arena, count * sizeof *labels);
    peft_status status = labels ? PEFT_OK : fail_memory(e);
    json_t *item;
    const char *text;
    json_array_foreach(value, index, item)
    {
        if (status == PEFT_OK) status = read_text(e, key, item, &labels[index].name);
        labels[index].text = labels[index].name;
    }
    json_object_foreach(value, text, item)
    {
        if (status == PEFT_OK) status = read_text(e, key, item, &labels[k].name);
        if (status == PEFT_OK && !(labels[k++].text = copy(e, text))) status = fail_memory(e);
    }
    task->labels = labels;
    task->num_labels = count;
    const peft_names names = {&labels[0].name, count, sizeof *labels};
    for (k = 0; k < count && status == PEFT_OK; k++)
        if (peft_names_find(&names, labels[k].name) < k)
            status = fail(e, key, "\"%s\" stands there twice", labels[k].name);
    return status;
}

static peft_status read_bool(const peft_task_entry *e, const char *key, json_t *value, bool *yes)
{
    *yes = json_is_true(value);
    return json_is_boolean(value) ? PEFT_OK : fail_value(e, key, "true or false", value);
}

static peft_status read_regression(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    bool yes;
    peft_status status = read_bool(e, key, value, &yes);
    if (status != PEFT_OK || !yes) return status;
    if (task->labels) return fail(e, key, "the labels of a regression are numbers; leave labels out");
    task->num_labels = 1;
    return PEFT_OK;
}

static peft_status read_no_quoting(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    bool yes;
    peft_status status = read_bool(e, key, value, &yes);
    task->quoting = yes ? PEFT_UNQUOTED : PEFT_QUOTED;
    return status;
}

static peft_status check_metric(const peft_task_entry *e, const char *key, const char *name, const peft_task *task)
{
    peft_error inner = {0};
    const peft_metric *metric = peft_metric_find(name, &inner);
    bool regression = peft_task_is_regression(task);
    if (!metric) return fail(e, key, "%s", inner.message);
    if ((metric->kind == PEFT_METRIC_SCORES) != regression)
        return fail(e, key, "%s is for %s, and this task has %s", name, regression ? "classes" : "scores",
                    regression ? "scores" : "classes; for scores say regression: true");
    if (metric->kind == PEFT_METRIC_BINARY && task->labels && task->num_labels != 2)
        return fail(e, key, "%s is for 2 classes, and this task has %zu", name, task->num_labels);
    return PEFT_OK;
}

static peft_status read_metrics(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    const char *const *names;
    size_t count;
    peft_status status = read_texts(e, key, value, &names, &count);
    if (status == PEFT_OK && count > PEFT_TASK_MAX_METRICS)
        return fail(e, key, "expected at most %d metrics, found %zu", PEFT_TASK_MAX_METRICS, count);
    for (size_t k = 0; k < count && status == PEFT_OK; k++) {
        status = check_metric(e, key, names[k], task);
        task->metrics[k] = names[k];
    }
    return status;
}

static peft_status find_label(const peft_task_entry *e, const char *key, const char *name, const peft_task *task,
                              size_t *index)
{
    const peft_names names = {&task->labels[0].name, task->num_labels, sizeof task->labels[0]};
    peft_error inner = {0};
    *index = peft_names_find(&names, name);
    if (*index < names.count) return PEFT_OK;
    peft_fail_unknown(&inner, PEFT_ERR_FORMAT, "class", name, &names);
    return fail(e, key, "%s", inner.message);
}

static peft_status read_positive(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    size_t index;
    peft_status status = read_text(e, key, value, &task->positive);
    if (status == PEFT_OK && (peft_task_is_regression(task) || (task->labels && task->num_labels != 2)))
        return fail(e, key, "goes with two classes, and this task has %zu %s", task->num_labels,
                    peft_task_is_regression(task) ? "score" : "classes");
    return status == PEFT_OK && task->labels ? find_label(e, key, task->positive, task, &index) : status;
}

static peft_status read_answer_object(const peft_task_entry *e, const char *key, json_t *value, const peft_task *task,
                                      const char **answers)
{
    const char *name;
    json_t *word;
    json_object_foreach(value, name, word)
    {
        size_t index;
        peft_status status = find_label(e, key, name, task, &index);
        if (status == PEFT_OK) status = read_text(e, key, word, &answers[index]);
        if (status != PEFT_OK) return status;
    }
    return PEFT_OK;
}

/* A word for each class: [no, yes] in the order of the labels, or {bad: "no", good: "yes"}. */
static peft_status read_answers(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    size_t count = json_is_object(value) ? json_object_size(value) : json_array_size(value), index;
    json_t *word;
    if (!task->labels) return fail(e, key, "answers stand for classes: name these under labels");
    if (count != task->num_labels)
        return fail(e, key, "expected a word for each of the %zu labels, found %zu", task->num_labels, count);
    const char **answers = peft_arena_take(e->arena, (count + 1) * sizeof *answers);
    peft_status status = answers ? PEFT_OK : fail_memory(e);
    if (status == PEFT_OK) status = read_answer_object(e, key, value, task, answers);
    json_array_foreach(value, index, word) if (status == PEFT_OK) status = read_text(e, key, word, &answers[index]);
    task->answers = answers;
    const peft_names names = {answers, count, sizeof *answers};
    for (size_t k = 0; k < count && status == PEFT_OK; k++)
        if (peft_names_find(&names, answers[k]) < k) status = fail(e, key, "\"%s\" stands for two classes", answers[k]);
    return status;
}

/* "{text} It was {answer}." */
static peft_status read_prompt(const peft_task_entry *e, const char *key, json_t *value, peft_task *task)
{
    static const char *const places[] = {"{text}", "{text_pair}", "{answer}"};
    peft_status status = read_text(e, key, value, &task->prompt);
    if (status != PEFT_OK) return status;
    for (const char *at = task->prompt; (at = strchr(at, '{')); at++) {
        bool known = false;
        for (size_t k = 0; k < sizeof places / sizeof *places; k++)
            known = known || strncmp(at, places[k], strlen(places[k])) == 0;
        if (!known)
            return fail(e, key, "expected {text}, {text_pair} and {answer} in braces, found \"%.*s\"",
                        (int)(strcspn(at, "}") + 1), at);
    }
    return strstr(task->prompt, places[0]) ? PEFT_OK
                                           : fail(e, key, "expected {text} in it, found \"%s\"", task->prompt);
}

/* Read in this order: metrics and answers need to know the classes. */
static const struct field {
    const char *name;
    read_field *read;
} fields[] = {{"name", read_name},
              {"description", read_descriptions},
              {"descriptions", read_descriptions},
              {"source", read_source},
              {"files", read_files},
              {"header", check_header},
              {"columns", read_columns},
              {"no_quoting", read_no_quoting},
              {"labels", read_labels},
              {"regression", read_regression},
              {"metric", read_metrics},
              {"metrics", read_metrics},
              {"positive_class", read_positive},
              {"answer_words", read_answers},
              {"prompt", read_prompt}};
enum { NUM_FIELDS = sizeof fields / sizeof fields[0] };

/* ---- the whole ---- */

static peft_status check_keys(const peft_task_entry *e)
{
    const peft_names known = {&fields[0].name, NUM_FIELDS, sizeof fields[0]};
    const char *key;
    json_t *value;
    json_object_foreach(e->object, key, value)
    {
        if (peft_names_find(&known, key) < known.count) continue;
        peft_error inner = {0};
        peft_fail_unknown(&inner, PEFT_ERR_FORMAT, "key", key, &known);
        return peft_fail(e->error, PEFT_ERR_FORMAT, "%s:%zu: %s", e->path, line_of(e, e->object, key), inner.message);
    }
    return PEFT_OK;
}

static peft_status check_whole(const peft_task_entry *e, peft_task *task)
{
    if (!task->name) return fail(e, NULL, "expected a name for the task (name: ...), found none");
    if (!task->splits && !task->descriptions)
        return fail(e, NULL, "task %s: expected files to train on, or descriptions, found neither", task->name);
    if (json_object_get(e->object, "metric") && json_object_get(e->object, "metrics"))
        return fail(e, "metrics", "stands there beside metric");
    task->help = task->descriptions ? task->descriptions[0] : task->name;
    return PEFT_OK;
}

peft_status peft_task_entry_read(const peft_task_entry *e, peft_task *task)
{
    static const peft_split none[] = {{0}};
    *task = (peft_task){.folder = e->folder, .text = "text", .label = "label", .from_file = true};
    peft_status status = check_keys(e);
    for (size_t k = 0; k < NUM_FIELDS && status == PEFT_OK; k++) {
        json_t *value = json_object_get(e->object, fields[k].name);
        if (value) status = fields[k].read(e, fields[k].name, value, task);
    }
    if (status == PEFT_OK) status = check_whole(e, task);
    if (!task->splits) task->splits = none;
    return status;
}
