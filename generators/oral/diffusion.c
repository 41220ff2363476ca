#include "generators/oral/diffusion.h"

#include <math.h>
#include <stdlib.h>

peft_status peft_diffusion_create(peft_diffusion *d, int64_t num_steps, double first_beta, double last_beta,
                                  peft_error *error)
{
    *d = (peft_diffusion){0};
    if (num_steps < 1 || num_steps > INT32_MAX)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "diffusion: steps: expected 1 or more, found %lld",
                         (long long)num_steps);
    if (!(first_beta > 0 && first_beta <= last_beta && last_beta < 1))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "diffusion: betas: expected 0 < first <= last < 1, found %g and %g",
                         first_beta, last_beta);
    *d = (peft_diffusion){num_steps, malloc((size_t)num_steps * sizeof(double)),
                          malloc((size_t)num_steps * sizeof(double))};
    if (!d->beta || !d->kept) {
        peft_diffusion_free(d);
        return peft_fail(error, PEFT_ERR_MEMORY, "diffusion: out of memory for %lld steps", (long long)num_steps);
    }
    double kept = 1;
    for (int64_t t = 0; t < num_steps; t++) {
        const double share = num_steps > 1 ? (double)t / (double)(num_steps - 1) : 0;
        d->beta[t] = first_beta + share * (last_beta - first_beta);
        d->kept[t] = kept *= 1 - d->beta[t];
    }
    return PEFT_OK;
}

void peft_diffusion_free(peft_diffusion *d)
{
    free(d->beta);
    free(d->kept);
    *d = (peft_diffusion){0};
}

/* out = a x + b y + c z; z NULL: no such term */
static void combine(double a, const float *x, double b, const float *y, double c, const float *z, int64_t count,
                    float *out)
{
    for (int64_t k = 0; k < count; k++)
        out[k] = (float)(a * (double)x[k] + b * (double)y[k] + (z ? c * (double)z[k] : 0));
}

static double kept_at(const peft_diffusion *d, int64_t t)
{
    return t < 0 ? 1 : d->kept[t];
}

void peft_diffusion_noise(const peft_diffusion *d, int64_t t, const float *x0, const float *noise, int64_t count,
                          float *out)
{
    combine(sqrt(d->kept[t]), x0, sqrt(1 - d->kept[t]), noise, 0, NULL, count, out);
}

void peft_diffusion_noise_in(const peft_diffusion *d, int64_t t, const float *x, const float *x0, int64_t count,
                             float *out)
{
    const double noise = sqrt(1 - d->kept[t]);
    combine(1 / noise, x, -sqrt(d->kept[t]) / noise, x0, 0, NULL, count, out);
}

void peft_diffusion_ddpm(const peft_diffusion *d, int64_t t, const float *x, const float *noise, const float *z,
                         int64_t count, float *out)
{
    const double a = d->kept[t], root = sqrt(1 - d->beta[t]);
    const double deviation = sqrt(d->beta[t] * (1 - kept_at(d, t - 1)) / (1 - a));
    combine(1 / root, x, -d->beta[t] / sqrt(1 - a) / root, noise, deviation, t > 0 ? z : NULL, count, out);
}

void peft_diffusion_ddim(const peft_diffusion *d, int64_t t, int64_t s, double eta, const float *x, const float *noise,
                         const float *z, int64_t count, float *out)
{
    const double a = d->kept[t], b = kept_at(d, s);
    const double v = eta * sqrt((1 - b) / (1 - a)) * sqrt(1 - a / b);
    combine(sqrt(b / a), x, sqrt(fmax(1 - b - v * v, 0)) - sqrt(b * (1 - a) / a), noise, v, v > 0 ? z : NULL, count,
            out);
}

peft_status peft_diffusion_visits(const peft_diffusion *d, int64_t count, bool as_published, int64_t *visits,
                                  peft_error *error)
{
    const int64_t T = d->num_steps;
    if (count < 1 || count > T)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "diffusion: steps of sampling: expected 1 ... %lld, found %lld",
                         (long long)T, (long long)count);
    for (int64_t k = 0; k < count; k++) {
        const int64_t left = count - 1 - k;
        if (as_published)
            visits[k] = left * (T / count) + 1 < T ? left * (T / count) + 1 : T - 1;
        else
            visits[k] = count > 1 ? (left * (T - 1) + (count - 1) / 2) / (count - 1) : T - 1;
    }
    visits[count] = as_published ? 0 : -1;
    return PEFT_OK;
}
