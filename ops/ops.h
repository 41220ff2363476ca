/* ops/ops.h - the building functions of all ops: what a graph can be described with.
 *
 * T tokens of a flat batch without padding, S sequences. `starts` [S + 1] (PEFT_I32) holds the first token of each
 * sequence and, last, T. Floating-point tensors of one op share a type, PEFT_F32 or PEFT_F64. Every function returns
 * the new tensor, or NULL after an error (peft_graph_status): PEFT_ERR_SHAPE, PEFT_ERR_DTYPE or PEFT_ERR_ARGUMENT.
 * Names and meanings are those of PyTorch's functions. */
#ifndef PEFT_OPS_OPS_H
#define PEFT_OPS_OPS_H

#include "ops/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = x W^T + b        x [T, in], weight [out, in], bias [out] or NULL -> [T, out] */
PEFT_API peft_tensor *peft_linear(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias);

/* The core of the family (ops/describe/low_rank.c):
 *
 *     y = y0 + s B (g * (A x))
 *
 *   y0    [T, out] or NULL (zero); usually the output of the frozen layer
 *   x     [T, in]
 *   A     [R, in], or [S, R, in]: an adapter for each sequence
 *   B     [out, R], or [S, out, R]
 *   gate  NULL (1); or [G] for all tokens, [T, G] for each token, [S, G] for each sequence. G divides R, and each
 *         entry of the gate counts for R / G rows of A in turn (an expert's rows)
 *   starts needed where anything is per sequence, else NULL
 *
 * S = T would make [S, G] and [T, G] look alike: with starts given the gate is per sequence when it has S rows. */
PEFT_API peft_tensor *peft_low_rank(peft_graph *g, peft_tensor *y0, peft_tensor *x, peft_tensor *A, peft_tensor *B,
                                    peft_tensor *gate, peft_tensor *starts, double scale);

/* C = op(a) op(b), op(a) [m, k], op(b) [k, n]; op transposes where asked -> [m, n]. Or with a leading dimension in
 * both, [S, m, k] and [S, k, n] -> [S, m, n]: a product each. */
PEFT_API peft_tensor *peft_matmul(peft_graph *g, peft_tensor *a, bool transpose_a, peft_tensor *b, bool transpose_b);

/* Row ids[t] of weight: ids [T] (PEFT_I32), weight [rows, columns] -> [T, columns]. An id outside of the table fails
 * the run with PEFT_ERR_ARGUMENT. */
PEFT_API peft_tensor *peft_embedding(peft_graph *g, peft_tensor *weight, peft_tensor *ids);

/* y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimension; weight, bias [columns] or NULL */
PEFT_API peft_tensor *peft_layer_norm(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias,
                                      double eps);

/* The same around 0: y = x / sqrt(mean x^2 + eps) * weight; weight [columns] or NULL */
PEFT_API peft_tensor *peft_rms_norm(peft_graph *g, peft_tensor *x, peft_tensor *weight, double eps);

/* Mean and variance of each column over all rows, [columns] each. */
typedef struct peft_moments {
    peft_tensor *mean, *variance;
} peft_moments;

/* y = (x - mean) / sqrt(variance + eps) * weight + bias for each column, over all rows of x; weight, bias [columns].
 * The variance is that of n rows, not n - 1. *moments, unless NULL, is kept for averages that its owner runs. And the
 * same with given moments, for a net that is not trained. */
PEFT_API peft_tensor *peft_batch_norm(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias, double eps,
                                      peft_moments *moments);
PEFT_API peft_tensor *peft_batch_norm_by(peft_graph *g, peft_tensor *x, peft_moments moments, peft_tensor *weight,
                                         peft_tensor *bias, double eps);

/* Each sample's columns in `groups` groups of neighbours, each normalised over its columns and the sample's length:
 * x [samples, length, columns], weight, bias [columns] */
PEFT_API peft_tensor *peft_group_norm(peft_graph *g, peft_tensor *x, int64_t groups, peft_tensor *weight,
                                      peft_tensor *bias, double eps);

/* Each channel by itself, along its sequence: y_t = bias + sum_k weight_k x_{t-K+1+k}, and what lies before the
 * sequence is 0. x [T, channels], weight [channels, K], bias [channels] or NULL, starts [S + 1] -> [T, channels] */
