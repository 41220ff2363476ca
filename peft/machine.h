/* peft/machine.h - what a run has to say about where it ran: CPU, memory, versions. */
#ifndef PEFT_PEFT_MACHINE_H
#define PEFT_PEFT_MACHINE_H

#include <jansson.h>
#include <stddef.h>

#include "ops/context.h"

/* Bytes of this process in physical memory; 0 where the system does not say. `mapped` are pages of files, the model's
 * weights for the most part, which the system may drop at any time. */
typedef struct peft_memory_use {
    size_t anonymous, mapped;
    size_t peak; /* of both together, since the process began */
} peft_memory_use;

peft_memory_use peft_machine_memory(void);

/* Of a clock that never goes back; only differences mean something. */
double peft_machine_seconds(void);

/* {"model": "AMD EPYC", "threads": 2, "backend": "onednn", "dtype": "F32"} */
json_t *peft_machine_cpu(const peft_context *ctx);

/* {"libpeft": "0.1.0", "blis": "0.9.0", "compiler": "gcc 12.2.0"} */
json_t *peft_machine_versions(void);

#endif
