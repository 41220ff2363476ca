/* models/answers.h - a head without weights of its own: the class of a text is the answer that it is most similar to.
 *
 *     v = x / |x|     logits = v W^T
 *
 * where x is the pooled last hidden layer, with adapters, and the rows of W are the vectors of answers ("yes", "no"),
 * made in the same way by the encoder without adapters and `scale` long: a logit is `scale` times a cosine. W is
 * frozen. It is a weight of the model, "answers.weight", that adapters' files hold as they hold a trained head. */
#ifndef PEFT_MODELS_ANSWERS_H
#define PEFT_MODELS_ANSWERS_H

#include "models/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each sequence's vector v, of length one [num_sequences, hidden_size], pooled as the model was opened for. */
PEFT_API peft_tensor *peft_model_sentence(peft_graph *g, const peft_model *model, const peft_model_run *run);

/* vectors [S, n] and answers [C, n], the same for all, or [S, C, n], those of each -> [S, C] */
PEFT_API peft_tensor *peft_answer_logits(peft_graph *g, peft_tensor *vectors, peft_tensor *answers);

/* The weight of a model that was opened with PEFT_MODEL_ANSWERS, to be filled (peft_model_fill); else NULL. */
PEFT_API peft_weight *peft_model_answers(peft_model *model);

#ifdef __cplusplus
}
#endif
#endif
