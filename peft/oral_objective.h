/* peft/oral_objective.h - what ORAL's training minimises: adapters of a library are the examples, of which each step
 * draws tokens and steps of diffusion (generators/oral/batch.h). A batch counts as many examples as it has adapters;
 * its loss is the mean over the numbers that it shows. */
#ifndef PEFT_PEFT_ORAL_OBJECTIVE_H
#define PEFT_PEFT_ORAL_OBJECTIVE_H

#include "generators/oral/batch.h"
#include "peft/objective.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The pointers are the caller's; *step is how many steps are done, as trainer.step. */
typedef struct peft_oral_objective {
    const peft_oral *oral;
    const peft_oral_library *library;
    const peft_diffusion *diffusion;
    const peft_oral_training *training;
    const int64_t *step;
    peft_oral_batch batch;
    double share; /* of the step's examples that the batch has */
} peft_oral_objective;

/* PEFT_ERR_UNSUPPORTED, when it is described: batch norm, whose averages no one would move. */
PEFT_API peft_objective peft_oral_objective_of(peft_oral_objective *x);
PEFT_API void peft_oral_objective_free(peft_oral_objective *x); /* what it has made itself */

#ifdef __cplusplus
}
#endif
#endif
