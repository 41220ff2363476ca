/* peft/cli/embed.c - `peft embed`: sentence vectors. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "peft/cli/commands.h"
#include "peft/cli/inference.h"
#include "peft/cli/texts.h"

typedef struct embed_options {
    peft_inference_options inference;
    peft_text_options texts;
} embed_options;

typedef struct vectors {
    float *values; /* [count, size] */
    int64_t count, size;
} vectors;

static void print_row(const float *row, int64_t size, const char *separator, FILE *out)
{
    for (int64_t k = 0; k < size; k++) fprintf(out, "%s%.9g", k ? separator : "", (double)row[k]);
}

static void print_rows(const vectors *v, FILE *out)
{
    for (int64_t n = 0; n < v->count; n++) {
        print_row(v->values + n * v->size, v->size, " ", out);
        putc('\n', out);
    }
}

/* Written row by row: a JSON value of each number would take ten times the memory of the vectors. */
static void print_json(const vectors *v, FILE *out)
{
    fputs("{\"embeddings\": [\n", out);
    for (int64_t n = 0; n < v->count; n++) {
        putc('[', out);
        print_row(v->values + n * v->size, v->size, ", ", out);
        fputs(n + 1 < v->count ? "],\n" : "]\n", out);
    }
    fputs("]}\n", out);
}

static peft_status check_finite(const vectors *v, peft_error *error)
{
    for (int64_t k = 0; k < v->count * v->size; k++)
        if (!isfinite(v->values[k]))
            return peft_fail(error, PEFT_ERR_NUMERIC,
                             "vector of text %" PRId64 ": a number is not finite; are the weights sound?",
                             k / v->size + 1);
    return PEFT_OK;
}

static peft_status compute(peft_inference *inference, peft_sentence *sentence, const peft_dataset *texts,
                           peft_output *output, peft_error *error)
{
    vectors v = {.count = (int64_t)texts->count};
    peft_status status = peft_sentence_fit(sentence, peft_model_hidden_size(inference->loaded.model), error);
    inference->predictor.sentence = sentence;
    if (status == PEFT_OK) status = peft_inference_run(inference, PEFT_PREDICT_EMBEDDING, texts, &v.values, error);
    if (status != PEFT_OK) return status;
    v.size = peft_sentence_size(sentence);
    status = check_finite(&v, error);
    if (status == PEFT_OK) (output->json ? print_json : print_rows)(&v, output->results);
    free(v.values);
    return status;
}

/* The encoder may lie in a folder of its own in the model's. */
static peft_status embed(const embed_options *o, peft_sentence *sentence, const peft_dataset *texts,
                         const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    peft_inference_options options = o->inference;
    peft_inference inference = {0};
    char *encoder = options.model = strdup(peft_sentence_encoder(sentence));
    if (!encoder) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    peft_status status = peft_inference_open(&inference, &options, PEFT_WITHOUT_HEAD, arguments, output, error);
    if (status == PEFT_OK) status = compute(&inference, sentence, texts, output, error);
    peft_inference_close(&inference);
    free(encoder);
    return status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const embed_options *o = arguments->values;
    peft_dataset *texts;
    peft_sentence *sentence = NULL;
    peft_status status = peft_texts_open(&o->texts, false, PEFT_QUOTED, &texts, error);
    if (status == PEFT_OK) status = peft_sentence_open(&sentence, o->inference.model, error);
    if (status == PEFT_OK) status = embed(o, sentence, texts, arguments, output, error);
    peft_sentence_close(sentence);
    peft_dataset_free(texts);
    return status;
}

static const peft_command_part parts[] = {{peft_inference_model_table, offsetof(embed_options, inference)},
                                          {peft_text_option_table, offsetof(embed_options, texts)},
                                          {peft_inference_computation_table, offsetof(embed_options, inference)},
                                          {0}};

static const char *const required[] = {"model", NULL};

const peft_command peft_command_embed = {
    .name = "embed",
    .summary = "turn sentences into vectors",
    .example = "peft embed --model minilm --text 'A girl is brushing her hair.'\n"
               "peft embed --model minilm --input sentences.txt --json > vectors.json",
    .description =
        "Prints a vector for each text: the mean over its tokens of the last hidden layer, of length 1, so that "
        "the dot product of two is the cosine of their angle. A folder with modules.json, as sentence-transformers "
        "writes it, says itself how its vectors are pooled, projected and normalized, and what texts are cut to.\n"
        "A row of numbers for each line of the file, also for an empty one; with --json {\"embeddings\": "
        "[[...], ...]}.",
    .parts = parts,
    .bytes = sizeof(embed_options),
    .required = required,
    .run = run,
};
