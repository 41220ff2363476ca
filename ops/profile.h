/* ops/profile.h - where the time of a graph goes: calls, seconds and work of each op, forward and backward. */
#ifndef PEFT_OPS_PROFILE_H
#define PEFT_OPS_PROFILE_H

#include "ops/engine/cost.h"

typedef struct peft_profile_line {
    int64_t calls;
    double seconds; /* of steps that run together (ops/engine/chain.h): the threads' own, by their number */
    peft_cost cost; /* of all calls together */
} peft_profile_line;

typedef struct peft_profile {
    double (*clock)(void);                    /* seconds; only differences mean something */
    peft_profile_line lines[PEFT_NUM_OPS][2]; /* of each op: forward, backward; what is computed again is forward */
} peft_profile;

/* From here on every kernel call is added to `profile`, which stays the caller's; NULL: to none. */
void peft_context_profile(peft_context *ctx, peft_profile *profile);

#endif
