/* models/vocab_txt.h - BERT's older files: a token a line, its id the number of the line from 0. */
#ifndef PEFT_MODELS_VOCAB_TXT_H
#define PEFT_MODELS_VOCAB_TXT_H

#include <jansson.h>

#include "ops/status.h"

/* Reads `path` (vocab.txt) and tokenizer_config.json of the same folder, if it is there, into what a tokenizer.json
 * would say. `*root` is the caller's (json_decref). Settings that this cannot express are refused. */
peft_status peft_vocab_txt_load(const char *model_dir, const char *path, json_t **root, peft_error *error);

#endif
