/* peft/cli/bench/step.c - `peft bench step`: training steps, and where their time goes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/profile.h"
#include "peft/cli/bench/bench.h"
#include "peft/cli/document.h"
#include "peft/cli/table.h"
#include "peft/machine.h"

static const double GIGA = 1e9, MEGA = 1e6, MILLI = 1e-3;

typedef struct measured {
    int64_t steps, tokens;     /* of the steps that were timed, which follow the first */
    double *seconds, *rates;   /* [steps]; tokens per second */
    double total_seconds;      /* of these steps */
    double began, plan, first; /* when opening began; seconds of the plan and of the first step */
    double start;              /* seconds from `began` to the end of the first step */
    int64_t linear_parameters; /* of the layers that see every token */
    peft_plan planned;
    peft_memory_use memory;
    peft_profile profile;
    peft_bench_limits limits;
} measured;

/* ---- measuring ---- */

static double timed_step(peft_session *s, int64_t *tokens, peft_status *status, peft_error *error)
{
    peft_step_record record;
    double began = peft_machine_seconds();
    *status = peft_trainer_step(&s->trainer, &record, error);
    *tokens = record.tokens;
    return peft_machine_seconds() - began;
}

static peft_status first_step(peft_session *s, measured *m, peft_error *error)
{
    int64_t tokens;
    double began = peft_machine_seconds();
    peft_status status = peft_session_plan(s, &m->planned, error);
    m->plan = peft_machine_seconds() - began;
    if (status == PEFT_OK) m->first = timed_step(s, &tokens, &status, error);
    m->start = peft_machine_seconds() - m->began;
    return status;
}

static peft_status further_steps(peft_bench *bench, peft_session *s, measured *m, peft_error *error)
{
    peft_status status = PEFT_OK;
    m->profile.clock = peft_machine_seconds;
    peft_context_profile(s->ctx, &m->profile);
    for (int64_t k = 0; k < m->steps && status == PEFT_OK; k++) {
        int64_t tokens = 0;
        m->seconds[k] = timed_step(s, &tokens, &status, error);
        m->rates[k] = (double)tokens / m->seconds[k];
        m->total_seconds += m->seconds[k];
        m->tokens += tokens;
        if (status == PEFT_OK) status = peft_bench_advance(bench, error);
    }
    peft_context_profile(s->ctx, NULL);
    return status;
}

static void count_parameters(peft_session *s, measured *m)
{
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(s->model, &count);
    for (int64_t k = 0; k < count; k++)
        if (peft_bench_sees_tokens(&linears[k]))
            m->linear_parameters += linears[k].in_features * linears[k].out_features;
}

static peft_status run_steps(peft_bench *bench, peft_session *s, measured *m, peft_error *error)
{
    peft_status status = first_step(s, m, error);
    if (status == PEFT_OK) status = peft_bench_advance(bench, error);
    if (status == PEFT_OK) status = further_steps(bench, s, m, error);
    m->memory = peft_machine_memory();
    count_parameters(s, m);
    return status;
}

/* In the type of the run, and in float: only products with frozen weights have another. */
static peft_status measure_limits(const peft_bench *bench, measured *m, peft_error *error)
{
    peft_dtype dtype = peft_dtype_chosen(bench->job.train->dtype);
    peft_status status = PEFT_OK;
    for (int k = 0; k < 2 && status == PEFT_OK; k++) {
        peft_context *ctx;
        if (k && dtype == PEFT_F32) break;
        status = peft_bench_context_open(bench, k ? dtype : PEFT_F32, &ctx, error);
        if (status == PEFT_OK) status = peft_bench_limits_measure(ctx, &m->limits, error);
        peft_context_close(ctx);
    }
    return status;
}

/* ---- the document ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* One op in one direction: a row of the roofline. */
typedef struct row {
    const char *op;
    bool backward;
    const peft_profile_line *line;
    double peak; /* of its arithmetic */
} row;

