/* variants/lora.h - what the variants share whose update is plain B A. */
#ifndef PEFT_VARIANTS_LORA_H
#define PEFT_VARIANTS_LORA_H

#include "variants/lora_start.h"

typedef struct peft_lora_options {
    peft_common_options common;
    char *init;
    bool freeze_a;
    int64_t init_batches; /* of training data that eva, corda and lora_ga look at */
    double eva_rho;
    char *corda_method;
} peft_lora_options;

extern const struct peft_json_value peft_lora_init_json_values[];

/* What to do about a file whose start values cannot be had. */
#define PEFT_LORA_INIT_ADVICE                                                                                          \
    "it was trained on weights that this start had changed; write it again in PEFT, by save_pretrained with "          \
    "path_initial_model_for_weight_conversion, which makes it right on the unchanged model"

/* Rows of the tables of a variant whose options begin with a peft_lora_options. */
/* clang-format off */
#define PEFT_LORA_OPTION_ROWS                                                                                               \
    PEFT_COMMON_OPTION_ROWS("8", "16"),                                                                                \
    {.name = "init",                                                                                                   \
     .elsewhere = "init_lora_weights", \
     .type = PEFT_OPTION_STRING,                                                                                       \
     .offset = offsetof(peft_lora_options, init),                                                                           \
     .initial = "kaiming",                                                                                             \
     .choices = peft_lora_start_names,                                                                                      \
     .placeholder = "NAME",                                                                                            \
     .help = "start values of A and B",                                                                                \
     .group = "Adapter"},                                                                                              \
    {                                                                                                                  \
        .name = "freeze_a", .type = PEFT_OPTION_BOOL, .offset = offsetof(peft_lora_options, freeze_a), .initial = "false",  \
        .help = "LoRA-FA: train B alone", .group = "Adapter"                                                           \
    },                                                                                                                 \
    {.name = "init_batches",                                                                                           \
     .type = PEFT_OPTION_INT,                                                                                          \
     .offset = offsetof(peft_lora_options, init_batches),                                                                   \
     .initial = "8",                                                                                                   \
     .min = 1,                                                                                                         \
     .max = 1 << 20,                                                                                                   \
     .placeholder = "N",                                                                                               \
     .help = "batches of training data that the starts eva, corda and lora_ga look at",                                \
     .group = "Adapter"},                                                                                              \
    {.name = "eva_rho",                                                                                                \
     .type = PEFT_OPTION_FLOAT,                                                                                        \
     .offset = offsetof(peft_lora_options, eva_rho),                                                                        \
     .initial = "2",                                                                                                   \
     .min = 1,                                                                                                         \
     .max = 1000,                                                                                                      \
     .placeholder = "X",                                                                                               \
     .help = "how many times its rank a layer may get where eva hands out the ranks; 1: it keeps its own",             \
     .group = "Adapter"},                                                                                              \
    {                                                                                                                  \
        .name = "corda_method", .type = PEFT_OPTION_STRING, .offset = offsetof(peft_lora_options, corda_method),            \
        .initial = "ipm", .choices = peft_lora_corda_methods, .placeholder = "NAME",                                        \
        .help = "what corda trains: the largest components (ipm) or the smallest (kpm)", .group = "Adapter"            \
    }

#define PEFT_LORA_JSON_NAME_ROWS                                                                                            \
    {.option = "rank", .json = "r"},                                                                                   \
    {.option = "alpha", .json = "lora_alpha", .initial = "8"},                                                         \
    {.option = "dropout", .json = "lora_dropout"},                                                                     \
    {.option = "init", .json = "init_lora_weights", .values = peft_lora_init_json_values, .advice = PEFT_LORA_INIT_ADVICE},      \
    {.option = "freeze_a"},                                                                                            \
    {.option = "init_batches"},                                                                                        \
    {.option = "eva_rho"},                                                                                             \
    {.option = "corda_method"},                                                                                        \
    {.option = "rank_pattern", .json = "rank_pattern", .initial = "{}"},                                               \
    {.option = "alpha_pattern", .json = "alpha_pattern", .initial = "{}"}
/* clang-format on */

/* Fields of adapter_config.json that all of PEFT's kinds of LoRA have. qalora_group_size means nothing without
 * use_qalora. */
/* clang-format off */
#define PEFT_LORA_JSON_FIELD_ROWS                                                                                           \
    {"alora_invocation_tokens", "null", PEFT_FIELD_REFUSE},                                                            \
    {"arrow_config", "null", PEFT_FIELD_REFUSE},                                                                       \
    {"corda_config", "null", PEFT_FIELD_IGNORE},                                                                       \
    {"ensure_weight_tying", "false", PEFT_FIELD_REFUSE},                                                               \
    {"eva_config", "null", PEFT_FIELD_IGNORE},                                                                         \
    {"fan_in_fan_out", "false", PEFT_FIELD_NOTE},                                                                    \
    {"kasa_config", "null", PEFT_FIELD_REFUSE},                                                                        \
    {"layer_replication", "null", PEFT_FIELD_REFUSE},                                                                  \
    {"loftq_config", "{}", PEFT_FIELD_IGNORE},                                                                         \
    {"lora_bias", "false", PEFT_FIELD_REFUSE},                                                                         \
    {"lora_ga_config", "null", PEFT_FIELD_IGNORE},                                                                     \
    {"megatron_config", "null", PEFT_FIELD_IGNORE},                                                                    \
    {"megatron_core", "\"megatron.core\"", PEFT_FIELD_IGNORE},                                                         \
    {"monteclora_config", "null", PEFT_FIELD_REFUSE},                                                                  \
    {"qalora_group_size", "16", PEFT_FIELD_IGNORE},                                                                    \
    {"target_parameters", "null", PEFT_FIELD_REFUSE},                                                                  \
    {"trainable_token_indices", "null", PEFT_FIELD_REFUSE},                                                            \
    {"use_bdlora", "null", PEFT_FIELD_REFUSE},                                                                         \
    {"use_dora", "false", PEFT_FIELD_REFUSE},                                                                          \
    {"use_qalora", "false", PEFT_FIELD_REFUSE},                                                                        \
    {"use_rslora", "false", PEFT_FIELD_REFUSE},                                                                        \
    {"velora_config", "null", PEFT_FIELD_REFUSE}
/* clang-format on */

/* A0 and B0 are there where the start is subtracted; a variant that has more values than these offers no such start. */
enum { PEFT_LORA_A, PEFT_LORA_B, PEFT_LORA_VALUES, PEFT_LORA_A0 = PEFT_LORA_VALUES, PEFT_LORA_B0 };

/* eva_config, which PEFT misses in files that name that start. */
bool peft_lora_write_fields(const void *options, json_t *root);

extern const peft_option peft_lora_option_table[];
extern const peft_json_name peft_lora_json_names[];
extern const peft_json_field peft_lora_json_fields[];

int32_t peft_lora_layer_values(const peft_adapter *adapter, peft_value_spec *specs);
peft_tensor *peft_lora_forward(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base, peft_tensor *x,
                               const peft_batch *batch);
/* W + s B A, or W - s B0 A0 + s B A. */
peft_tensor *peft_lora_weight(peft_graph *g, const peft_adapter *adapter, const peft_base_linear *base,
                              const peft_batch *batch);
peft_status peft_lora_to_lora(const peft_adapter *adapter, peft_lora_factors *factors, peft_error *error);
peft_status peft_lora_compact(const peft_adapters *all, peft_adapters **plain, peft_error *error);

#endif
