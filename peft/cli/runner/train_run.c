#include "peft/cli/runner/train_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "peft/cli/progress.h"
#include "peft/cli/runner/run_log.h"
#include "peft/cli/signals.h"
#include "peft/corpus.h"
#include "peft/machine.h"
#include "peft/run_json.h"

static const char SETTINGS[] = "settings.json", MESSAGES[] = "messages.txt", RUN[] = "run.json",
                  CHECKPOINT[] = "checkpoint/checkpoint.safetensors";

const char *peft_run_state_name(peft_run_state state)
{
    static const char *const names[] = {[PEFT_RUN_WAITING] = "not run",
                                        [PEFT_RUN_STARTED] = "running",
                                        [PEFT_RUN_STOPPED] = "stopped",
                                        [PEFT_RUN_FAILED] = "failed",
                                        [PEFT_RUN_DONE] = "done"};
    return names[state];
}

peft_status peft_train_run_init(peft_train_run *run, json_t *settings, const char *folder, const char *name,
                                peft_error *error)
{
    *run = (peft_train_run){
        .settings = settings, .folder = strdup(folder), .name = strdup(name), .loss = (double)NAN, .best = (double)NAN};
    if (run->settings && run->folder && run->name) return PEFT_OK;
    peft_train_run_free(run);
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", name);
}

void peft_train_run_free(peft_train_run *run)
{
    json_decref(run->settings);
    free(run->folder);
    free(run->name);
    free(run->message);
    json_decref(run->summary);
    *run = (peft_train_run){0};
}

/* ---- what the folder holds ---- */

static bool holds(const char *folder, const char *name)
{
    char *path = NULL;
    bool there = peft_path_join(folder, name, &path, NULL) == PEFT_OK && peft_file_exists(path);
    free(path);
    return there;
}

static peft_status load(const char *folder, const char *name, json_t **document, peft_error *error)
{
    char *path = NULL;
    *document = NULL;
    peft_status status = peft_path_join(folder, name, &path, error);
    if (status == PEFT_OK) status = peft_json_load(path, document, error);
    free(path);
    return status;
}

/* Settings that older versions did not have yet, and that are not used now, are as they were. */
static void add_unused(json_t *found, json_t *wanted)
{
    const char *key;
    json_t *value;
    json_object_foreach(wanted, key, value)
    {
        if (!json_object_get(found, key) && (json_is_null(value) || json_is_false(value)))
            json_object_set(found, key, value);
    }
}

static peft_status check_settings(const peft_train_run *run, peft_error *error)
{
    json_t *found = NULL;
    peft_status status = load(run->folder, SETTINGS, &found, error);
    if (status == PEFT_OK) add_unused(found, run->settings);
    const char *key = status == PEFT_OK ? peft_json_difference(run->settings, found) : NULL;
    if (key) {
        char before[PEFT_JSON_TEXT], now[PEFT_JSON_TEXT];
        status = peft_fail(error, PEFT_ERR_ARGUMENT,
                           "%s: was run with %s %s, now it is %s; give another --output, or --force to start anew",
                           run->folder, key, peft_json_text(json_object_get(found, key), before),
                           peft_json_text(json_object_get(run->settings, key), now));
    }
    json_decref(found);
    return status;
}

static char *text_of(const json_t *settings, const char *key)
{
    return (char *)(uintptr_t)json_string_value(json_object_get(settings, key));
}

