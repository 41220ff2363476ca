/* The mirror, and the portable backend itself, for programs that compare the two. */
#include "ops/cpu/cpu.h"
#include "tests/mirror/mirror.h"

const peft_backend *peft_backend_at(int index)
{
    return index == 0 ? &mirror_backend : index == 1 ? &peft_backend_portable : NULL;
}
