/* peft/sentence_internal.h - what sentence.c reads and sentence_vector.c computes with. */
#ifndef PEFT_PEFT_SENTENCE_INTERNAL_H
#define PEFT_PEFT_SENTENCE_INTERNAL_H

#include "peft/sentence.h"

/* One way of pooling: out [hidden_size]. */
typedef struct peft_pooling {
    const char *name; /* in `pooling_mode` */
    const char *flag; /* older files: true where it is used */
    bool reads_mean;  /* of the mean, else of the tokens */
    void (*pool)(const float *tokens, int64_t num_tokens, const float *mean, int64_t hidden_size, float *out);
} peft_pooling;

/* In the order of the older files' flags, which is that of the parts of the vector. */
enum {
    PEFT_POOLING_FIRST,
    PEFT_POOLING_MAX,
    PEFT_POOLING_MEAN,
    PEFT_POOLING_MEAN_SQRT_LEN,
    PEFT_POOLING_WEIGHTED_MEAN,
    PEFT_POOLING_LAST,
    PEFT_NUM_POOLINGS
};
enum { PEFT_SENTENCE_MAX_STEPS = 16 };
extern const peft_pooling peft_poolings[PEFT_NUM_POOLINGS];

/* An activation by the name of its class in torch; NULL: not offered. */
typedef float peft_sentence_activation(float x);
peft_sentence_activation *peft_sentence_activation_find(const char *name);

/* After pooling: y = activation(W x + b), or, without a weight, x / |x|. */
typedef struct peft_sentence_step {
    float *weight; /* [out, in] */
    float *bias;   /* [out]; NULL: none */
    int64_t in, out;
    peft_sentence_activation *activation;
} peft_sentence_step;

struct peft_sentence {
    char *encoder;
    int64_t max_length;
    const peft_pooling *poolings[PEFT_NUM_POOLINGS]; /* one behind the other in the pooled vector */
    int64_t num_poolings;
    int64_t pooled_size; /* of one, as the files have it; 0: they do not say */
    peft_sentence_step steps[PEFT_SENTENCE_MAX_STEPS];
    int64_t num_steps;
    int64_t hidden_size, size;
    float *rows[2]; /* what steps read and write, in turns */
};

#endif
