/* peft/answers.h - the answers of a task as texts, and the vectors that stand for them (models/answers.h).
 *
 * Settings and files have them as a list by class, ["yes", "no"], or as an object from a class's name to its answer,
 * {"entailment": "yes", "not_entailment": "no"}. */
#ifndef PEFT_PEFT_ANSWERS_H
#define PEFT_PEFT_ANSWERS_H

#include <jansson.h>

#include "models/model.h"
#include "models/tokenizer.h"
#include "tasks/labels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The answer of each class: *texts [classes->count] is the caller's (free), what it points to stays that of `answers`
 * and `classes`. `answers` NULL: the names of the classes. PEFT_ERR_ARGUMENT: no list or object of texts, more or fewer
 * than classes, a name that no class has, the same answer twice. */
PEFT_API peft_status peft_answer_texts(const json_t *answers, const peft_class_names *classes, const char ***texts,
                                       peft_error *error);

/* The classes that answers name by themselves: the keys of an object, or the answers of a list. names [count] is the
 * caller's (free). Errors as above. */
PEFT_API peft_status peft_answer_classes(const json_t *answers, peft_class_names *classes, peft_error *error);

/* How the folder of a sentence encoder pools (peft/sentence.h). PEFT_ERR_UNSUPPORTED: neither by the mean nor by the
 * first token, or with layers behind it. */
PEFT_API peft_status peft_answer_pooling(const char *dir, peft_model_pooling *pooling, peft_error *error);

/* vectors [count, hidden size] of texts, `scale` long, pooled as the model was opened for and computed as it is now, so
 * before adapters are attached to it. */
PEFT_API peft_status peft_answer_vectors(peft_model *model, peft_context *ctx, const peft_tokenizer *tokenizer,
                                         const char *const *texts, int64_t count, double scale, float *vectors,
                                         peft_error *error);

/* These, into the answers of a model that was opened with PEFT_MODEL_ANSWERS: texts [number of its classes].
 * PEFT_ERR_ARGUMENT: two of them have the same vector. */
PEFT_API peft_status peft_answers_fill(peft_model *model, peft_context *ctx, const peft_tokenizer *tokenizer,
                                       const char *const *texts, double scale, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
