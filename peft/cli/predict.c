/* peft/cli/predict.c - `peft predict`: the classes or scores of texts. */
#include <math.h>
#include <stdlib.h>

#include "peft/cli/commands.h"
#include "peft/cli/inference.h"
#include "peft/cli/texts.h"

typedef struct predict_options {
    peft_inference_options inference;
    peft_text_options texts;
} predict_options;

/* logits [count] become probabilities, in place. */
static void softmax(float *logits, int64_t count)
{
    double largest = (double)logits[0], sum = 0;
    for (int64_t k = 1; k < count; k++) largest = fmax(largest, (double)logits[k]);
    for (int64_t k = 0; k < count; k++) sum += exp((double)logits[k] - largest);
    for (int64_t k = 0; k < count; k++) logits[k] = (float)(exp((double)logits[k] - largest) / sum);
}

static json_t *row_json(const peft_loaded *l, const float *row)
{
    if (l->regression) return json_pack("{s:f}", "score", (double)row[0]);
    json_t *probabilities = json_object();
    for (int64_t k = 0; k < l->num_labels; k++)
        json_object_set_new(probabilities, l->label_names[k], json_real((double)row[k]));
    return json_pack("{s:s, s:o}", "label", l->label_names[peft_best_class(row, l->num_labels)], "probabilities",
                     probabilities);
}

static peft_status print_json(const peft_loaded *l, const float *rows, size_t count, peft_output *output,
                              peft_error *error)
{
    json_t *document = json_array();
    bool complete = document;
    for (size_t n = 0; complete && n < count; n++)
        complete = json_array_append_new(document, row_json(l, rows + n * (size_t)l->num_labels)) == 0;
    peft_status status = complete ? peft_output_json(output, document, error)
                                  : peft_fail(error, PEFT_ERR_MEMORY, "out of memory for the results");
    json_decref(document);
    return status;
}

/* A name in a table: one cell whatever it holds. */
static void print_name(const char *name, FILE *out)
{
    for (; *name; name++) {
        if (*name == '\t' || *name == '\n' || *name == '\r')
            fprintf(out, "\\%c", *name == '\t' ? 't' : *name == '\n' ? 'n' : 'r');
        else
            putc(*name, out);
    }
}

static void print_heading(const peft_loaded *l, FILE *out)
{
    fputs(l->regression ? "score" : "label", out);
    for (int64_t k = 0; !l->regression && k < l->num_labels; k++) {
        putc('\t', out);
        print_name(l->label_names[k], out);
    }
    putc('\n', out);
}

static void print_row(const peft_loaded *l, const float *row, FILE *out)
{
    if (l->regression)
        fprintf(out, "%.6g", (double)row[0]);
    else
        print_name(l->label_names[peft_best_class(row, l->num_labels)], out);
    for (int64_t k = 0; !l->regression && k < l->num_labels; k++) fprintf(out, "\t%.6f", (double)row[k]);
    putc('\n', out);
}

static peft_status print(const peft_loaded *l, float *rows, size_t count, peft_output *output, peft_error *error)
{
    for (size_t n = 0; !l->regression && n < count; n++) softmax(rows + n * (size_t)l->num_labels, l->num_labels);
    for (size_t k = 0; k < count * (size_t)l->num_labels; k++)
        if (!isfinite(rows[k]))
            return peft_fail(error, PEFT_ERR_NUMERIC,
                             "text %zu: the model's answer is not finite; are the weights sound?",
                             k / (size_t)l->num_labels + 1);
    if (output->json) return print_json(l, rows, count, output, error);
    print_heading(l, output->results);
    for (size_t n = 0; n < count; n++) print_row(l, rows + n * (size_t)l->num_labels, output->results);
    return PEFT_OK;
}

/* As the run's own files were read, which is said where it is not the usual way. */
static peft_status open_texts(const peft_text_options *o, const peft_run_record *record, peft_dataset **texts,
                              peft_output *output, peft_error *error)
{
    peft_status status = peft_texts_open(o, true, record->quoting, texts, error);
    if (status == PEFT_OK && o->input && !o->no_quoting) peft_note_quoting(output, record->quoting, o->input);
    return status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const predict_options *o = arguments->values;
    peft_dataset *texts = NULL;
    peft_inference inference = {0};
    float *rows = NULL;
    peft_status status = peft_inference_open(&inference, &o->inference, PEFT_WITH_HEAD, arguments, output, error);
    if (status == PEFT_OK) status = open_texts(&o->texts, &inference.loaded.record, &texts, output, error);
    if (status == PEFT_OK) status = peft_inference_run(&inference, PEFT_PREDICT_LOGITS, texts, &rows, error);
    if (status == PEFT_OK) status = print(&inference.loaded, rows, texts->count, output, error);
    free(rows);
    peft_inference_close(&inference);
    peft_dataset_free(texts);
    return status;
}

static const peft_command_part parts[] = {{peft_inference_model_table, offsetof(predict_options, inference)},
                                          {peft_inference_answer_table, offsetof(predict_options, inference)},
                                          {peft_text_option_table, offsetof(predict_options, texts)},
                                          {peft_text_pair_option_table, offsetof(predict_options, texts)},
                                          {peft_inference_computation_table, offsetof(predict_options, inference)},
                                          {0}};

static const char *const required[] = {"model", NULL};

const peft_command peft_command_predict = {
    .name = "predict",
    .summary = "classify texts, or score them, with a trained adapter",
    .example = "peft predict --model minilm --adapter runs/entail \\\n"
               "    --text 'A cat sleeps.' --text-pair 'An animal rests.'\n"
               "peft predict --model minilm --adapter runs/entail --input pairs.tsv \\\n"
               "    --text-column sentence1 --text-pair-column sentence2",
    .description = "Prints a table with tabs between its columns: for each text the class and the probability of every "
                   "class, or the score; with --json an array of objects.\n"
                   "The head is the adapter's; a model that has a trained head needs no adapter.",
    .parts = parts,
    .bytes = sizeof(predict_options),
    .required = required,
    .run = run,
};
