/* peft/cli/eval.c - `peft eval`: the metrics of a model and an adapter on a task. */
#include <inttypes.h>
#include <string.h>

#include "peft/cli/commands.h"
#include "peft/cli/inference.h"
#include "peft/cli/texts.h"
#include "peft/run_json.h"

typedef struct eval_options {
    peft_inference_options inference;
    peft_data_options data;
    char *split;
} eval_options;

static const char default_split[] = "dev";

static const peft_option table[] = {{.name = "split",
                                     .type = PEFT_OPTION_STRING,
                                     .offset = offsetof(eval_options, split),
                                     .initial = default_split,
                                     .placeholder = "NAME",
                                     .help = "split of the task: train, dev, test; MNLI has dev_mismatched, too",
                                     .group = "Data"},
                                    {0}};

static peft_status open_corpus(peft_corpus *corpus, const eval_options *o, const peft_loaded *l, peft_error *error)
{
    if (!o->data.task && strcmp(o->split, default_split) != 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--split %s goes with --task; own files come by --dev FILE",
                         o->split);
    const char *const *names = l->has_names ? (const char *const *)l->label_names : NULL;
    const peft_corpus_wanted wanted = {.dev = o->split,
                                       .label_names = l->names_source == PEFT_NAMES_OF_RUN ? names : NULL,
                                       .num_labels = (size_t)l->num_labels,
                                       .of_model = {names, l->regression ? 0 : (size_t)l->num_labels},
                                       .quoting = l->record.quoting,
                                       .positive_class = l->record.positive_class};
    peft_status status = peft_corpus_open(corpus, &o->data, &wanted, error);
    if (status != PEFT_OK) return status;
    if (corpus->regression == l->regression && corpus->num_labels == l->num_labels) return PEFT_OK;
    bool too_few = !corpus->knows_classes && corpus->num_labels < l->num_labels;
    status = peft_fail(error, PEFT_ERR_SHAPE, "task %s has %" PRId64 " %s, the model's head has %" PRId64 " %s%s",
                       corpus->name, corpus->num_labels, corpus->regression ? "score" : "classes", l->num_labels,
                       l->regression ? "score" : "classes",
                       too_few ? "; where the file lacks some, give --train FILE, too, which has them all" : "");
    peft_corpus_close(corpus);
    return status;
}

static peft_status print(const peft_scores *scores, const peft_corpus *corpus, const eval_options *o,
                         int64_t num_truncated, peft_output *output, peft_error *error)
{
    if (output->json) {
        json_t *document =
            json_pack("{s:o, s:I, s:s, s:s, s:I, s:s?}", "metrics", peft_scores_json(scores), "examples",
                      (json_int_t)scores->examples, "task", corpus->name, "split", o->split, "truncated_examples",
                      (json_int_t)num_truncated, "positive_class", peft_corpus_positive(corpus));
        if (!document) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory for the results");
        peft_status status = peft_output_json(output, document, error);
        json_decref(document);
        return status;
    }
    fprintf(output->results, "%s, %s, %" PRId64 " examples:", corpus->name, o->split, scores->examples);
    for (int k = 0; k < scores->num_metrics; k++)
        fprintf(output->results, " %s %.4f", scores->names[k], scores->values[k]);
    if (peft_corpus_positive(corpus)) fprintf(output->results, " (positive: %s)", peft_corpus_positive(corpus));
    putc('\n', output->results);
    return PEFT_OK;
}

static void say(void *argument, const char *text)
{
    peft_output_say(argument, PEFT_SAY_NOTE, "%s", text);
}

static void give_notes(const peft_corpus *corpus, const eval_options *o, const peft_inference *inference,
                       peft_output *output)
{
    const peft_loaded *l = &inference->loaded;
    if (l->names_source != PEFT_NAMES_OF_RUN) peft_corpus_notes(corpus, false, say, output);
    if (!corpus->task && !o->data.no_quoting) peft_note_quoting(output, corpus->quoting, corpus->dev_path);
}

static peft_status evaluate(peft_inference *inference, const peft_corpus *corpus, peft_scores *scores,
                            peft_error *error)
{
    peft_status status = peft_inference_encode(inference, corpus->dev, error);
    if (status == PEFT_OK)
        status =
            peft_evaluate(&inference->predictor, inference->tokens, corpus->metrics, corpus->positive, scores, error);
    peft_job_progress_finish(&inference->progress);
    return status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    const eval_options *o = arguments->values;
    peft_inference inference;
    peft_corpus corpus = {0};
    peft_scores scores;
    peft_status status = peft_data_options_check(&o->data, error);
    if (status != PEFT_OK) return status;
    status = peft_inference_open(&inference, &o->inference, PEFT_WITH_HEAD, arguments, output, error);
    if (status == PEFT_OK) status = open_corpus(&corpus, o, &inference.loaded, error);
    if (status == PEFT_OK) give_notes(&corpus, o, &inference, output);
    if (status == PEFT_OK) status = evaluate(&inference, &corpus, &scores, error);
    if (status == PEFT_OK) status = print(&scores, &corpus, o, inference.tokens->num_truncated, output, error);
    peft_inference_close(&inference);
    peft_corpus_close(&corpus);
    return status;
}

static const peft_command_part parts[] = {{peft_inference_model_table, offsetof(eval_options, inference)},
                                          {peft_inference_answer_table, offsetof(eval_options, inference)},
                                          {peft_read_option_table, offsetof(eval_options, data)},
                                          {table, 0},
                                          {peft_inference_computation_table, offsetof(eval_options, inference)},
                                          {0}};

static const char *const required[] = {"model", NULL};

const peft_command peft_command_eval = {
    .name = "eval",
    .summary = "measure a model with its adapter on a task",
    .example = "peft eval --model minilm --adapter runs/entail --task wn-entail --data data\n"
               "peft eval --model minilm --adapter runs/mine --dev my-dev.csv",
    .description =
        "Prints the task's metrics on one of its splits, or on a file of your own.\n"
        "The head is the adapter's; a model that has a trained head needs no adapter.\n"
        "The classes of own files are those that the adapter's run.json names, else the model's id2label where it "
        "holds every label of --train (or --dev), else the labels themselves where they are class numbers, else "
        "the labels sorted, which is said.",
    .parts = parts,
    .bytes = sizeof(eval_options),
    .required = required,
    .run = run,
};
