/* tests/fuzz/fuzz_base.h - the smallest model there is, as a folder: what adapters, runs and checkpoints are read onto.
 */
#ifndef PEFT_TESTS_FUZZ_FUZZ_BASE_H
#define PEFT_TESTS_FUZZ_FUZZ_BASE_H

/* config.json, model.safetensors and vocab.txt, made by the first call. BERT of one layer, four wide, with three
 * classes; the tensors are random. */
const char *fuzz_base(void);

#endif
