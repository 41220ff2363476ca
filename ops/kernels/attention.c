#include "ops/kernels/kernel.h"

const peft_kernel KERNEL(attention) = {0};
