/* peft/cli/bench.c - `peft bench`: figures of this machine, with its limits beside them. */
#include <ctype.h>
#include <string.h>

#include "peft/cli/bench/bench.h"
#include "peft/cli/bench/shape.h"
#include "peft/cli/commands.h"
#include "peft/cli/signals.h"
#include "peft/machine.h"

#define AT(field) .offset = offsetof(peft_bench_options, field)

static const peft_option table[] = {
    {.name = "model",
     .type = PEFT_OPTION_STRING,
     AT(job.model),
     .placeholder = "DIR",
     .help = "folder of the model: config.json, model.safetensors; for real text tokenizer.json",
     .group = "Work"},
    {.name = "shape",
     .type = PEFT_OPTION_STRING,
     AT(shape),
     .choices = peft_bench_shape_names,
     .placeholder = "NAME",
     .help = "or a model of this shape with random weights, written to a folder that is removed at the end",
     .group = "Work"},
    {.name = "layers",
     .type = PEFT_OPTION_INT,
     AT(layers),
     .min = 0,
     .max = 1000,
     .placeholder = "N",
     .help = "hidden layers of --shape; 0: as many as it has",
     .group = "Work"},
    {.name = "sequences",
     .type = PEFT_OPTION_INT,
     AT(sequences),
     .initial = "32",
     .min = 1,
     .max = 65536,
     .placeholder = "N",
     .help = "sequences of a batch",
     .group = "Work"},
    {.name = "length",
     .type = PEFT_OPTION_INT,
     AT(length),
     .initial = "128",
     .min = 2,
     .max = 1 << 20,
     .placeholder = "N",
     .help = "tokens of each sequence; real text is cut to it",
     .group = "Work"},
    {.name = "steps",
     .type = PEFT_OPTION_INT,
     AT(steps),
     .initial = "10",
     .min = 1,
     .max = 1e6,
     .placeholder = "N",
     .help = "steps that are timed, after a first one",
     .group = "Work"},
    {.name = "variant",
     .type = PEFT_OPTION_STRING,
     AT(job.variant),
     .initial = "lora",
     .placeholder = "NAME",
     .help = "method, one of `peft variants`; head or full",
     .group = "Work"},
    {.name = "checkpoint_layers",
     .type = PEFT_OPTION_BOOL,
     AT(checkpoint_layers),
     .initial = "false",
     .help = "compute each layer again in the backward pass; memory measures both",
     .group = "Computation"},
    {.name = "dtype",
     .type = PEFT_OPTION_STRING,
     AT(dtype),
     .choices = peft_dtype_choices,
     .placeholder = "NAME",
     .help = "type of products with frozen weights; if not set f32, and for gemm all that there are",
     .group = "Computation"},
    PEFT_BACKEND_OPTION_ROW(AT(backend)),
    {0}};

const peft_command_part peft_bench_parts[] = {{table, 0},
                                              {peft_data_option_table, offsetof(peft_bench_options, job.data)},
                                              {peft_target_option_table, offsetof(peft_bench_options, job.targets)},
                                              {0}};

static const peft_bench_subject *const subjects[] = {&peft_bench_gemm, &peft_bench_step, &peft_bench_memory};
enum { NUM_SUBJECTS = sizeof subjects / sizeof *subjects };
static const char *const subject_names[] = {"gemm", "step", "memory", NULL};

/* ---- what the subjects share ---- */

static bool has_text(const peft_data_options *data)
{
    return data->task || data->data || data->train || data->dev;
}

bool peft_bench_has_text(const peft_bench *bench)
{
    return has_text(bench->job.data);
}

peft_status peft_bench_session_open(const peft_bench *bench, peft_session *session, peft_error *error)
{
    return peft_bench_has_text(bench) ? peft_session_open(session, &bench->job, error)
                                      : peft_session_open_full(session, &bench->job, bench->options->length, error);
}

void peft_bench_begin(peft_bench *bench, const char *label, const char *unit, int64_t total)
{
    peft_signals_defer();
    peft_progress_start(&bench->bar, bench->output, label, unit, 0, total, peft_machine_seconds());
}

peft_status peft_bench_advance(peft_bench *bench, peft_error *error)
{
    peft_progress_update(&bench->bar, bench->bar.done + 1, "", peft_machine_seconds());
    return peft_interrupted() ? peft_fail(error, PEFT_ERR_CANCELLED, "stopped") : PEFT_OK;
}

void peft_bench_end(peft_bench *bench)
{
    if (bench->bar.done) peft_progress_finish(&bench->bar, peft_machine_seconds());
}

/* A part of its name is the layer's number. */
bool peft_bench_sees_tokens(const peft_linear_layer *linear)
{
    for (const char *dot = strchr(linear->module, '.'); dot; dot = strchr(dot + 1, '.'))
        if (isdigit((unsigned char)dot[1])) return true;
    return false;
}

/* ---- the verb ---- */

/* Training as the options of this verb say, and else by its defaults. */
static peft_status fill_training(peft_bench_options *o, peft_error *error)
{
    peft_train_options *train = &o->job.train;
    peft_status status = peft_options_init(peft_train_option_table, train, error);
    if (status == PEFT_OK && o->dtype)
        status = peft_options_set_text(peft_train_option_table, train, "dtype", o->dtype, error);
    if (status == PEFT_OK && o->backend)
        status = peft_options_set_text(peft_train_option_table, train, "backend", o->backend, error);
    train->steps = o->steps + 1;
    train->batch_size = o->sequences;
    train->max_length = o->length;
    train->checkpoint_layers = o->checkpoint_layers;
    return status;
}

