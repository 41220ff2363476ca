/* ops/onednn/none.c - the backend of a build without oneDNN. */
#include <stdio.h>

#include "ops/onednn/onednn.h"

static peft_status check(peft_dtype dtype, peft_error *error)
{
    (void)dtype;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                     "backend onednn: this build is without it; install its headers (Debian: libdnnl-dev) and build "
                     "with -Donednn=enabled");
}

static const char *version(char text[PEFT_VERSION_TEXT])
{
    snprintf(text, PEFT_VERSION_TEXT, "none");
    return text;
}

const peft_backend peft_backend_onednn = {.name = "onednn",
                                          .library = "onednn",
                                          .library_version = version,
                                          .dtypes = PEFT_DTYPE_BIT(PEFT_F32) | PEFT_DTYPE_BIT(PEFT_BF16),
                                          .check = check};