/* The data that a finished run read are still there and the same. */
static peft_status check_data(const peft_train_run *run, peft_error *error)
{
    static const char *const splits[] = {"train", "dev"};
    const peft_data_options data = {.task = text_of(run->settings, "task"),
                                    .data = text_of(run->settings, "data"),
                                    .train = text_of(run->settings, "train"),
                                    .dev = text_of(run->settings, "dev")};
    const json_t *fingerprints = json_object_get(run->summary, "fingerprints");
    peft_status status = PEFT_OK;
    for (size_t k = 0; status == PEFT_OK && k < sizeof splits / sizeof splits[0]; k++) {
        const char *before = json_string_value(json_object_get(fingerprints, splits[k]));
        char *path = NULL, now[PEFT_FINGERPRINT_TEXT] = "";
        if (!before) continue;
        status = peft_corpus_path(&data, splits[k], &path, error);
        if (status == PEFT_OK && path) status = peft_file_fingerprint(path, now, error);
        if (status == PEFT_OK && strcmp(before, now) != 0)
            status = peft_fail(error, PEFT_ERR_ARGUMENT,
                               "%s: was run when %s held something else; give another --output, or --force to start "
                               "anew",
                               run->folder, path ? path : splits[k]);
        free(path);
    }
    return status;
}

void peft_train_run_fail(peft_train_run *run, const char *message)
{
    run->state = PEFT_RUN_FAILED;
    free(run->message);
    run->message = strdup(message);
}

static void finish(peft_train_run *run)
{
    peft_error error = {0};
    run->state = PEFT_RUN_DONE;
    peft_status status = load(run->folder, RUN, &run->summary, &error);
    if (status == PEFT_OK) status = peft_run_json_check(run->summary, run->folder, &error);
    if (status == PEFT_OK) return;
    json_decref(run->summary);
    run->summary = NULL;
    peft_train_run_fail(run, error.message);
}

peft_status peft_train_run_look(peft_train_run *run, const peft_run_how *how, peft_error *error)
{
    bool finished = holds(run->folder, RUN);
    if (!how->resume || (!finished && !holds(run->folder, CHECKPOINT))) return PEFT_OK;
    peft_status status = check_settings(run, error);
    if (status != PEFT_OK || !finished) return status;
    finish(run);
    return run->state == PEFT_RUN_DONE ? check_data(run, error) : PEFT_OK;
}

/* ---- the child ---- */

static peft_status start(peft_train_run *run, const peft_run_how *how, const char *settings, const char *messages,
                         peft_error *error)
{
    char threads[32];
    snprintf(threads, sizeof threads, "%" PRId64, how->threads);
    const char *words[] = {"train",     "--config",  settings, "--output",
                           run->folder, "--threads", threads,  how->resume ? "--resume" : how->force ? "--force" : NULL,
                           NULL};
    peft_status status = peft_json_save(settings, run->settings, PEFT_JSON_AS_IS, error);
    return status == PEFT_OK ? peft_child_start(&run->child, words, messages, error) : status;
}

void peft_train_run_start(peft_train_run *run, const peft_run_how *how)
{
    peft_error error = {0};
    char *settings = NULL, *messages = NULL;
    peft_status status = peft_make_directories(run->folder, &error);
    if (status == PEFT_OK) status = peft_path_join(run->folder, SETTINGS, &settings, &error);
    if (status == PEFT_OK) status = peft_path_join(run->folder, MESSAGES, &messages, &error);
    if (status == PEFT_OK) status = start(run, how, settings, messages, &error);
    run->state = PEFT_RUN_STARTED;
    if (status != PEFT_OK) peft_train_run_fail(run, error.message);
    free(settings);
    free(messages);
}

/* The last line of the child's messages: an error is one line, and the last thing said. */
static void last_message(const char *folder, char *text, size_t bytes)
{
    char *path = NULL, *line = NULL;
    size_t capacity = 0;
    FILE *file = peft_path_join(folder, MESSAGES, &path, NULL) == PEFT_OK ? fopen(path, "re") : NULL;
    *text = '\0';
    while (file && getline(&line, &capacity, file) > 0) snprintf(text, bytes, "%.*s", (int)strcspn(line, "\n"), line);
    if (file) fclose(file);
    free(line);
    free(path);
}

