/* The backends of programs that run on the mirror, in place of those of ops/backends.c: it stands in for the portable
 * one, too, so that tests which ask for that by name run on it. */
#include "tests/mirror/mirror.h"

const peft_backend *peft_backend_at(int index)
{
    static peft_backend portable;
    portable = mirror_backend;
    portable.name = "portable";
    return index == 0 ? &mirror_backend : index == 1 ? &portable : NULL;
}
