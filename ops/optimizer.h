/* ops/optimizer.h - AdamW and SGD over arrays of parameters, learning-rate schedules, clipping by the global norm.
 *
 * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, alg. 2; torch.optim.AdamW), step t from 1, rate lr:
 *
 *     w <- w - lr decay w
 *     m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2
 *     w <- w - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *
 * SGD (torch.optim.SGD):   g' = g + decay w;  m <- mu m + g' (m = 0 before t = 1);  w <- w - lr m
 *
 * The same bits for any number of threads: an element's update depends on that element alone, and the norm is summed
 * in double in a fixed order. */
#ifndef PEFT_OPS_OPTIMIZER_H
#define PEFT_OPS_OPTIMIZER_H

#include "ops/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum peft_optimizer_kind { PEFT_ADAMW, PEFT_SGD } peft_optimizer_kind;

typedef struct peft_optimizer_options {
    peft_optimizer_kind kind;
    double beta1, beta2, eps; /* AdamW */
    double momentum;          /* SGD */
    bool nesterov;            /* SGD: w <- w - lr (g' + mu m) */
    peft_context *context; /* the caller's, for as long as the optimiser: its threads share the work; NULL: none do */
} peft_optimizer_options;

/* AdamW as torch has it: betas 0.9 and 0.999, eps 1e-8; no context. */
PEFT_API peft_optimizer_options peft_optimizer_defaults(void);

/* An array and its gradient, both the caller's. Groups of parameters differ in the last two. */
typedef struct peft_optimizer_parameter {
    float *value;
    float *gradient;
    int64_t count;
    double learning_rate_factor; /* of the step's rate: 1, or 16 for the up side of LoRA+ */
    double weight_decay;
} peft_optimizer_parameter;

typedef struct peft_optimizer peft_optimizer;

/* `options` NULL: the defaults. The list is copied. State starts at zero. PEFT_ERR_ARGUMENT: options out of range. */
PEFT_API peft_status peft_optimizer_create(peft_optimizer **optimizer, const peft_optimizer_options *options,
                                           const peft_optimizer_parameter *parameters, size_t count, peft_error *error);
PEFT_API void peft_optimizer_free(peft_optimizer *optimizer); /* NULL is allowed */

/* Multiplies the gradients with min(1, max_norm / (norm + 1e-6)) as torch.nn.utils.clip_grad_norm_; max_norm 0: with
 * 1. Their global norm before goes to *norm. PEFT_ERR_NUMERIC where it is not finite: nothing has changed. */
PEFT_API peft_status peft_optimizer_clip(peft_optimizer *optimizer, double max_norm, double *norm, peft_error *error);

/* One update. PEFT_ERR_ARGUMENT, and nothing has changed, where the rate is negative or not finite. */
PEFT_API peft_status peft_optimizer_step(peft_optimizer *optimizer, double learning_rate, peft_error *error);

/* State, for checkpoints: number of steps done, and two arrays for each parameter in its own size (SGD has the first
 * only: the second is NULL). */
PEFT_API int64_t peft_optimizer_steps(const peft_optimizer *optimizer);
PEFT_API void peft_optimizer_set_steps(peft_optimizer *optimizer, int64_t steps);
PEFT_API float *peft_optimizer_state(peft_optimizer *optimizer, size_t parameter, int which);
PEFT_API size_t peft_optimizer_state_bytes(const peft_optimizer *optimizer);

typedef enum peft_schedule { PEFT_SCHEDULE_CONSTANT, PEFT_SCHEDULE_LINEAR, PEFT_SCHEDULE_COSINE } peft_schedule;

PEFT_API bool peft_schedule_find(const char *name, peft_schedule *schedule); /* "linear", "cosine", "constant" */

/* Factor of the learning rate for the step that follows `step` finished ones, as transformers'
 * get_{constant,linear,cosine}_schedule_with_warmup have it: rises from 0 over the warm-up, and then stays, or falls to
 * 0 at total_steps along a line or half a cosine. */
PEFT_API double peft_schedule_factor(peft_schedule schedule, int64_t step, int64_t warmup_steps, int64_t total_steps);

#ifdef __cplusplus
}
#endif
#endif
