/* models/absorbed.h - attention to tokens whose keys and values are not made.
 *
 * Keys W_k x_t + b_k and values W_v x_t + b_v need not be there where queries are few. With W' = [W b], of which each
 * head has rows of its own, and x' = [x 1],
 *
 *     q (W_k x_t + b_k)^T = (q W'_k) x'_t^T          sum_t p_t (W_v x_t + b_v) = W'_v sum_t p_t x'_t
 *
 * Then a head's weights meet one vector for each query instead of one for each token, which DeepSeek-AI (2024, arXiv
 * 2405.04434, section 2.1.2) call absorbing them; and all heads share x' as their only key and value. The 1 is for the
 * biases: after dropout, the sum of probabilities is not 1. */
#ifndef PEFT_MODELS_ABSORBED_H
#define PEFT_MODELS_ABSORBED_H

#include "models/model.h"
#include "ops/ops.h"

/* W' [out, in + 1] of a layer, with its adapter; without a bias, b is 0. NULL: its weight cannot be had
 * (peft_adapter_weight).
 */
peft_tensor *peft_absorbed_weight(peft_graph *g, const peft_linear_layer *layer, const peft_batch *batch);

/* peft_attention of one query for each sequence, q [S, heads * head size], to the keys x' key^T and values x' value^T
 * of x [T, in]; key, value [heads * head size, in + 1]. There is no mask; a bias is for one query, [heads, 1, keys];
 * and dropout draws other numbers than there.
 */
peft_tensor *peft_absorbed_attention(peft_graph *g, peft_tensor *q, peft_tensor *x, peft_tensor *key,
                                     peft_tensor *value, peft_tensor *starts, const peft_attention_options *options);

#endif
