#include "ops/kernels/kernel.h"

const peft_kernel KERNEL(embedding) = {0};
