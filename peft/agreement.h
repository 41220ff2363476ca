/* peft/agreement.h - do two models give the same answers? */
#ifndef PEFT_PEFT_AGREEMENT_H
#define PEFT_PEFT_AGREEMENT_H

#include "models/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_agreement {
    int64_t sequences; /* that were compared */
    double difference; /* the largest of two logits that should be equal */
    double largest;    /* logit of the first model, in size */
} peft_agreement;

/* Compares the logits of two models with the same tokens and labels, or where they have no head their embeddings, each
 * with the adapters that are attached, on batches of random tokens: sequences of 1 to 128 tokens, or fewer where the
 * models take no more. PEFT_ERR_ARGUMENT: the models have other numbers of tokens or labels; PEFT_ERR_NUMERIC: a logit
 * is not finite. */
PEFT_API peft_status peft_models_compare(peft_context *ctx, const peft_model *first, peft_model *second,
                                         peft_agreement *agreement, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
