/* models/tokenizer_folder.h - what the files of a folder say of its tokenizer, taken together as transformers does. */
#ifndef PEFT_MODELS_TOKENIZER_FOLDER_H
#define PEFT_MODELS_TOKENIZER_FOLDER_H

#include <jansson.h>

#include "ops/status.h"

/* Reads tokenizer.json, or where it is absent the vocabulary files of the class, and what tokenizer_config.json,
 * special_tokens_map.json, added_tokens.json and config.json add to it. *root is one tokenizer.json that says it all;
 * *path is the file that a message about it should name; both are the caller's (json_decref, free), also after an
 * error. Files that contradict each other are noted in `notes`. PEFT_ERR_FILE, PEFT_ERR_FORMAT, PEFT_ERR_UNSUPPORTED,
 * PEFT_ERR_MEMORY; the message names the file. */
peft_status peft_tokenizer_folder_read(const char *dir, char **path, json_t **root, json_t *notes, peft_error *error);

#endif
