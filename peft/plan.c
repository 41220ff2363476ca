#include "peft/evaluate.h"
#include "peft/machine.h"
#include "peft/session.h"

static void line(peft_plan *plan, const char *name, size_t bytes, bool mapped, const char *meaning)
{
    plan->lines[plan->num_lines++] = (peft_plan_line){name, meaning, bytes, mapped};
    if (!mapped) plan->total += bytes;
}

/* Evaluations have as many tokens in a batch as training at most, but shapes of their own, and code for these.
 * `activations` grows to what they take. */
static peft_status plan_evaluations(peft_session *s, int64_t max_tokens, size_t *activations, peft_error *error)
{
    const peft_predictor predictor = {.ctx = s->ctx, .g = s->trainer.g, .model = s->model, .max_tokens = max_tokens};
    const peft_tokens *const splits[] = {s->dev, s->held_out};
    peft_status status = PEFT_OK;
    for (int k = 0; k < 2 && status == PEFT_OK; k++) {
        size_t bytes = 0;
        if (splits[k]) status = peft_predict_plan(&predictor, PEFT_PREDICT_LOGITS, splits[k], &bytes, error);
        if (bytes > *activations) *activations = bytes;
    }
    return status;
}

/* Values, gradients and averages lie in memory that is taken but not yet touched when the process is measured, so
 * gradients and averages are counted apart from it. */
peft_status peft_session_plan(peft_session *s, peft_plan *plan, peft_error *error)
{
    *plan = (peft_plan){0};
    size_t activations, trained = (size_t)s->trainer.parameters.num_trained * sizeof(float);
    size_t values = (size_t)peft_parameters_floats(&s->trainer.parameters) * sizeof(float);
    size_t packed = peft_model_packed_bytes(s->model);
    peft_status status = peft_trainer_plan(&s->trainer, &activations, &plan->largest_batch_tokens, error);
    size_t blocks = status == PEFT_OK ? peft_graph_library_bytes(s->trainer.g, s->ctx) : 0;
    if (status == PEFT_OK) status = plan_evaluations(s, plan->largest_batch_tokens, &activations, error);
    if (status != PEFT_OK) return status;
    size_t process = peft_machine_memory().anonymous; /* with the code that planning has generated */
    plan->trained = s->trainer.parameters.num_trained;
    plan->steps = s->trainer.num_steps;
    line(plan, "weights", peft_model_mapped_bytes(s->model), true, "frozen weights of the base model");
    if (packed) line(plan, "packed weights", packed, false, "copies in the order and type of the products");
    size_t counted = values + packed + peft_context_bytes(s->ctx); /* the last where start values took a look at data */
    line(plan, "process", process > counted ? process - counted : process, false,
         "measured: program, libraries, generated code, tokenizer, data");
    line(plan, "adapter", values, false, "what is trained: adapter and head");
    line(plan, "gradients", trained, false, "of what is trained");
    line(plan, "optimizer", peft_optimizer_state_bytes(s->trainer.optimizer), false, "two averages of each gradient");
    line(plan, "activations", activations, false, "all tensors and work memory of a batch, at most");
    size_t training = trained + peft_optimizer_state_bytes(s->trainer.optimizer) + activations;
    if (s->calibration_bytes > training)
        line(plan, "start values", s->calibration_bytes - training, false,
             "what looking at the data takes more than training");
    if (blocks) line(plan, "packing", blocks, false, "blocks that BLIS copies, for each thread");
    return PEFT_OK;
}

static peft_status plan_session(peft_session *session, peft_plan *plan, peft_error *error)
{
    peft_status status = peft_session_plan(session, plan, error);
    if (status == PEFT_OK) peft_session_notes(session);
    return status;
}

peft_status peft_train_plan(const peft_train_job *job, peft_plan *plan, peft_error *error)
{
    *plan = (peft_plan){0};
    peft_session session;
    peft_status status = peft_session_open(&session, job, error);
    if (status != PEFT_OK) return status;
    status = plan_session(&session, plan, error);
    peft_session_close(&session);
    return status;
}

/* A batch of examples stands for all of them; steps are those of all. */
static void fix_steps(peft_train_options *options, int64_t sequences)
{
    int64_t global = options->batch_size * options->gradient_accumulation;
    options->steps = peft_train_num_steps(options, sequences ? sequences : global);
}

/* Ids, types and where each begins; the texts themselves are not known. */
static size_t data_bytes(const peft_session *s, int64_t sequences)
{
    return (size_t)sequences * ((size_t)s->full_length * 2 * sizeof(int32_t) + sizeof(int64_t) + sizeof(float));
}

peft_status peft_train_plan_full(const peft_train_job *job, int64_t sequences, peft_plan *plan, peft_error *error)
{
    *plan = (peft_plan){0};
    peft_train_options options = *job->train;
    peft_train_job full = *job;
    fix_steps(&options, sequences);
    full.train = &options;
    peft_session session;
    peft_status status = peft_session_open_full(&session, &full, 0, error);
    if (status != PEFT_OK) return status;
    status = plan_session(&session, plan, error);
    if (sequences) line(plan, "data", data_bytes(&session, sequences), false, "tokens of the examples");
    peft_session_close(&session);
    return status;
}
