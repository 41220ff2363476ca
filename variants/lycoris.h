/* variants/lycoris.h - what LoHa and LoKr share, which PEFT has from the LyCORIS program. */
#ifndef PEFT_VARIANTS_LYCORIS_H
#define PEFT_VARIANTS_LYCORIS_H

#include "variants/adapter.h"

typedef struct peft_lycoris_options {
    peft_common_options common; /* without dropout of the input */
    double rank_dropout, module_dropout;
} peft_lycoris_options;

/* Rows of the tables of a variant whose options begin with a peft_lycoris_options. */
/* clang-format off */
#define PEFT_LYCORIS_OPTION_ROWS                                                                                            \
    PEFT_RANK_OPTION_ROW("8"), PEFT_ALPHA_OPTION_ROW("8"),                                                             \
    {.name = "rank_dropout",                                                                                           \
     .type = PEFT_OPTION_FLOAT,                                                                                        \
     .offset = offsetof(peft_lycoris_options, rank_dropout),                                                                \
     .initial = "0",                                                                                                   \
     .max = 1,                                                                                                         \
     .placeholder = "X",                                                                                               \
     .help = "share of the update's rows that a step of training leaves out, below 1",                                          \
     .group = "Adapter"},                                                                                              \
    {.name = "module_dropout",                                                                                         \
     .type = PEFT_OPTION_FLOAT,                                                                                        \
     .offset = offsetof(peft_lycoris_options, module_dropout),                                                              \
     .initial = "0",                                                                                                   \
     .max = 1,                                                                                                         \
     .placeholder = "X",                                                                                               \
     .help = "share of the layers whose update a step of training leaves out, below 1",                                         \
     .group = "Adapter"},                                                                                              \
    PEFT_PATTERN_OPTION_ROWS

#define PEFT_LYCORIS_JSON_NAME_ROWS                                                                                         \
    {.option = "rank", .json = "r"},                                                                                   \
    {.option = "rank_pattern", .json = "rank_pattern", .initial = "{}"},                                               \
    {.option = "alpha_pattern", .json = "alpha_pattern", .initial = "{}"}
/* clang-format on */

extern const char *const peft_lycoris_absent_fields[];

/* alpha / rank */
double peft_lycoris_scaling(const peft_adapter *adapter);

/* While training, the update as this step has it: rank_dropout drops outputs, which are the update's rows or, where it
 * was applied already, its columns; module_dropout drops all. The same for every batch of a step. `mean_kept`: what is
 * left of the rows is divided by the share that is left. */
peft_tensor *peft_lycoris_dropout(peft_graph *g, const peft_adapter *adapter, peft_tensor *update, bool applied,
                                  bool mean_kept, const peft_batch *batch);

#endif
