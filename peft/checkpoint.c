#include "peft/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"

/* The arrays of a checkpoint: one entry for each file tensor, and where its values live. */
typedef struct entry {
    char *name;
    peft_shape shape;
    float *values;
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
static bool add(entries *e, const char *prefix, const peft_trained *item, float *values)
{
    size_t bytes = strlen(prefix) + strlen(item->name) + 2;
    char *name = malloc(bytes);
    if (!name) return false;
    snprintf(name, bytes, "%s.%s", prefix, item->name);
    e->list[e->count++] = (entry){name, item->shape, values};
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
        const peft_trained *item = &p->items[k];
        ok = add(e, "parameter", item, item->value);
        if (ok && best) ok = add(e, "best", item, best);
        if (best) best += item->count;
        for (int which = 0; ok && item->gradient && which < 2; which++)
            ok = add(e, averages[which], item, peft_optimizer_state(t->optimizer, trained, which));
        if (item->gradient) trained++;
    }
    if (ok) return PEFT_OK;
    free_entries(e);
    return peft_fail(error, PEFT_ERR_MEMORY, "checkpoint: out of memory");
}

/* Numbers of the metadata, as text that reads back to the same bits. */
enum { NUMBER_BYTES = 40, NUM_NUMBERS = 6 };
static const char *const number_names[NUM_NUMBERS] = {"step",       "best_step", "evaluations_since_best",
                                                      "best_score", "seconds",   "tokens"};

static void write_numbers(const peft_trainer *t, const peft_progress_state *s, char text[NUM_NUMBERS][NUMBER_BYTES])
{
    const double values[NUM_NUMBERS] = {(double)t->step, (double)s->best_step, (double)s->evaluations_since_best,
                                        s->best_score,   s->seconds,           (double)s->tokens};
    for (int k = 0; k < NUM_NUMBERS; k++) snprintf(text[k], NUMBER_BYTES, "%.17g", values[k]);
}

peft_status peft_checkpoint_save(const char *path, peft_trainer *t, const peft_progress_state *state,
                                 const char *settings, peft_error *error)
{
    entries e;
    peft_status status = collect(&e, t, state->best, error);
    if (status != PEFT_OK) return status;
    peft_file_tensor *tensors = calloc(e.count + 1, sizeof *tensors);
    char text[NUM_NUMBERS][NUMBER_BYTES];
    write_numbers(t, state, text);
    peft_key_value metadata[NUM_NUMBERS + 2] = {{"format", "pt"}, {"settings", settings}};
    for (int k = 0; k < NUM_NUMBERS; k++) metadata[k + 2] = (peft_key_value){number_names[k], text[k]};
    if (!tensors) status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    for (size_t k = 0; status == PEFT_OK && k < e.count; k++)
        tensors[k] = (peft_file_tensor){.name = e.list[k].name,
                                        .dtype = PEFT_F32,
                                        .shape = e.list[k].shape,
                                        .data = e.list[k].values,
                                        .bytes = (size_t)peft_shape_count(&e.list[k].shape) * sizeof(float)};
    if (status == PEFT_OK) status = peft_safetensors_write(path, tensors, e.count, metadata, NUM_NUMBERS + 2, error);
    free(tensors);
    free_entries(&e);
    return status;
}

static peft_status check_entries(const peft_safetensors *file, const entries *e, peft_error *error)
{
    const char *path = peft_safetensors_path(file);
    for (size_t k = 0; k < e->count; k++) {
        const peft_file_tensor *tensor = peft_safetensors_find(file, e->list[k].name);
        if (!tensor || tensor->dtype != PEFT_F32 || !peft_shape_equal(&tensor->shape, &e->list[k].shape))
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: missing or of another shape", path,
                             e->list[k].name);
    }
    if (peft_safetensors_count(file) != e->count)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected %zu tensors, found %zu", path, e->count,
                         peft_safetensors_count(file));
    return PEFT_OK;
}

static peft_status read_numbers(const peft_safetensors *file, double values[NUM_NUMBERS], peft_error *error)
{
    for (int k = 0; k < NUM_NUMBERS; k++) {
        const char *text = peft_safetensors_metadata(file, number_names[k]);
        char *end = NULL;
        if (text) values[k] = strtod(text, &end);
        if (!text || end == text || *end)
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: metadata: %s: expected a number, found \"%s\"",
                             peft_safetensors_path(file), number_names[k], text ? text : "nothing");
    }
    return PEFT_OK;
}

static peft_status check_settings(const peft_safetensors *file, const char *settings, peft_error *error)
{
    const char *found = peft_safetensors_metadata(file, "settings");
    if (found && strcmp(found, settings) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s: the run was started with other settings, data or model, or on another kind of CPU (backend, "
                     "AMX); repeat its command there, or start anew with --force",
                     peft_safetensors_path(file));
}

peft_status peft_checkpoint_load(const char *path, peft_trainer *t, peft_progress_state *state, const char *settings,
                                 peft_error *error)
{
    peft_safetensors *file;
    peft_status status = peft_safetensors_open(path, &file, error);
    if (status != PEFT_OK) return status;
    entries e = {0};
    double numbers[NUM_NUMBERS];
    status = check_settings(file, settings, error);
    if (status == PEFT_OK) status = read_numbers(file, numbers, error);
    if (status == PEFT_OK) status = collect(&e, t, state->best, error);
    if (status == PEFT_OK) status = check_entries(file, &e, error);
    for (size_t k = 0; status == PEFT_OK && k < e.count; k++)
        status = peft_file_tensor_read_f32(peft_safetensors_find(file, e.list[k].name), e.list[k].values, error);
    if (status == PEFT_OK) {
        t->step = (int64_t)numbers[0];
        peft_optimizer_set_steps(t->optimizer, t->step);
        state->best_step = (int64_t)numbers[1];
        state->evaluations_since_best = (int64_t)numbers[2];
        state->best_score = numbers[3];
        state->seconds = numbers[4];
        state->tokens = (int64_t)numbers[5];
    }
    free_entries(&e);
    peft_safetensors_close(file);
    return status;
}
