#include "peft/cli/compare/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "peft/cli/compare/csv.h"
#include "peft/statistics/summary.h"

json_t *peft_compare_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* ---- a row a run ---- */

/* The field of run.json; null where there is none. */
static json_t *field(const peft_train_run *run, const char *name)
{
    json_t *value = json_object_get(run->summary, name);
    return value ? json_incref(value) : json_null();
}

static json_t *result_row(const peft_grid *grid, size_t index)
{
    const peft_train_run *run = &grid->runs[index];
    const peft_compare_cell *cell = &grid->cells[index / grid->num_seeds];
    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s?, s:s}", "task", cell->task->name,
                     "variant", cell->item->text, "seed", (json_int_t)peft_grid_seed(grid, index % grid->num_seeds),
                     "metrics", field(run, "metrics"), "trainable_parameters", field(run, "trainable_parameters"),
                     "peak_memory_bytes", field(run, "peak_memory_bytes"), "train_seconds", field(run, "train_seconds"),
                     "tokens_per_second", field(run, "tokens_per_second"), "learning_rate",
                     peft_compare_number(cell->learning_rate), "one_answer", field(run, "one_answer"), "status",
                     peft_run_state_name(run->state), "message", run->message, "folder", run->folder);
}

json_t *peft_compare_results(const peft_grid *grid)
{
    json_t *rows = json_array();
    bool complete = rows != NULL;
    for (size_t i = 0; i < grid->num_runs && complete; i++)
        complete = json_array_append_new(rows, result_row(grid, i)) == 0;
    if (complete) return rows;
    json_decref(rows);
    return NULL;
}

/* ---- a row a cell and metric ---- */

static const peft_train_run *runs_of(const peft_grid *grid, size_t cell)
{
    return &grid->runs[cell * grid->num_seeds];
}

/* Values of a number in run.json, or of a metric in it, over the cell's finished runs; returns how many. */
static size_t collect(const peft_grid *grid, size_t cell, const char *object, const char *name, double *values)
{
    size_t n = 0;
    const peft_train_run *runs = runs_of(grid, cell);
    for (size_t i = 0; i < grid->num_seeds; i++) {
        const json_t *from = object ? json_object_get(runs[i].summary, object) : runs[i].summary;
        const json_t *value = json_object_get(from, name);
        if (json_is_number(value)) values[n++] = json_number_value(value);
    }
    return n;
}

static size_t count_one_answers(const peft_grid *grid, size_t cell)
{
    size_t count = 0;
    for (size_t i = 0; i < grid->num_seeds; i++)
        count += json_is_true(json_object_get(runs_of(grid, cell)[i].summary, "one_answer"));
    return count;
}

static double largest(const double *values, size_t n)
{
    double found = (double)NAN;
    for (size_t i = 0; i < n; i++) found = fmax(found, values[i]);
    return found;
}

static json_t *whole(double value)
{
    return isfinite(value) ? json_integer((json_int_t)value) : json_null();
}

static json_t *summary_row(const peft_grid *grid, size_t index, const char *metric, double *values)
{
    const peft_compare_cell *cell = &grid->cells[index];
    double parameters = largest(values, collect(grid, index, NULL, "trainable_parameters", values));
    double memory = largest(values, collect(grid, index, NULL, "peak_memory_bytes", values));
    double seconds = peft_statistics_of(values, collect(grid, index, NULL, "train_seconds", values)).mean;
    peft_statistics s = peft_statistics_of(values, collect(grid, index, "metrics", metric, values));
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:s}", "task",
                     cell->task->name, "variant", cell->item->text, "metric", metric, "n", (json_int_t)s.n,
                     "one_answer", (json_int_t)count_one_answers(grid, index), "mean", peft_compare_number(s.mean),
                     "standard_deviation", peft_compare_number(s.deviation), "interval_low", peft_compare_number(s.low),
                     "interval_high", peft_compare_number(s.high), "trainable_parameters", whole(parameters),
                     "peak_memory_bytes", whole(memory), "train_seconds", peft_compare_number(seconds), "learning_rate",
                     peft_compare_number(cell->learning_rate), "learning_rate_chosen_on", cell->chosen_on,
                     "reported_on", "dev");
}

