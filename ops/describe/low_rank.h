/* ops/describe/low_rank.h - the core of the family, y = y0 + s B (g * (A x)), as building function and kernels share
 * it. */
#ifndef PEFT_OPS_DESCRIBE_LOW_RANK_H
#define PEFT_OPS_DESCRIBE_LOW_RANK_H

#include "ops/engine/op.h"

typedef enum peft_gate_kind { PEFT_GATE_NONE, PEFT_GATE_FEATURE, PEFT_GATE_TOKEN, PEFT_GATE_SEQUENCE } peft_gate_kind;

typedef struct peft_low_rank_attributes {
    int64_t in_features, out_features, rank; /* rank R counts the rows of A */
    bool per_sequence;                       /* A and B have a leading dimension over the sequences */
    peft_gate_kind gate;
    int64_t repeat; /* rows of A that share one entry of the gate */
    double scale;
} peft_low_rank_attributes;

/* Inputs and outputs of the node. */
enum { LOW_RANK_Y0, LOW_RANK_X, LOW_RANK_A, LOW_RANK_B, LOW_RANK_GATE, LOW_RANK_STARTS, LOW_RANK_INPUTS };
enum { LOW_RANK_Y, LOW_RANK_H };

#endif
