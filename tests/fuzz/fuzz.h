/* tests/fuzz/fuzz.h - harnesses for readers of files, run by libFuzzer or by the driver of this folder.
 *
 * A harness is one file: seeds, and LLVMFuzzerTestOneInput, which reads the input and checks what must hold of all that
 * is accepted. The driver changes the seeds in a fixed order of random ways, so that an ordinary test program covers a
 * part of what a fuzzer would, the same part each time. With libFuzzer (driver.c is left out):
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/fuzz_yaml.c io/yaml.c io/file.c \
 *         ops/status.c -ljansson -lyaml -lxxhash -o fuzz_yaml && ./fuzz_yaml
 */
#ifndef PEFT_TESTS_FUZZ_FUZZ_H
#define PEFT_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct fuzz_seed {
    const char *bytes;
    size_t size;
} fuzz_seed;

#define FUZZ_SEED(text)                                                                                                \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

/* Valid inputs to start from; the last has size 0. */
extern const fuzz_seed fuzz_seeds[];

/* Inputs that the reader took; the driver checks that all seeds are among them. */
extern size_t fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program where a property does not hold: libFuzzer and the driver both take an abort as a finding. */
#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
