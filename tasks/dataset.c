#include "tasks/dataset.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/number.h"
#include "ops/nearest.h"

enum { TEXT, TEXT_PAIR, LABEL, VECTOR }; /* order of the columns asked for */

/* What a file's labels may be, and how people call the classes; the same names but for tasks that number them. */
typedef struct label_set {
    peft_names texts, names;
    peft_class_names of_model; /* for files whose labels are not known */
} label_set;

static peft_status fail_memory(const char *path, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
}

/* ---- labels ---- */

/* "a.csv:7: label", for messages. */
static const char *place(const peft_dataset *dataset, size_t row, const char *path, char text[PEFT_MESSAGE_BYTES / 2])
{
    snprintf(text, PEFT_MESSAGE_BYTES / 2, "%s:%zu: %s", path, dataset->lines[row],
             dataset->regression ? "score" : "label");
    return text;
}

static peft_status fail_missing(const peft_dataset *dataset, size_t row, const char *path, peft_error *error)
{
    char where[PEFT_MESSAGE_BYTES / 2];
    const char *text = dataset->table.columns[LABEL][row].text;
    return peft_fail(error, PEFT_ERR_FORMAT,
                     "%s: it is missing (\"%s\" is what pandas and datasets read as no value); give the row a label or "
                     "take it out; if it is a class, call it otherwise",
                     place(dataset, row, path, where), text);
}

/* Beyond MOST the square of a score, which the loss takes, comes near the end of float's range. */
static peft_status read_scores(peft_dataset *dataset, const char *path, peft_error *error)
{
    const double most = 1e16;
    const peft_cell *cells = dataset->table.columns[LABEL];
    char where[PEFT_MESSAGE_BYTES / 2];
    if (!(dataset->scores = calloc(dataset->count, sizeof *dataset->scores))) return fail_memory(path, error);
    for (size_t i = 0; i < dataset->count; i++) {
        double value;
        if (peft_label_is_missing(cells[i].text)) return fail_missing(dataset, i, path, error);
        if (!peft_number_read(cells[i].text, &value))
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected a number, found \"%s\"",
                             place(dataset, i, path, where), cells[i].text);
        if (fabs(value) > most)
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected a number from %g to %g, found %s; scale the scores",
                             place(dataset, i, path, where), -most, most, cells[i].text);
        dataset->scores[i] = (float)value;
    }
    return PEFT_OK;
}

static peft_status read_classes(peft_dataset *dataset, const peft_names *texts, const char *path, peft_error *error)
{
    const peft_cell *cells = dataset->table.columns[LABEL];
    for (size_t i = 0; i < dataset->count; i++) {
        size_t id = peft_names_find(texts, cells[i].text);
        if (id == texts->count && peft_label_is_missing(cells[i].text)) return fail_missing(dataset, i, path, error);
        if (id == texts->count) {
            char where[PEFT_MESSAGE_BYTES / 2];
            return peft_fail_unknown(error, PEFT_ERR_FORMAT, place(dataset, i, path, where), cells[i].text, texts);
        }
        dataset->classes[i] = (int32_t)id;
    }
    return PEFT_OK;
}

static void free_names(peft_dataset *dataset)
{
    for (size_t i = 0; dataset->label_names && i < dataset->num_labels; i++) free(dataset->label_names[i]);
    free(dataset->label_names);
    dataset->label_names = NULL;
    dataset->num_labels = 0;
}

static peft_status copy_names(peft_dataset *dataset, const peft_names *names, const char *path, peft_error *error)
{
    dataset->num_labels = names->count;
    if (names->count == 0) return PEFT_OK;
    dataset->label_names = calloc(names->count, sizeof *dataset->label_names);
    if (!dataset->label_names) return fail_memory(path, error);
    for (size_t i = 0; i < names->count; i++)
        if (!(dataset->label_names[i] = strdup(peft_names_at(names, i)))) return fail_memory(path, error);
    return PEFT_OK;
}

/* Classes that are called by their numbers. */
static peft_status number_names(peft_dataset *dataset, size_t count, const char *path, peft_error *error)
{
    enum { NUMBER_BYTES = 24 };
    dataset->num_labels = count;
    if (!(dataset->label_names = calloc(count, sizeof *dataset->label_names))) return fail_memory(path, error);
    for (size_t i = 0; i < count; i++) {
        if (!(dataset->label_names[i] = malloc(NUMBER_BYTES))) return fail_memory(path, error);
        snprintf(dataset->label_names[i], NUMBER_BYTES, "%zu", i);
    }
    return PEFT_OK;
}

