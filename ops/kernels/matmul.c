#include "ops/kernels/kernel.h"

const peft_kernel KERNEL(matmul) = {0};
