#include "ops/kernels/kernel.h"

const peft_kernel KERNEL(first_pool) = {0};
