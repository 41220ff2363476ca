/* peft/sentence.h - how a sentence becomes one vector: the modules of a sentence-transformers folder.
 *
 * modules.json lists them: the encoder, pooling over its last hidden layer, then linear layers and normalizing. A
 * folder without it is used as most such models are made: the mean over the tokens, of length 1. */
#ifndef PEFT_PEFT_SENTENCE_H
#define PEFT_PEFT_SENTENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_sentence peft_sentence;

/* Reads the folder. What is not offered there is refused by its name (PEFT_ERR_UNSUPPORTED); PEFT_ERR_FILE,
 * PEFT_ERR_FORMAT, PEFT_ERR_MEMORY. Release with peft_sentence_close, which takes NULL. */
peft_status peft_sentence_open(peft_sentence **sentence, const char *dir, peft_error *error);
void peft_sentence_close(peft_sentence *sentence);

/* The folder of the encoder: `dir`, or one in it. */
const char *peft_sentence_encoder(const peft_sentence *sentence);
/* Tokens that texts are cut to; 0: the files do not say. */
int64_t peft_sentence_max_length(const peft_sentence *sentence);

/* Makes ready for an encoder with this hidden size; PEFT_ERR_FORMAT where the modules are for another. */
peft_status peft_sentence_fit(peft_sentence *sentence, int64_t hidden_size, peft_error *error);
int64_t peft_sentence_size(const peft_sentence *sentence); /* numbers of a vector, once it fits */

/* Is the vector the mean over the tokens, or the first token, and no more than that but for its length?
 * PEFT_ERR_UNSUPPORTED says what else it is. */
peft_status peft_sentence_check_plain(const peft_sentence *sentence, bool *first_token, peft_error *error);

/* What peft_sentence_vector reads of a sentence. */
bool peft_sentence_reads_tokens(const peft_sentence *sentence);
bool peft_sentence_reads_mean(const peft_sentence *sentence);

/* vector [size] of one sentence: its last hidden layer tokens [num_tokens, hidden_size] and the mean over its rows,
 * mean [hidden_size]. What is not read may be NULL. Not for two threads at once. */
void peft_sentence_vector(peft_sentence *sentence, const float *tokens, int64_t num_tokens, const float *mean,
                          float *vector);

/* Copies the modules of `dir`, if it has any, beside a model made from its encoder: the vectors of both are made alike.
 */
peft_status peft_sentence_copy(const char *dir, const char *folder, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
