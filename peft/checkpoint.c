#include "peft/checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"

/* The arrays of a checkpoint: one entry for each file tensor, and where its values live. */
typedef struct entry {
    char *name;
    peft_shape shape;
    float *values;
    bool is_square; /* an average of squares: never negative */
} entry;

typedef struct entries {
    entry *list;
    size_t count;
} entries;

static void free_entries(entries *e)
{
    for (size_t k = 0; k < e->count; k++) free(e->list[k].name);
    free(e->list);
    *e = (entries){0};
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the entry is written through it */
static bool add(entries *e, const char *prefix, const peft_value_item *item, float *values)
{
    size_t bytes = strlen(prefix) + strlen(item->name) + 2;
    char *name = malloc(bytes);
    if (!name) return false;
    snprintf(name, bytes, "%s.%s", prefix, item->name);
    e->list[e->count++] = (entry){name, item->value->spec.shape, values, strcmp(prefix, "exp_avg_sq") == 0};
    return true;
}

static peft_status collect(entries *e, peft_trainer *t, float *best, peft_error *error)
{
    static const char *const averages[] = {"exp_avg", "exp_avg_sq"};
    enum { MOST = 4 };
    const peft_parameters *p = &t->parameters;
    *e = (entries){calloc((size_t)p->num_items * MOST + 1, sizeof *e->list), 0};
    bool ok = e->list != NULL;
    size_t trained = 0;
    for (int64_t k = 0; ok && k < p->num_items; k++) {
        const peft_value_item *item = &p->items[k];
        ok = add(e, "parameter", item, item->value->data);
        if (ok && best) ok = add(e, "best", item, best);
        if (best) best += peft_value_count(item->value);
        for (int which = 0; ok && item->value->gradient && which < 2; which++)
            ok = add(e, averages[which], item, peft_optimizer_state(t->optimizer, trained, which));
        if (item->value->gradient) trained++;
    }
    if (ok) return PEFT_OK;
    free_entries(e);
    return peft_fail(error, PEFT_ERR_MEMORY, "checkpoint: out of memory");
}

/* ---- numbers of the metadata ---- */

/* What a run has come to, as numbers that text reads back to the same bits. */
typedef struct numbers {
    double step, best_step, evaluations_since_best, best_score, seconds, tokens, evaluation_due;
} numbers;

static const struct number_rule {
    const char *name;
    size_t offset;
    bool is_whole, is_optional; /* optional: 0 where an older program wrote the file */
    double min, max;
} rules[] = {
#define NUMBER(name_) .name = #name_, .offset = offsetof(numbers, name_)
#define WHOLE         .is_whole = true, .max = 9007199254740992.0 /* 2^53 */
    {NUMBER(step), WHOLE},
    {NUMBER(best_step), WHOLE},
    {NUMBER(evaluations_since_best), WHOLE},
    {NUMBER(best_score), .min = (double)-INFINITY, .max = (double)INFINITY},
    {NUMBER(seconds), .max = (double)INFINITY},
    {NUMBER(tokens), WHOLE},
    {NUMBER(evaluation_due), .is_whole = true, .is_optional = true, .max = 1},
};
enum { NUMBER_BYTES = 40, NUM_NUMBERS = sizeof rules / sizeof *rules };

static numbers numbers_of(const peft_trainer *t, const peft_progress_state *s)
{
    return (numbers){(double)t->step, (double)s->best_step, (double)s->evaluations_since_best, s->best_score,
                     s->seconds,      (double)s->tokens,    s->evaluation_due ? 1.0 : 0.0};
}

static peft_status fail_number(const peft_safetensors *file, const char *name, const char *expected, const char *found,
                               peft_error *error)
{
    return peft_fail(error, PEFT_ERR_FORMAT, "%s: metadata: %s: expected %s, found \"%s\"", peft_safetensors_path(file),
                     name, expected, found ? found : "nothing");
}

static bool fits(double value, const struct number_rule *rule)
{
    return isfinite(value) && value >= rule->min && value <= rule->max && (!rule->is_whole || value == floor(value));
}

static peft_status read_numbers(const peft_safetensors *file, numbers *n, peft_error *error)
{
    for (const struct number_rule *rule = rules; rule < rules + NUM_NUMBERS; rule++) {
        const char *text = peft_safetensors_metadata(file, rule->name);
        char *end = NULL;
        double *value = (double *)(void *)((char *)n + rule->offset);
        *value = text ? strtod(text, &end) : 0;
        if (!text && rule->is_optional) continue;
        if (!text || end == text || *end || !fits(*value, rule)) {
            char expected[96];
            snprintf(expected, sizeof expected, "a %s from %g to %g", rule->is_whole ? "whole number" : "finite number",
                     rule->min, rule->max);
            return fail_number(file, rule->name, expected, text, error);
        }
    }
    return PEFT_OK;
}

/* Steps are indices into the run. */
static peft_status check_steps(const peft_safetensors *file, const numbers *n, int64_t num_steps, peft_error *error)
{
    static const char *const names[] = {"step", "best_step", "evaluations_since_best"};
    const double found[] = {n->step, n->best_step, n->evaluations_since_best};
    const double most[] = {(double)num_steps, n->step, n->step};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char expected[64];
        snprintf(expected, sizeof expected, "at most %.0f", most[k]);
        if (found[k] > most[k])
            return fail_number(file, names[k], expected, peft_safetensors_metadata(file, names[k]), error);
    }
    return PEFT_OK;
}

