/* peft/merge.h - a model with its adapters folded into the weights: the same outputs at the cost of the base model. */
#ifndef PEFT_PEFT_MERGE_H
#define PEFT_PEFT_MERGE_H

#include "models/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_merge peft_merge;

/* Folds all attached adapters into private float32 copies of their layers' weights. The adapters stay off until
 * peft_model_unmerge, which has to come before the model is closed. PEFT_ERR_UNSUPPORTED, and nothing is changed: a
 * variant whose update depends on the input, or a weight that two layers share. */
PEFT_API peft_status peft_model_merge(peft_model *model, peft_merge **merge, peft_error *error);

/* Puts weights and adapters back as they were, to the bit, and frees the copies. NULL is allowed. */
PEFT_API void peft_model_unmerge(peft_merge *merge);

#ifdef __cplusplus
}
#endif
#endif
