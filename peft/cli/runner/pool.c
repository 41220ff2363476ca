#include "peft/cli/runner/pool.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "peft/cli/progress.h"
#include "peft/cli/signals.h"
#include "peft/machine.h"

enum { MOST_LINES = 64 };

typedef struct pool_state {
    const peft_pool *pool;
    peft_progress bar;
    char lines[MOST_LINES][PEFT_RUN_LINE_BYTES];
    const char *parts[MOST_LINES];
    bool stopping; /* the signal was passed on */
} pool_state;

size_t peft_runs_count(const peft_train_run *runs, size_t count, peft_run_state state)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) found += runs[i].state == state;
    return found;
}

static size_t count(const peft_pool *pool, peft_run_state state)
{
    return peft_runs_count(pool->runs, pool->count, state);
}

/* ---- progress ---- */

/* Steps of all runs that are not finished from an earlier time. A run that has not begun counts as many as those that
 * have do on average. */
static void count_steps(const peft_pool *pool, int64_t *done, int64_t *total)
{
    int64_t known = 0, unknown = 0;
    *done = *total = 0;
    for (size_t i = 0; i < pool->count; i++) {
        const peft_train_run *run = &pool->runs[i];
        *done += run->steps;
        *total += run->total_steps;
        known += run->total_steps > 0;
        unknown += run->total_steps == 0 && (run->state == PEFT_RUN_WAITING || run->state == PEFT_RUN_STARTED);
    }
    if (known) *total += *total / known * unknown;
}

/* What is shown, "run 3/12" or, without a terminal, also one that goes on: "run 3/12: sst2 lora seed0, loss 0.432" */
static void describe(const pool_state *state, char detail[PEFT_PROGRESS_DETAIL_BYTES])
{
    const peft_pool *pool = state->pool;
    size_t number = pool->count - count(pool, PEFT_RUN_WAITING), first = 0;
    while (first < pool->count && pool->runs[first].state != PEFT_RUN_STARTED) first++;
    const peft_train_run *run = first < pool->count ? &pool->runs[first] : NULL;
    int used = snprintf(detail, PEFT_PROGRESS_DETAIL_BYTES, "run %zu/%zu", number, pool->count);
    char *end = detail + used;
    size_t room = PEFT_PROGRESS_DETAIL_BYTES - (size_t)used;
    if (pool->output->terminal || !run) return;
    if (isfinite(run->loss))
        snprintf(end, room, ": %s, loss %.3f", run->name, run->loss);
    else
        snprintf(end, room, ": %s", run->name);
}

/* A line for each run that goes on. */
static void show_parts(pool_state *state, double now)
{
    size_t lines = 0;
    for (size_t i = 0; i < state->pool->count && lines < MOST_LINES; i++) {
        if (state->pool->runs[i].state != PEFT_RUN_STARTED) continue;
        peft_train_run_line(&state->pool->runs[i], now, state->lines[lines]);
        state->parts[lines] = state->lines[lines];
        lines++;
    }
    peft_progress_parts(&state->bar, state->parts, lines);
}

static void show(pool_state *state, double now)
{
    char detail[PEFT_PROGRESS_DETAIL_BYTES];
    int64_t done;
    count_steps(state->pool, &done, &state->bar.total);
    describe(state, detail);
    show_parts(state, now);
    peft_progress_update(&state->bar, done, detail, now);
}

/* ---- running ---- */

static void report_end(const peft_pool *pool, const peft_train_run *run)
{
    if (run->state == PEFT_RUN_FAILED)
        peft_output_say(pool->output, PEFT_SAY_NOTE, "%s failed: %s", run->name,
                        run->message ? run->message : "out of memory");
    else
        peft_output_say(pool->output, PEFT_SAY_DETAIL, "%s: %s", run->name, peft_run_state_name(run->state));
}

static peft_status end_run(const peft_pool *pool, const peft_train_run *run, peft_error *error)
{
    report_end(pool, run);
    return pool->ended ? pool->ended(pool->argument, error) : PEFT_OK;
}

static peft_status start_some(const peft_pool *pool, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < pool->count && status == PEFT_OK; i++) {
        peft_train_run *run = &pool->runs[i];
        if (run->state != PEFT_RUN_WAITING || count(pool, PEFT_RUN_STARTED) >= (size_t)pool->jobs) continue;
        peft_train_run_start(run, &pool->how);
        if (run->state == PEFT_RUN_FAILED) status = end_run(pool, run, error);
    }
    return status;
}

static peft_status look_at_all(const peft_pool *pool, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < pool->count && status == PEFT_OK; i++)
        if (peft_train_run_poll(&pool->runs[i])) status = end_run(pool, &pool->runs[i], error);
    return status;
}

/* The children save their checkpoints and end; each hears of it once, since a second time stops it at once. */
static void stop_all(pool_state *state)
{
    if (state->stopping) return;
    state->stopping = true;
    peft_output_say(state->pool->output, PEFT_SAY_NOTE, "stopping: checkpoints are being saved");
    int came = peft_interrupted();
    for (size_t i = 0; i < state->pool->count; i++) peft_child_stop(&state->pool->runs[i].child, came ? came : SIGTERM);
}

static void pause_shortly(void)
{
    const struct timespec pause = {.tv_nsec = 30000000}; /* 30 ms */
    nanosleep(&pause, NULL);                             /* a signal may end it early */
}

/* An error of our own, such as a disk without room for results.csv, stops the children in order too; the first one is
 * reported. */
static peft_status run_all(pool_state *state, peft_error *error)
{
    const peft_pool *pool = state->pool;
    peft_status status = peft_interrupted() ? PEFT_OK : start_some(pool, error);
    while (count(pool, PEFT_RUN_STARTED)) {
        if (status != PEFT_OK || peft_interrupted()) stop_all(state);
        pause_shortly();
        peft_status now = look_at_all(pool, status == PEFT_OK ? error : NULL);
        if (status == PEFT_OK) status = now;
        if (status == PEFT_OK && !peft_interrupted()) status = start_some(pool, error);
        show(state, peft_machine_seconds());
    }
    return status;
}

peft_status peft_pool_run(const peft_pool *pool, peft_error *error)
{
    pool_state state = {.pool = pool};
    if (!count(pool, PEFT_RUN_WAITING)) return PEFT_OK;
    peft_signals_defer();
    peft_progress_start(&state.bar, pool->output, pool->label, "steps", 0, 0, peft_machine_seconds());
    peft_status status = run_all(&state, error);
    peft_progress_finish(&state.bar, peft_machine_seconds());
    if (status != PEFT_OK || count(pool, PEFT_RUN_WAITING) + count(pool, PEFT_RUN_STOPPED) == 0) return status;
    return peft_fail(error, PEFT_ERR_CANCELLED, "stopped, %zu of %zu runs are finished; go on with --resume",
                     count(pool, PEFT_RUN_DONE), pool->count);
}
