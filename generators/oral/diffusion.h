/* generators/oral/diffusion.h - from numbers to noise, and back: DDPM (Ho et al. 2020, arXiv 2006.11239) and DDIM (Song
 * et al. 2021, arXiv 2010.02502).
 *
 *     x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e        a_t = product of 1 - beta_s over s <= t          (1)
 *
 * A network estimates e, or x_0, from x_t. All functions work on `count` numbers; x and out may be the same. */
#ifndef PEFT_GENERATORS_ORAL_DIFFUSION_H
#define PEFT_GENERATORS_ORAL_DIFFUSION_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_diffusion {
    int64_t num_steps;   /* T */
    double *beta, *kept; /* [T]: beta_t, rising by equal steps, and a_t */
} peft_diffusion;

/* T of 1 or more, 0 < first <= last < 1. Release with peft_diffusion_free. */
PEFT_API peft_status peft_diffusion_create(peft_diffusion *d, int64_t num_steps, double first_beta, double last_beta,
                                           peft_error *error);
PEFT_API void peft_diffusion_free(peft_diffusion *d); /* a struct of zeros is allowed */

/* (1) */
PEFT_API void peft_diffusion_noise(const peft_diffusion *d, int64_t t, const float *x0, const float *noise,
                                   int64_t count, float *out);

/* e of (1), from x_t and x_0. */
PEFT_API void peft_diffusion_noise_in(const peft_diffusion *d, int64_t t, const float *x, const float *x0,
                                      int64_t count, float *out);

/* From x_t to x_{t-1}; z is normal noise, of which none is added at t = 0:
 *
 *     out = (x - beta_t / sqrt(1 - a_t) e) / sqrt(1 - beta_t) + sqrt(beta_t (1 - a_{t-1}) / (1 - a_t)) z          (2)
 */
PEFT_API void peft_diffusion_ddpm(const peft_diffusion *d, int64_t t, const float *x, const float *noise,
                                  const float *z, int64_t count, float *out);

/* From x_t to x_s for any s < t; s = -1 is the end, where a_s = 1:
 *
 *     v = eta sqrt((1 - a_s) / (1 - a_t)) sqrt(1 - a_t / a_s)
 *     out = sqrt(a_s / a_t) x + (sqrt(1 - a_s - v^2) - sqrt(a_s (1 - a_t) / a_t)) e + v z                         (3)
 *
 * With eta = 0 nothing is random; with eta = 1 and s = t - 1 it is (2). */
PEFT_API void peft_diffusion_ddim(const peft_diffusion *d, int64_t t, int64_t s, double eta, const float *x,
                                  const float *noise, const float *z, int64_t count, float *out);

/* Which steps DDIM visits, the first first, and to which one it goes from the last: from T - 1 to 0 and to -1, in
 * `count` steps that are as equal as can be. Or as the program of recurrent parameter generation has it (arXiv
 * 2501.11587): every T / count-th plus one, down to 1, and from there to 0. `visits` has room for count + 1.
 * PEFT_ERR_ARGUMENT: count is not 1 ... T. */
PEFT_API peft_status peft_diffusion_visits(const peft_diffusion *d, int64_t count, bool as_published, int64_t *visits,
                                           peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
