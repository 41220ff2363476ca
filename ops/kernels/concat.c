#include "ops/kernels/kernel.h"

const peft_kernel KERNEL(concat) = {0};
