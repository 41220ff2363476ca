#include "variants/lycoris.h"

#include "ops/ops.h"

const char *const peft_lycoris_absent_fields[] = {"bias", NULL};

double peft_lycoris_scaling(const peft_adapter *a)
{
    return a->alpha / (double)a->rank;
}

static peft_tensor *drop(peft_graph *g, peft_tensor *x, peft_dropout_unit unit, double p, bool mean_kept,
                         uint64_t stream)
{
    peft_tensor *dropped = peft_dropout_units(g, x, unit, p, stream, 0);
    return mean_kept || p == 0 ? dropped : peft_scale(g, dropped, 1 - p);
}

peft_tensor *peft_lycoris_dropout(peft_graph *g, const peft_adapter *a, peft_tensor *update, bool applied,
                                  bool mean_kept, const peft_batch *batch)
{
    const peft_lycoris_options *options = a->all->options;
    if (!batch->training) return update;
    peft_dropout_unit outputs = applied ? PEFT_DROP_COLUMNS : PEFT_DROP_ROWS;
    update = drop(g, update, outputs, options->rank_dropout, mean_kept, a->dropout_stream);
    return drop(g, update, PEFT_DROP_ALL, options->module_dropout, false,
                peft_value_stream(a->module, "module_dropout"));
}