PEFT_API peft_tensor *peft_causal_conv(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias,
                                       peft_tensor *starts);

/* y_p = bias + sum_k weight_k x_{p+k-(K-1)/2}, K odd, and what lies outside of the sample is 0. Channels come last:
 * x [samples, length, in], weight [out, in, K], bias [out] or NULL -> [samples, length, out] */
PEFT_API peft_tensor *peft_conv(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias);

/* The recurrence of Mamba (Gu and Dao 2023) for each channel along its sequence, with a state h of J numbers:
 *
 *     h_t = exp(delta_t A) h_{t-1} + delta_t x_t B_t        y_t = sum_j h_t C_t + skip x_t
 *
 *   x, delta [T, channels], A [channels, J], B, C [T, J], skip [channels] or NULL, starts [S + 1] -> [T, channels] */
PEFT_API peft_tensor *peft_selective_scan(peft_graph *g, peft_tensor *x, peft_tensor *delta, peft_tensor *A,
                                          peft_tensor *B, peft_tensor *C, peft_tensor *skip, peft_tensor *starts);

/* The same with one A, delta and skip for all channels of a head (Mamba-2, Dao and Gu 2024): their state-space duality,
 * in which `chunk` tokens at a time are matrix products. A number from 16 to 128 is fast; 1 is the plain recurrence.
 *   x [T, heads * P], delta [T, heads], A [heads], B, C [T, J], skip [heads] or NULL -> [T, heads * P] */
PEFT_API peft_tensor *peft_ssd(peft_graph *g, peft_tensor *x, peft_tensor *delta, peft_tensor *A, peft_tensor *B,
                               peft_tensor *C, peft_tensor *skip, peft_tensor *starts, int64_t chunk);

/* y = f(x) for each element. gelu is x Phi(x) with erf; gelu_tanh its approximation; silu is x sigmoid(x); elu is
 * e^x - 1 below 0, else x; softplus is log(1 + e^x); exp is e^x. */
#define PEFT_ACTIVATION_MAP(X) X(gelu) X(gelu_tanh) X(relu) X(silu) X(tanh) X(sigmoid) X(elu) X(softplus) X(exp)
typedef enum peft_activation_kind {
#define X(name) PEFT_ACTIVATION_##name,
    PEFT_ACTIVATION_MAP(X)
#undef X
        PEFT_NUM_ACTIVATIONS
} peft_activation_kind;
PEFT_API peft_tensor *peft_activation(peft_graph *g, peft_tensor *x, peft_activation_kind kind);
/* The kind of a name of config.json's hidden_act (gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish, tanh,
 * sigmoid, ...); false: unknown. */
PEFT_API bool peft_activation_find(const char *name, peft_activation_kind *kind);

/* y = exp(x) / sum exp(x) over the last dimension */
PEFT_API peft_tensor *peft_softmax(peft_graph *g, peft_tensor *x);

/* Of each row one number, so the last dimension goes (a vector gives [1]): log sum exp(x), and the entropy
 * -sum p log p of probabilities, in natural units. */
PEFT_API peft_tensor *peft_log_sum_exp(peft_graph *g, peft_tensor *x);
PEFT_API peft_tensor *peft_entropy(peft_graph *g, peft_tensor *p);

/* `kept` where x is one of the k largest of its row (the last dimension), else `rest`; of equal ones the first count.
 * With 1 and 0 a mask to multiply with, with 0 and -HUGE_VAL one to add to what a softmax reads. 1 <= k <= columns. It
 * passes no gradient on. */
PEFT_API peft_tensor *peft_top_k(peft_graph *g, peft_tensor *x, int64_t k, double kept, double rest);

typedef enum peft_mask { PEFT_MASK_NONE, PEFT_MASK_CAUSAL, PEFT_MASK_WINDOW } peft_mask;

typedef struct peft_attention_options {
    int32_t num_heads;
    int32_t num_key_value_heads; /* divides num_heads; 0: the same */
    double scale;                /* of the scores; 0: 1 / sqrt(head size) */
    peft_mask mask;              /* causal: query i sees keys up to i, both aligned at their sequences' ends */
    int64_t window;              /* PEFT_MASK_WINDOW: causal, and no key further back than window - 1 */
    double dropout;              /* of the probabilities, 0: none (not training) */
    uint64_t dropout_stream;     /* ops/rng.h */
    int64_t first_row;           /* position of the first query token in the global batch */
    peft_tensor *bias; /* added to the scores, or NULL: [heads, queries, keys] of sequences at least as long as
                          the longest; it gets no gradient */
} peft_attention_options;

