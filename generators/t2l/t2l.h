/* generators/t2l/t2l.h - Text-to-LoRA (Charakorn et al. 2025, arXiv 2506.06105): a network that reads the vector of a
 * task's description and emits the adapter, of any variant, for each of its places (generators/places.h).
 *
 * With a row for each description and place of a kind m at depth l; SiLU(x) = x sigmoid(x), LN a layer norm:
 *
 *     x       = [task(e) ; LN(T_depth[l]) ; LN(T_kind[m])]                                      (1)
 *     u       = mlp1(SiLU(W SiLU(W x)))          mlp1(v), mlp2(v) = v + SiLU(W SiLU(W LN(v)))    (2)
 *     h(v)    =     SiLU(W SiLU(W LN(v)))                                                       (3)
 *
 *     L :  [all tensors]   = H_m h(mlp2(u))                                                     (4)
 *     M :  tensor X        = H_m h(mlp2(u + LN(o_{m,X}))), as rows of equal length, of which it takes what it needs
 *     S :  row k of X      = H_m h(v_k),   v = mlp2(u + LN(o_{m,X})),
 *                            v_k = v + mlp2(LN(P_k)), or with a rotary code v_k = mlp2(Rot(v, k))
 *     LR:  rows k of all X = H_m h(mlp2(u + LN(P_k))), or with a rotary code H_m h(mlp2(Rot(u, k)))
 *
 * Rot is the rotation of halves of Llama with base 10000. Rows of B are those of its transpose. What is emitted is
 * added to an offset, the adapter from which all tasks start (docs/generators/text-to-lora.md). */
#ifndef PEFT_GENERATORS_T2L_T2L_H
#define PEFT_GENERATORS_T2L_T2L_H

#include "generators/places.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_t2l_options {
    char *head;           /* L, M, S, LR */
    char *rank_code;      /* learned, rotary: of S and LR */
    char *task_encoder;   /* linear, discrete, softmax, vq, one-hot */
    int64_t latent_size;  /* z */
    int64_t head_size;    /* h */
    char *start;          /* zero, hyperinit, random */
    char *bias;           /* of what is emitted: head, none, tensor, place */
    char *emits;          /* plain, z-score, product */
    double product_scale; /* with product: what is emitted is so many times the update */
    bool normalise;       /* h(v) to length sqrt(h) before the heads, as Doc-to-LoRA has it */
    double dropout;       /* in the network, while it trains */
} peft_t2l_options;

PEFT_API extern const peft_option peft_t2l_option_table[];

typedef enum peft_t2l_head { PEFT_T2L_L, PEFT_T2L_M, PEFT_T2L_S, PEFT_T2L_LR } peft_t2l_head;
typedef enum peft_t2l_bias {
    PEFT_T2L_BIAS_HEAD,
    PEFT_T2L_BIAS_NONE,
    PEFT_T2L_BIAS_TENSOR,
    PEFT_T2L_BIAS_PLACE
} peft_t2l_bias;
typedef enum peft_t2l_output { PEFT_T2L_PLAIN, PEFT_T2L_Z_SCORE, PEFT_T2L_PRODUCT } peft_t2l_output;

typedef struct peft_t2l {
    peft_t2l_options options;
    peft_t2l_head head; /* of options, as numbers */
    peft_t2l_bias bias;
    peft_t2l_output output;
    bool rotary;
    int64_t vector_size; /* of a description, E; for one-hot the number of tasks */
    int64_t width;       /* d */
    peft_places places;
    /* All that it is: what trains, and frozen offsets and statistics. "heads.query.weight", "AB_offset.A.query" */
    peft_value_set set;
    double *rotations; /* cos and sin for each row to emit: [2, most rows, d]; NULL: not needed */
    float *rotations_f32;
    peft_arena memory; /* of the names */
} peft_t2l;

/* A network for these adapters, which stay the caller's and outlive it: what it emits is made for them. Trained
 * values are drawn from `seed`; with start `zero` what it emits is at first, for every description, the adapter that
 * `adapters` holds now. PEFT_ERR_ARGUMENT: options that do not go together, each by name. */
PEFT_API peft_status peft_t2l_create(peft_t2l *t, const peft_t2l_options *options, peft_adapters *adapters,
                                     int64_t vector_size, uint64_t seed, peft_error *error);
PEFT_API void peft_t2l_free(peft_t2l *t); /* a struct of zeros is allowed */

/* How many numbers the values of such a network are, without making it. Errors as above. */
PEFT_API peft_status peft_t2l_measure(const peft_t2l_options *options, peft_adapters *adapters, int64_t vector_size,
                                      int64_t *numbers, peft_error *error);

/* Of all descriptions the tensors of one kind, in the order of kind->tensors: [places x descriptions, count], depth by
 * depth, in each all descriptions, each in the layout of the variant. NULL for tensors that are not emitted. */
typedef struct peft_t2l_kind_output {
    peft_tensor *tensors[PEFT_MAX_VALUES];
} peft_t2l_kind_output;

/* Describes (1) to (4): vectors [descriptions, E] -> outputs [kinds]. `training` makes parameters of what trains, and
 * dropout act; `first` is the number of the first description in its step, where random numbers go on. What is emitted
 * is raw: z-scores, or factors that are too large (peft_t2l_finish). Errors are the graph's. */
PEFT_API void peft_t2l_emit(peft_graph *g, const peft_t2l *t, peft_tensor *vectors, bool training, int64_t first,
                            peft_t2l_kind_output *outputs);

/* What was emitted becomes values of an adapter: z-scores are undone, the scale of a product is taken out, the offset
 * is added. In place of outputs. */
PEFT_API void peft_t2l_finish(peft_graph *g, const peft_t2l *t, int64_t descriptions, peft_t2l_kind_output *outputs);

/* Finished outputs stand in for the adapters' values (ops/side.h), one for each description, for graphs whose sequences
 * are the descriptions' in turn; for a single description as one for all sequences. */
PEFT_API void peft_t2l_bind(peft_graph *g, const peft_t2l *t, int64_t descriptions, const peft_t2l_kind_output *outputs,
                            bool training);

/* The adapters' values as they are now become the offset. */
PEFT_API void peft_t2l_set_offset(const peft_t2l *t);
/* What all layers share becomes the adapters', as it was trained. */
PEFT_API void peft_t2l_get_model(const peft_t2l *t);

#ifdef __cplusplus
}
#endif
#endif
