#include "ops/kernels/kernel.h"

const peft_kernel KERNEL(slice) = {0};