/* y = softmax(scale q k^T + bias) v for each head and sequence; nothing of size length x length is kept.
 *   q [Tq, heads * head size], k, v [Tk, key/value heads * head size] -> [Tq, heads * head size]
 *   query_starts, key_starts [S + 1]; key_starts NULL: the same */
PEFT_API peft_tensor *peft_attention(peft_graph *g, peft_tensor *q, peft_tensor *k, peft_tensor *v,
                                     peft_tensor *query_starts, peft_tensor *key_starts,
                                     const peft_attention_options *options);

/* Mean of a sequence's rows, and its first row: x [T, columns], starts [S + 1] -> [S, columns] */
PEFT_API peft_tensor *peft_mean_pool(peft_graph *g, peft_tensor *x, peft_tensor *starts);
PEFT_API peft_tensor *peft_first_pool(peft_graph *g, peft_tensor *x, peft_tensor *starts);
/* Mean of the first counts[s] rows of each sequence (its prompt): counts [S] (PEFT_I32), a leaf with values from 1 to
 * the sequence's length. */
PEFT_API peft_tensor *peft_prefix_pool(peft_graph *g, peft_tensor *x, peft_tensor *starts, peft_tensor *counts);
/* The other way round, row s for each token of sequence s: x [S, columns], starts [S + 1] -> [T, columns] */
PEFT_API peft_tensor *peft_spread(peft_graph *g, peft_tensor *x, peft_tensor *starts);

/* y = x * mask / (1 - p), mask 0 with probability p. The mask is a function of (context's seed, stream, context's
 * step, first_row + row, column) alone: batches may be cut in any way (ops/rng.h). 0 <= p < 1, rounded to
 * 1 / 65536; p = 0 returns x itself. */
PEFT_API peft_tensor *peft_dropout(peft_graph *g, peft_tensor *x, double p, uint64_t stream, int64_t first_row);
/* The same with one draw for each row, for each column, or for all. */
typedef enum peft_dropout_unit {
    PEFT_DROP_ELEMENTS = 0,
    PEFT_DROP_ROWS = 1,
    PEFT_DROP_COLUMNS = 2,
    PEFT_DROP_ALL = PEFT_DROP_ROWS | PEFT_DROP_COLUMNS
} peft_dropout_unit;
PEFT_API peft_tensor *peft_dropout_units(peft_graph *g, peft_tensor *x, peft_dropout_unit unit, double p,
                                         uint64_t stream, int64_t first_row);
/* y = x * f, f uniform in 1 - spread ... 1 + spread, drawn as dropout's mask is; spread = 0 returns x itself. */
PEFT_API peft_tensor *peft_jitter(peft_graph *g, peft_tensor *x, double spread, uint64_t stream, int64_t first_row);

/* Element by element. b has the shape of a, or that of a's last dimensions (then it is used for all the rest), or
 * one element. */
PEFT_API peft_tensor *peft_add(peft_graph *g, peft_tensor *a, peft_tensor *b);
PEFT_API peft_tensor *peft_mul(peft_graph *g, peft_tensor *a, peft_tensor *b);
/* y = (x + shift) * factor, both of which have a number for each row of x: x [..., columns], shift, factor [rows] */
PEFT_API peft_tensor *peft_modulate(peft_graph *g, peft_tensor *x, peft_tensor *shift, peft_tensor *factor);
PEFT_API peft_tensor *peft_scale(peft_graph *g, peft_tensor *x, double factor);
PEFT_API peft_tensor *peft_shift(peft_graph *g, peft_tensor *x, double offset); /* x + offset */
/* y = x^exponent, as pow has it. For an exponent below 1 the gradient at 0 is taken as 0, as that of a norm is. */
PEFT_API peft_tensor *peft_power(peft_graph *g, peft_tensor *x, double exponent);

/* Constants that the graph holds: 0, step, 2 step, ... [count] (PEFT_I32); and of a real type ones on the diagonal and
 * zeros elsewhere [size, size], and ones [rows, columns]. */
