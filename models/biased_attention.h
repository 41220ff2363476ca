/* models/biased_attention.h - attention whose bias is learned.
 *
 * peft_attention gives its bias no gradient. While one is trained it is a part of the products, in columns beside those
 * of each head: with e_i row i of the identity and s the scale of the scores,
 *
 *     q'_i = [q_i  e_i / s]      k'_j = [k_j  b_j]      s q'_i k'_j^T = s q_i k_j^T + b_ij
 *
 * where b_j is column j of the bias; v has zeros there. As many columns as the longest sequence has tokens: that takes
 * memory, which only those pay who train it. */
#ifndef PEFT_MODELS_BIASED_ATTENTION_H
#define PEFT_MODELS_BIASED_ATTENTION_H

#include "ops/batch.h"
#include "ops/ops.h"

/* q, k, v [T, heads * head size], each token a query; options->bias [heads, length, length] of sequences at least as
 * long as the longest -> [T, heads * head size]. There are as many heads of keys as of queries. */
peft_tensor *peft_biased_attention(peft_graph *g, peft_tensor *q, peft_tensor *k, peft_tensor *v,
                                   const peft_batch *batch, const peft_attention_options *options);

#endif
