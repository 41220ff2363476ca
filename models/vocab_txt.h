/* models/vocab_txt.h - BERT's older file: a token a line, its id the number of the line from 0. */
#ifndef PEFT_MODELS_VOCAB_TXT_H
#define PEFT_MODELS_VOCAB_TXT_H

#include <jansson.h>

#include "ops/status.h"

/* Reads vocab.txt as the `model` of a tokenizer.json. White space at the end of a line does not count; of a token that
 * occurs twice the last line counts, which is noted. `*model` is the caller's (json_decref). */
peft_status peft_vocab_txt_load(const char *path, json_t **model, json_t *notes, peft_error *error);

#endif
