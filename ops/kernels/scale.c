#include "ops/kernels/kernel.h"

const peft_kernel KERNEL(scale) = {0};
