/* generators/value_list.h - the tensors of a network, one after another, before they become a value set. */
#ifndef PEFT_GENERATORS_VALUE_LIST_H
#define PEFT_GENERATORS_VALUE_LIST_H

#include "io/value_set.h"
#include "ops/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Start with {.names = ...}, an arena that outlives the set. */
typedef struct peft_value_list {
    peft_value_spec *specs;
    int64_t count, room;
    peft_arena *names;
    bool failed; /* out of memory */
} peft_value_list;

/* Appends a value, whose name the format makes and whose role is PEFT_ROLE_OTHER. */
void peft_value_list_add(peft_value_list *l, peft_value_spec spec, const char *format, ...) PEFT_PRINTF(3, 4);

/* As torch starts them: NAME.weight [out, in] and NAME.bias [out], uniform in +- 1 / sqrt(in). */
void peft_value_list_linear(peft_value_list *l, int64_t in, int64_t out, const char *name);
/* NAME.weight [size] of ones and NAME.bias [size] of zeros. */
void peft_value_list_norm(peft_value_list *l, int64_t size, const char *name);

/* The set of all, drawn from `seed`; gives the list back, whatever comes out. */
peft_status peft_value_list_finish(peft_value_list *l, peft_value_set *set, uint64_t seed, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
