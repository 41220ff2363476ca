/* peft/cli/bench/memory.c - `peft bench memory`: what the plan says, and what a training step then takes.
 *
 * Each case is a process of its own: memory that one has taken and given back would be in the way of the next. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peft/cli/bench/bench.h"
#include "peft/cli/document.h"
#include "peft/cli/plan_table.h"
#include "peft/cli/table.h"
#include "peft/machine.h"

/* ---- in the child ---- */

static peft_status measure_session(peft_session *s, json_t **result, peft_error *error)
{
    peft_plan plan;
    peft_step_record record;
    peft_status status = peft_session_plan(s, &plan, error);
    if (status == PEFT_OK) status = peft_trainer_step(&s->trainer, &record, error);
    if (status != PEFT_OK) return status;
    peft_memory_use use = peft_machine_memory();
    const peft_train_options *o = s->job->train;
    *result = json_pack("{s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "sequences", (json_int_t)o->batch_size,
                        "checkpoint_layers", o->checkpoint_layers, "tokens", (json_int_t)plan.largest_batch_tokens,
                        "planned_bytes", (json_int_t)plan.total, "measured_bytes", (json_int_t)use.anonymous,
                        "mapped_bytes", (json_int_t)use.mapped, "peak_memory_bytes", (json_int_t)use.peak, "plan",
                        peft_plan_json(&plan), "cpu", peft_machine_cpu(s->ctx));
    return PEFT_OK;
}

static json_t *measure_here(const peft_bench *bench)
{
    peft_error error = {0};
    peft_session session;
    json_t *result = NULL;
    peft_status status = peft_bench_session_open(bench, &session, &error);
    if (status == PEFT_OK) {
        status = measure_session(&session, &result, &error);
        peft_session_close(&session);
    }
    return status == PEFT_OK ? result : json_pack("{s:i, s:s}", "status", (int)status, "message", error.message);
}

/* ---- in the parent ---- */

static peft_status fail_to_start(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_FILE, "memory: no process can be started: %s", strerror(errno));
}

static peft_status read_result(int from, pid_t child, json_t **result, peft_error *error)
{
    FILE *file = fdopen(from, "r");
    *result = file ? json_loadf(file, 0, NULL) : NULL;
    if (file)
        fclose(file);
    else
        close(from);
    int state = 0;
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
    if (!*result)
        return peft_fail(error, PEFT_ERR_MEMORY,
                         "memory: the process that measures ended by signal %d; is there enough?",
                         WIFSIGNALED(state) ? WTERMSIG(state) : 0);
    const char *message = json_string_value(json_object_get(*result, "message"));
    if (!message) return PEFT_OK;
    peft_status status = peft_fail(error, (peft_status)peft_document_integer(*result, "status"), "%s", message);
    json_decref(*result);
    *result = NULL;
    return status;
}

static peft_status measure_apart(const peft_bench *bench, json_t **result, peft_error *error)
{
    int ends[2];
    if (pipe(ends) != 0) return fail_to_start(error);
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return fail_to_start(error);
    }
    if (child == 0) {
        json_t *found = measure_here(bench);
        _exit(found && json_dumpfd(found, ends[1], JSON_COMPACT) == 0 ? 0 : 1);
    }
    close(ends[1]);
    return read_result(ends[0], child, result, error);
}

/* The cases are --sequences and its half and its quarter, layers stored and computed again. */
enum { SIZES = 3 };

static peft_status measure_all(peft_bench *bench, json_t *cases, peft_error *error)
{
    peft_train_options *train = bench->job.train;
    peft_status status = PEFT_OK;
    for (int64_t size = 1 << (SIZES - 1); size >= 1; size /= 2) {
        train->batch_size = bench->options->sequences / size;
        if (!train->batch_size) continue;
        for (int again = 0; again < 2 && status == PEFT_OK; again++) {
            json_t *result = NULL;
            train->checkpoint_layers = again;
            status = measure_apart(bench, &result, error);
            if (status == PEFT_OK) status = peft_bench_advance(bench, error);
            json_array_append_new(cases, result);
        }
    }
    return status;
}

static int64_t num_cases(int64_t sequences)
{
    int64_t sizes = 0;
    for (int64_t size = 1; size < 1 << SIZES; size *= 2) sizes += sequences / size > 0;
    return 2 * sizes;
}

static peft_status measure(peft_bench *bench, json_t **document, peft_error *error)
{
    json_t *cases = json_array();
    if (!cases) return peft_fail(error, PEFT_ERR_MEMORY, "memory: out of memory");
    peft_bench_begin(bench, "memory", "runs", num_cases(bench->options->sequences));
    peft_status status = measure_all(bench, cases, error);
    peft_bench_end(bench);
    if (status == PEFT_OK)
        *document =
            json_pack("{s:s, s:s, s:s, s:I, s:O, s:O, s:o}", "bench", "memory", "model", bench->name, "variant",
                      bench->options->job.variant, "length", (json_int_t)bench->options->length, "cases", cases, "cpu",
                      json_object_get(json_array_get(cases, 0), "cpu"), "versions", peft_machine_versions());
    json_decref(cases);
    return status;
}

/* ---- showing ---- */

static peft_status print(const json_t *document, FILE *out, peft_error *error)
{
    static const char *const headings[] = {
        "sequences", "tokens", "layers", "planned MB", "measured MB", "measured / planned", "mapped files MB"};
    const double megabyte = 1e6;
    peft_text_table table;
    peft_text_table_init(&table, headings, sizeof headings / sizeof *headings);
    size_t k;
    json_t *c;
    json_array_foreach(json_object_get(document, "cases"), k, c)
    {
        double planned = peft_document_number(c, "planned_bytes"), found = peft_document_number(c, "measured_bytes");
        bool again = json_is_true(json_object_get(c, "checkpoint_layers"));
        peft_text_table_cell(&table, "%lld", peft_document_integer(c, "sequences"));
        peft_text_table_cell(&table, "%lld", peft_document_integer(c, "tokens"));
        peft_text_table_cell(&table, "%s", again ? "computed again" : "stored");
        peft_text_table_cell(&table, "%.1f", planned / megabyte);
        peft_text_table_cell(&table, "%.1f", found / megabyte);
        peft_text_table_cell(&table, "%.3f", found / planned);
        peft_text_table_cell(&table, "%.1f", peft_document_number(c, "mapped_bytes") / megabyte);
    }
    fprintf(out, "%s, %s, backend %s, type %s\n\n", peft_document_text(document, "model", "?"),
            peft_document_text(document, "variant", "?"),
            peft_document_text(json_object_get(document, "cpu"), "backend", "?"),
            peft_document_text(json_object_get(document, "cpu"), "dtype", "?"));
    peft_status status = peft_text_table_print(&table, out, error);
    peft_text_table_free(&table);
    return status;
}

const peft_bench_subject peft_bench_memory = {.name = "memory", .runs_model = true, .measure = measure, .print = print};
