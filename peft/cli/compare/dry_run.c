#include "peft/cli/compare/dry_run.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/file.h"
#include "peft/cli/runner/pool.h"
#include "peft/cli/signals.h"
#include "peft/cli/table.h"
#include "peft/machine.h"

enum { STEPS_SEEN = 12, PATH_BYTES = 4096 };

static const double SECONDS_SEEN = 20.0, SHARE_OF_EVALUATION = 1.0 / 3.0, SECONDS_AN_HOUR = 3600.0;

/* Of a run of a cell, as far as was seen. */
typedef struct estimate {
    double seconds; /* of the whole run; NaN: not known */
    int64_t steps;
    size_t runs, search_runs; /* of the cell */
    char *message;            /* why it is not known */
} estimate;

/* ---- a folder for a while ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static void remove_folder(const char *path)
{
    enum { MOST_OPEN = 16 };
    nftw(path, remove_entry, MOST_OPEN, FTW_DEPTH | FTW_PHYS);
}

static peft_status make_folder(char path[PATH_BYTES], peft_error *error)
{
    const char *place = getenv("TMPDIR");
    snprintf(path, PATH_BYTES, "%s/peft-dry-run-XXXXXX", place && *place ? place : "/tmp");
    return mkdtemp(path) ? PEFT_OK : peft_fail_write(error, errno, path, "make this folder");
}

/* ---- a run, for a while ---- */

static void pause_shortly(void)
{
    const struct timespec pause = {.tv_nsec = 10000000}; /* 10 ms */
    nanosleep(&pause, NULL);
}

/* True once the run has ended by itself. */
static bool watch(peft_train_run *run)
{
    double began = peft_machine_seconds();
    while (!peft_interrupted()) {
        bool seen = run->steps - run->clock.first_steps >= STEPS_SEEN ||
                    (run->steps > run->clock.first_steps && peft_machine_seconds() - began > SECONDS_SEEN);
        if (peft_train_run_poll(run)) return true;
        if (seen) return false;
        pause_shortly();
    }
    return false;
}

static void stop(peft_train_run *run)
{
    peft_child_stop(&run->child, SIGKILL);
    while (!peft_child_ended(&run->child)) pause_shortly();
}

/* Lines of the file that is evaluated on: about as many examples. */
static double count_examples(const peft_grid *grid, const peft_compare_cell *cell)
{
    peft_data_options data = grid->options->data;
    data.task = cell->task->word;
    char *path = NULL;
    peft_mapped_file file = {0};
    double lines = 0.0;
    if (peft_corpus_path(&data, "dev", &path, NULL) == PEFT_OK && path && peft_file_map(path, &file, NULL) == PEFT_OK)
        for (const char *at = file.data, *end = at + file.bytes; (at = memchr(at, '\n', (size_t)(end - at))); at++)
            lines++;
    peft_file_unmap(&file);
    free(path);
    return lines;
}

static double number_in(const peft_train_run *run, const char *key)
{
    return json_number_value(json_object_get(run->settings, key));
}

/* Evaluations come after each epoch, or every so many steps, and after the last step. */
static double seconds_of_evaluations(const peft_train_run *run, double a_step, double examples)
{
    double batch = number_in(run, "batch_size") * number_in(run, "gradient_accumulation");
    double every = number_in(run, "eval_every"), steps = (double)run->total_steps;
    double count = every > 0.0 ? ceil(steps / every) : fmax(1.0, ceil(number_in(run, "epochs")));
    return count * examples / batch * a_step * SHARE_OF_EVALUATION;
}

static void finish(estimate *e, const peft_train_run *run, double began, double examples)
{
    double now = peft_machine_seconds();
    double a_step = (now - run->clock.began) / (double)(run->steps - run->clock.first_steps);
    e->steps = run->total_steps;
    e->seconds =
        run->clock.began - began + a_step * (double)run->total_steps + seconds_of_evaluations(run, a_step, examples);
}

static peft_status estimate_cell(const peft_grid *grid, const peft_compare_cell *cell, const char *folder, estimate *e,
                                 peft_error *error)
{
    const peft_run_how how = {.force = true, .threads = grid->how.threads};
    json_t *changes = peft_grid_changes(grid, cell, peft_grid_seed(grid, 0));
    peft_train_run run;
    peft_status status = peft_grid_make_run_in(grid, folder, cell, "run", changes, &run, error);
    if (status != PEFT_OK) return status;
    double began = peft_machine_seconds();
    peft_train_run_start(&run, &how);
    bool ended = run.state != PEFT_RUN_STARTED || watch(&run);
    if (ended && run.state == PEFT_RUN_DONE) {
        e->seconds = peft_machine_seconds() - began;
        e->steps = run.steps;
    } else if (ended) {
        e->message = strdup(run.message ? run.message : "stopped");
    } else {
        if (!peft_interrupted()) finish(e, &run, began, count_examples(grid, cell));
        stop(&run);
    }
    peft_train_run_free(&run);
    return peft_interrupted() ? peft_fail(error, PEFT_ERR_CANCELLED, "stopped") : PEFT_OK;
}