static peft_status check_missing(const peft_dataset *dataset, const char *path, peft_error *error)
{
    const peft_cell *cells = dataset->table.columns[LABEL];
    for (size_t i = 0; i < dataset->count; i++)
        if (peft_label_is_missing(cells[i].text)) return fail_missing(dataset, i, path, error);
    return PEFT_OK;
}

static peft_status check_number(const peft_label_list *list, const peft_label_classes *classes, const char *path,
                                peft_error *error)
{
    if (classes->count >= 2 && list->count <= PEFT_MAX_LABELS) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FORMAT,
                     "%s: labels: expected 2 to %d different ones, found %zu; numbers on a scale are a regression",
                     path, PEFT_MAX_LABELS, list->count);
}

static peft_status take_classes(peft_dataset *dataset, const peft_label_list *list, const peft_label_classes *classes,
                                const char *path, peft_error *error)
{
    const peft_names texts = {list->labels, list->count, sizeof *list->labels};
    const peft_names names = {classes->names, classes->count, sizeof *classes->names};
    peft_status status = check_number(list, classes, path, error);
    if (status == PEFT_OK) status = read_classes(dataset, &texts, path, error);
    if (status != PEFT_OK) return status;
    for (size_t i = 0; i < dataset->count; i++) dataset->classes[i] = classes->ids[dataset->classes[i]];
    dataset->order = classes->order;
    return classes->names ? copy_names(dataset, &names, path, error)
                          : number_names(dataset, classes->count, path, error);
}

static peft_status discover_classes(peft_dataset *dataset, const peft_class_names *of_model, const char *path,
                                    peft_error *error)
{
    peft_label_list list = {0};
    peft_label_classes classes = {0};
    peft_status status = check_missing(dataset, path, error);
    if (status == PEFT_OK) status = peft_labels_collect(dataset->table.columns[LABEL], dataset->count, &list, error);
    if (status == PEFT_OK) status = peft_labels_order(&list, of_model, &classes, error);
    if (status == PEFT_OK) status = take_classes(dataset, &list, &classes, path, error);
    free(list.labels);
    free(classes.ids);
    return status;
}

/* A NUL, as JSON can say it, would end the text: "1\u0000" is no 1. */
static peft_status check_whole(const peft_dataset *dataset, const char *path, peft_error *error)
{
    const peft_cell *cells = dataset->table.columns[LABEL];
    char where[PEFT_MESSAGE_BYTES / 2];
    for (size_t i = 0; cells && i < dataset->count; i++)
        if (strlen(cells[i].text) != cells[i].bytes)
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected plain text, found \"%s\\u0000...\"",
                             place(dataset, i, path, where), cells[i].text);
    return PEFT_OK;
}

static peft_status read_labels(peft_dataset *dataset, const label_set *known, const char *path, peft_error *error)
{
    bool labelled = dataset->table.columns[LABEL];
    if (dataset->regression) {
        dataset->num_labels = 1;
        return labelled ? read_scores(dataset, path, error) : PEFT_OK;
    }
    if (labelled && !(dataset->classes = calloc(dataset->count, sizeof *dataset->classes)))
        return fail_memory(path, error);
    if (labelled && known->texts.count == 0) return discover_classes(dataset, &known->of_model, path, error);
    peft_status status = copy_names(dataset, &known->names, path, error);
    return status == PEFT_OK && labelled ? read_classes(dataset, &known->texts, path, error) : status;
}

/* The names of a task as a list of labels, and what the model calls them. */
static peft_status adopt(peft_dataset *dataset, const peft_label_classes *classes, peft_error *error)
{
    if (classes->order != PEFT_CLASSES_OF_MODEL || classes->count != dataset->num_labels) return PEFT_OK;
    const peft_names names = {classes->names, classes->count, sizeof *classes->names};
    for (size_t i = 0; dataset->classes && i < dataset->count; i++)
        dataset->classes[i] = classes->ids[dataset->classes[i]];
    free_names(dataset);
    dataset->order = PEFT_CLASSES_OF_MODEL;
    return copy_names(dataset, &names, "names of labels", error);
}

peft_status peft_dataset_adopt_names(peft_dataset *dataset, const peft_class_names *of_model, peft_error *error)
{
    if (!dataset->label_names) return PEFT_OK;
    peft_label_list list = {.labels = calloc(dataset->num_labels, sizeof *list.labels), .count = dataset->num_labels};
    if (!list.labels) return fail_memory("names of labels", error);
    for (size_t i = 0; i < list.count; i++) list.labels[i] = dataset->label_names[i];
    peft_label_classes classes;
    peft_status status = peft_labels_order(&list, of_model, &classes, error);
    if (status == PEFT_OK) status = adopt(dataset, &classes, error);
    free(list.labels);
    free(classes.ids);
    return status;
}

