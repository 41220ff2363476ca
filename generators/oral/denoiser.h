/* generators/oral/denoiser.h - estimates the noise in tokens of D numbers, from each token's prototype, its time step
 * and a condition. A token is a signal of length D; the channels of its convolutions are 1, 32, 64, 128, 64, 32, 1:
 *
 *     tau   = W_2 SiLU(W_1 [cos(t f) ; sin(t f)])        f_i = 10000^(-i / 128)                      (1)
 *     kappa = W_k prototype + b (+ W_d condition)                                                    (2)
 *     x_k   = ELU(norm(conv_k((x_{k-1} + kappa) tau)))   of the last layer conv alone                (3)
 *
 * kappa and tau, [D], are those of the token in all layers and channels. The fifth convolution reads x_4 + x_2, the
 * sixth x_5 + x_1. Names are those of the program of recurrent parameter generation (arXiv 2501.11587); the condition
 * of its own in (2) is ORAL's. */
#ifndef PEFT_GENERATORS_ORAL_DENOISER_H
#define PEFT_GENERATORS_ORAL_DENOISER_H

#include "generators/net.h"
#include "generators/value_list.h"
#include "ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PEFT_DENOISER_LAYERS = 6, PEFT_TIME_FEATURES = 256 };

typedef enum peft_denoiser_norm {
    PEFT_DENOISER_BATCH, /* as published: over all tokens and positions; moments that run, for generation */
    PEFT_DENOISER_GROUP  /* over the positions and channels of each token: for small batches */
} peft_denoiser_norm;

typedef struct peft_denoiser {
    int64_t width;     /* D */
    int64_t prototype; /* numbers of a prototype */
    int64_t condition; /* numbers of a condition of its own; 0: none */
    int64_t channels[PEFT_DENOISER_LAYERS + 1];
    int64_t taps; /* 7 */
    peft_denoiser_norm norm;
} peft_denoiser;

/* Declares the tensors, under PREFIX. */
void peft_denoiser_list(const peft_denoiser *d, peft_value_list *list, const char *prefix);

/* f of (1): [PEFT_TIME_FEATURES / 2]. */
void peft_denoiser_frequencies(float *frequencies);
/* [cos(t f) ; sin(t f)] for each of `count` time steps, [count, PEFT_TIME_FEATURES]. */
void peft_denoiser_time(const float *frequencies, const int32_t *steps, int64_t count, float *features);

/* What the layers' batch norms saw. */
typedef struct peft_denoiser_moments {
    peft_moments layers[PEFT_DENOISER_LAYERS - 1];
} peft_denoiser_moments;

/* x [tokens, D], prototypes [tokens, P], conditions [tokens, C] or NULL, time [tokens, PEFT_TIME_FEATURES] ->
 * [tokens, D]. While it trains, batch norms take the moments of this batch, and *moments, unless NULL, become theirs.
 */
peft_tensor *peft_denoiser_estimate(const peft_net *net, const peft_denoiser *d, const char *prefix, peft_tensor *x,
                                    peft_tensor *prototypes, peft_tensor *conditions, peft_tensor *time,
                                    peft_denoiser_moments *moments);

/* After a run of `g`: the averages that run are moved a tenth of the way to these moments, those of tokens * D rows.
 * Errors are those of the run. */
PEFT_API peft_status peft_denoiser_average(const peft_denoiser *d, const peft_value_set *set, const char *prefix,
                                           peft_graph *g, const peft_denoiser_moments *moments, int64_t tokens,
                                           peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
