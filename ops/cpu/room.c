#include "ops/cpu/room.h"

#include <sys/mman.h>

bool peft_has_room(size_t bytes)
{
    void *tried = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return tried != MAP_FAILED && munmap(tried, bytes) == 0;
}
