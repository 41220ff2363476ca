/* variants/rslora.c - rank-stabilised LoRA.
 *
 *     y = W x + b + s B A x,   s = alpha / sqrt(r)              (Kalajdzievski 2023, arXiv 2312.03732)
 *
 * With LoRA's alpha / r the update fades as r grows; all else is LoRA (lora.c). It is LoRA with alpha sqrt(r). */
#include <math.h>

#include "variants/lora.h"

static double scaling(const peft_adapter *a)
{
    return a->alpha / sqrt((double)a->rank);
}

const peft_variant peft_variant_rslora = {
    .name = "rslora",
    .equation = "y = W x + b + (alpha / sqrt(r)) B A x",
    .source = "Kalajdzievski 2023, arXiv 2312.03732",
    .summary = "LoRA whose scale does not fade as the rank grows",
    .peft_type = "LORA",
    .peft_flag = "use_rslora",
    .options_bytes = sizeof(lora_options),
    .options = lora_option_table,
    .json_names = lora_json_names,
    .json_fields = lora_json_fields,
    .scaling = scaling,
    .layer_values = lora_layer_values,
    .forward = lora_forward,
    .by_token = true,
    .weight = lora_weight,
    .init = lora_init,
    .trace_wish = lora_trace_wish,
    .init_from_trace = lora_init_from_trace,
    .compact = lora_compact,
    .to_lora = lora_to_lora,
};
