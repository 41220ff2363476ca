#include "variants/values.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/file_tensor.h"
#include "ops/rng.h"

/* ---- walking over values ---- */

peft_status peft_adapters_each_value(peft_adapters *all, peft_value_visit *visit, void *argument, peft_error *error)
{
    for (int64_t l = 0; l < all->num_layers; l++) {
        peft_adapter *layer = &all->layers[l];
        for (int32_t v = 0; v < layer->num_values; v++) {
            peft_status status = visit(argument, layer->module, &layer->values[v], error);
            if (status) return status;
        }
    }
    for (int32_t v = 0; v < all->num_values; v++) {
        peft_status status = visit(argument, "", &all->values[v], error);
        if (status) return status;
    }
    return PEFT_OK;
}

/* ---- memory ---- */

typedef struct extent {
    int64_t trained, others; /* floats so far */
} extent;

static bool is_trained(const peft_adapter_value *value)
{
    return value->spec.kind == PEFT_VALUE_TRAINED;
}

static peft_status measure(void *argument, const char *module, peft_adapter_value *value, peft_error *error)
{
    extent *so_far = argument;
    char shape[PEFT_SHAPE_TEXT];
    int64_t *sum = is_trained(value) ? &so_far->trained : &so_far->others;
    int64_t count = peft_shape_checked_count(&value->spec.shape, PEFT_F32);
    if (count < 0 || count > INT64_MAX / (int64_t)sizeof(float) / 4 - *sum)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s.%s: %s has more elements than memory can have", module,
                         value->spec.name, peft_shape_text(&value->spec.shape, shape));
    *sum += count;
    return PEFT_OK;
}

typedef struct placing {
    peft_adapters *all;
    extent so_far;
} placing;

/* All trained values stand first and in the order of their gradients, so that clipping, an optimiser or an exchange
 * between machines can treat them as one array. */
static peft_status place(void *argument, const char *module, peft_adapter_value *value, peft_error *error)
{
    placing *p = argument;
    (void)module;
    (void)error;
    int64_t count = peft_shape_count(&value->spec.shape);
    if (is_trained(value)) {
        value->data = p->all->memory + p->so_far.trained;
        value->gradient = p->all->gradients + p->so_far.trained;
        p->so_far.trained += count;
    } else {
        value->data = p->all->memory + p->all->num_trained + p->so_far.others;
        p->so_far.others += count;
    }
    return PEFT_OK;
}

peft_status peft_values_allocate(peft_adapters *all, peft_error *error)
{
    extent total = {0};
    peft_status status = peft_adapters_each_value(all, measure, &total, error);
    if (status) return status;
    all->num_trained = total.trained;
    all->memory = calloc((size_t)(total.trained + total.others) + 1, sizeof(float));
    all->gradients = calloc((size_t)total.trained + 1, sizeof(float));
    if (!all->memory || !all->gradients)
        return peft_fail(error, PEFT_ERR_MEMORY, "adapters: out of memory for %" PRId64 " values and their gradients",
                         total.trained + total.others);
    return peft_adapters_each_value(all, place, &(placing){.all = all}, error);
}

/* ---- start values ---- */

uint64_t peft_value_stream(const char *module, const char *name)
{
    return peft_random_u64(peft_stream(module), peft_stream(name), 0);
}

static void fill(float value, float *data, size_t count)
{
    for (size_t i = 0; i < count; i++) data[i] = value;
}

static void draw_one(const peft_value_spec *spec, float *data, uint64_t seed, uint64_t stream)
{
    size_t count = (size_t)peft_shape_count(&spec->shape);
    switch (spec->start) {
    case PEFT_START_ZERO:
        fill(0, data, count);
        break;
    case PEFT_START_ONE:
        fill(1, data, count);
        break;
    case PEFT_START_CONSTANT:
        fill((float)spec->spread, data, count);
        break;
    case PEFT_START_UNIFORM:
        peft_random_uniform(data, count, -spec->spread, spec->spread, seed, stream);
        break;
    case PEFT_START_NORMAL:
        peft_random_normal(data, count, 0, spec->spread, seed, stream);
        break;
    }
}

static peft_status draw(void *argument, const char *module, peft_adapter_value *value, peft_error *error)
{
    const uint64_t *seed = argument;
    (void)error;
    draw_one(&value->spec, value->data, *seed, peft_value_stream(module, value->spec.name));
    return PEFT_OK;
}

void peft_values_draw(peft_adapters *all, uint64_t seed)
{
    peft_adapters_each_value(all, draw, &seed, NULL);
}