PEFT_API peft_tensor *peft_arange(peft_graph *g, int64_t count, int64_t step);
/* The same kind of leaf [count], whose zeros the caller may overwrite before the graph runs. */
PEFT_API peft_tensor *peft_integers(peft_graph *g, int64_t count, int32_t **values);
PEFT_API peft_tensor *peft_identity(peft_graph *g, peft_dtype dtype, int64_t size);
PEFT_API peft_tensor *peft_ones(peft_graph *g, peft_dtype dtype, int64_t rows, int64_t columns);

/* The same elements in another shape; no copy. */
PEFT_API peft_tensor *peft_reshape(peft_graph *g, peft_tensor *x, peft_shape shape);
/* x as a constant: no gradient passes; no copy. */
PEFT_API peft_tensor *peft_stop_gradient(peft_graph *g, peft_tensor *x);
/* The same elements with the dimensions in another order: dimension d of y is dimension order[d] of x. */
PEFT_API peft_tensor *peft_permute(peft_graph *g, peft_tensor *x, const int32_t *order);
/* Indices begin ... begin + length - 1 of dimension dim. */
PEFT_API peft_tensor *peft_slice(peft_graph *g, peft_tensor *x, int32_t dim, int64_t begin, int64_t length);
/* Up to 8 tensors side by side along dimension dim. */
PEFT_API peft_tensor *peft_concat(peft_graph *g, int32_t dim, peft_tensor *const *parts, int32_t count);

/* More columns made fewer by adding them up, or fewer made more by repeating them: x [..., q] -> [..., columns].
 *
 *   wrapped   y_{p mod columns} += x_{p mod q} for p = 0, 1, ...: whole turns of y, as many as it takes to read all of
 * x. A last turn that x does not fill begins x again; more columns than q are x, repeated and cut off. grouped
 * `columns` groups of neighbours are summed, or each column becomes such a group; their sizes differ by one, the larger
 * ones come first.
 *
 * As many columns as x has: x itself. */
typedef enum peft_fold_layout { PEFT_FOLD_WRAPPED, PEFT_FOLD_GROUPED } peft_fold_layout;
PEFT_API peft_tensor *peft_fold(peft_graph *g, peft_tensor *x, int64_t columns, peft_fold_layout layout);

/* Sum over dimension dim, which goes (a vector's sum is [1]); PEFT_ALL_DIMS: over everything -> [1]. Summed in
 * double. */
enum { PEFT_ALL_DIMS = -1 };
PEFT_API peft_tensor *peft_sum(peft_graph *g, peft_tensor *x, int32_t dim);
PEFT_API peft_tensor *peft_mean(peft_graph *g, peft_tensor *x, int32_t dim);

/* s += share (x - s), for a state s of the shape of x (ops/state.h), of which no gradient is computed -> what s has
 * become. Who reads the leaf of s in the same graph finds it as it was before, or after, by who is described first. */
PEFT_API peft_tensor *peft_running_average(peft_graph *g, peft_tensor *state, peft_tensor *x, double share);

/* loss = sum_n w[label_n] ((1 - eps) -log p_n[label_n] + eps / C sum_c -log p_n[c] w_c / w[label_n]) / normalizer
 * as torch.nn.functional.cross_entropy has it.
 *   logits [N, C], labels [N] (PEFT_I32; a negative label is ignored), class_weights [C] or NULL -> [1]
 *   label_smoothing eps in [0, 1]; normalizer: sum of the weights of the labels of the whole (global) batch;
 *   0: that of these rows */
PEFT_API peft_tensor *peft_cross_entropy(peft_graph *g, peft_tensor *logits, peft_tensor *labels,
                                         peft_tensor *class_weights, double label_smoothing, double normalizer);

/* The same of the logits x W^T + b, which are never there as a whole, for vocabularies. Backward computes them again,
 * once for dx and once for dW.
 *   x [N, in], weight [C, in], bias [C] or NULL, labels [N] as above -> [1] */
PEFT_API peft_tensor *peft_linear_cross_entropy(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *bias,
                                                peft_tensor *labels, double label_smoothing, double normalizer);

/* loss = sum (prediction - target)^2 / normalizer -> [1]; normalizer 0: the number of elements */
PEFT_API peft_tensor *peft_mse(peft_graph *g, peft_tensor *prediction, peft_tensor *target, double normalizer);

#ifdef __cplusplus
}
#endif
#endif
