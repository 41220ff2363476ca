/* generators/t2l/start.c - from which adapter training starts.
 *
 * zero: head weights and biases are zero, and the offset is an adapter with the variant's start values. Whatever the
 * head, the shapes and the variant, every description gives this adapter, which changes nothing.
 *
 * hyperinit: Bias-HyperInit as the published program has it (after Beck et al. 2022, arXiv 2210.11348). Head weights
 * are zero, their biases are made from a start a0 ~ U(+-1/sqrt(in)) of A, so that every description gives the same
 * LoRA. With M, S and LR that is not a zero update: A and B come from the same bias.
 *
 * random: every layer as torch has it, for reconstruction. */
#include <math.h>
#include <string.h>

#include "generators/t2l/internal.h"
#include "ops/rng.h"

static bool starts(const peft_t2l *t, const char *start)
{
    return strcmp(t->options.start, start) == 0;
}

/* ---- what goes together ---- */

static peft_status check_output(const peft_t2l *t, peft_error *error)
{
    if (t->output == PEFT_T2L_PLAIN) return PEFT_OK;
    if (!starts(t, "random"))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "start %s: goes with emits plain alone, found %s; take start random",
                         t->options.start, t->options.emits);
    const char *variant = t->places.adapters->variant->name;
    bool is_lora = strcmp(variant, "lora") == 0 || strcmp(variant, "rslora") == 0;
    if (t->output == PEFT_T2L_PRODUCT && !is_lora)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "emits product: is about B A of lora and rslora; found %s", variant);
    return PEFT_OK;
}

/* Elements of a0 that a head's bias takes. */
static int64_t taken(const peft_t2l *t, const peft_place_kind *kind)
{
    int64_t rank = kind->tensors[0].rows, in = kind->in_features;
    return t->head == PEFT_T2L_L ? rank * in : peft_t2l_head_columns(t, kind);
}

static peft_status check_hyperinit(const peft_t2l *t, peft_error *error)
{
    if (!starts(t, "hyperinit")) return PEFT_OK;
    if (t->bias != PEFT_T2L_BIAS_HEAD)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "start hyperinit: lies in the heads' bias; expected bias head, found "
                         "%s",
                         t->options.bias);
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++) {
        bool is_lora = kind->num_tensors == 2 && strcmp(kind->tensors[0].name, "A") == 0 &&
                       strcmp(kind->tensors[1].name, "B") == 0 && kind->tensors[0].emitted;
        if (!is_lora)
            return peft_fail(error, PEFT_ERR_ARGUMENT, "start hyperinit: is made for lora, found %s; take start zero",
                             t->places.adapters->variant->name);
        if (taken(t, kind) > kind->tensors[0].count)
            return peft_fail(error, PEFT_ERR_ARGUMENT,
                             "start hyperinit: %s: head %s needs %lld numbers of A's start, which has %lld, as the "
                             "output is wider than the input; take start zero",
                             kind->name, t->options.head, (long long)taken(t, kind), (long long)kind->tensors[0].count);
    }
    return PEFT_OK;
}

peft_status peft_t2l_check_start(const peft_t2l *t, peft_error *error)
{
    peft_status status = check_output(t, error);
    return status == PEFT_OK ? check_hyperinit(t, error) : status;
}

/* ---- the values ---- */

void peft_t2l_hyper_bias(const peft_t2l *t, const peft_place_kind *kind, const float *a0, float *bias)
{
    const double rank = (double)kind->tensors[0].rows;
    const double divisors[] = {
        [PEFT_T2L_L] = 1, [PEFT_T2L_M] = sqrt(2), [PEFT_T2L_S] = sqrt(2 * rank), [PEFT_T2L_LR] = sqrt(rank)};
    const int64_t count = peft_t2l_head_columns(t, kind), used = taken(t, kind);
    for (int64_t i = 0; i < count; i++) bias[i] = i < used ? (float)((double)a0[i] / divisors[t->head]) : 0;
}

static void draw_hyper(const peft_t2l *t, const peft_place_kind *kind, uint64_t seed)
{
    const peft_value *bias = peft_net_value(&t->set, "heads.%s.bias", kind->name);
    const double bound = 1 / sqrt((double)kind->in_features);
    /* The bias takes no more of a0 than it has elements itself. */
    peft_random_uniform(bias->data, (size_t)taken(t, kind), -bound, bound, seed,
                        peft_value_stream("heads", kind->name));
    peft_t2l_hyper_bias(t, kind, bias->data, bias->data);
}

void peft_t2l_set_offset(const peft_t2l *t)
{
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++) {
            const peft_place_tensor *tensor = &kind->tensors[v];
            float *offset = peft_net_value(&t->set, "AB_offset.%s.%s", tensor->name, kind->name)->data;
            for (int64_t p = 0; p < kind->num_places; p++)
                memcpy(offset + p * tensor->count, peft_place_value(&t->places, kind, p, tensor)->data,
                       (size_t)tensor->count * sizeof *offset);
        }
}

/* What is frozen is the same for all tasks, and lies in the offset. */
static void set_frozen(const peft_t2l *t)
{
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++) {
            const peft_place_tensor *tensor = &kind->tensors[v];
            if (!tensor->emitted) continue;
            const peft_value *offset = peft_net_value(&t->set, "AB_offset.%s.%s", tensor->name, kind->name);
            memset(offset->data, 0, (size_t)peft_value_count(offset) * sizeof(float));
        }
}

/* The value of the network that is one of all layers, or NULL. */
static const peft_value *of_model(const peft_t2l *t, int32_t index)
{
    return peft_net_value(&t->set, "model.%s", t->places.adapters->values[index].spec.name);
}

static void set_model(const peft_t2l *t)
{
    const peft_adapters *adapters = t->places.adapters;
    for (int32_t v = 0; v < adapters->num_values; v++) {
        const peft_value *value = of_model(t, v);
        if (value) memcpy(value->data, adapters->values[v].data, (size_t)peft_value_count(value) * sizeof(float));
    }
}

void peft_t2l_get_model(const peft_t2l *t)
{
    const peft_adapters *adapters = t->places.adapters;
    for (int32_t v = 0; v < adapters->num_values; v++) {
        const peft_value *value = of_model(t, v);
        if (value) memcpy(adapters->values[v].data, value->data, (size_t)peft_value_count(value) * sizeof(float));
    }
}

void peft_t2l_draw(peft_t2l *t, uint64_t seed)
{
    set_model(t);
    peft_t2l_set_offset(t);
    if (!starts(t, "zero")) set_frozen(t);
    for (const peft_place_kind *kind = t->places.kinds; kind < t->places.kinds + t->places.num_kinds; kind++)
        if (starts(t, "hyperinit")) draw_hyper(t, kind, seed);
}
