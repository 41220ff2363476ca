#include "ops/engine/op.h"

/* Of a scan: x, delta, A, B, C, skip, starts, and the states that it keeps. */
#define SCAN_READS                                                                                                     \
    (PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(2) | PEFT_IN(3) | PEFT_IN(4) | PEFT_IN(5) | PEFT_IN(6) | PEFT_OUT(1))
#define SCAN_ROW(name_)                                                                                                \
    {                                                                                                                  \
        .name = name_, .gradient_reads = { SCAN_READS, SCAN_READS, SCAN_READS, SCAN_READS, SCAN_READS, SCAN_READS }    \
    }

/* What backward reads, op by op, and which memory may be shared. See peft_op. */
const peft_op peft_ops[PEFT_NUM_OPS] = {
    [PEFT_OP_linear] = {.name = "linear", /* x, weight, bias */
                        .gradient_reads = {PEFT_IN(1), PEFT_IN(0), 0},
                        .reads_stored = PEFT_IN(1)},
    [PEFT_OP_low_rank] = {.name = "low_rank", /* y0, x, A, B, gate, starts -> y, h = A x */
                          .gradient_reads = {0, PEFT_IN(2) | PEFT_IN(3) | PEFT_IN(4) | PEFT_IN(5),
                                             PEFT_IN(1) | PEFT_IN(3) | PEFT_IN(4) | PEFT_IN(5),
                                             PEFT_OUT(1) | PEFT_IN(3) | PEFT_IN(4) | PEFT_IN(5),
                                             PEFT_OUT(1) | PEFT_IN(3) | PEFT_IN(4) | PEFT_IN(5)},
                          .passes_gradient = PEFT_IN(0),
                          .in_place = PEFT_IN(0)},
    [PEFT_OP_matmul] = {.name = "matmul", .gradient_reads = {PEFT_IN(1), PEFT_IN(0)}},
    [PEFT_OP_embedding] = {.name = "embedding", /* weight, ids */
                           .gradient_reads = {PEFT_IN(1)},
                           .reads_stored = PEFT_IN(0)},
    [PEFT_OP_layer_norm] = {.name = "layer_norm", /* x, weight, bias -> y, mean, rstd */
                            .gradient_reads = {PEFT_IN(0) | PEFT_IN(1) | PEFT_OUT(1) | PEFT_OUT(2),
                                               PEFT_IN(0) | PEFT_OUT(1) | PEFT_OUT(2), 0},
                            .in_place = PEFT_IN(0),
                            .gradient_in_place = PEFT_IN(0),
                            .cheap = true},
    [PEFT_OP_batch_norm] = {.name = "batch_norm", /* x, weight, bias -> y, mean, variance */
                            .gradient_reads = {PEFT_IN(0) | PEFT_IN(1) | PEFT_OUT(1) | PEFT_OUT(2),
                                               PEFT_IN(0) | PEFT_OUT(1) | PEFT_OUT(2), PEFT_IN(0) | PEFT_OUT(1)}},
    [PEFT_OP_causal_conv] = {.name = "causal_conv", /* x, weight, bias, starts */
                             .gradient_reads = {PEFT_IN(1) | PEFT_IN(3), PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(3), 0}},
    [PEFT_OP_conv] = {.name = "conv", /* x, weight, bias */ .gradient_reads = {PEFT_IN(1), PEFT_IN(0), 0}},
    [PEFT_OP_selective_scan] = SCAN_ROW("selective_scan"),
    [PEFT_OP_ssd] = SCAN_ROW("ssd"),
    [PEFT_OP_activation] = {.name = "activation", /* x -> y, and y' where differentiation asks for it */
                            .gradient_reads = {PEFT_IN(0)},
                            .in_place = PEFT_IN(0),
                            .gradient_in_place = PEFT_IN(0),
                            .cheap = true,
                            .slope = true},
    [PEFT_OP_softmax] = {.name = "softmax",
                         .gradient_reads = {PEFT_OUT(0)},
                         .in_place = PEFT_IN(0),
                         .gradient_in_place = PEFT_IN(0)},
    [PEFT_OP_log_sum_exp] = {.name = "log_sum_exp", .gradient_reads = {PEFT_IN(0) | PEFT_OUT(0)}},
    [PEFT_OP_entropy] = {.name = "entropy", .gradient_reads = {PEFT_IN(0)}},
    [PEFT_OP_top_k] = {.name = "top_k"},
    [PEFT_OP_attention] =
        {.name = "attention", /* q, k, v, query starts, key starts, bias -> y, log-sum-exp */
         .gradient_reads = {PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(2) | PEFT_IN(3) | PEFT_IN(4) | PEFT_IN(5) | PEFT_OUT(1),
                            PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(2) | PEFT_IN(3) | PEFT_IN(4) | PEFT_IN(5) | PEFT_OUT(1),
                            PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(2) | PEFT_IN(3) | PEFT_IN(4) | PEFT_IN(5) | PEFT_OUT(1)}},
    [PEFT_OP_mean_pool] = {.name = "mean_pool", .gradient_reads = {PEFT_IN(1) | PEFT_IN(2)}}, /* x, starts, counts */
    [PEFT_OP_first_pool] = {.name = "first_pool", .gradient_reads = {PEFT_IN(1)}},
    [PEFT_OP_spread] = {.name = "spread", .gradient_reads = {PEFT_IN(1)}},
    [PEFT_OP_dropout] = {.name = "dropout", .in_place = PEFT_IN(0), .gradient_in_place = PEFT_IN(0), .cheap = true},
    [PEFT_OP_jitter] = {.name = "jitter", .in_place = PEFT_IN(0), .gradient_in_place = PEFT_IN(0)},
    [PEFT_OP_add] = {.name = "add", .passes_gradient = PEFT_IN(0) | PEFT_IN(1), .in_place = PEFT_IN(0) | PEFT_IN(1)},
    [PEFT_OP_mul] = {.name = "mul", .gradient_reads = {PEFT_IN(1), PEFT_IN(0)}, .in_place = PEFT_IN(0)},
    [PEFT_OP_modulate] = {.name = "modulate", /* x, shift, factor */
                          .gradient_reads = {PEFT_IN(2), PEFT_IN(2), PEFT_IN(0) | PEFT_IN(1)},
                          .in_place = PEFT_IN(0),
                          .cheap = true},
    [PEFT_OP_scale] = {.name = "scale", .in_place = PEFT_IN(0), .gradient_in_place = PEFT_IN(0)},
    [PEFT_OP_power] = {.name = "power",
                       .gradient_reads = {PEFT_IN(0)},
                       .in_place = PEFT_IN(0),
                       .gradient_in_place = PEFT_IN(0)},
    [PEFT_OP_shift] = {.name = "shift", .passes_gradient = PEFT_IN(0), .in_place = PEFT_IN(0)},
    [PEFT_OP_reshape] = {.name = "reshape", .passes_gradient = PEFT_IN(0), .view = true},
    [PEFT_OP_permute] = {.name = "permute"},
    [PEFT_OP_slice] = {.name = "slice"},
    [PEFT_OP_concat] = {.name = "concat"},
    [PEFT_OP_fold] = {.name = "fold"},
    [PEFT_OP_sum] = {.name = "sum"},
    [PEFT_OP_cross_entropy] = {.name = "cross_entropy", /* logits, labels, class weights -> loss, log-sum-exp */
                               .gradient_reads = {PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(2) | PEFT_OUT(1)}},
    [PEFT_OP_linear_cross_entropy] =
        {.name = "linear_cross_entropy", /* x, weight, bias, labels -> loss, log-sum-exp */
         .gradient_reads = {PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(2) | PEFT_IN(3) | PEFT_OUT(1),
                            PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(2) | PEFT_IN(3) | PEFT_OUT(1),
                            PEFT_IN(0) | PEFT_IN(1) | PEFT_IN(2) | PEFT_IN(3) | PEFT_OUT(1)},
         .reads_stored = PEFT_IN(1)},
    [PEFT_OP_mse] = {.name = "mse", .gradient_reads = {PEFT_IN(0) | PEFT_IN(1), PEFT_IN(0) | PEFT_IN(1)}},
    [PEFT_OP_copy] = {.name = "copy"},
    [PEFT_OP_cast] = {.name = "cast"},
    [PEFT_OP_widen] = {.name = "widen", .reads_stored = PEFT_IN(0), .cheap = true, .unkept = true},
    [PEFT_OP_running_average] = {.name = "running_average"}, /* state, x -> what the state has become */
};
