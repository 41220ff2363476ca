/* models/byte_level_bpe.h - the tokenizer of GPT-2, RoBERTa and many decoders: texts are split by a regular expression,
 * the pieces encoded by byte pairs. */
#ifndef PEFT_MODELS_BYTE_LEVEL_BPE_H
#define PEFT_MODELS_BYTE_LEVEL_BPE_H

#include "models/tokenizer_kind.h"

extern const peft_tokenizer_kind peft_byte_level_bpe;

/* Reads vocab.json and merges.txt, its older files, as the `model` of a tokenizer.json. *model is the caller's
 * (json_decref). */
peft_status peft_vocab_json_load(const char *vocab_path, const char *merges_path, json_t **model, peft_error *error);

#endif