static void describe_failure(peft_train_run *run)
{
    char said[PEFT_MESSAGE_BYTES], message[PEFT_MESSAGE_BYTES + 64];
    last_message(run->folder, said, sizeof said);
    if (run->child.signal)
        snprintf(message, sizeof message, "ended by signal %d (%s)", run->child.signal, strsignal(run->child.signal));
    else
        snprintf(message, sizeof message, "exit code %d: %s", run->child.exit_code, said);
    peft_train_run_fail(run, message);
}

/* What the log says of steps and epochs is for the progress bar. */
static void follow(peft_train_run *run)
{
    const double most_steps = 1e12;
    peft_log_step last;
    if (!peft_log_last_step(run->folder, &last)) return;
    run->steps = last.step;
    run->loss = last.loss;
    double epochs = json_number_value(json_object_get(run->settings, "epochs"));
    run->total_steps = json_integer_value(json_object_get(run->settings, "steps"));
    double total = last.epoch > 0.0 ? (double)last.step / last.epoch * epochs : 0;
    if (!run->total_steps && total < most_steps) run->total_steps = llround(total);
}

/* The whole log is read for them, so not often. */
static void follow_scores(peft_train_run *run, double now)
{
    const double pause = 2.0;
    double last, best;
    if (now - run->clock.looked < pause) return;
    run->clock.looked = now;
    if (peft_log_scores(run->folder, "held_out", &last, &best) || peft_log_scores(run->folder, "dev", &last, &best))
        run->best = best;
}

static void follow_clock(peft_train_run *run, double now)
{
    if (run->clock.began > 0.0 || run->steps == 0) return;
    run->clock.began = now;
    run->clock.first_steps = run->steps;
}

/* ", 0:46 left"; nothing before there is a pace. */
static void format_left(const peft_train_run *run, double now, char *text, size_t bytes)
{
    char duration[PEFT_DURATION_BYTES];
    double done = (double)(run->steps - run->clock.first_steps), seconds = now - run->clock.began;
    *text = '\0';
    if (!(done > 0.0) || !(seconds > 0.0) || run->total_steps < run->steps) return;
    peft_progress_duration((double)(run->total_steps - run->steps) * seconds / done, duration);
    snprintf(text, bytes, ", %s left", duration);
}

static void format_number(const char *name, double value, char *text, size_t bytes)
{
    *text = '\0';
    if (isfinite(value)) snprintf(text, bytes, ", %s %.3f", name, value);
}

void peft_train_run_line(const peft_train_run *run, double now, char line[PEFT_RUN_LINE_BYTES])
{
    char loss[32], best[32], left[PEFT_DURATION_BYTES + 16];
    if (!run->total_steps) {
        snprintf(line, PEFT_RUN_LINE_BYTES, "%s: starting", run->name);
        return;
    }
    format_number("loss", run->loss, loss, sizeof loss);
    format_number("best", run->best, best, sizeof best);
    format_left(run, now, left, sizeof left);
    snprintf(line, PEFT_RUN_LINE_BYTES, "%s: %3.0f %%, step %" PRId64 "/%" PRId64 "%s%s%s", run->name,
             100.0 * (double)run->steps / (double)run->total_steps, run->steps, run->total_steps, loss, best, left);
}

/* In order, or before there was anything to save. */
static bool was_stopped(const peft_child *child)
{
    const int exit_of_signals = 128;
    return peft_is_watched_signal(child->exit_code - exit_of_signals) ||
           (peft_interrupted() && peft_is_watched_signal(child->signal));
}

bool peft_train_run_poll(peft_train_run *run)
{
    if (run->state != PEFT_RUN_STARTED) return false;
    bool ended = peft_child_ended(&run->child);
    follow(run);
    follow_clock(run, peft_machine_seconds());
    follow_scores(run, peft_machine_seconds());
    if (!ended) return false;
    run->total_steps = run->steps;
    if (run->child.exit_code == 0)
        finish(run);
    else if (was_stopped(&run->child))
        run->state = PEFT_RUN_STOPPED;
    else
        describe_failure(run);
    return true;
}
