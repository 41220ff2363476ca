/* peft/cli/generate.c - `peft generate`: adapters from descriptions. */
#include "peft/generator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "peft/cli/commands.h"
#include "peft/cli/descriptions.h"
#include "peft/cli/texts.h"
#include "peft/output_folder.h"

typedef struct generate_options {
    char *generator, *vectors, *encoder, *output;
    json_t *blend;
    bool force;
    peft_text_options texts;
    peft_inference_options inference;
} generate_options;

#define AT(field) .offset = offsetof(generate_options, field)

static const peft_option table[] = {
    {.name = "generator",
     .type = PEFT_OPTION_STRING,
     AT(generator),
     .placeholder = "DIR",
     .help = "folder of a generator"},
    {.name = "output",
     .type = PEFT_OPTION_STRING,
     AT(output),
     .placeholder = "DIR",
     .help = "folder of the adapter; of several, a folder with 1, 2, ... in it, by line"},
    {.name = "force",
     .type = PEFT_OPTION_BOOL,
     AT(force),
     .initial = "false",
     .help = "write over the files of a folder that is not empty"},
    {.name = "vectors",
     .type = PEFT_OPTION_STRING,
     AT(vectors),
     .placeholder = "FILE",
     .help =
         "vectors in place of texts, used as they are: .safetensors with one tensor [descriptions, size], or .json of "
         "`peft embed --json`"},
    {.name = "blend",
     .type = PEFT_OPTION_JSON,
     AT(blend),
     .placeholder = "LIST",
     .help = "one adapter from all descriptions, whose vectors are added with these weights"},
    {.name = "encoder",
     .type = PEFT_OPTION_STRING,
     AT(encoder),
     .placeholder = "DIR",
     .help = "encoder of the descriptions, where it lies elsewhere than the generator says"},
    {0}};

/* A call and what it has made so far. */
typedef struct work {
    const generate_options *options;
    peft_generator *generator;
    peft_dataset *texts; /* NULL: vectors came from a file */
    peft_vectors vectors;
    bool blended; /* vectors has one row, of all descriptions */
    json_t *report;
} work;

/* ---- the vectors ---- */

static peft_status check_what_is_read(const generate_options *o, peft_error *error)
{
    if (o->vectors && (o->texts.text || o->texts.input))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "expected one of --text, --input and --vectors, found several");
    if (!o->vectors && !o->texts.text && !o->texts.input)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "expected --text S, --input FILE or --vectors FILE, found none");
    if (o->vectors && o->encoder)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--encoder: with --vectors nothing is encoded");
    return PEFT_OK;
}

static peft_status encode(work *w, const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    peft_inference_options options = w->options->inference;
    const char *encoder = w->options->encoder ? w->options->encoder : peft_generator_encoder(w->generator);
    if (!encoder)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: names no encoder; give --encoder DIR, or --vectors FILE with %lld "
                         "numbers a description",
                         w->options->generator, (long long)peft_generator_vector_size(w->generator));
    peft_status status = peft_texts_open(&w->options->texts, false, PEFT_QUOTED, &w->texts, error);
    if (status == PEFT_OK) status = peft_descriptions_prepare(w->texts, error);
    if (status != PEFT_OK) return status;
    options.model = strdup(encoder);
    if (!options.model) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    status = peft_descriptions_encode(w->texts, &options, arguments, output, &w->vectors, error);
    free(options.model);
    return status;
}

static peft_status check_size(const work *w, peft_error *error)
{
    const int64_t expected = peft_generator_vector_size(w->generator);
    if (w->vectors.size == expected) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s: reads vectors of %lld numbers, found %lld; is it the encoder that it "
                     "was trained with%s%s?",
                     w->options->generator, (long long)expected, (long long)w->vectors.size,
                     peft_generator_encoder(w->generator) ? ", " : "",
                     peft_generator_encoder(w->generator) ? peft_generator_encoder(w->generator) : "");
}

/* Their sum with weights, as long as the first of them. */
static peft_status blend(work *w, peft_error *error)
{
    const json_t *weights = w->options->blend;
    if (!weights) return PEFT_OK;
    peft_vectors *v = &w->vectors;
    if (!json_is_array(weights) || (int64_t)json_array_size(weights) != v->count)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--blend: expected a list of %lld weights, one for each description",
                         (long long)v->count);
    double length = 0, squares = 0;
    for (int64_t i = 0; i < v->size; i++) length += (double)v->values[i] * (double)v->values[i];
    for (int64_t i = 0; i < v->size; i++) {
        double sum = 0;
        for (int64_t n = 0; n < v->count; n++) {
            const json_t *weight = json_array_get(weights, (size_t)n);
            if (!json_is_number(weight))
                return peft_fail(error, PEFT_ERR_ARGUMENT, "--blend: weight %lld: expected a number", (long long)n + 1);
            sum += json_number_value(weight) * (double)v->values[n * v->size + i];
        }
        v->values[i] = (float)sum;
        squares += sum * sum;
    }
    if (!(squares > 0) || !isfinite(squares))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--blend: the weighted sum of the descriptions is %g long",
                         sqrt(squares));
    for (int64_t i = 0; i < v->size; i++) v->values[i] *= (float)sqrt(length / squares);
    v->count = 1;
    w->blended = true;
    return PEFT_OK;
}

