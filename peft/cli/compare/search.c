#include "peft/cli/compare/search.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peft/cli/runner/pool.h"
#include "peft/cli/runner/run_log.h"

/* The candidates of all cells, cell by cell; cells with a rate of their own have none. */
typedef struct search {
    peft_grid *grid;
    size_t num_rates;
    peft_train_run *runs;
    size_t num_runs;
} search;

static bool takes_part(const peft_compare_cell *cell)
{
    return !json_object_get(cell->item->own, "learning_rate");
}

static double rate_at(const search *s, size_t index)
{
    return json_number_value(peft_list_at(s->grid->options->learning_rates, index));
}

static peft_status make_candidate(search *s, const peft_compare_cell *cell, double rate, peft_error *error)
{
    char place[64];
    snprintf(place, sizeof place, "learning-rate-%g", rate);
    json_t *changes = json_pack("{s:I, s:f, s:s}", "seed", (json_int_t)peft_grid_seed(s->grid, 0), "learning_rate",
                                rate, "keep", "best");
    peft_train_run *run = &s->runs[s->num_runs];
    peft_status status = peft_grid_make_run(s->grid, cell, place, changes, run, error);
    if (status != PEFT_OK) return status;
    s->num_runs++;
    return peft_train_run_look(run, &s->grid->how, error);
}

static peft_status make_candidates(search *s, peft_error *error)
{
    const peft_grid *grid = s->grid;
    peft_status status = PEFT_OK;
    s->runs = calloc(grid->num_cells * s->num_rates, sizeof *s->runs);
    if (!s->runs) return peft_fail(error, PEFT_ERR_MEMORY, "learning rates: out of memory");
    for (size_t c = 0; c < grid->num_cells; c++)
        for (size_t k = 0; takes_part(&grid->cells[c]) && k < s->num_rates && status == PEFT_OK; k++)
            status = make_candidate(s, &grid->cells[c], rate_at(s, k), error);
    return status;
}

static bool score_of(const search *s, const peft_train_run *run, double *score)
{
    double last, largest;
    if (run->state != PEFT_RUN_DONE || !peft_log_scores(run->folder, "held_out", &last, &largest)) return false;
    *score = strcmp(s->grid->options->train.keep, "best") == 0 ? largest : last;
    return true;
}

/* What lies beyond the end of the range was not tried. Of two rates each is an end. */
static const char *end_of_range(const search *s, double rate)
{
    enum { FEWEST = 3 };
    size_t below = 0, above = 0;
    for (size_t k = 0; k < s->num_rates; k++) {
        below += rate_at(s, k) < rate;
        above += rate_at(s, k) > rate;
    }
    if (s->num_rates < FEWEST) return "";
    return !above ? "the largest that was tried" : !below ? "the smallest that was tried" : "";
}

/* "400 of 4000 training examples; seed 0" */
static char *describe_split(const search *s, const peft_train_run *run, double rate)
{
    char text[192];
    const char *end = end_of_range(s, rate);
    const json_t *splits = json_object_get(run->summary, "splits");
    int64_t held = json_integer_value(json_object_get(splits, "held_out_examples"));
    int64_t rest = json_integer_value(json_object_get(splits, "train_examples"));
    snprintf(text, sizeof text, "%" PRId64 " of %" PRId64 " training examples; seed %" PRId64 "%s%s", held, held + rest,
             peft_grid_seed(s->grid, 0), *end ? "; " : "", end);
    return strdup(text);
}

/* `runs` are the cell's candidates, in the order of the rates. */
static peft_status choose(const search *s, peft_compare_cell *cell, const peft_train_run *runs, peft_error *error)
{
    double best = -HUGE_VAL, score;
    cell->learning_rate = (double)NAN;
    for (size_t k = 0; k < s->num_rates; k++) {
        if (!score_of(s, &runs[k], &score) || score <= best) continue;
        best = score;
        cell->learning_rate = rate_at(s, k);
        free(cell->chosen_on);
        cell->chosen_on = describe_split(s, &runs[k], cell->learning_rate);
        if (!cell->chosen_on) return peft_fail(error, PEFT_ERR_MEMORY, "learning rates: out of memory");
    }
    return PEFT_OK;
}

static peft_status choose_all(const search *s, peft_output *output, peft_error *error)
{
    const peft_train_run *runs = s->runs;
    for (size_t c = 0; c < s->grid->num_cells; c++) {
        peft_compare_cell *cell = &s->grid->cells[c];
        if (!takes_part(cell)) continue;
        peft_status status = choose(s, cell, runs, error);
        if (status != PEFT_OK) return status;
        const char *end = end_of_range(s, cell->learning_rate);
        peft_output_say(output, PEFT_SAY_NOTE, "%s %s: learning rate %g%s%s", cell->task->name, cell->item->text,
                        cell->learning_rate, *end ? ", " : "", end);
        runs += s->num_rates;
    }
    return PEFT_OK;
}

static peft_status run_candidates(const search *s, peft_output *output, peft_error *error)
{
    const peft_pool pool = {.runs = s->runs,
                            .count = s->num_runs,
                            .jobs = s->grid->options->jobs,
                            .how = s->grid->how,
                            .label = "learning rates",
                            .output = output};
    return peft_pool_run(&pool, error);
}

peft_status peft_search_learning_rates(peft_grid *grid, peft_output *output, peft_error *error)
{
    search s = {.grid = grid, .num_rates = peft_list_count(grid->options->learning_rates)};
    if (!s.num_rates) return PEFT_OK;
    peft_status status = make_candidates(&s, error);
    if (status == PEFT_OK) status = run_candidates(&s, output, error);
    if (status == PEFT_OK) status = choose_all(&s, output, error);
    for (size_t i = 0; i < s.num_runs; i++) peft_train_run_free(&s.runs[i]);
    free(s.runs);
    return status;
}