static int longest_first(const void *a, const void *b)
{
    const row *x = a, *y = b;
    return (x->line->seconds < y->line->seconds) - (x->line->seconds > y->line->seconds);
}

/* Products with frozen weights have the run's type, everything else is in float. */
static int collect_rows(const measured *m, peft_dtype dtype, row rows[2 * PEFT_NUM_OPS])
{
    int count = 0;
    for (int op = 0; op < PEFT_NUM_OPS; op++)
        for (int backward = 0; backward < 2; backward++)
            if (m->profile.lines[op][backward].calls)
                rows[count++] = (row){peft_ops[op].name, backward, &m->profile.lines[op][backward],
                                      m->limits.peak[op == PEFT_OP_linear ? dtype : PEFT_F32]};
    qsort(rows, (size_t)count, sizeof *rows, longest_first);
    return count;
}

/* An op cannot be faster than its arithmetic at the peak, nor than its bytes at the bandwidth: the slower binds. */
static json_t *row_json(const measured *m, const row *r)
{
    const peft_profile_line *l = r->line;
    double steps = (double)m->steps, seconds = fmax(l->seconds, 1e-12);
    double compute = l->cost.flops / r->peak, memory = l->cost.bytes / m->limits.bandwidth;
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:f}", "op", r->op, "pass",
                     r->backward ? "backward" : "forward", "calls", (double)l->calls / steps, "seconds",
                     l->seconds / steps, "share", l->seconds / m->total_seconds, "flops", l->cost.flops / steps,
                     "bytes", l->cost.bytes / steps, "gflops", l->cost.flops / seconds / GIGA, "gbs",
                     l->cost.bytes / seconds / GIGA, "limit", compute > memory ? "compute" : "memory", "share_of_limit",
                     fmax(compute, memory) / seconds);
}

/* Puts what is not in an op into *rest: the graph and its plan, the batch, the optimiser. */
static json_t *ops_json(const measured *m, peft_dtype dtype, json_t **rest)
{
    row rows[2 * PEFT_NUM_OPS];
    int count = collect_rows(m, dtype, rows);
    json_t *list = json_array();
    double inside = 0;
    for (int k = 0; k < count; k++) {
        json_array_append_new(list, row_json(m, &rows[k]));
        inside += rows[k].line->seconds;
    }
    double outside = m->total_seconds - inside;
    *rest = json_pack("{s:f, s:f}", "seconds", outside / (double)m->steps, "share", outside / m->total_seconds);
    return list;
}

static json_t *start_json(const measured *m, const peft_session_stage *stages)
{
    json_t *start = json_object();
    for (int k = 0; k < PEFT_SESSION_STAGES; k++)
        json_object_set_new(start, stages[k].name, json_real(stages[k].seconds));
    json_object_set_new(start, "plan", json_real(m->plan));
    json_object_set_new(start, "first_step", json_real(m->first));
    json_object_set_new(start, "total", json_real(m->start));
    return start;
}

static json_t *work_json(const peft_bench *bench, const peft_session *s)
{
    const peft_train_job *job = &bench->job;
    json_t *work =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:I}", "model", bench->name, "variant", bench->options->job.variant,
                  "data", s->corpus.name, "sequences", (json_int_t)job->train->batch_size, "length",
                  (json_int_t)job->train->max_length, "checkpoint_layers", job->train->checkpoint_layers,
                  "trainable_parameters", (json_int_t)s->trainer.parameters.num_trained);
    json_object_set(work, "target_modules", job->targets->target_modules ? job->targets->target_modules : json_null());
    return work;
}

static json_t *speed_json(measured *m, double peak)
{
    double seconds = median(m->seconds, m->steps), rate = median(m->rates, m->steps);
    double flops_per_token = 4 * (double)m->linear_parameters; /* a multiplication and an addition, in both passes */
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:f}", "steps", (json_int_t)m->steps, "tokens",
                     (json_int_t)m->tokens, "step_seconds", seconds, "step_seconds_best", m->seconds[0],
                     "tokens_per_second", rate, "tokens_per_second_best", m->rates[m->steps - 1],
                     "tokens_per_second_mean", (double)m->tokens / m->total_seconds, "linear_parameters",
                     (json_int_t)m->linear_parameters, "flops_per_token", flops_per_token, "achieved_gflops",
                     rate * flops_per_token / GIGA, "share_of_peak", rate * flops_per_token / peak);
}