static void count_runs(const peft_grid *grid, const peft_compare_cell *cell, estimate *e)
{
    bool searches = !json_object_get(cell->item->own, "learning_rate");
    *e = (estimate){.seconds = (double)NAN,
                    .runs = grid->num_seeds,
                    .search_runs = searches ? peft_list_count(grid->options->learning_rates) : 0};
}

static peft_status estimate_all(const peft_grid *grid, estimate *e, peft_error *error)
{
    char folder[PATH_BYTES];
    peft_status status = make_folder(folder, error);
    if (status != PEFT_OK) return status;
    peft_signals_defer();
    for (size_t c = 0; c < grid->num_cells && status == PEFT_OK; c++) {
        count_runs(grid, &grid->cells[c], &e[c]);
        status = estimate_cell(grid, &grid->cells[c], folder, &e[c], error);
    }
    remove_folder(folder);
    return status;
}

/* ---- words ---- */

typedef struct totals {
    size_t runs, search_runs;
    double hours;
} totals;

static totals sum_up(const peft_grid *grid, const estimate *e)
{
    totals t = {0};
    for (size_t c = 0; c < grid->num_cells; c++) {
        t.runs += e[c].runs;
        t.search_runs += e[c].search_runs;
        t.hours +=
            (double)(e[c].runs + e[c].search_runs) * e[c].seconds / SECONDS_AN_HOUR / (double)grid->options->jobs;
    }
    return t;
}

static peft_status print_json(const peft_grid *grid, const estimate *e, peft_output *output, peft_error *error)
{
    totals t = sum_up(grid, e);
    json_t *cells = json_array();
    for (size_t c = 0; c < grid->num_cells; c++) {
        size_t runs = e[c].runs + e[c].search_runs;
        json_array_append_new(cells, json_pack("{s:s, s:s, s:I, s:I, s:o, s:s?}", "task", grid->cells[c].task->name,
                                               "variant", grid->cells[c].item->text, "runs", (json_int_t)runs, "steps",
                                               (json_int_t)e[c].steps, "seconds",
                                               isfinite(e[c].seconds) ? json_real(e[c].seconds) : json_null(),
                                               "message", e[c].message));
    }
    json_t *document =
        json_pack("{s:I, s:I, s:o, s:o}", "runs", (json_int_t)t.runs, "search_runs", (json_int_t)t.search_runs, "hours",
                  isfinite(t.hours) ? json_real(t.hours) : json_null(), "cells", cells);
    if (!document) return peft_fail(error, PEFT_ERR_MEMORY, "dry run: out of memory");
    peft_status status = peft_output_json(output, document, error);
    json_decref(document);
    return status;
}

static void add_cell(peft_text_table *table, const peft_compare_cell *cell, const estimate *e)
{
    peft_text_table_cell(table, "%s", cell->task->name);
    peft_text_table_cell(table, "%s", cell->item->text);
    peft_text_table_cell(table, "%zu", e->runs + e->search_runs);
    if (e->message) {
        peft_text_table_cell(table, "-");
        peft_text_table_cell(table, "-");
        return;
    }
    peft_text_table_cell(table, "%lld", (long long)e->steps);
    peft_text_table_cell(table, "%.1f", e->seconds);
}

static peft_status print_text(const peft_grid *grid, const estimate *e, peft_output *output, peft_error *error)
{
    static const char *const headings[] = {"task", "variant", "runs", "steps", "s a run"};
    totals t = sum_up(grid, e);
    peft_text_table table;
    peft_text_table_init(&table, headings, sizeof headings / sizeof headings[0]);
    for (size_t c = 0; c < grid->num_cells; c++) add_cell(&table, &grid->cells[c], &e[c]);
    peft_status status = peft_text_table_print(&table, output->results, error);
    peft_text_table_free(&table);
    fprintf(output->results, "\n%zu runs", t.runs);
    if (t.search_runs) fprintf(output->results, ", and %zu to choose learning rates", t.search_runs);
    if (isfinite(t.hours))
        fprintf(output->results, ": about %.*f hours with --jobs %lld\n", t.hours < 1.0 ? 2 : 1, t.hours,
                (long long)grid->options->jobs);
    else
        fputs("; how long they take is not known\n", output->results);
    return status;
}

static void print_failures(const peft_grid *grid, const estimate *e, peft_output *output)
{
    for (size_t c = 0; c < grid->num_cells; c++) {
        if (!e[c].message) continue;
        peft_output_say(output, PEFT_SAY_ERROR, "%s %s: %s", grid->cells[c].task->name, grid->cells[c].item->text,
                        e[c].message);
        output->failed = true;
    }
}

peft_status peft_compare_dry_run(const peft_grid *grid, peft_output *output, peft_error *error)
{
    estimate *e = calloc(grid->num_cells + 1, sizeof *e);
    if (!e) return peft_fail(error, PEFT_ERR_MEMORY, "dry run: out of memory");
    peft_status status = estimate_all(grid, e, error);
    if (status == PEFT_OK) status = (output->json ? print_json : print_text)(grid, e, output, error);
    if (status == PEFT_OK) print_failures(grid, e, output);
    for (size_t c = 0; c < grid->num_cells; c++) free(e[c].message);
    free(e);
    return status;
}
