/* models/tokenizer.h - text to token ids, exactly as the Hugging Face tokenizer of the model's folder does it. */
#ifndef PEFT_MODELS_TOKENIZER_H
#define PEFT_MODELS_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "models/encoding.h"
#include "variants/variant.h"

#ifdef __cplusplus
extern "C" {
#endif

/* After opening it is constant: several threads may encode at once, each with an encoding of its own. */
typedef struct peft_tokenizer peft_tokenizer;

/* Opens the tokenizer of a model folder: `tokenizer.json`, or where it is absent the vocabulary files of its class,
 * with what tokenizer_config.json, special_tokens_map.json and added_tokens.json add to it, as transformers does.
 * Whatever in these files would change ids is honoured or refused (PEFT_ERR_UNSUPPORTED); `padding` and the maximum
 * length are the caller's affair. PEFT_ERR_FILE, PEFT_ERR_FORMAT, PEFT_ERR_MEMORY. */
PEFT_API peft_status peft_tokenizer_open(peft_tokenizer **tokenizer, const char *model_dir, peft_error *error);
PEFT_API void peft_tokenizer_close(peft_tokenizer *tokenizer); /* NULL is allowed */

/* Gives what is no error but should be known: where files contradict each other, and which counts. `note` may be NULL.
 */
PEFT_API void peft_tokenizer_notes(const peft_tokenizer *tokenizer, peft_note_function *note, void *argument);

/* Special tokens that stand in the text ("[MASK]", "[SEP]") are taken as such, as the reference does it. false: as
 * plain text, for texts of strangers. To be set before other threads use the tokenizer. */
PEFT_API void peft_tokenizer_match_specials(peft_tokenizer *tokenizer, bool match);

/* The largest id + 1: the rows that the model's embedding needs at least. */
PEFT_API int32_t peft_tokenizer_vocab_size(const peft_tokenizer *tokenizer);

/* Id of the token with this text ("[PAD]", "##ing"), or -1. */
PEFT_API int32_t peft_tokenizer_token_id(const peft_tokenizer *tokenizer, const char *token);

/* Encodes one text, or two where `pair` is not NULL, with special tokens around them. If that gives more than
 * `max_length` tokens, the texts lose tokens at their ends (or, by truncation_side, at their starts), the longer one
 * first (models/template.h). `encoding` is overwritten and is empty after an error: PEFT_ERR_FORMAT, bytes that are not
 * UTF-8; PEFT_ERR_ARGUMENT, the special tokens alone are more than max_length; PEFT_ERR_MEMORY. */
PEFT_API peft_status peft_tokenizer_encode(const peft_tokenizer *tokenizer, const char *text, size_t text_bytes,
                                           const char *pair, size_t pair_bytes, size_t max_length,
                                           peft_encoding *encoding, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
