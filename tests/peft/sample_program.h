/* tests/peft/sample_program.h - a program with one verb that has everything a verb can have. */
#ifndef PEFT_TESTS_PEFT_SAMPLE_PROGRAM_H
#define PEFT_TESTS_PEFT_SAMPLE_PROGRAM_H

#include "peft/cli/command.h"

typedef struct sample_training {
    double learning_rate;
    char *schedule;
    bool shuffle;
} sample_training;

typedef struct sample_values {
    char *model, *variant;
    int64_t rank;
    json_t *seeds;
    sample_training training;
} sample_values;

typedef struct sample_molora {
    int64_t num_experts;
} sample_molora;

/* Verb `fit [FILE]`: --model is required; --variant lora|molora|lora2, of which molora brings --num-experts,
 * lora2 --target-rank and --rank. The verb ends with sample_result. */
extern const peft_command sample_fit;
extern const peft_program sample_program;
extern peft_status sample_result;

#endif
