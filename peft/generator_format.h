/* peft/generator_format.h - a generator as it was opened, and the names in its folder. */
#ifndef PEFT_PEFT_GENERATOR_FORMAT_H
#define PEFT_PEFT_GENERATOR_FORMAT_H

#include "peft/adapter_read.h"
#include "peft/generator.h"

#define PEFT_GENERATOR_DOCUMENT "generator.json"
#define PEFT_GENERATOR_VALUES   "generator.safetensors"
#define PEFT_GENERATOR_VECTORS  "tasks.safetensors"
#define PEFT_GENERATOR_ADAPTER  "adapter"
#define PEFT_GENERATOR_KIND     "t2l"

enum { PEFT_GENERATOR_VERSION = 1 };

struct peft_generator {
    peft_adapter_contents start; /* its adapters are what is filled */
    peft_t2l net;
    json_t *document; /* generator.json */
    char *encoder;    /* or NULL */
    int64_t num_tasks;
    peft_generator_task *tasks; /* [num_tasks] */
    float *vectors;             /* [num_tasks, net.vector_size]; NULL: not known */
};

/* Adapters in a folder with settings, head and base of a folder that was read. */
peft_status peft_adapter_write_like(const peft_adapter_contents *like, const char *folder, peft_error *error);

#endif
