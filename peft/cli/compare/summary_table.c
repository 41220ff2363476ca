#include "peft/cli/compare/summary_table.h"

#include <math.h>
#include <string.h>

#include "peft/cli/table.h"

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static double number_of(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static bool same(const json_t *a, const json_t *b, const char *key)
{
    return strcmp(text_of(a, key), text_of(b, key)) == 0;
}

/* The first metric of a task and variant is the one that counts. */
static bool counts(const json_t *summary, size_t index)
{
    const json_t *row = json_array_get(summary, index), *before = index ? json_array_get(summary, index - 1) : NULL;
    return !before || !same(row, before, "task") || !same(row, before, "variant");
}

static bool is_best(const json_t *summary, const json_t *row)
{
    for (size_t i = 0; i < json_array_size(summary); i++) {
        const json_t *other = json_array_get(summary, i);
        if (same(row, other, "task") && same(row, other, "metric") && number_of(other, "mean") > number_of(row, "mean"))
            return false;
    }
    return true;
}

static void add_row(peft_text_table *table, const json_t *row, bool bold)
{
    const double megabyte = 1e6;
    peft_text_table_cell(table, "%s", text_of(row, "task"));
    peft_text_table_cell(table, "%s", text_of(row, "variant"));
    peft_text_table_cell(table, "%s", text_of(row, "metric"));
    peft_text_table_mean(table, number_of(row, "mean"), number_of(row, "standard_deviation"), 3);
    if (bold) peft_text_table_bold(table);
    peft_text_table_cell(table, "%.0f", number_of(row, "n"));
    peft_text_table_cell(table, "%.0f", number_of(row, "trainable_parameters"));
    peft_text_table_cell(table, "%.0f", number_of(row, "peak_memory_bytes") / megabyte);
    peft_text_table_cell(table, "%.1f", number_of(row, "train_seconds"));
    peft_text_table_cell(table, "%g", number_of(row, "learning_rate"));
}

peft_status peft_compare_print(const json_t *summary, peft_output *output, peft_error *error)
{
    static const char *const headings[] = {"task",       "variant", "metric",  "mean ± sd",    "runs",
                                           "parameters", "peak MB", "s a run", "learning rate"};
    peft_text_table table;
    peft_text_table_init(&table, headings, sizeof headings / sizeof headings[0]);
    for (size_t i = 0; i < json_array_size(summary); i++) {
        const json_t *row = json_array_get(summary, i);
        if (counts(summary, i)) add_row(&table, row, output->bold && is_best(summary, row));
    }
    peft_status status = peft_text_table_print(&table, output->results, error);
    peft_text_table_free(&table);
    return status;
}
