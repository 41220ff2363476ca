#include "variants/adapter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "variants/by_sequence.h"

peft_adapter *peft_adapters_find(peft_adapters *all, const char *module)
{
    for (int64_t i = 0; i < all->num_layers; i++)
        if (strcmp(all->layers[i].module, module) == 0) return &all->layers[i];
    return NULL;
}

peft_status peft_adapter_init_from_base(peft_adapter *adapter, const peft_base_linear *base, uint64_t seed,
                                        peft_error *error)
{
    const peft_variant *variant = adapter->all->variant;
    return variant->init ? variant->init(adapter, base, seed, error) : PEFT_OK;
}

int64_t peft_adapters_fit_size(const peft_adapters *all)
{
    return all->variant->fit ? all->variant->fit_size(all) : 0;
}

peft_status peft_adapters_fit(peft_adapters *all, const float *vectors, int64_t count, int64_t size, uint64_t seed,
                              peft_error *error)
{
    int64_t wanted = peft_adapters_fit_size(all);
    if (wanted == 0) return PEFT_OK;
    if (count < 1 || size != wanted)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: expected vectors of %" PRId64 " numbers, found %" PRId64 " of %" PRId64,
                         all->variant->name, wanted, count, size);
    return all->variant->fit(all, vectors, count, seed, error);
}

peft_trace_wish peft_adapters_trace_wish(const peft_adapters *all)
{
    return all->variant->trace_wish ? all->variant->trace_wish(all) : (peft_trace_wish){.kind = PEFT_TRACE_NOTHING};
}

peft_status peft_adapter_init_from_trace(peft_adapter *adapter, const peft_base_linear *base, const peft_trace *trace,
                                         double *worth, peft_error *error)
{
    return adapter->all->variant->init_from_trace(adapter, base, trace, worth, error);
}

/* ---- in graphs ---- */

peft_tensor *peft_adapter_forward(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                  peft_tensor *x, const peft_batch *batch)
{
    if (!adapter) return peft_base_forward(g, base, x);
    const peft_variant *variant = adapter->all->variant;
    if (!peft_check_bound(g, adapter, batch)) return NULL;
    if (peft_adapter_differs(g, adapter)) return peft_forward_by_sequence(g, adapter, base, x, batch);
    return variant->forward(g, adapter, base, x, batch);
}

bool peft_adapter_by_token(const peft_adapter *adapter)
{
    return !adapter || adapter->all->variant->by_token;
}

peft_tensor *peft_adapter_weight(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                                 const peft_batch *batch)
{
    if (!adapter) return peft_weight_leaf(g, base->weight);
    const peft_variant *variant = adapter->all->variant;
    if (!variant->weight || !peft_check_bound(g, adapter, batch) || peft_adapter_differs(g, adapter)) return NULL;
    const peft_common_options *options = adapter->all->options;
    bool drops = batch->training && options->dropout > 0;
    return drops ? NULL : variant->weight(g, adapter, base, batch);
}

peft_tensor *peft_value_leaf(peft_graph *g, const peft_value *value, const peft_batch *batch)
{
    return peft_value_tensor(g, value, batch->training);
}

peft_tensor *peft_value_starts(peft_graph *g, const peft_value *value, const peft_batch *batch)
{
    const peft_tensor *bound = peft_graph_bound(g, value);
    return bound && bound->shape.ndim > value->spec.shape.ndim ? peft_batch_starts(g, batch) : NULL;
}

peft_tensor *peft_adapter_dropout(peft_graph *g, const peft_adapter *adapter, peft_tensor *x, const peft_batch *batch)
{
    const peft_common_options *options = adapter->all->options;
    if (!batch->training) return x;
    return peft_dropout(g, x, options->dropout, adapter->dropout_stream, batch->first_token);
}

/* ---- values and steps ---- */

peft_status peft_adapters_each_value(peft_adapters *all, peft_value_visit *visit, void *argument, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int64_t k = 0; k < all->set.count && status == PEFT_OK; k++)
        status = visit(argument, all->set.items[k].module, all->set.items[k].value, error);
    return status;
}

peft_status peft_adapters_check_steps(const peft_adapters *all, int64_t num_steps, peft_error *error)
{
    return all->variant->check_steps ? all->variant->check_steps(all, num_steps, error) : PEFT_OK;
}

peft_status peft_adapters_after_step(peft_adapters *all, const peft_training_step *step, peft_error *error)
{
    return all->variant->after_step ? all->variant->after_step(all, step, error) : PEFT_OK;
}

void peft_adapters_notes(const peft_adapters *all, peft_note_function *note, void *argument)
{
    if (note && all->variant->notes) all->variant->notes(all, note, argument);
}

peft_status peft_adapters_compact(const peft_adapters *all, peft_adapters **smaller, peft_error *error)
{
    *smaller = NULL;
    return all->variant->compact ? all->variant->compact(all, smaller, error) : PEFT_OK;
}

/* ---- folding in ---- */

peft_status peft_adapter_to_lora(const peft_adapter *adapter, peft_lora_factors *factors, peft_error *error)
{
    const peft_variant *variant = adapter->all->variant;
    *factors = (peft_lora_factors){0};
    if (variant->to_lora) return variant->to_lora(adapter, factors, error);
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: no plain LoRA has the same update as %s, %s", adapter->module,
                     variant->name, variant->equation);
}

peft_status peft_adapter_expert_to_lora(const peft_adapter *adapter, int64_t expert, peft_lora_factors *factors,
                                        peft_error *error)
{
    const peft_variant *variant = adapter->all->variant;
    *factors = (peft_lora_factors){0};
    if (!variant->expert_to_lora)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s has no experts that are LoRAs", adapter->module,
                         variant->name);
    if (expert < 0 || expert >= adapter->num_experts)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected an expert below %" PRId64 ", found %" PRId64,
                         adapter->module, adapter->num_experts, expert);
    return variant->expert_to_lora(adapter, expert, factors, error);
}

enum { COLUMNS = 512 };

/* weight += scaling B A, each element rounded once: the product is summed in double, a few columns at a time. */
static void add_product(const peft_lora_factors *f, int64_t in_features, int64_t out_features, float *weight)
{
    for (int64_t o = 0; o < out_features; o++)
        for (int64_t begin = 0; begin < in_features; begin += COLUMNS) {
            int64_t count = in_features - begin < COLUMNS ? in_features - begin : COLUMNS;
            float *row = weight + o * in_features + begin;
            double delta[COLUMNS] = {0};
            for (int64_t r = 0; r < f->rank; r++) {
                const float *A = f->A + r * in_features + begin;
                double b = f->scaling * (double)f->B[o * f->rank + r];
                for (int64_t i = 0; i < count; i++) delta[i] += b * (double)A[i];
            }
            for (int64_t i = 0; i < count; i++) row[i] = (float)((double)row[i] + delta[i]);
        }
}

peft_status peft_adapter_merge(const peft_adapter *adapter, float *weight, float *bias, peft_error *error)
{
    const peft_variant *variant = adapter->all->variant;
    if (variant->merge) return variant->merge(adapter, weight, bias, error);
    if (!variant->to_lora)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s cannot be folded into a weight, since %s is no fixed sum",
                         adapter->module, variant->name, variant->equation);
    peft_lora_factors factors;
    peft_status status = peft_adapter_to_lora(adapter, &factors, error);
    if (status) return status;
    add_product(&factors, adapter->in_features, adapter->out_features, weight);
    free(factors.A);
    free(factors.B);
    return PEFT_OK;
}
