/* ops/onednn/onednn.h - the backend whose products with frozen weights are oneDNN's, and whose others are avx512's.
 *
 * A weight is packed once, in the order and the type in which oneDNN reads it. In bf16 attention and adapters have
 * kernels of their own, whose factors are rounded too. */
#ifndef PEFT_OPS_ONEDNN_ONEDNN_H
#define PEFT_OPS_ONEDNN_ONEDNN_H

#include "ops/backend.h"

/* In a build without oneDNN one that cannot be opened. */
extern const peft_backend peft_backend_onednn;

#endif
