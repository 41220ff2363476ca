#include "peft/cli/compare/differences.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "peft/cli/compare/csv.h"
#include "peft/cli/compare/results.h"
#include "peft/predictions.h"
#include "peft/statistics/comparison.h"
#include "peft/statistics/same_examples.h"

static const char TABLE[] = "differences.csv";

enum { SENTENCE_BYTES = 1024 };

/* The runs of a task, item by item, and what they answered; a count of 0: not known. */
typedef struct task_runs {
    const peft_train_run *runs;    /* [num_items * num_seeds] */
    peft_predictions *predictions; /* the same */
    const char *name, *metric;     /* NULL: no run is done */
    size_t num_items, num_seeds;
} task_runs;

static peft_status no_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "differences: out of memory");
}

/* ---- what the runs left ---- */

static const char *first_metric(const peft_train_run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = json_object_iter_key(json_object_iter(json_object_get(runs[i].summary, "metrics")));
        if (name) return name;
    }
    return NULL;
}

/* Runs of older versions kept no predictions; others are said to be missing. */
static void load_predictions(const peft_train_run *run, peft_predictions *p, peft_output *output)
{
    char *path = NULL;
    peft_error error = {0};
    if (run->state != PEFT_RUN_DONE || peft_path_join(run->folder, PEFT_PREDICTIONS_NAME, &path, NULL) != PEFT_OK)
        return;
    if (peft_file_exists(path) && peft_predictions_load(p, path, &error) != PEFT_OK)
        peft_output_say(output, PEFT_SAY_NOTE, "%s; without it no test on the same examples", error.message);
    free(path);
}

static void close_task(task_runs *t)
{
    for (size_t i = 0; t->predictions && i < t->num_items * t->num_seeds; i++)
        peft_predictions_free(&t->predictions[i]);
    free(t->predictions);
}

static peft_status open_task(task_runs *t, const peft_grid *grid, size_t task, peft_output *output, peft_error *error)
{
    size_t count = grid->num_items * grid->num_seeds;
    *t = (task_runs){.runs = grid->runs + task * count,
                     .predictions = calloc(count, sizeof *t->predictions),
                     .name = grid->tasks[task].name,
                     .num_items = grid->num_items,
                     .num_seeds = grid->num_seeds};
    if (!t->predictions) return no_memory(error);
    t->metric = first_metric(t->runs, count);
    for (size_t i = 0; i < count; i++) load_predictions(&t->runs[i], &t->predictions[i], output);
    return PEFT_OK;
}

/* ---- a pair ---- */

/* What a and b have in common, seed by seed. */
typedef struct pair_runs {
    double *a, *b;             /* scores [n] */
    peft_answer_pair *answers; /* [known] */
    size_t n, known;
} pair_runs;

static bool score_of(const task_runs *t, size_t index, double *score)
{
    const json_t *value = json_object_get(json_object_get(t->runs[index].summary, "metrics"), t->metric);
    *score = json_number_value(value);
    return t->runs[index].state == PEFT_RUN_DONE && json_is_number(value);
}

static void collect(const task_runs *t, size_t a, size_t b, pair_runs *pair)
{
    pair->n = pair->known = 0;
    for (size_t s = 0; s < t->num_seeds; s++) {
        size_t i = a * t->num_seeds + s, j = b * t->num_seeds + s;
        const peft_predictions *of_a = &t->predictions[i], *of_b = &t->predictions[j];
        if (!score_of(t, i, &pair->a[pair->n]) || !score_of(t, j, &pair->b[pair->n])) continue;
        pair->n++;
        if (of_a->count && of_b->count)
            pair->answers[pair->known++] =
                (peft_answer_pair){peft_predictions_outcomes(of_a), peft_predictions_outcomes(of_b)};
    }
}

/* Where the predictions of a run are missing there is no test on examples: it would be of other runs. */
static void test_examples(const task_runs *t, const pair_runs *pair, peft_comparison *c, peft_output *output)
{
    peft_error error = {0};
    if (pair->known < pair->n || !pair->n) return;
    peft_status status = peft_same_examples(t->metric, pair->answers, pair->n, &c->p_examples, &error);
    if (status == PEFT_OK)
        c->examples = pair->answers[0].a.count;
    else
        peft_output_say(output, PEFT_SAY_NOTE, "%s: %s", t->name, error.message);
}

/* ---- a task ---- */

static peft_status compare_all(const task_runs *t, peft_comparison *c, peft_output *output, peft_error *error)
{
    pair_runs pair = {calloc(t->num_seeds, sizeof *pair.a), calloc(t->num_seeds, sizeof *pair.b),
                      calloc(t->num_seeds, sizeof *pair.answers), 0, 0};
    bool complete = pair.a && pair.b && pair.answers;
    for (size_t b = 1; complete && b < t->num_items; b++)
        for (size_t a = 0; a < b; a++, c++) {
            collect(t, a, b, &pair);
            *c = peft_comparison_of(pair.a, pair.b, pair.n);
            test_examples(t, &pair, c, output);
        }
    free(pair.a);
    free(pair.b);
    free(pair.answers);
    return complete ? PEFT_OK : no_memory(error);
}