/* ---- writing ---- */

/* The first number of an array that cannot be right, or -1. */
static int64_t find_wrong(const entry *e, const float *values)
{
    int64_t count = peft_shape_count(&e->shape);
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i]) || (e->is_square && values[i] < 0)) return i;
    return -1;
}

static peft_status check_values(const entries *e, const peft_trainer *t, peft_error *error)
{
    for (size_t k = 0; k < e->count; k++) {
        int64_t wrong = find_wrong(&e->list[k], e->list[k].values);
        if (wrong >= 0)
            return peft_fail(error, PEFT_ERR_NUMERIC,
                             "step %" PRId64 ": %s: number %" PRId64 " is %g; try a lower learning rate", t->step,
                             e->list[k].name, wrong, (double)e->list[k].values[wrong]);
    }
    return PEFT_OK;
}

static peft_status write_file(const char *path, const entries *e, const numbers *n, const char *settings,
                              peft_error *error)
{
    peft_file_tensor *tensors = calloc(e->count + 1, sizeof *tensors);
    if (!tensors) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    char text[NUM_NUMBERS][NUMBER_BYTES];
    peft_key_value metadata[NUM_NUMBERS + 3] = {{"format", "pt"}, {"settings", settings}};
    for (int k = 0; k < NUM_NUMBERS; k++) {
        const double *value = (const double *)(const void *)((const char *)n + rules[k].offset);
        snprintf(text[k], NUMBER_BYTES, "%.17g", *value);
        metadata[k + 2] = (peft_key_value){rules[k].name, text[k]};
    }
    metadata[NUM_NUMBERS + 2] = (peft_key_value){PEFT_CHECKSUM_KEY, NULL};
    for (size_t k = 0; k < e->count; k++)
        tensors[k] = (peft_file_tensor){.name = e->list[k].name,
                                        .dtype = PEFT_F32,
                                        .shape = e->list[k].shape,
                                        .data = e->list[k].values,
                                        .bytes = (size_t)peft_shape_count(&e->list[k].shape) * sizeof(float)};
    peft_status status = peft_safetensors_write(path, tensors, e->count, metadata, NUM_NUMBERS + 3, error);
    free(tensors);
    return status;
}

peft_status peft_checkpoint_save(const char *path, peft_trainer *t, const peft_progress_state *state,
                                 const char *settings, peft_error *error)
{
    entries e;
    const numbers n = numbers_of(t, state);
    peft_status status = collect(&e, t, state->best, error);
    if (status != PEFT_OK) return status;
    status = check_values(&e, t, error);
    if (status == PEFT_OK) status = write_file(path, &e, &n, settings, error);
    free_entries(&e);
    return status;
}

/* ---- reading ---- */

static peft_status check_entry(const peft_safetensors *file, const entry *e, float *room, peft_error *error)
{
    const char *path = peft_safetensors_path(file);
    const peft_file_tensor *tensor = peft_safetensors_find(file, e->name);
    if (!tensor || tensor->dtype != PEFT_F32 || !peft_shape_equal(&tensor->shape, &e->shape))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: missing or of another shape", path, e->name);
    peft_status status = peft_file_tensor_read_f32(tensor, room, error);
    int64_t wrong = status == PEFT_OK ? find_wrong(e, room) : -1;
    if (wrong < 0) return status;
    return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: number %" PRId64 ": expected a finite number%s, found %g",
                     path, e->name, wrong, e->is_square ? " from 0 on" : "", (double)room[wrong]);
}

