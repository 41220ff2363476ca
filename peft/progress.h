/* peft/progress.h - how long calls tell their caller how far they are, and are stopped by it. */
#ifndef PEFT_PEFT_PROGRESS_H
#define PEFT_PEFT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_event {
    const char *what; /* "train", "eval" */
    int64_t done, total;
    double loss; /* of the step, NaN where there is none */
} peft_event;

/* `report` may be NULL. It returns false to stop: the call then ends in order with PEFT_ERR_CANCELLED. */
typedef struct peft_callback {
    bool (*report)(void *argument, const peft_event *event);
    void *argument;
} peft_callback;

#ifdef __cplusplus
}
#endif
#endif
