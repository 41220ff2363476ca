/* peft/cli/document.h - reading a JSON document in order to show it: what is missing is 0, or said in other words. */
#ifndef PEFT_CLI_DOCUMENT_H
#define PEFT_CLI_DOCUMENT_H

#include <jansson.h>

long long peft_document_integer(const json_t *object, const char *key);
double peft_document_number(const json_t *object, const char *key);
const char *peft_document_text(const json_t *object, const char *key, const char *otherwise);

#endif
