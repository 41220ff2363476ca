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
    .options_bytes = sizeof(peft_lora_options),
    .options = peft_lora_option_table,
    .json_names = peft_lora_json_names,
    .json_fields = peft_lora_json_fields,
    .write_fields = peft_lora_write_fields,
    .scaling = scaling,
    .layer_values = peft_lora_layer_values,
    .forward = peft_lora_forward,
    .grouped = true,
    .by_token = true,
    .weight = peft_lora_weight,
    .init = peft_lora_init,
    .trace_wish = peft_lora_trace_wish,
    .init_from_trace = peft_lora_init_from_trace,
    .compact = peft_lora_compact,
    .to_lora = peft_lora_to_lora,
};
