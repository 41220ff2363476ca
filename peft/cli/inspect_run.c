/* peft/cli/inspect_run.c - a run folder: what came out, and how the loss went. */
#include <stdlib.h>

#include "io/file.h"
#include "io/json.h"
#include "peft/cli/document.h"
#include "peft/cli/inspect.h"
#include "peft/cli/json_lines.h"
#include "peft/cli/run_summary.h"
#include "peft/run_json.h"

/* ---- log.jsonl ---- */

typedef struct losses {
    double *values;
    size_t count, capacity;
    int64_t last_step;
    json_t *evaluations;
} losses;

static bool add_loss(losses *l, double loss)
{
    if (l->count == l->capacity) {
        size_t larger = l->capacity ? 2 * l->capacity : 1024;
        double *values = realloc(l->values, larger * sizeof *values);
        if (!values) return false;
        l->values = values;
        l->capacity = larger;
    }
    l->values[l->count++] = loss;
    return true;
}

static bool read_line(void *argument, json_t *line)
{
    losses *l = argument;
    const json_t *loss = json_object_get(line, "loss"), *step = json_object_get(line, "step");
    if (json_is_integer(step) && json_integer_value(step) > l->last_step) l->last_step = json_integer_value(step);
    if (json_is_number(loss) && !add_loss(l, json_number_value(loss))) return false;
    return !json_object_get(line, "metrics") || json_array_append(l->evaluations, line) == 0;
}

/* The curve in at most `points` means of equal stretches. */
static json_t *curve(const losses *l, size_t points)
{
    json_t *means = json_array();
    size_t count = l->count < points ? l->count : points;
    for (size_t k = 0; k < count; k++) {
        size_t begin = l->count * k / count, end = l->count * (k + 1) / count;
        double sum = 0;
        for (size_t i = begin; i < end; i++) sum += l->values[i];
        json_array_append_new(means, json_real(sum / (double)(end - begin)));
    }
    return means;
}

static peft_status describe_log(const char *path, json_t *document, peft_error *error)
{
    enum { POINTS = 48 };
    losses l = {.evaluations = json_array()};
    peft_status status = l.evaluations ? peft_json_lines_read(path, read_line, &l, error)
                                       : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    if (status == PEFT_OK) {
        json_t *log = json_pack("{s:I, s:O, s:o}", "last_step", (json_int_t)l.last_step, "evaluations", l.evaluations,
                                "loss_curve", curve(&l, POINTS));
        if (json_object_set_new(document, "log", log) != 0)
            status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    }
    json_decref(l.evaluations);
    free(l.values);
    return status;
}

/* ---- the document ---- */

static peft_status describe_summary(const char *path, json_t *document, peft_error *error)
{
    json_t *summary;
    peft_status status = peft_json_load(path, &summary, error);
    if (status == PEFT_OK) status = peft_run_json_check(summary, path, error);
    if (status != PEFT_OK) {
        json_decref(summary);
        return status;
    }
    if (json_object_set_new(document, "summary", summary) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
}

static peft_status add_part(const char *folder, const char *name, json_t *document,
                            peft_status (*part)(const char *path, json_t *document, peft_error *error),
                            peft_error *error)
{
    char *path;
    peft_status status = peft_path_join(folder, name, &path, error);
    if (status == PEFT_OK && peft_file_exists(path)) status = part(path, document, error);
    free(path);
    return status;
}

static peft_status describe(const peft_inspection *what, json_t **document, peft_error *error)
{
    const char *folder = what->folder;
    *document = json_pack("{s:n, s:n}", "summary", "log");
    if (!*document) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
    peft_status status = add_part(folder, "run.json", *document, describe_summary, error);
    if (status == PEFT_OK) status = add_part(folder, "log.jsonl", *document, describe_log, error);
    if (status == PEFT_OK) return PEFT_OK;
    json_decref(*document);
    *document = NULL;
    return status;
}

/* ---- the text ---- */

static void print_curve(const json_t *means, FILE *out)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    enum { NUM_BARS = sizeof bars / sizeof bars[0] };
    size_t count = json_array_size(means), index;
    if (!count) return;
    double least = json_number_value(json_array_get(means, 0)), most = least;
    json_t *mean;
    json_array_foreach(means, index, mean)
    {
        if (json_number_value(mean) < least) least = json_number_value(mean);
        if (json_number_value(mean) > most) most = json_number_value(mean);
    }
    double half_range = most / 2 - least / 2; /* the difference of two large numbers may be infinite */
    fputs("loss ", out);
    json_array_foreach(means, index, mean)
    {
        double height = half_range > 0 ? (json_number_value(mean) / 2 - least / 2) / half_range : 0;
        fputs(bars[(int)(height * (NUM_BARS - 1) + 0.5)], out);
    }
    fprintf(out, " %.4f -> %.4f\n", json_number_value(json_array_get(means, 0)),
            json_number_value(json_array_get(means, count - 1)));
}

static void print_evaluation(const json_t *evaluation, FILE *out)
{
    const char *name;
    json_t *value;
    fprintf(out, "step %lld, %s:", peft_document_integer(evaluation, "step"),
            peft_document_text(evaluation, "split", "?"));
    json_object_foreach(json_object_get(evaluation, "metrics"), name, value)
        fprintf(out, " %s %.4f", name, json_number_value(value));
    putc('\n', out);
}

static peft_status print(const json_t *document, FILE *out, peft_error *error)
{
    (void)error;
    const json_t *summary = json_object_get(document, "summary"), *log = json_object_get(document, "log");
    fputs("run: ", out);
    if (json_is_object(summary))
        peft_run_summary_print(summary, out);
    else
        fprintf(out, "not finished; %lld steps done\n", peft_document_integer(log, "last_step"));
    print_curve(json_object_get(log, "loss_curve"), out);
    size_t index;
    json_t *evaluation;
    json_array_foreach(json_object_get(log, "evaluations"), index, evaluation) print_evaluation(evaluation, out);
    return PEFT_OK;
}

const peft_inspector peft_inspect_run = {
    .kind = "run", .files = {"run.json", "log.jsonl"}, .describe = describe, .print = print};
