/* generators/t2l/loss.h - how far what was emitted is from adapters that are given.
 *
 * Of N descriptions, with a mean over the kinds m of modules, X over the tensors that are emitted for them:
 *
 *     factors            mean_m mean_X mean |X' - X^|            X' = X, or (X - mu) / (sigma + 1e-10) with z-scores
 *     product            mean_m mean |s B A - B^ A^|             of LoRA; s = 1, or product_scale where that is emitted
 *     product-squared    mean_m mean (s B A - B^ A^)^2
 *
 * The squared form never has a matrix of the size out x in: with C = [s B, -B^] and D = [A; A^] it is the sum of
 * (C^T C) * (D D^T) over all elements, both of the size 2 r x 2 r. The other form makes it in tiles of rows, again in
 * the backward pass. */
#ifndef PEFT_GENERATORS_T2L_LOSS_H
#define PEFT_GENERATORS_T2L_LOSS_H

#include "generators/t2l/t2l.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum peft_t2l_loss { PEFT_T2L_FACTORS, PEFT_T2L_PRODUCT_L1, PEFT_T2L_PRODUCT_SQUARED } peft_t2l_loss;

/* The words above; ends with NULL. */
PEFT_API extern const char *const peft_t2l_loss_names[];

/* PEFT_ERR_ARGUMENT: the network's output and this loss cannot work together, by name. */
PEFT_API peft_status peft_t2l_loss_check(const peft_t2l *t, peft_t2l_loss loss, peft_error *error);

/* `outputs` as they were emitted, not finished; `targets` true values in the same order (constants) -> [1]. */
PEFT_API peft_tensor *peft_t2l_reconstruction_loss(peft_graph *g, const peft_t2l *t, peft_t2l_loss loss,
                                                   int64_t descriptions, const peft_t2l_kind_output *outputs,
                                                   const peft_t2l_kind_output *targets);

/* Sum over kinds and emitted tensors of the mean of their squares, of finished outputs: what keeps adapters small ->
 * [1].
 */
PEFT_API peft_tensor *peft_t2l_mean_squares(peft_graph *g, const peft_t2l *t, const peft_t2l_kind_output *outputs);

#ifdef __cplusplus
}
#endif
#endif
