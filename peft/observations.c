#include "peft/observations.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/side.h"

void peft_observations_open(peft_observations *o, const char *path)
{
    *o = (peft_observations){.path = path};
}

static void forget(peft_observations *o)
{
    for (int64_t k = 0; k < o->num_items; k++) free(o->items[k].sums);
    free(o->items);
    o->items = NULL;
    o->num_items = 0;
}

void peft_observations_close(peft_observations *o)
{
    forget(o);
    peft_log_close(o->log);
    *o = (peft_observations){0};
}

bool peft_observations_due(int64_t step, int64_t num_steps)
{
    const int64_t records = 100;
    int64_t every = num_steps > records ? num_steps / records : 1;
    return step % every == 0 || step == num_steps;
}

static peft_status no_memory(const peft_observations *o, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", o->path);
}

/* ---- what graphs observe ---- */

/* Observations, then added losses; NULL past the end. */
static const peft_side_value *side_at(const peft_graph *g, int32_t index)
{
    int32_t observations = 0;
    while (observations <= index && peft_graph_observation_at(g, observations)) observations++;
    return index < observations ? peft_graph_observation_at(g, index) : peft_graph_loss_at(g, index - observations);
}

/* Which item a module and a name are; num_items: there is none yet. */
static int64_t find_item(const peft_observations *o, const peft_side_value *seen)
{
    int64_t k = 0;
    while (k < o->num_items && (strcmp(o->items[k].module, seen->where) || strcmp(o->items[k].name, seen->name))) k++;
    return k;
}

static peft_status add_item(peft_observations *o, const peft_side_value *seen, int64_t count, peft_error *error)
{
    peft_observed *items = realloc(o->items, (size_t)(o->num_items + 1) * sizeof *items);
    if (!items) return no_memory(o, error);
    o->items = items;
    double *sums = calloc((size_t)count + 1, sizeof *sums);
    if (!sums) return no_memory(o, error);
    o->items[o->num_items++] = (peft_observed){.module = seen->where, .name = seen->name, .count = count, .sums = sums};
    return PEFT_OK;
}

/* Counts how often the graph saw it. */
static peft_status expect(peft_observations *o, const peft_side_value *seen, peft_error *error)
{
    int64_t at = find_item(o, seen), count = peft_shape_count(&seen->tensor->shape);
    peft_status status = at < o->num_items ? PEFT_OK : add_item(o, seen, count, error);
    if (status != PEFT_OK) return status;
    o->items[at].times++;
    if (o->items[at].count == count) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_SHAPE,
                     "%s: %s%s%s: expected %" PRId64 " numbers, as observed before in this step, found %" PRId64,
                     o->path, seen->where, *seen->where ? ": " : "", seen->name, o->items[at].count, count);
}

static void add_values(peft_observed *item, const float *values, double weight)
{
    const double share = weight / (double)item->times;
    item->weight += share;
    for (int64_t i = 0; i < item->count; i++) item->sums[i] += share * (double)values[i];
}

peft_status peft_observations_add(peft_observations *o, peft_graph *g, double weight, peft_error *error)
{
    const peft_side_value *seen;
    for (int64_t k = 0; k < o->num_items; k++) o->items[k].times = 0;
    for (int32_t k = 0; (seen = side_at(g, k)); k++) {
        peft_status status = expect(o, seen, error);
        if (status != PEFT_OK) return status;
    }
    for (int32_t k = 0; (seen = side_at(g, k)); k++) {
        const void *values;
        peft_status status = peft_graph_read(g, seen->tensor, &values, error);
        if (status != PEFT_OK) return status;
        add_values(&o->items[find_item(o, seen)], values, weight);
    }
    return PEFT_OK;
}

/* ---- lines ---- */

typedef struct writing {
    peft_observations *observations;
    int64_t step;
} writing;

static json_t *line_of(const writing *w, const char *module, const char *name, const char *kind, json_t *values)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:o}", "step", (json_int_t)w->step, "module", module, "name", name, "kind",
                     kind, "values", values);
}

static peft_status write_line(const writing *w, json_t *line, peft_error *error)
{
    peft_observations *o = w->observations;
    peft_status status = o->log ? PEFT_OK : peft_log_open(&o->log, o->path, w->step - 1, false, error);
    if (status == PEFT_OK) return peft_log_write(o->log, line, error);
    json_decref(line);
    return status;
}

static peft_status write_observed(const writing *w, const peft_observed *item, peft_error *error)
{
    json_t *values = json_array();
    for (int64_t i = 0; i < item->count; i++) json_array_append_new(values, json_real(item->sums[i] / item->weight));
    return write_line(w, line_of(w, item->module, item->name, "observation", values), error);
}

static peft_status write_value(const writing *w, const peft_value_item *item, peft_error *error)
{
    const int64_t few = 256;
    const peft_value *value = item->value;
    int64_t count = peft_value_count(value);
    if (value->spec.role != PEFT_ROLE_GATE || value->spec.kind != PEFT_VALUE_TRAINED || count > few) return PEFT_OK;
    json_t *values = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(values, json_real((double)value->data[i]));
    return write_line(w, line_of(w, item->module, value->spec.name, "value", values), error);
}

peft_status peft_observations_write(peft_observations *o, int64_t step, const peft_parameters *parameters,
                                    peft_error *error)
{
    const writing w = {o, step};
    peft_status status = PEFT_OK;
    for (int64_t k = 0; status == PEFT_OK && k < o->num_items; k++) status = write_observed(&w, &o->items[k], error);
    for (int64_t k = 0; status == PEFT_OK && k < parameters->num_items; k++)
        status = write_value(&w, &parameters->items[k], error);
    forget(o);
    return status;
}
