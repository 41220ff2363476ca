/* ops/cpu/kernels/labels.h - what losses over classes ask of their labels. */
#ifndef PEFT_OPS_CPU_KERNELS_LABELS_H
#define PEFT_OPS_CPU_KERNELS_LABELS_H

#include "ops/cpu/kernels/kernel.h"

/* Are there classes for all labels [rows], and anything to divide by? If not, the run fails. */
static inline bool labels_fit(const int32_t *labels, int64_t rows, int64_t classes, double normalizer,
                              peft_context *ctx)
{
    for (int64_t n = 0; n < rows; n++)
        if (labels[n] >= classes) {
            peft_context_fail(ctx, PEFT_ERR_ARGUMENT, "labels[%lld]: expected less than %lld classes, found %d",
                              (long long)n, (long long)classes, labels[n]);
            return false;
        }
    if (normalizer > 0) return true;
    peft_context_fail(ctx, PEFT_ERR_ARGUMENT, "labels: the weights of the rows' labels sum to 0, so there is no mean");
    return false;
}

#endif
