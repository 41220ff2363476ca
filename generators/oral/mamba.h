/* generators/oral/mamba.h - the blocks of the recurrence: Mamba (Gu and Dao 2023, arXiv 2312.00752) and Mamba-2 (Dao
 * and Gu 2024, arXiv 2405.21060), with the tensors and names of their authors' program.
 *
 * x [T, d], i = expand d inner channels, J numbers of state, conv causal and depthwise; Mamba:
 *
 *     [u ; g] = W_in x            u' = SiLU(conv(u))
 *     [r ; B ; C] = W_x u'        delta = softplus(W_dt r + b_dt)      A = -exp(A_log)                    (1)
 *     out = W_out (scan(u', delta, A, B, C, D) SiLU(g))
 *
 * Mamba-2, with a delta and an A for each head of P channels:
 *
 *     [z ; uBC ; r] = W_in x      [u' ; B ; C] = SiLU(conv(uBC))       delta = softplus(r + dt_bias)      (2)
 *     out = W_out (RMSNorm(ssd(u', delta, A, B, C, D) SiLU(z)) w)
 */
#ifndef PEFT_GENERATORS_ORAL_MAMBA_H
#define PEFT_GENERATORS_ORAL_MAMBA_H

#include "generators/net.h"
#include "generators/value_list.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_mamba {
    int version;    /* 1 or 2 */
    int64_t width;  /* d */
    int64_t state;  /* J; 16 and 128 */
    int64_t taps;   /* of the convolution; 4 */
    int64_t expand; /* 2 */
    int64_t head;   /* P of Mamba-2, a divisor of i; 64 */
    int64_t chunk;  /* of Mamba-2, tokens in one product; 64 */
} peft_mamba;

/* PEFT_ERR_ARGUMENT: sizes that do not go together, by name. */
peft_status peft_mamba_check(const peft_mamba *m, peft_error *error);

/* Declares the tensors of a block, under PREFIX. */
void peft_mamba_list(const peft_mamba *m, peft_value_list *list, const char *prefix);
/* Those of its start values that no spec says: A_log, and the bias of delta, whose softplus is log-uniform in
 * 0.001 ... 0.1. */
void peft_mamba_draw(const peft_mamba *m, const peft_value_set *set, const char *prefix, uint64_t seed);

/* x [T, width], starts [S + 1] -> [T, width] */
peft_tensor *peft_mamba_block(const peft_net *net, const peft_mamba *m, const char *prefix, peft_tensor *x,
                              peft_tensor *starts);

#ifdef __cplusplus
}
#endif
#endif
