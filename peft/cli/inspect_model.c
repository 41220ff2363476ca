/* peft/cli/inspect_model.c - a model folder: sizes, and the modules that an adapter can be put on. */
#include <string.h>

#include "models/model.h"
#include "peft/cli/document.h"
#include "peft/cli/inspect.h"
#include "peft/cli/table.h"
#include "variants/module_name.h"

/* ---- the document ---- */

static json_t *files_json(const peft_model *model)
{
    json_t *files = json_array();
    for (size_t k = 0; k < peft_model_num_files(model); k++) {
        const char *path = peft_model_file(model, k);
        json_array_append_new(files, json_pack("{s:s, s:I}", "path", path, "bytes", peft_inspect_file_bytes(path)));
    }
    return files;
}

static json_t *linears_json(peft_model *model)
{
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    json_t *list = json_array();
    for (int64_t k = 0; k < count; k++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "module", linears[k].module, "in_features",
                                              (json_int_t)linears[k].in_features, "out_features",
                                              (json_int_t)linears[k].out_features));
    return list;
}

/* Of the file: a head that it lacks is not counted. */
static void count_weights(peft_model *model, int64_t *tensors, int64_t *parameters)
{
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    *tensors = *parameters = 0;
    for (int64_t k = 0; k < count; k++) {
        if (!peft_model_has_trained_head(model) && peft_module_lies_in(weights[k].name, peft_model_head(model)))
            continue;
        *parameters += peft_shape_count(&weights[k].shape);
        ++*tensors;
    }
}

static peft_status describe(const peft_inspection *what, json_t **document, peft_error *error)
{
    const char *folder = what->folder;
    peft_model *model;
    peft_status status = peft_model_open(&model, folder, NULL, error);
    if (status != PEFT_OK) return status;
    int64_t tensors, parameters;
    count_weights(model, &tensors, &parameters);
    *document = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:o, s:o}", "type", peft_model_type(model), "layers",
        (json_int_t)peft_model_num_layers(model), "hidden_size", (json_int_t)peft_model_hidden_size(model),
        "vocab_size", (json_int_t)peft_model_vocab_size(model), "max_length", (json_int_t)peft_model_max_length(model),
        "tensors", (json_int_t)tensors, "parameters", (json_int_t)parameters, "trained_head",
        (int)peft_model_has_trained_head(model), "num_labels", (json_int_t)peft_model_num_labels(model), "files",
        files_json(model), "linear_modules", linears_json(model));
    peft_model_close(model);
    return *document ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
}

/* ---- the text ---- */

/* "bert.encoder.layer.10.output.dense" as "bert.encoder.layer.*.output.dense" */
static void without_numbers(const char *module, char *pattern, size_t bytes)
{
    size_t used = 0;
    while (*module && used + 1 < bytes) {
        size_t digits = strspn(module, "0123456789");
        bool whole = digits && (used == 0 || pattern[used - 1] == '.') && (!module[digits] || module[digits] == '.');
        if (whole) {
            pattern[used++] = '*';
            module += digits;
        } else {
            pattern[used++] = *module++;
        }
    }
    pattern[used] = '\0';
}

enum { MAX_PATTERN = 320 };

static bool same_kind(const json_t *a, const json_t *b)
{
    char first[MAX_PATTERN], second[MAX_PATTERN];
    without_numbers(peft_document_text(a, "module", ""), first, sizeof first);
    without_numbers(peft_document_text(b, "module", ""), second, sizeof second);
    return strcmp(first, second) == 0 &&
           peft_document_integer(a, "in_features") == peft_document_integer(b, "in_features") &&
           peft_document_integer(a, "out_features") == peft_document_integer(b, "out_features");
}

/* Modules like number `index`; 0 where an earlier one is like it, which has counted it. */
static size_t count_kind(const json_t *linears, size_t index)
{
    const json_t *one = json_array_get(linears, index);
    size_t count = 0;
    for (size_t k = 0; k < json_array_size(linears); k++) {
        if (!same_kind(json_array_get(linears, k), one)) continue;
        if (k < index) return 0;
        count++;
    }
    return count;
}

static peft_status print_linears(const json_t *linears, FILE *out, peft_error *error)
{
    static const char *const headings[] = {"linear modules", "count", "in", "out"};
    peft_text_table table;
    peft_text_table_init(&table, headings, sizeof headings / sizeof headings[0]);
    for (size_t k = 0; k < json_array_size(linears); k++) {
        const json_t *one = json_array_get(linears, k);
        size_t count = count_kind(linears, k);
        char pattern[MAX_PATTERN];
        if (!count) continue;
        without_numbers(peft_document_text(one, "module", ""), pattern, sizeof pattern);
        peft_text_table_cell(&table, "%s", pattern);
        peft_text_table_cell(&table, "%zu", count);
        peft_text_table_cell(&table, "%lld", peft_document_integer(one, "in_features"));
        peft_text_table_cell(&table, "%lld", peft_document_integer(one, "out_features"));
    }
    peft_status status = peft_text_table_print(&table, out, error);
    peft_text_table_free(&table);
    return status;
}

static peft_status print(const json_t *document, FILE *out, peft_error *error)
{
    fprintf(out, "model: %s, %lld layers of %lld, %lld word pieces, up to %lld tokens\n",
            peft_document_text(document, "type", ""), peft_document_integer(document, "layers"),
            peft_document_integer(document, "hidden_size"), peft_document_integer(document, "vocab_size"),
            peft_document_integer(document, "max_length"));
    fprintf(out, "%lld tensors, %lld parameters, ", peft_document_integer(document, "tensors"),
            peft_document_integer(document, "parameters"));
    if (json_is_true(json_object_get(document, "trained_head")))
        fprintf(out, "a head for %lld labels\n", peft_document_integer(document, "num_labels"));
    else
        fputs("no trained head\n", out);
    size_t index;
    json_t *file;
    json_array_foreach(json_object_get(document, "files"), index, file)
        fprintf(out, "%s: %lld bytes\n", peft_document_text(file, "path", ""), peft_document_integer(file, "bytes"));
    putc('\n', out);
    return print_linears(json_object_get(document, "linear_modules"), out, error);
}

const peft_inspector peft_inspect_model = {
    .kind = "model", .files = {"config.json"}, .describe = describe, .print = print};
