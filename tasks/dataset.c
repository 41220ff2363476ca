#include "tasks/dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "ops/nearest.h"

enum { TEXT, TEXT_PAIR, LABEL }; /* order of the columns asked for */

/* What a file's labels may be, and how people call the classes; the same names but for tasks that number them. */
typedef struct label_set {
    peft_names texts, names;
} label_set;

static peft_status fail_memory(const char *path, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
}

/* ---- labels ---- */

static peft_status parse_score(const peft_cell *cell, float *score)
{
    char *end;
    double value = strtod(cell->text, &end);
    bool number = cell->bytes > 0 && strspn(cell->text, "+-.0123456789eE") == cell->bytes && !*end;
    *score = (float)value;
    return number && isfinite(*score) ? PEFT_OK : PEFT_ERR_FORMAT;
}

static peft_status read_scores(peft_dataset *dataset, const char *path, peft_error *error)
{
    const peft_cell *cells = dataset->table.columns[LABEL];
    for (size_t i = 0; i < dataset->count; i++)
        if (parse_score(&cells[i], &dataset->labels[i]) != PEFT_OK)
            return peft_fail(error, PEFT_ERR_FORMAT, "%s:%zu: score: expected a number, found \"%s\"", path,
                             dataset->lines[i], cells[i].text);
    return PEFT_OK;
}

static peft_status read_classes(peft_dataset *dataset, const peft_names *texts, const char *path, peft_error *error)
{
    const peft_cell *cells = dataset->table.columns[LABEL];
    for (size_t i = 0; i < dataset->count; i++) {
        size_t id = peft_names_find(texts, cells[i].text);
        if (id == texts->count) {
            char where[PEFT_MESSAGE_BYTES / 2];
            snprintf(where, sizeof where, "%s:%zu: label", path, dataset->lines[i]);
            return peft_fail_unknown(error, PEFT_ERR_FORMAT, where, cells[i].text, texts);
        }
        dataset->labels[i] = (float)id;
    }
    return PEFT_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct labels, sorted, in front of `found` [count]. */
static size_t distinct_labels(const peft_cell *cells, size_t count, const char **found)
{
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++) found[i] = cells[i].text;
    qsort(found, count, sizeof *found, by_bytes);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(found[i], found[i - 1]) != 0) found[distinct++] = found[i];
    return distinct;
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

static peft_status discover_classes(peft_dataset *dataset, const char *path, peft_error *error)
{
    const char **found = calloc(dataset->count, sizeof *found);
    if (!found) return fail_memory(path, error);
    size_t distinct = distinct_labels(dataset->table.columns[LABEL], dataset->count, found);
    peft_names names = {found, distinct, sizeof *found};
    peft_status status;
    if (distinct < 2 || distinct > PEFT_MAX_LABELS)
        status =
            peft_fail(error, PEFT_ERR_FORMAT,
                      "%s: labels: expected 2 to %d different ones, found %zu; numbers on a scale are a regression",
                      path, PEFT_MAX_LABELS, distinct);
    else if ((status = copy_names(dataset, &names, path, error)) == PEFT_OK)
        status = read_classes(dataset, &names, path, error);
    free(found);
    return status;
}

static peft_status read_labels(peft_dataset *dataset, const label_set *known, const char *path, peft_error *error)
{
    bool labelled = dataset->table.columns[LABEL];
    if (labelled && !(dataset->labels = calloc(dataset->count, sizeof *dataset->labels)))
        return fail_memory(path, error);
    if (dataset->regression) {
        dataset->num_labels = 1;
        return labelled ? read_scores(dataset, path, error) : PEFT_OK;
    }
    if (labelled && known->texts.count == 0) return discover_classes(dataset, path, error);
    peft_status status = copy_names(dataset, &known->names, path, error);
    return status == PEFT_OK && labelled ? read_classes(dataset, &known->texts, path, error) : status;
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
        status = read_labels(dataset, known, path, error);
    }
    if (status == PEFT_OK)
        *out = dataset;
    else
        peft_dataset_free(dataset);
    return status;
}

static peft_status load_split(const peft_task *task, const char *folder, const peft_split *split, peft_dataset **out,
                              peft_error *error)
{
    const peft_table_request request = {
        .columns = {[TEXT].name = task->text,
                    [TEXT_PAIR].name = task->text_pair,
                    [LABEL] = {.name = task->label, .optional = !split->labelled}},
        .header = split->columns,
        .skip_broken_rows = task->skips_broken_rows,
    };
    label_set known = {{0}, {0}};
    if (task->labels)
        known = (label_set){.texts = {&task->labels[0].text, task->num_labels, sizeof task->labels[0]},
                            .names = {&task->labels[0].name, task->num_labels, sizeof task->labels[0]}};
    char *path;
    peft_status status = peft_path_join(folder, split->file, &path, error);
    if (status != PEFT_OK) return status;
    status = load(path, &request, &known, !task->labels, out, error);
    free(path);
    return status;
}

peft_status peft_dataset_load(const peft_task *task, const char *data_dir, const char *split_name,
                              peft_dataset **dataset, peft_error *error)
{
    *dataset = NULL;
    const peft_split *split = peft_task_split(task, split_name, error);
    if (!split) return PEFT_ERR_ARGUMENT;
    char *folder;
    peft_status status = peft_path_join(data_dir, task->folder, &folder, error);
    if (status != PEFT_OK) return status;
    status = load_split(task, folder, split, dataset, error);
    free(folder);
    return status;
}

peft_status peft_dataset_load_file(const char *path, const peft_dataset_columns *columns, peft_dataset **dataset,
                                   peft_error *error)
{
    const peft_table_request request = {
        .columns = {[TEXT].name = columns->text, [TEXT_PAIR].name = columns->text_pair, [LABEL].name = columns->label}};
    peft_names names = {columns->label_names, columns->label_names ? columns->num_labels : 0, sizeof(char *)};
    label_set known = {names, names};
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
    if (from->labels) {
        if (!(to->labels = calloc(count, sizeof *to->labels))) return fail_memory(what, error);
        for (size_t i = 0; i < count; i++) to->labels[i] = from->labels[rows[i]];
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
    for (size_t i = 0; dataset->label_names && i < dataset->num_labels; i++) free(dataset->label_names[i]);
    free(dataset->label_names);
    free(dataset->labels);
    peft_table_free(&dataset->table);
    free(dataset);
}
