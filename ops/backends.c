/* ops/backends.c - the backends, fastest first; portable runs everywhere. */
#include "ops/backend.h"

#include <stddef.h>

#include "ops/cpu/cpu.h"
#include "ops/onednn/onednn.h"

static const peft_backend *const backends[] = {
#if defined(__x86_64__)
    &peft_backend_onednn, &peft_backend_avx512, &peft_backend_avx2,
#endif
    &peft_backend_portable};

const peft_backend *peft_backend_at(int index)
{
    const int count = (int)(sizeof backends / sizeof *backends);
    return index >= 0 && index < count ? backends[index] : NULL;
}
