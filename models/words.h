/* models/words.h - the head of masked-word models: for each token a logit for each word of the vocabulary.
 *
 *     s = layer_norm(act(dense(x)))        logits = s W^T + b
 *
 * x is the last hidden layer. W is the table of word embeddings, or one of its own where config.json says that they are
 * not tied. What the files have of it is frozen, unless it is trained like other weights (peft_model_train). */
#ifndef PEFT_MODELS_WORDS_H
#define PEFT_MODELS_WORDS_H

#include "models/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of a model that was opened with PEFT_MODEL_WORDS: the logits of some tokens of the batch, rows [count] of its tokens
 * -> [count, vocab_size]. */
PEFT_API peft_tensor *peft_model_word_logits(peft_graph *g, const peft_model *model, const peft_model_run *run,
                                             const int32_t *rows, int64_t count);

/* Cross-entropy of the words targets [num_tokens], of which negative ones do not count -> [1]. Only tokens that count
 * go through the head, and their logits are never there as a whole (peft_linear_cross_entropy). `normaliser` as there;
 * 0 fails where no token counts. */
PEFT_API peft_tensor *peft_model_word_loss(peft_graph *g, const peft_model *model, const peft_model_run *run,
                                           const int32_t *targets, double label_smoothing, double normaliser);

#ifdef __cplusplus
}
#endif
#endif