/* The metrics of the cell's first finished run, or NULL: all its runs have the same. */
static json_t *metrics_of(const peft_grid *grid, size_t cell)
{
    const peft_train_run *runs = runs_of(grid, cell);
    for (size_t i = 0; i < grid->num_seeds; i++)
        if (runs[i].summary) return json_object_get(runs[i].summary, "metrics");
    return NULL;
}

static bool add_summary(json_t *rows, const peft_grid *grid, size_t cell, double *values)
{
    const char *metric;
    json_t *value;
    json_object_foreach(metrics_of(grid, cell), metric,
                        value) if (json_array_append_new(rows, summary_row(grid, cell, metric, values)) !=
                                   0) return false;
    return true;
}

json_t *peft_compare_summary(const peft_grid *grid)
{
    json_t *rows = json_array();
    double *values = calloc(grid->num_seeds, sizeof *values);
    bool complete = rows && values;
    for (size_t i = 0; i < grid->num_cells && complete; i++) complete = add_summary(rows, grid, i, values);
    free(values);
    if (complete) return rows;
    json_decref(rows);
    return NULL;
}

/* ---- files ---- */

static const char *const before_metrics[] = {"task", "variant", "seed"},
                         *const after_metrics[] = {"trainable_parameters",
                                                   "peak_memory_bytes",
                                                   "train_seconds",
                                                   "tokens_per_second",
                                                   "learning_rate",
                                                   "one_answer",
                                                   "status",
                                                   "message",
                                                   "folder"},
                         *const summary_columns[] = {"task",
                                                     "variant",
                                                     "metric",
                                                     "n",
                                                     "one_answer",
                                                     "mean",
                                                     "standard_deviation",
                                                     "interval_low",
                                                     "interval_high",
                                                     "trainable_parameters",
                                                     "peak_memory_bytes",
                                                     "train_seconds",
                                                     "learning_rate",
                                                     "learning_rate_chosen_on",
                                                     "reported_on"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static peft_status save(const peft_grid *grid, const char *name, const char *const *columns, size_t count,
                        const json_t *rows, peft_error *error)
{
    char *path = NULL;
    if (!rows) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", name);
    peft_status status = peft_path_join(grid->options->output, name, &path, error);
    if (status == PEFT_OK) status = peft_csv_save(path, columns, count, rows, error);
    free(path);
    return status;
}

/* Makes each metric a field of its row; returns an object with their names, or NULL. */
static json_t *spread_metrics(json_t *rows)
{
    size_t i;
    json_t *row, *names = json_object();
    json_array_foreach(rows, i, row)
    {
        json_t *metrics = json_object_get(row, "metrics");
        if (!json_is_object(metrics)) continue;
        if (json_object_update(names, metrics) != 0 || json_object_update(row, metrics) != 0) {
            json_decref(names);
            return NULL;
        }
    }
    return names;
}

static peft_status save_results(const peft_grid *grid, peft_error *error)
{
    size_t count = 0;
    json_t *rows = peft_compare_results(grid), *names = spread_metrics(rows), *value;
    const char **columns =
        calloc(json_object_size(names) + COUNT(before_metrics) + COUNT(after_metrics), sizeof *columns);
    peft_status status = PEFT_ERR_MEMORY;
    if (rows && names && columns) {
        const char *name;
        for (size_t k = 0; k < COUNT(before_metrics); k++) columns[count++] = before_metrics[k];
        json_object_foreach(names, name, value) columns[count++] = name;
        for (size_t k = 0; k < COUNT(after_metrics); k++) columns[count++] = after_metrics[k];
        status = save(grid, "results.csv", columns, count, rows, error);
    } else {
        peft_fail(error, PEFT_ERR_MEMORY, "results.csv: out of memory");
    }
    free(columns);
    json_decref(names);
    json_decref(rows);
    return status;
}

peft_status peft_compare_save(const peft_grid *grid, peft_error *error)
{
    peft_status status = save_results(grid, error);
    if (status != PEFT_OK) return status;
    json_t *rows = peft_compare_summary(grid);
    status = save(grid, "summary.csv", summary_columns, COUNT(summary_columns), rows, error);
    json_decref(rows);
    return status;
}
