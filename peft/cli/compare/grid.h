/* peft/cli/compare/grid.h - everything that a comparison runs: tasks x variants x seeds.
 *
 *     DIR/<task>/<label of the variant>/seed<N>/ */
#ifndef PEFT_CLI_COMPARE_GRID_H
#define PEFT_CLI_COMPARE_GRID_H

#include "io/folder.h"
#include "peft/cli/compare/item.h"
#include "peft/cli/compare/options.h"
#include "peft/cli/runner/train_run.h"

typedef struct peft_compare_task {
    char *name; /* "own" for own files */
    char *word; /* what --task of its runs says: the name, or FILE:NAME; NULL for own files */
} peft_compare_task;

/* A task with a variant: what the seeds are averaged over. */
typedef struct peft_compare_cell {
    const peft_compare_task *task;
    const peft_compare_item *item;
    double learning_rate; /* of the runs; NaN: no candidate came to an end */
    char *chosen_on;      /* what the rate was chosen on; NULL: it was given */
} peft_compare_cell;

typedef struct peft_grid {
    peft_compare_options *options;
    peft_compare_item *items;
    size_t num_items;
    peft_compare_task *tasks;
    size_t num_tasks;
    peft_compare_cell *cells; /* [num_tasks * num_items], task by task */
    size_t num_cells;
    size_t num_seeds;
    peft_train_run *runs; /* [num_cells * num_seeds], cell by cell */
    size_t num_runs;      /* 0 before peft_grid_make_runs */
    peft_run_how how;
    peft_lock *lock; /* on the output folder */
} peft_grid;

/* Items, cells and the output folder, from checked options. PEFT_ERR_ARGUMENT: an unknown task, a wrong option of an
 * item, two items alike; the folder is one that is read from, or it is there already and neither resume nor force is
 * given, or resume and it is no comparison; PEFT_ERR_WRITE: another comparison is at work in it. The settings are
 * written to its comparison.json, which `peft compare --config` reads. Release with peft_grid_close, which takes a
 * zeroed one too; `arguments` must outlive it. */
peft_status peft_grid_open(peft_grid *grid, const peft_arguments *arguments, peft_error *error);
void peft_grid_close(peft_grid *grid);

/* The runs of all cells at their learning rates, and what is there of them already (peft_train_run_look). */
peft_status peft_grid_make_runs(peft_grid *grid, peft_error *error);

/* A run of a cell: DIR/<task>/<label>/<place>. `changes`, an object of settings, is released. */
peft_status peft_grid_make_run(const peft_grid *grid, const peft_compare_cell *cell, const char *place, json_t *changes,
                               peft_train_run *run, peft_error *error);

/* The same below another folder than DIR. */
peft_status peft_grid_make_run_in(const peft_grid *grid, const char *folder, const peft_compare_cell *cell,
                                  const char *place, json_t *changes, peft_train_run *run, peft_error *error);

/* What a run of a cell has for itself: seed, learning rate, nothing held out that it does not choose on. NULL: out of
 * memory. */
json_t *peft_grid_changes(const peft_grid *grid, const peft_compare_cell *cell, int64_t seed);

/* Seed number `index`. */
int64_t peft_grid_seed(const peft_grid *grid, size_t index);

#endif
