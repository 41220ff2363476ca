/* ops/cpu/room.h - is there memory for what a library will take, before it is called?
 *
 * Some libraries end the process, or crash, where an allocation of theirs fails. What they take is asked for
 * beforehand, and given back at once: then it is there for them. */
#ifndef PEFT_OPS_CPU_ROOM_H
#define PEFT_OPS_CPU_ROOM_H

#include <stdbool.h>
#include <stddef.h>

/* For what a library allocates on the way, in pieces too small to be counted one by one. */
enum { PEFT_ROOM_FOR_LITTLE = 1 << 20 };

bool peft_has_room(size_t bytes);

#endif