/* All of them before any is taken over. */
static peft_status check_entries(const peft_safetensors *file, const entries *e, peft_error *error)
{
    int64_t most = 1;
    for (size_t k = 0; k < e->count; k++) {
        int64_t count = peft_shape_count(&e->list[k].shape);
        if (count > most) most = count;
    }
    float *room = malloc((size_t)most * sizeof *room);
    peft_status status = room ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "checkpoint: out of memory");
    for (size_t k = 0; status == PEFT_OK && k < e->count; k++) status = check_entry(file, &e->list[k], room, error);
    free(room);
    if (status == PEFT_OK && peft_safetensors_count(file) != e->count)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected %zu tensors, found %zu", peft_safetensors_path(file),
                         e->count, peft_safetensors_count(file));
    return status;
}

/* "rank was 4 and is 8 now", or in one of the objects that settings contain. */
static peft_status name_difference(const peft_safetensors *file, const char *where, json_t *wanted, json_t *found,
                                   peft_error *error)
{
    char before[PEFT_JSON_TEXT], now[PEFT_JSON_TEXT];
    const char *key = peft_json_difference(wanted, found);
    json_t *new_value = json_object_get(wanted, key), *old_value = json_object_get(found, key);
    if (json_is_object(new_value) && json_is_object(old_value))
        return name_difference(file, key, new_value, old_value, error);
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s: the run was started with other settings, data or model: %s%s%s was %s and is %s now; repeat "
                     "its command, or start anew with --force",
                     peft_safetensors_path(file), where, *where ? ": " : "", key, peft_json_text(old_value, before),
                     peft_json_text(new_value, now));
}

static peft_status check_settings(const peft_safetensors *file, const char *settings, peft_error *error)
{
    const char *text = peft_safetensors_metadata(file, "settings");
    if (text && strcmp(text, settings) == 0) return PEFT_OK;
    json_t *wanted = json_loads(settings, 0, NULL), *found = text ? json_loads(text, 0, NULL) : NULL;
    peft_status status = PEFT_OK;
    if (!wanted)
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", peft_safetensors_path(file));
    else if (!json_is_object(found))
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: metadata: settings: expected a JSON object",
                           peft_safetensors_path(file));
    else if (peft_json_difference(wanted, found))
        status = name_difference(file, "", wanted, found, error);
    json_decref(wanted);
    json_decref(found);
    return status;
}

static void take_over(peft_trainer *t, peft_progress_state *state, const numbers *n)
{
    t->step = (int64_t)n->step;
    peft_optimizer_set_steps(t->optimizer, t->step);
    state->best_step = (int64_t)n->best_step;
    state->evaluations_since_best = (int64_t)n->evaluations_since_best;
    state->best_score = n->best_score;
    state->seconds = n->seconds;
    state->tokens = (int64_t)n->tokens;
    state->evaluation_due = n->evaluation_due > 0;
}

peft_status peft_checkpoint_load(const char *path, peft_trainer *t, peft_progress_state *state, const char *settings,
                                 peft_error *error)
{
    peft_safetensors *file;
    peft_status status = peft_safetensors_open(path, &file, error);
    if (status != PEFT_OK) return status;
    entries e = {0};
    numbers n = {0};
    status = check_settings(file, settings, error);
    if (status == PEFT_OK) status = read_numbers(file, &n, error);
    if (status == PEFT_OK) status = check_steps(file, &n, t->num_steps, error);
    if (status == PEFT_OK) status = collect(&e, t, state->best, error);
    if (status == PEFT_OK) status = check_entries(file, &e, error);
    if (status == PEFT_OK) status = peft_safetensors_verify(file, error);
    for (size_t k = 0; status == PEFT_OK && k < e.count; k++)
        status = peft_file_tensor_read_f32(peft_safetensors_find(file, e.list[k].name), e.list[k].values, error);
    if (status == PEFT_OK) take_over(t, state, &n);
    free_entries(&e);
    peft_safetensors_close(file);
    return status;
}

static peft_status look_for_setting(const char *path, const char *setting, bool *known, peft_error *error)
{
    peft_safetensors *file;
    json_t *settings = NULL;
    if (!peft_file_exists(path)) return PEFT_OK;
    peft_status status = peft_safetensors_open(path, &file, error);
    if (status != PEFT_OK) return status;
    const char *text = peft_safetensors_metadata(file, "settings");
    if (text) status = peft_json_parse(text, strlen(text), path, &settings, error);
    if (settings) *known = json_object_get(settings, setting) != NULL;
    json_decref(settings);
    peft_safetensors_close(file);
    return status;
}

peft_status peft_checkpoint_knows(const char *run_folder, const char *setting, bool *known, peft_error *error)
{
    char *path = NULL;
    *known = true;
    peft_status status = peft_path_join(run_folder, "checkpoint/checkpoint.safetensors", &path, error);
    if (status == PEFT_OK) status = look_for_setting(path, setting, known, error);
    free(path);
    return status;
}
