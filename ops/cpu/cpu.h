/* ops/cpu/cpu.h - the backends of the CPU: one source of kernels, compiled for each set of instructions.
 *
 * They compute everything. A faster backend for the same memory opens one of these too and takes its kernels where it
 * has none of its own: its state begins with a peft_cpu. */
#ifndef PEFT_OPS_CPU_CPU_H
#define PEFT_OPS_CPU_CPU_H

#include "ops/backend.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/team.h"

typedef struct peft_cpu {
    peft_team *team;
    char *buffer; /* of plans */
} peft_cpu;

peft_status peft_cpu_open(peft_cpu *cpu, int threads, peft_error *error);
void peft_cpu_close(peft_cpu *cpu); /* also one that is all zeros */

/* Of the table; `state` begins with a peft_cpu. */
void peft_cpu_loop(void *state, int64_t pieces, peft_piece_function *run, void *argument);
peft_status peft_cpu_reserve(void *state, size_t bytes, char **buffer, peft_error *error);

/* For products outside of graphs: those of the fastest instructions that this CPU has. */
peft_gemm_arch peft_cpu_fastest_products(void);

/* Fewer rows lie in the caches of the CPU. */
enum { PEFT_CPU_LEAST_RECALLED_ROWS = 1024 };

extern const peft_backend peft_backend_portable;
#if defined(__x86_64__)
extern const peft_backend peft_backend_avx512, peft_backend_avx2;
#endif

#endif