void peft_dataset_count_classes(const peft_dataset *dataset, size_t *counts)
{
    memset(counts, 0, dataset->num_labels * sizeof *counts);
    for (size_t i = 0; dataset->classes && i < dataset->count; i++) counts[dataset->classes[i]]++;
}

/* ---- vectors ---- */

static const char between[] = " \t,[]"; /* numbers of a vector */

static int64_t count_numbers(const char *text)
{
    int64_t count = 0;
    for (text += strspn(text, between); *text; text += strspn(text, between)) {
        text += strcspn(text, between);
        count++;
    }
    return count;
}

/* The number at the beginning of *text, which goes on to the next. */
static bool read_number(const char **text, float *number)
{
    char piece[64];
    double value = 0;
    size_t length = strcspn(*text, between);
    bool fits = length < sizeof piece;
    if (fits) {
        memcpy(piece, *text, length);
        piece[length] = '\0';
        fits = peft_number_read(piece, &value) && fabs(value) <= (double)FLT_MAX;
    }
    *number = (float)value;
    *text += length;
    *text += strspn(*text, between);
    return fits;
}

static peft_status read_vector(const peft_dataset *d, size_t row, const char *path, peft_error *error)
{
    const peft_cell *cell = &d->table.columns[VECTOR][row];
    const char *text = cell->text;
    int64_t found = count_numbers(text);
    if (strlen(text) != cell->bytes)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s:%zu: vector: expected numbers, found \"%s\\u0000...\"", path,
                         d->lines[row], text);
    if (found != d->vector_size || found == 0)
        return peft_fail(error, PEFT_ERR_FORMAT,
                         "%s:%zu: vector: expected %" PRId64 " numbers, as in the first, found "
                         "%" PRId64,
                         path, d->lines[row], d->vector_size, found);
    text += strspn(text, between);
    for (int64_t k = 0; k < found; k++) {
        const char *number = text;
        if (!read_number(&text, &d->vectors[(int64_t)row * found + k]))
            return peft_fail(error, PEFT_ERR_FORMAT, "%s:%zu: vector: expected a number, found \"%.*s\"", path,
                             d->lines[row], (int)strcspn(number, between), number);
    }
    return PEFT_OK;
}

static peft_status read_vectors(peft_dataset *d, const char *path, peft_error *error)
{
    if (!d->table.columns[VECTOR]) return PEFT_OK;
    d->vector_size = count_numbers(d->table.columns[VECTOR][0].text);
    d->vectors = calloc(d->count * (size_t)d->vector_size + 1, sizeof *d->vectors);
    if (!d->vectors) return fail_memory(path, error);
    peft_status status = PEFT_OK;
    for (size_t row = 0; row < d->count && status == PEFT_OK; row++) status = read_vector(d, row, path, error);
    return status;
}

/* ---- loading ---- */

static void set_rows(peft_dataset *dataset)
{
    dataset->count = dataset->table.num_rows;
    dataset->text = dataset->table.columns[TEXT];
    dataset->text_pair = dataset->table.columns[TEXT_PAIR];
    dataset->lines = dataset->table.lines;
    dataset->num_skipped = dataset->table.num_skipped;
}

static peft_status load(const char *path, const peft_table_request *request, const label_set *known, bool regression,
                        peft_dataset **out, peft_error *error)
{
    *out = NULL;
    peft_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) return fail_memory(path, error);
    peft_status status = peft_table_read(path, request, &dataset->table, error);
    if (status == PEFT_OK) {
        set_rows(dataset);
        dataset->regression = regression;
        status = check_whole(dataset, path, error);
        if (status == PEFT_OK) status = read_labels(dataset, known, path, error);
        if (status == PEFT_OK) status = read_vectors(dataset, path, error);
    }
    if (status == PEFT_OK)
        *out = dataset;
    else
        peft_dataset_free(dataset);
    return status;
}

peft_dataset_columns peft_task_columns(const peft_task *task, const peft_split *split)
{
    return (peft_dataset_columns){.text = task->text,
                                  .text_pair = task->text_pair,
                                  .label = task->label,
                                  .label_optional = !split->labelled,
                                  .regression = peft_task_is_regression(task),
                                  .quoting = task->quoting,
                                  .header = split->columns,
                                  .skip_broken_rows = task->skips_broken_rows,
                                  .labels = task->labels,
                                  .num_labels = task->labels ? task->num_labels : 0};
}

