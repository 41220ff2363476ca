/* tests/fuzz/fuzz.h - harnesses for readers of files, run by libFuzzer or by the driver of this folder.
 *
 * A harness is one file: LLVMFuzzerTestOneInput, which reads the input and checks what must hold of all that is
 * accepted. Its inputs to start from are in corpus/NAME, where those called `valid-...` must be accepted; an input that
 * once was a finding stays there for good. Words that mean something to it are in dictionaries/KIND.dict.
 *
 *     tests/fuzz/run.sh MINUTES [NAME...]     libFuzzer, with address and undefined-behaviour sanitizers
 *     meson test --suite fuzz                 driver.c: the corpora, and a fixed set of changed inputs
 *
 * Readers of folders get several files in one input, with lines "%%" between them. */
#ifndef PEFT_TESTS_FUZZ_FUZZ_H
#define PEFT_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Inputs that the reader took. */
extern size_t fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- files ---- */

typedef struct fuzz_bytes {
    const uint8_t *data; /* NULL: the input has not so many parts */
    size_t size;
} fuzz_bytes;

/* The parts of an input; the last has all that is left. */
void fuzz_split(const uint8_t *data, size_t size, fuzz_bytes *parts, size_t count);

/* "FOLDER/name" in a folder of this process, which is removed at its end; until the eighth call from now. `name` may
 * have a folder of its own, which is made. */
const char *fuzz_path(const char *name);

/* Writes such a file; without data it is removed. Returns its path. */
const char *fuzz_write(const char *name, fuzz_bytes bytes);

/* A safetensors file from its header, whose length is put in front, and its data. Headers that were changed have
 * another length: a fuzzer would seldom get behind the first eight bytes. */
const char *fuzz_write_safetensors(const char *name, fuzz_bytes header, fuzz_bytes data);

/* A file of tests/fixtures; as above. */
const char *fuzz_fixture(const char *name);

/* Ends the program where a property does not hold: libFuzzer and the driver both take an abort as a finding. */
#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
