/* generators/oral/batch.h - what one step of training sees: some tokens of some adapters of a library, at steps of
 * diffusion that are drawn for each token.
 *
 * All that is drawn depends on the seed, the step of training and the adapter's number alone: not on how a step is cut
 * into batches, nor on what was drawn before. */
#ifndef PEFT_GENERATORS_ORAL_BATCH_H
#define PEFT_GENERATORS_ORAL_BATCH_H

#include "generators/oral/diffusion.h"
#include "generators/oral/oral.h"
#include "generators/oral/tokens.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adapters as tokens; all arrays are the caller's. */
typedef struct peft_oral_library {
    const peft_token_layout *layout;
    int64_t members;
    const float *tokens;     /* [members, N, D] */
    const float *mask;       /* [N, D] */
    const float *conditions; /* [members, C] */
    const float *addresses;  /* [N, d]; of trained ones NULL */
} peft_oral_library;

typedef struct peft_oral_training {
    int64_t drawn;            /* tokens of each adapter in a step, at most all */
    bool predicts_numbers;    /* x_0, not the noise */
    double condition_dropout; /* how often the condition is left out, for guidance; 0.1 */
    uint64_t seed;
} peft_oral_training;

typedef struct peft_oral_batch {
    int64_t count, rows;          /* adapters, and drawn tokens */
    int32_t *starts, *members;    /* [count + 1], [count] */
    int32_t *picks, *owners;      /* [rows]: the token's prototype, and its adapter in the batch */
    float *conditions;            /* [count, C] */
    float *noisy, *target, *mask; /* [rows, D] */
    float *time;                  /* [rows, PEFT_TIME_FEATURES] */
    double shown;                 /* numbers that are no padding */
    void *memory;
} peft_oral_batch;

/* Room for so many adapters. Release with peft_oral_batch_free. */
PEFT_API peft_status peft_oral_batch_create(peft_oral_batch *batch, const peft_oral *oral,
                                            const peft_oral_training *training, int64_t count, peft_error *error);
PEFT_API void peft_oral_batch_free(peft_oral_batch *batch); /* a struct of zeros is allowed */

/* Fills it: adapters [batch->count] of the library, at this step of training. */
PEFT_API peft_status peft_oral_batch_draw(peft_oral_batch *batch, const peft_oral *oral,
                                          const peft_oral_library *library, const peft_diffusion *diffusion,
                                          const peft_oral_training *training, const uint32_t *adapters, int64_t step,
                                          peft_error *error);

/* The loss of the batch: the mean over what it shows. Drawing again and running the graph again is a further step. */
PEFT_API peft_tensor *peft_oral_batch_loss(const peft_net *net, const peft_oral *oral, const peft_oral_library *library,
                                           const peft_oral_batch *batch, peft_denoiser_moments *moments);

#ifdef __cplusplus
}
#endif
#endif
