#include "ops/kernels/kernel.h"

const peft_kernel KERNEL(activation) = {0};
