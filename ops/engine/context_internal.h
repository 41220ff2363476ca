/* ops/engine/context_internal.h - the context from within ops. */
#ifndef PEFT_OPS_ENGINE_CONTEXT_INTERNAL_H
#define PEFT_OPS_ENGINE_CONTEXT_INTERNAL_H

#include <stdatomic.h>

#include "ops/cpu/team.h"
#include "ops/profile.h"

typedef const peft_kernel *const *peft_kernel_table; /* [PEFT_NUM_OPS] */

struct peft_context {
    int threads;
    peft_team *team;
    const char *backend;
    peft_kernel_table kernels;     /* for PEFT_F32 */
    peft_kernel_table kernels_f64; /* for PEFT_F64 */
    peft_dtype dtype;
    struct peft_dnnl *dnnl; /* products with packed weights; NULL: weights are multiplied as stored */
    uint64_t seed;
    int64_t step;
    char *buffer; /* of the plan */
    size_t buffer_bytes;
    char *scratch; /* memory of the kernels that run, `scratch_stride` bytes for each thread */
    size_t scratch_stride;
    peft_profile *profile;       /* NULL: kernel calls are not timed */
    atomic_flag failing, timing; /* someone writes to the error, to the profile */
    peft_error error;
};

/* The kernels that run `node`: by the context's backend and the type of the node's result. */
const peft_kernel *peft_context_kernel(const peft_context *ctx, const peft_node *node);

/* Makes the plan's buffer at least this large; its content is lost. */
peft_status peft_context_reserve(peft_context *ctx, size_t bytes, peft_error *error);

#endif