static json_t *memory_json(const measured *m, peft_session *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "peak_memory_bytes", (json_int_t)m->memory.peak, "anonymous_bytes",
                     (json_int_t)m->memory.anonymous, "mapped_bytes", (json_int_t)m->memory.mapped,
                     "planned_memory_bytes", (json_int_t)m->planned.total, "weight_file_bytes",
                     (json_int_t)peft_model_mapped_bytes(s->model));
}

static json_t *describe(const peft_bench *bench, peft_session *s, measured *m)
{
    peft_dtype dtype = peft_context_dtype(s->ctx);
    json_t *document = json_pack("{s:s}", "bench", "step"), *rest;
    json_t *parts[] = {work_json(bench, s), speed_json(m, m->limits.peak[dtype]), memory_json(m, s)};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        json_object_update(document, parts[k]);
        json_decref(parts[k]);
    }
    json_object_set_new(document, "start_seconds", start_json(m, s->stages));
    json_object_set_new(document, "ops", ops_json(m, dtype, &rest));
    json_object_set_new(document, "rest", rest);
    json_object_set_new(document, "limits", peft_bench_limits_json(&m->limits));
    json_object_set_new(document, "cpu", peft_machine_cpu(s->ctx));
    json_object_set_new(document, "versions", peft_machine_versions());
    return document;
}

static peft_status measure_session(peft_bench *bench, peft_session *s, measured *m, peft_error *error)
{
    m->steps = bench->options->steps;
    m->seconds = calloc((size_t)m->steps, sizeof *m->seconds);
    m->rates = calloc((size_t)m->steps, sizeof *m->rates);
    if (!m->seconds || !m->rates) return peft_fail(error, PEFT_ERR_MEMORY, "step: out of memory for the times");
    peft_bench_begin(bench, "step", "steps", m->steps + 1);
    peft_status status = run_steps(bench, s, m, error);
    peft_bench_end(bench);
    return status == PEFT_OK ? measure_limits(bench, m, error) : status;
}

static peft_status measure(peft_bench *bench, json_t **document, peft_error *error)
{
    measured m = {.began = peft_machine_seconds()};
    peft_session session;
    peft_status status = peft_bench_session_open(bench, &session, error);
    if (status != PEFT_OK) return status;
    status = measure_session(bench, &session, &m, error);
    if (status == PEFT_OK) *document = describe(bench, &session, &m);
    free(m.seconds);
    free(m.rates);
    peft_session_close(&session);
    return status;
}

/* ---- showing ---- */

static void print_speed(const json_t *d, FILE *out)
{
    const json_t *cpu = json_object_get(d, "cpu");
    fprintf(out, "%s, %s, %s: %lld sequences of %lld tokens%s; %lld steps\n", peft_document_text(d, "model", "?"),
            peft_document_text(d, "variant", "?"), peft_document_text(d, "data", "?"),
            peft_document_integer(d, "sequences"), peft_document_integer(d, "length"),
            json_is_true(json_object_get(d, "checkpoint_layers")) ? ", layers computed again" : "",
            peft_document_integer(d, "steps"));
    fprintf(out, "%s, %lld threads, backend %s, type %s\n", peft_document_text(cpu, "model", "?"),
            peft_document_integer(cpu, "threads"), peft_document_text(cpu, "backend", "?"),
            peft_document_text(cpu, "dtype", "?"));
    fprintf(out, "%.0f tokens/s in the median step (best %.0f, mean %.0f), %.1f ms a step\n",
            peft_document_number(d, "tokens_per_second"), peft_document_number(d, "tokens_per_second_best"),
            peft_document_number(d, "tokens_per_second_mean"), peft_document_number(d, "step_seconds") / MILLI);
    fprintf(out, "%.1f GFLOP/s, %.0f %% of the peak (4 x %.1f million weights of linear layers a token)\n",
            peft_document_number(d, "achieved_gflops"), 100 * peft_document_number(d, "share_of_peak"),
            peft_document_number(d, "linear_parameters") / MEGA);
    peft_bench_limits_print(json_object_get(d, "limits"), out);
}

