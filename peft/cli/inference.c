#include "peft/cli/inference.h"

#include <inttypes.h>
#include <stdlib.h>

#define AT(field) .offset = offsetof(peft_inference_options, field)

const peft_option peft_inference_model_table[] = {
    {.name = "model",
     .type = PEFT_OPTION_STRING,
     AT(model),
     .placeholder = "DIR",
     .help = "folder of the base model: config.json, model.safetensors, tokenizer.json",
     .group = "Model"},
    {.name = "adapter",
     .type = PEFT_OPTION_STRING,
     AT(adapter),
     .placeholder = "DIR",
     .help = "folder of an adapter: adapter_config.json, adapter_model.safetensors",
     .group = "Model"},
    {.name = "other_base",
     .type = PEFT_OPTION_BOOL,
     AT(other_base),
     .initial = "false",
     .help = "go on where the adapter was trained on another model",
     .group = "Model"},
    {0}};

const peft_option peft_inference_answer_table[] = {
    PEFT_ANSWERS_OPTION_ROW(AT(answers),
                            "where neither model nor adapter has a head: the class is the answer that the text is most "
                            "similar to; a list, or an object {\"class\": \"answer\"}"),
    PEFT_ANSWER_SCALE_OPTION_ROW(AT(answer_scale)),
    {0}};

const peft_option peft_inference_computation_table[] = {
    {.name = "max_length",
     .type = PEFT_OPTION_INT,
     AT(max_length),
     .initial = "0",
     .min = 0,
     .max = 1 << 20,
     .placeholder = "N",
     .help = "tokens that longer texts are cut to, at most as many as the model has positions for; 0: what a sentence "
             "encoder's files say, else 256",
     .group = "Computation"},
    {.name = "batch_tokens",
     .type = PEFT_OPTION_INT,
     AT(batch_tokens),
     .initial = "4096",
     .min = 1,
     .max = 1 << 24,
     .placeholder = "N",
     .help = "tokens computed at once: more take more memory",
     .group = "Computation"},
    PEFT_DTYPE_OPTION_ROW(AT(dtype)),
    PEFT_BACKEND_OPTION_ROW(AT(backend)),
    {0}};

static peft_status load(peft_inference *i, peft_head_use head, peft_error *error)
{
    const peft_load_options options = {.other_base = i->options->other_base,
                                       .notes = json_array(),
                                       .answers = i->options->answers,
                                       .answer_scale = i->options->answer_scale,
                                       .ctx = i->ctx};
    if (!options.notes) return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    peft_status status = peft_load(&i->loaded, i->options->model, i->options->adapter, head, &options, error);
    if (status == PEFT_OK) peft_output_notes(i->output, options.notes);
    json_decref(options.notes);
    return status;
}

peft_status peft_inference_open(peft_inference *i, const peft_inference_options *options, peft_head_use head,
                                const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    *i = (peft_inference){.options = options, .output = output};
    const peft_context_options context = {.threads = (int)arguments->shared.threads,
                                          .backend = options->backend,
                                          .dtype = peft_dtype_chosen(options->dtype)};
    peft_status status = peft_context_open(&i->ctx, &context, error);
    if (status == PEFT_OK) status = peft_graph_create(&i->graph, error);
    if (status == PEFT_OK) status = load(i, head, error);
    if (status == PEFT_OK) status = peft_model_pack(i->loaded.model, i->ctx, PEFT_PACK_FORWARD, error);
    i->predictor = (peft_predictor){.ctx = i->ctx,
                                    .g = i->graph,
                                    .model = i->loaded.model,
                                    .max_tokens = options->batch_tokens,
                                    .callback = peft_job_progress_callback(&i->progress, output)};
    return status;
}

void peft_inference_close(peft_inference *i)
{
    peft_job_progress_finish(&i->progress);
    peft_tokens_free(i->tokens);
    peft_loaded_close(&i->loaded);
    peft_graph_free(i->graph);
    peft_context_close(i->ctx);
    *i = (peft_inference){0};
}

static int64_t max_length_of(const peft_inference *i)
{
    enum { DEFAULT_MAX_LENGTH = 256 };
    int64_t most = peft_model_max_length(i->loaded.model), asked = i->options->max_length;
    if (asked > most)
        peft_output_say(i->output, PEFT_SAY_NOTE, "--max-length is %" PRId64 ": the model has positions for %" PRId64,
                        asked, most);
    if (asked == 0 && i->predictor.sentence) asked = peft_sentence_max_length(i->predictor.sentence);
    if (asked == 0) asked = DEFAULT_MAX_LENGTH;
    return asked < most ? asked : most;
}

peft_status peft_inference_encode(peft_inference *i, const peft_dataset *dataset, peft_error *error)
{
    int64_t max_length = max_length_of(i);
    peft_status status = peft_tokens_encode(&i->tokens, i->loaded.tokenizer, dataset, max_length, error);
    if (status != PEFT_OK) return status;
    if (i->tokens->offsets[i->tokens->count] <= i->options->batch_tokens)
        i->predictor.callback = (peft_callback){0}; /* a single batch has no progress to show */
    if (i->tokens->num_truncated)
        peft_output_say(i->output, PEFT_SAY_NOTE,
                        "%" PRId64 " of %" PRId64 " texts are longer than %" PRId64 " tokens and were cut",
                        i->tokens->num_truncated, i->tokens->count, max_length);
    return PEFT_OK;
}

peft_status peft_inference_run(peft_inference *i, peft_prediction what, const peft_dataset *dataset, float **outputs,
                               peft_error *error)
{
    *outputs = NULL;
    peft_status status = peft_inference_encode(i, dataset, error);
    if (status != PEFT_OK) return status;
    *outputs = calloc((size_t)i->tokens->count, (size_t)peft_prediction_columns(&i->predictor, what) * sizeof(float));
    status = *outputs ? peft_predict(&i->predictor, what, i->tokens, *outputs, error)
                      : peft_fail(error, PEFT_ERR_MEMORY, "out of memory for the results");
    peft_job_progress_finish(&i->progress);
    if (status == PEFT_OK) return status;
    free(*outputs);
    *outputs = NULL;
    return status;
}
