/* peft/convert.h - an adapter folder as plain LoRAs, which every program that reads PEFT's files can use.
 *
 * The conversion is exact: the same update, up to one rounding of each factor, or it is refused. */
#ifndef PEFT_PEFT_CONVERT_H
#define PEFT_PEFT_CONVERT_H

#include "peft/config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_conversion {
    const char *adapter, *output; /* folders */
    const char *model; /* folder of the base model, or NULL: few variants need it (VeRA, LoKr), and then it is
                          the one that adapter_config.json names, if it is there */
    const peft_load_options *load; /* or NULL */
} peft_conversion;

/* Writes the adapter as one LoRA (variants/adapter.h says what becomes of ranks and alphas). Weights trained in full,
 * the head among them, and run.json, which says how the adapter was trained, are copied; the configuration is the
 * adapter's own but for the method. *report, which may be NULL, is a new array (json_decref) of what was written:
 *
 *     [{"folder": "out", "modules": 12, "smallest_rank": 2, "largest_rank": 8, "left_out": ["..."]}]
 *
 * PEFT_ERR_UNSUPPORTED: the update depends on the input or is no sum W + B A; the sizes of the layers take the base
 * model; nothing is left of the update. PEFT_ERR_NUMERIC: a value is not finite. Other errors as peft_adapter_load has
 * them. */
PEFT_API peft_status peft_convert_to_lora(const peft_conversion *conversion, json_t **report, peft_error *error);

/* Writes each expert of a mixture of LoRAs as a LoRA of its own, in output/expert-0, output/expert-1, ... */
PEFT_API peft_status peft_convert_to_experts(const peft_conversion *conversion, json_t **report, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