static void print_memory_and_start(const json_t *d, FILE *out)
{
    fprintf(out, "memory: %.1f MB, planned %.1f MB; %.1f MB of mapped files; peak of both %.1f MB\n",
            peft_document_number(d, "anonymous_bytes") / MEGA, peft_document_number(d, "planned_memory_bytes") / MEGA,
            peft_document_number(d, "mapped_bytes") / MEGA, peft_document_number(d, "peak_memory_bytes") / MEGA);
    const json_t *start = json_object_get(d, "start_seconds");
    fprintf(out, "start: %.0f ms to the end of the first step", peft_document_number(start, "total") / MILLI);
    const char *stage, *between = ": ";
    json_t *seconds;
    json_object_foreach((json_t *)(uintptr_t)start, stage, seconds)
    {
        if (strcmp(stage, "total") == 0) continue;
        fprintf(out, "%s%s %.1f", between, stage, json_number_value(seconds) / MILLI);
        between = ", ";
    }
    fputs("\n\n", out);
}

static void add_row(peft_text_table *table, const json_t *op)
{
    peft_text_table_cell(table, "%s %s", peft_document_text(op, "op", "?"), peft_document_text(op, "pass", "?"));
    peft_text_table_cell(table, "%.0f", peft_document_number(op, "calls"));
    peft_text_table_cell(table, "%.2f", peft_document_number(op, "seconds") / MILLI);
    peft_text_table_cell(table, "%.1f %%", 100 * peft_document_number(op, "share"));
    peft_text_table_cell(table, "%.2f", peft_document_number(op, "flops") / GIGA);
    peft_text_table_cell(table, "%.1f", peft_document_number(op, "bytes") / MEGA);
    peft_text_table_cell(table, "%.1f", peft_document_number(op, "gflops"));
    peft_text_table_cell(table, "%.1f", peft_document_number(op, "gbs"));
    peft_text_table_cell(table, "%s", peft_document_text(op, "limit", "?"));
    peft_text_table_cell(table, "%.0f %%", 100 * peft_document_number(op, "share_of_limit"));
}

static void add_rest(peft_text_table *table, const json_t *rest)
{
    enum { NUMBERS = 4 };
    peft_text_table_cell(table, "graph, batch, optimizer");
    peft_text_table_cell(table, "-");
    peft_text_table_cell(table, "%.2f", peft_document_number(rest, "seconds") / MILLI);
    peft_text_table_cell(table, "%.1f %%", 100 * peft_document_number(rest, "share"));
    for (int k = 0; k < NUMBERS; k++) peft_text_table_cell(table, "-");
    peft_text_table_cell(table, "-");
    peft_text_table_cell(table, "-");
}

static peft_status print(const json_t *document, FILE *out, peft_error *error)
{
    static const char *const headings[] = {"op", "calls",   "ms",   "share", "GFLOP",
                                           "MB", "GFLOP/s", "GB/s", "limit", "of limit"};
    peft_text_table table;
    peft_text_table_init(&table, headings, sizeof headings / sizeof *headings);
    size_t k;
    json_t *op;
    json_array_foreach(json_object_get(document, "ops"), k, op) add_row(&table, op);
    add_rest(&table, json_object_get(document, "rest"));
    print_speed(document, out);
    print_memory_and_start(document, out);
    peft_status status = peft_text_table_print(&table, out, error);
    peft_text_table_free(&table);
    return status;
}

const peft_bench_subject peft_bench_step = {.name = "step", .runs_model = true, .measure = measure, .print = print};