static json_t *row_of(const task_runs *t, const char *a, const char *b, const peft_comparison *c)
{
    static const char *const verdicts[] = {
        [PEFT_VERDICT_NONE] = "not shown", [PEFT_VERDICT_ABOVE] = "above", [PEFT_VERDICT_BELOW] = "below"};
    char text[SENTENCE_BYTES];
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:f, s:I, s:f, s:o, s:o, s:o, s:s, s:s}", "task",
                     t->name, "metric", t->metric, "variant", b, "beside", a, "n", (json_int_t)c->seeds, "difference",
                     peft_compare_number(c->difference), "standard_deviation", peft_compare_number(c->deviation),
                     "interval_low", peft_compare_number(c->low), "interval_high", peft_compare_number(c->high), "p",
                     c->p, "comparisons", (json_int_t)c->comparisons, "p_corrected", c->adjusted, "examples",
                     c->examples ? json_integer((json_int_t)c->examples) : json_null(), "p_examples",
                     peft_compare_number(c->p_examples), "detectable_difference", peft_compare_number(c->detectable),
                     "verdict", verdicts[peft_comparison_verdict(c)], "conclusion",
                     peft_comparison_sentence(c, a, b, text, sizeof text));
}

static peft_status add_rows(const task_runs *t, const peft_grid *grid, const peft_comparison *c, json_t *rows,
                            peft_error *error)
{
    for (size_t b = 1; b < t->num_items; b++)
        for (size_t a = 0; a < b; a++, c++)
            if (c->seeds && json_array_append_new(rows, row_of(t, grid->items[a].text, grid->items[b].text, c)) != 0)
                return no_memory(error);
    return PEFT_OK;
}

static peft_status add_task(const peft_grid *grid, size_t task, peft_output *output, json_t *rows, peft_error *error)
{
    task_runs t;
    size_t count = grid->num_items * (grid->num_items - 1) / 2;
    peft_comparison *comparisons = calloc(count + 1, sizeof *comparisons);
    peft_status status = open_task(&t, grid, task, output, error);
    if (status == PEFT_OK && !comparisons) status = no_memory(error);
    if (status == PEFT_OK && t.metric) status = compare_all(&t, comparisons, output, error);
    if (status == PEFT_OK && t.metric) status = peft_comparisons_correct(comparisons, count, error);
    if (status == PEFT_OK && t.metric) status = add_rows(&t, grid, comparisons, rows, error);
    close_task(&t);
    free(comparisons);
    return status;
}

peft_status peft_compare_differences(const peft_grid *grid, peft_output *output, json_t **rows, peft_error *error)
{
    *rows = json_array();
    peft_status status = *rows ? PEFT_OK : no_memory(error);
    for (size_t task = 0; task < grid->num_tasks && status == PEFT_OK; task++)
        status = add_task(grid, task, output, *rows, error);
    if (status == PEFT_OK) return PEFT_OK;
    json_decref(*rows);
    *rows = NULL;
    return status;
}

/* ---- files and words ---- */

peft_status peft_compare_save_differences(const peft_grid *grid, const json_t *rows, peft_error *error)
{
    static const char *const columns[] = {"task",
                                          "metric",
                                          "variant",
                                          "beside",
                                          "n",
                                          "difference",
                                          "standard_deviation",
                                          "interval_low",
                                          "interval_high",
                                          "p",
                                          "comparisons",
                                          "p_corrected",
                                          "examples",
                                          "p_examples",
                                          "detectable_difference",
                                          "verdict",
                                          "conclusion"};
    char *path = NULL;
    peft_status status = peft_path_join(grid->options->output, TABLE, &path, error);
    if (status == PEFT_OK) status = peft_csv_save(path, columns, sizeof columns / sizeof *columns, rows, error);
    free(path);
    return status;
}

static const char *text_at(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static bool is_shown(const json_t *row)
{
    return strcmp(text_at(row, "verdict"), "not shown") != 0;
}

/* Could the seeds have shown nothing? */
static bool is_out_of_reach(const json_t *row)
{
    return !is_shown(row) && json_is_null(json_object_get(row, "detectable_difference"));
}

/* Such rows of the task from `first` on. */
static size_t count_out_of_reach(const json_t *rows, size_t first)
{
    size_t count = 0;
    const char *task = text_at(json_array_get(rows, first), "task");
    for (size_t i = first; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        count += is_out_of_reach(row) && strcmp(text_at(row, "task"), task) == 0;
    }
    return count;
}

static void print_sentence(const json_t *row, FILE *out)
{
    fprintf(out, "%s: %s\n", text_at(row, "task"), text_at(row, "conclusion"));
}

/* One for each task: the others say the same. */
static void print_out_of_reach(const json_t *rows, FILE *out)
{
    const char *before = "";
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        size_t count = count_out_of_reach(rows, i);
        if (!is_out_of_reach(row) || strcmp(text_at(row, "task"), before) == 0) continue;
        before = text_at(row, "task");
        print_sentence(row, out);
        if (count > 1) fprintf(out, "%s: so it is with the other %zu pairs.\n", before, count - 1);
    }
}

static void print_not_shown(const json_t *rows, FILE *out)
{
    enum { MOST = 6 };
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!is_shown(row) && !is_out_of_reach(row) && count++ < MOST) print_sentence(row, out);
    }
    if (count > MOST) fprintf(out, "%zu more differences could not be shown: %s\n", count - MOST, TABLE);
}

void peft_compare_print_conclusions(const json_t *rows, FILE *out)
{
    if (json_array_size(rows)) putc('\n', out);
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (is_shown(json_array_get(rows, i))) print_sentence(json_array_get(rows, i), out);
    print_not_shown(rows, out);
    print_out_of_reach(rows, out);
}
