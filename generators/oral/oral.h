/* generators/oral/oral.h - ORAL (Khan et al. 2025, arXiv 2503.24354): adapters by conditional recurrent diffusion.
 *
 * A description c of the task and of the base model, and N tokens of D numbers (generators/oral/tokens.h), which are
 * the adapter. With a_j the address of token j:
 *
 *     p = block(block( ... a_j + W_c c + b_c ... ))        prototypes, one for each token                   (1)
 *     e = denoise(x_t, p_j, c, t)                          from noise to numbers, token by token             (2)
 *     loss = mean of (e - noise)^2 over what is not padding, or of (e - x_0)^2                              (3)
 *
 * The article feeds weights to the recurrence; what is known of a token while it is generated is its address, as in the
 * program it builds on (docs/generators/oral.md). */
#ifndef PEFT_GENERATORS_ORAL_ORAL_H
#define PEFT_GENERATORS_ORAL_ORAL_H

#include "generators/oral/denoiser.h"
#include "generators/oral/mamba.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum peft_oral_address {
    PEFT_ORAL_GIVEN,  /* a table that its owner has made (peft_token_address) */
    PEFT_ORAL_TRAINED /* one that is trained, from a normal distribution */
} peft_oral_address;

typedef struct peft_oral_sizes {
    int64_t tokens;    /* N of an adapter */
    int64_t condition; /* numbers of c */
    int64_t blocks;    /* of the recurrence; 2 */
    int64_t members;   /* of the library, each with a permutation state of its own; 0: none */
    peft_oral_address address;
    bool own_condition; /* c in (2), besides p */
    peft_mamba mamba;
    peft_denoiser denoiser; /* its prototype and condition are filled in */
} peft_oral_sizes;

/* Those that the published program starts from, for tokens of D numbers: Mamba-2, two blocks, width D. */
PEFT_API peft_oral_sizes peft_oral_default_sizes(int64_t tokens, int64_t width, int64_t condition);

typedef struct peft_oral {
    peft_oral_sizes sizes;
    peft_value_set set;
    float frequencies[PEFT_TIME_FEATURES / 2]; /* of the denoiser's time steps */
    peft_arena names;
} peft_oral;

/* The network, its values drawn from `seed`. PEFT_ERR_ARGUMENT: sizes that do not go together. Release with
 * peft_oral_free. */
PEFT_API peft_status peft_oral_create(peft_oral *oral, const peft_oral_sizes *sizes, uint64_t seed, peft_error *error);
PEFT_API void peft_oral_free(peft_oral *oral); /* a struct of zeros is allowed */

/* (1) for some adapters, one behind another: conditions [adapters, C], addresses [N, d] (of trained ones NULL), starts
 * [adapters + 1], every N tokens, members [adapters] (PEFT_I32) or NULL -> [adapters * N, d] */
PEFT_API peft_tensor *peft_oral_prototypes(const peft_net *net, const peft_oral *oral, peft_tensor *conditions,
                                           peft_tensor *addresses, peft_tensor *starts, peft_tensor *members);

/* (2): x [tokens, D], prototypes [tokens, d], conditions [tokens, C], time [tokens, PEFT_TIME_FEATURES] */
PEFT_API peft_tensor *peft_oral_estimate(const peft_net *net, const peft_oral *oral, peft_tensor *x,
                                         peft_tensor *prototypes, peft_tensor *conditions, peft_tensor *time,
                                         peft_denoiser_moments *moments);

/* (3), for a target [tokens, D] and mask [tokens, D], whose sum is `normaliser` */
PEFT_API peft_tensor *peft_oral_loss(const peft_net *net, peft_tensor *estimate, peft_tensor *target, peft_tensor *mask,
                                     double normaliser);

#ifdef __cplusplus
}
#endif
#endif
