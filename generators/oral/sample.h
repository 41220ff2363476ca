/* generators/oral/sample.h - from noise to the tokens of an adapter. */
#ifndef PEFT_GENERATORS_ORAL_SAMPLE_H
#define PEFT_GENERATORS_ORAL_SAMPLE_H

#include "generators/oral/diffusion.h"
#include "generators/oral/oral.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_oral_sampling {
    int64_t steps;         /* of DDIM; 0: all of DDPM */
    double eta;            /* of DDIM: 0 is deterministic after the first noise, 1 as random as DDPM */
    bool as_published;     /* the steps that the published program visits */
    bool predicts_numbers; /* as it was trained */
    double guidance;       /* w: e = e_0 + w (e_c - e_0), e_0 without the condition; 1: none */
    uint64_t seed;
    int64_t first_sample; /* the number of the first sample: each has noise of its own */
} peft_oral_sampling;

/* Tokens [samples, N, D] for one condition [C], addresses [N, d] (of trained ones NULL), member of the permutation
 * states or -1. Prototypes are computed once. Padding holds whatever comes out. */
PEFT_API peft_status peft_oral_sample(const peft_oral *oral, const peft_diffusion *diffusion,
                                      const peft_oral_sampling *options, peft_context *ctx, const float *condition,
                                      const float *addresses, int32_t member, int64_t samples, float *tokens,
                                      peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