/* ---- the adapters ---- */

static json_t *describe(const work *w, int64_t index, const char *folder)
{
    double cosine;
    int64_t nearest = peft_generator_nearest(w->generator, w->vectors.values + index * w->vectors.size, &cosine);
    const peft_generator_task *task = peft_generator_task_at(w->generator, nearest);
    bool has_text = w->texts && !w->blended;
    json_t *entry = json_pack("{s:s}", "adapter", folder);
    if (has_text)
        json_object_set_new(entry, "description",
                            json_stringn(w->texts->text[index].text, w->texts->text[index].bytes));
    if (task) {
        json_object_set_new(entry, "nearest", json_string(task->name));
        json_object_set_new(entry, "cosine", json_real(cosine));
    }
    return entry;
}

/* What the published program leaves beside an adapter. */
static peft_status write_description(const work *w, int64_t index, const char *folder, peft_error *error)
{
    if (!w->texts || w->blended) return PEFT_OK;
    char *path = NULL;
    peft_status status = peft_path_join(folder, "task_desc.txt", &path, error);
    if (status == PEFT_OK)
        status = peft_file_write(path, w->texts->text[index].text, w->texts->text[index].bytes, error);
    free(path);
    return status;
}

static peft_status made(void *argument, int64_t index, peft_error *error)
{
    work *w = argument;
    char number[32], *folder = NULL;
    snprintf(number, sizeof number, "%lld", (long long)index + 1);
    peft_status status = PEFT_OK;
    if (w->vectors.count == 1)
        folder = strdup(w->options->output);
    else
        status = peft_path_join(w->options->output, number, &folder, error);
    if (status == PEFT_OK && !folder) status = peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    if (status == PEFT_OK) status = peft_generator_write(w->generator, folder, error);
    if (status == PEFT_OK) status = write_description(w, index, folder, error);
    if (status == PEFT_OK && json_array_append_new(w->report, describe(w, index, folder)) != 0)
        status = peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    free(folder);
    return status;
}

static peft_status make(work *w, const peft_arguments *arguments, peft_error *error)
{
    peft_context *ctx;
    const peft_context_options options = {.threads = (int)arguments->shared.threads,
                                          .backend = w->options->inference.backend};
    peft_status status = peft_context_open(&ctx, &options, error);
    if (status != PEFT_OK) return status;
    status = peft_generator_make(w->generator, ctx, w->vectors.values, w->vectors.count, made, w, error);
    peft_context_close(ctx);
    return status;
}

static peft_status print(const work *w, peft_output *output, peft_error *error)
{
    if (output->json) return peft_output_json(output, w->report, error);
    size_t k;
    json_t *entry;
    json_array_foreach(w->report, k, entry)
    {
        const char *nearest = json_string_value(json_object_get(entry, "nearest"));
        fprintf(output->results, "%s", json_string_value(json_object_get(entry, "adapter")));
        if (nearest)
            fprintf(output->results, "  nearest task: %s (cosine %.3f)", nearest,
                    json_number_value(json_object_get(entry, "cosine")));
        putc('\n', output->results);
    }
    return PEFT_OK;
}

static peft_status generate(work *w, const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const generate_options *o = w->options;
    peft_status status = peft_generator_open(&w->generator, o->generator, error);
    if (status == PEFT_OK)
        status = o->vectors ? peft_vectors_load(o->vectors, &w->vectors, error) : encode(w, arguments, output, error);
    if (status == PEFT_OK) status = check_size(w, error);
    if (status == PEFT_OK) status = blend(w, error);
    if (status == PEFT_OK) status = make(w, arguments, error);
    return status == PEFT_OK ? print(w, output, error) : status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const generate_options *o = arguments->values;
    const char *const sources[] = {o->generator, NULL};
    work w = {.options = o, .report = json_array()};
    peft_status status = w.report ? check_what_is_read(o, error) : peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    if (status == PEFT_OK) status = peft_output_folder_check(o->output, o->force, sources, error);
    if (status == PEFT_OK) status = generate(&w, arguments, output, error);
    peft_generator_close(w.generator);
    peft_dataset_free(w.texts);
    free(w.vectors.values);
    json_decref(w.report);
    return status;
}

static const peft_command_part parts[] = {{table, 0},
                                          {peft_text_option_table, offsetof(generate_options, texts)},
                                          {peft_inference_computation_table, offsetof(generate_options, inference)},
                                          {0}};
static const char *const required[] = {"generator", "output", NULL};

const peft_command peft_command_generate = {
    .name = "generate",
    .summary = "make adapters from descriptions of tasks",
    .example = "peft generate --generator runs/t2l --text 'Is the review favourable?' --output runs/reviews\n"
               "peft generate --generator runs/t2l --input descriptions.txt --output runs/many\n"
               "peft generate --generator runs/t2l --input two.txt --blend 0.7,0.3 --output runs/blend",
    .description = "Writes the adapter that a generator (peft train-generator) makes of a description: an ordinary "
                   "adapter for eval, predict, merge, convert and inspect. The base model is not opened.\n"
                   "Says of each which task that the generator was trained on is nearest, by the cosine of the "
                   "descriptions' vectors.",
    .parts = parts,
    .bytes = sizeof(generate_options),
    .required = required,
    .run = run,
};