static peft_status check_model(const peft_bench_options *o, const peft_bench_subject *subject, peft_error *error)
{
    if (o->job.model && o->shape) return peft_fail(error, PEFT_ERR_ARGUMENT, "--model and --shape exclude each other");
    if (subject->runs_model && !o->job.model && !o->shape)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: no model: give --model DIR, or --shape minilm", subject->name);
    if (o->layers && !(o->shape && subject->runs_model))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: --layers belongs to a --shape that is run", subject->name);
    if (!subject->runs_model && has_text(&o->job.data))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected no data: matrices are multiplied, no text is read",
                         subject->name);
    if (o->shape && has_text(&o->job.data))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--shape %s has no tokenizer: real text needs --model DIR",
                         o->shape);
    return PEFT_OK;
}

static const peft_bench_subject *find_subject(const char *name)
{
    int k = 0;
    while (k < NUM_SUBJECTS - 1 && strcmp(subjects[k]->name, name) != 0) k++;
    return subjects[k];
}

static peft_status measure(peft_bench *bench, const peft_bench_subject *subject, peft_error *error)
{
    json_t *document = NULL;
    peft_status status = subject->measure(bench, &document, error);
    if (status == PEFT_OK && !document) status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", subject->name);
    if (status == PEFT_OK)
        status = bench->output->json ? peft_output_json(bench->output, document, error)
                                     : subject->print(document, bench->output->results, error);
    json_decref(document);
    return status;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    peft_bench_options *o = arguments->values;
    const peft_bench_subject *subject = find_subject(arguments->operands[0]);
    peft_bench bench = {.options = o, .output = output, .name = o->shape ? o->shape : o->job.model};
    json_t *settings = NULL;
    char *folder = NULL;
    peft_status status = check_model(o, subject, error);
    if (status == PEFT_OK) status = fill_training(o, error);
    if (status == PEFT_OK) status = peft_job_fill(&bench.job, &o->job, arguments, &settings, error);
    if (status == PEFT_OK && o->shape && subject->runs_model)
        status = peft_bench_shape_write(peft_bench_shape_find(o->shape), o->layers, &folder, error);
    if (folder) bench.job.model = folder;
    if (status == PEFT_OK) status = measure(&bench, subject, error);
    peft_bench_shape_remove(folder);
    json_decref(settings);
    peft_options_free(peft_train_option_table, &o->job.train);
    return status;
}

const peft_command peft_command_bench = {
    .name = "bench",
    .summary = "measure products, training steps and memory beside this machine's limits",
    .example = "peft bench gemm\n"
               "peft bench step --shape minilm --target-modules all-linear --rank 8\n"
               "peft bench step --model minilm --task wn-entail --data data --dtype bf16 --json > step.json\n"
               "peft bench memory --model minilm --variant dora --sequences 64",
    .description =
        "gemm: matrix products of the linear layers of --model, or of MiniLM and BERT-base, forward (x W^T) and "
        "backward (dy W), with --sequences times --length rows.\n"
        "step: training steps on full batches of arbitrary tokens, or on the text of --task or --train as `peft train` "
        "batches it, and a line for each op: the time it takes, the work and the bytes that its shapes demand, and "
        "which of the machine's limits binds it. Bytes are counted once a call; what a cache keeps between calls is "
        "faster than memory.\n"
        "memory: planned and measured memory of --sequences, half and a quarter of them, with layers stored and "
        "computed again, each in a process of its own; mapped files are counted apart.\n"
        "Limits are measured in the same run: large square products with the same kernels and threads, and a = b + c "
        "over arrays that no cache holds. Other work on the machine makes all figures lower.\n"
        "Keys of --json, kept: bench, cpu, versions;\n"
        "with gemm rows, limits {peak_gflops {f32, bf16}, bandwidth_gbs}, products [{model, dtype, in_features, "
        "out_features, layers, forward_gflops, forward_share, backward_gflops, backward_share}];\n"
        "with step model, variant, target_modules, trainable_parameters, data, sequences, length, checkpoint_layers, "
        "steps, tokens, tokens_per_second (median), tokens_per_second_best, tokens_per_second_mean, step_seconds, "
        "step_seconds_best, linear_parameters, flops_per_token (4 times those: frozen weights have no gradient), "
        "achieved_gflops, share_of_peak, peak_memory_bytes, anonymous_bytes, planned_memory_bytes, mapped_bytes, "
        "weight_file_bytes, start_seconds {a key for each stage, total}, ops [{op, pass, calls, seconds, share, flops, "
        "bytes, gflops, gbs, limit, share_of_limit}] of one step, rest {seconds, share}, limits;\n"
        "with memory model, variant, length, cases [{sequences, checkpoint_layers, tokens, planned_bytes, "
        "measured_bytes, mapped_bytes, peak_memory_bytes, plan, cpu}].",
    .operands = "gemm|step|memory",
    .min_operands = 1,
    .max_operands = 1,
    .operand_choices = subject_names,
    .parts = peft_bench_parts,
    .bytes = sizeof(peft_bench_options),
    .selector = "variant",
    .extension = peft_variant_extension,
    .run = run,
};
