/* variants/redistribute.h - the same adapters with other ranks.
 *
 * Ranks are handed out by what directions are worth, as EVA does (Paischer et al. 2024, arXiv 2410.07170): first every
 * layer gets more directions than it had, and each of them a number that says what it is worth; then the best of all
 * layers are kept, as many as there were ranks at first. Alphas change with the ranks, as in Hugging Face PEFT, so that
 * alpha / r stays. */
#ifndef PEFT_VARIANTS_REDISTRIBUTE_H
#define PEFT_VARIANTS_REDISTRIBUTE_H

#include "variants/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* *wide is the caller's: adapters like `all` with `factor` times the ranks, rounded, but no more than a layer has
 * inputs. */
peft_status peft_adapters_widen(const peft_adapters *all, double factor, peft_adapters **wide, peft_error *error);

/* *shared is the caller's: adapters like `all` and as many directions, the best of `wide`: worth holds those of its
 * layers one after another, each layer's from best to worst; of equal ones the first count. The values of a direction
 * that is kept are copied. Layers of which none is kept are left out. */
peft_status peft_adapters_share_ranks(const peft_adapters *all, const peft_adapters *wide, const double *worth,
                                      peft_adapters **shared, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
