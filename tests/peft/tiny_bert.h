/* tests/peft/tiny_bert.h - the model of the goldens, a random BERT of two layers, and what it answers. */
#ifndef PEFT_TESTS_PEFT_TINY_BERT_H
#define PEFT_TESTS_PEFT_TINY_BERT_H

#include "models/model.h"

enum { TINY_SEQUENCES = 2, TINY_LABELS = 3, TINY_LOGITS = TINY_SEQUENCES * TINY_LABELS };

/* "FIXTURES/goldens/NAME", until the next call */
const char *tiny_golden(const char *name);

peft_model *tiny_open(void);

/* Of two short sequences; with the adapters that are attached. */
void tiny_logits(const peft_model *model, float logits[TINY_LOGITS]);

#endif
