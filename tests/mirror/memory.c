#include "tests/mirror/memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t SIZE = (size_t)1 << 36; /* of addresses: pages come with the first touch */

peft_status mirror_memory_open(mirror_memory *m, peft_error *error)
{
    *m = (mirror_memory){.file = memfd_create("mirror", 0)};
    if (m->file < 0 || ftruncate(m->file, (off_t)SIZE) != 0)
        return peft_fail(error, PEFT_ERR_MEMORY, "mirror: no file in memory");
    void *first = mmap(NULL, SIZE, PROT_NONE, MAP_SHARED | MAP_NORESERVE, m->file, 0);
    void *second = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->file, 0);
    m->first = first == MAP_FAILED ? NULL : first;
    m->second = second == MAP_FAILED ? NULL : second;
    if (!m->first || !m->second) return peft_fail(error, PEFT_ERR_MEMORY, "mirror: cannot map its memory");
    return PEFT_OK;
}

void mirror_memory_close(mirror_memory *m)
{
    if (m->first) munmap(m->first, SIZE);
    if (m->second) munmap(m->second, SIZE);
    if (m->file > 0) close(m->file);
    *m = (mirror_memory){0};
}

peft_status mirror_memory_take(mirror_memory *m, size_t bytes, void **memory, peft_error *error)
{
    enum { PAGE = 4096 };
    size_t whole = (bytes / PAGE + 2) * PAGE; /* a page behind each is nobody's */
    *memory = NULL;
    if (m->used + whole > SIZE) return peft_fail(error, PEFT_ERR_MEMORY, "mirror: %zu bytes are too many", bytes);
    *memory = m->first + m->used;
    m->used += whole;
    return PEFT_OK;
}

void *mirror_memory_reach(const mirror_memory *m, const void *address, size_t bytes)
{
    uintptr_t at = (uintptr_t)address, first = (uintptr_t)m->first;
    if (at < first || at - first > m->used || bytes > m->used - (at - first)) return NULL;
    return m->second + (at - first);
}