peft_status peft_dataset_load(const peft_task *task, const char *data_dir, const char *split_name,
                              peft_dataset **dataset, peft_error *error)
{
    *dataset = NULL;
    const peft_split *split = peft_task_split(task, split_name, error);
    if (!split) return PEFT_ERR_ARGUMENT;
    const peft_dataset_columns columns = peft_task_columns(task, split);
    char *path;
    peft_status status = peft_task_path(task, data_dir, split, &path, error);
    if (status != PEFT_OK) return status;
    status = peft_dataset_load_file(path, &columns, dataset, error);
    free(path);
    return status;
}

static label_set known_labels(const peft_dataset_columns *c)
{
    const peft_names names = {c->label_names, c->label_names ? c->num_labels : 0, sizeof *c->label_names};
    if (!c->labels) return (label_set){names, names, c->of_model};
    return (label_set){.texts = {&c->labels[0].text, c->num_labels, sizeof c->labels[0]},
                       .names = {&c->labels[0].name, c->num_labels, sizeof c->labels[0]}};
}

peft_status peft_dataset_load_file(const char *path, const peft_dataset_columns *columns, peft_dataset **dataset,
                                   peft_error *error)
{
    const peft_table_request request = {
        .columns = {[TEXT].name = columns->text,
                    [TEXT_PAIR].name = columns->text_pair,
                    [LABEL] = {.name = columns->label, .optional = columns->label_optional},
                    [VECTOR] = {.name = columns->vector, .lists = true}},
        .header = columns->header,
        .quoting = columns->quoting,
        .skip_broken_rows = columns->skip_broken_rows};
    const label_set known = known_labels(columns);
    return load(path, &request, &known, columns->regression, dataset, error);
}

peft_status peft_dataset_from_table(peft_table *table, peft_dataset **out, peft_error *error)
{
    peft_dataset *dataset = *out = calloc(1, sizeof *dataset);
    if (dataset) {
        dataset->table = *table;
        set_rows(dataset);
    } else {
        peft_table_free(table);
    }
    *table = (peft_table){0};
    return dataset ? PEFT_OK : fail_memory("texts", error);
}

/* ---- parts ---- */

static peft_status copy_examples(peft_dataset *to, const peft_dataset *from, const uint32_t *rows, size_t count,
                                 peft_error *error)
{
    static const char what[] = "part of a data set";
    peft_status status = peft_table_select(&from->table, rows, count, &to->table, error);
    if (status != PEFT_OK) return status;
    set_rows(to);
    to->regression = from->regression;
    to->order = from->order;
    if (from->classes) {
        if (!(to->classes = calloc(count, sizeof *to->classes))) return fail_memory(what, error);
        for (size_t i = 0; i < count; i++) to->classes[i] = from->classes[rows[i]];
    }
    if (from->scores) {
        if (!(to->scores = calloc(count, sizeof *to->scores))) return fail_memory(what, error);
        for (size_t i = 0; i < count; i++) to->scores[i] = from->scores[rows[i]];
    }
    if (from->vectors) {
        size_t size = (size_t)(to->vector_size = from->vector_size);
        if (!(to->vectors = calloc(count * size, sizeof *to->vectors))) return fail_memory(what, error);
        for (size_t i = 0; i < count; i++)
            memcpy(to->vectors + i * size, from->vectors + rows[i] * size, size * sizeof *to->vectors);
    }
    peft_names names = {from->label_names, from->label_names ? from->num_labels : 0, sizeof(char *)};
    status = copy_names(to, &names, what, error);
    to->num_labels = from->num_labels;
    return status;
}

peft_status peft_dataset_select(const peft_dataset *from, const uint32_t *rows, size_t count, peft_dataset **dataset,
                                peft_error *error)
{
    *dataset = NULL;
    peft_dataset *part = calloc(1, sizeof *part);
    if (!part) return fail_memory("part of a data set", error);
    peft_status status = copy_examples(part, from, rows, count, error);
    if (status == PEFT_OK)
        *dataset = part;
    else
        peft_dataset_free(part);
    return status;
}

void peft_dataset_free(peft_dataset *dataset)
{
    if (!dataset) return;
    free_names(dataset);
    free(dataset->classes);
    free(dataset->vectors);
    free(dataset->scores);
    peft_table_free(&dataset->table);
    free(dataset);
}
