/* peft/cli/bench/gemm.c - `peft bench gemm`: matrix products of models' shapes beside the machine's peak. */
#include <string.h>

#include "peft/cli/bench/bench.h"
#include "peft/cli/bench/shape.h"
#include "peft/cli/document.h"
#include "peft/cli/table.h"
#include "peft/machine.h"

/* ---- which products ---- */

typedef struct entry {
    const char *model;
    peft_product product;
    int64_t layers; /* that have this shape */
} entry;

enum { MAX_ENTRIES = 64, MAX_DTYPES = 4 };

typedef struct entries {
    entry items[MAX_ENTRIES];
    int count;
} entries;

/* Layers of this shape. A model has a handful of shapes, so that the list is long enough. */
static void add(entries *list, const char *model, int64_t in_features, int64_t out_features, int64_t layers)
{
    for (int k = 0; k < list->count; k++) {
        entry *e = &list->items[k];
        if (e->model != model || e->product.in_features != in_features || e->product.out_features != out_features)
            continue;
        e->layers += layers;
        return;
    }
    if (list->count < MAX_ENTRIES) list->items[list->count++] = (entry){model, {0, in_features, out_features}, layers};
}

static void add_shape(entries *list, const peft_bench_shape *shape)
{
    enum { ATTENTION = 4 }; /* query, key, value, output */
    add(list, shape->name, shape->hidden, shape->hidden, ATTENTION * shape->layers);
    add(list, shape->name, shape->hidden, shape->intermediate, shape->layers);
    add(list, shape->name, shape->intermediate, shape->hidden, shape->layers);
}

static peft_status add_model(entries *list, const char *folder, peft_error *error)
{
    peft_model *model;
    peft_status status = peft_model_open(&model, folder, NULL, error);
    if (status != PEFT_OK) return status;
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(model, &count);
    for (int64_t k = 0; k < count; k++)
        if (peft_bench_sees_tokens(&linears[k])) add(list, folder, linears[k].in_features, linears[k].out_features, 1);
    peft_model_close(model);
    return PEFT_OK;
}

static peft_status collect(const peft_bench *bench, entries *list, peft_error *error)
{
    const char *wanted = bench->options->shape;
    if (bench->job.model) return add_model(list, bench->job.model, error);
    const peft_bench_shape *shape;
    for (size_t k = 0; (shape = peft_bench_shape_at(k)); k++)
        if (!wanted || strcmp(shape->name, wanted) == 0) add_shape(list, shape);
    return PEFT_OK;
}

/* ---- measuring ---- */

static json_t *entry_json(const entry *e, peft_dtype dtype, const peft_product_speed *speed, double peak)
{
    const double giga = 1e9;
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "model", e->model, "dtype",
                     peft_bench_dtype_name(dtype), "in_features", (json_int_t)e->product.in_features, "out_features",
                     (json_int_t)e->product.out_features, "layers", (json_int_t)e->layers, "forward_gflops",
                     speed->forward / giga, "forward_share", speed->forward / peak, "backward_gflops",
                     speed->backward / giga, "backward_share", speed->backward / peak);
}

static peft_status measure_entries(peft_bench *bench, const entries *list, peft_context *ctx, double peak,
                                   json_t *products, peft_error *error)
{
    const peft_bench_options *o = bench->options;
    for (int k = 0; k < list->count; k++) {
        peft_product product = list->items[k].product;
        product.rows = o->sequences * o->length;
        peft_product_speed speed;
        peft_status status = peft_product_measure(ctx, &product, &speed, error);
        if (status == PEFT_OK) status = peft_bench_advance(bench, error);
        if (status != PEFT_OK) return status;
        json_array_append_new(products, entry_json(&list->items[k], peft_context_dtype(ctx), &speed, peak));
    }
    return PEFT_OK;
}

static peft_status measure_dtype(peft_bench *bench, peft_dtype dtype, const entries *list, peft_bench_limits *limits,
                                 json_t *products, json_t **cpu, peft_error *error)
{
    peft_context *ctx;
    peft_status status = peft_bench_context_open(bench, dtype, &ctx, error);
    if (status != PEFT_OK) return status;
    status = peft_bench_limits_measure(ctx, limits, error);
    if (status == PEFT_OK) status = peft_bench_advance(bench, error);
    if (status == PEFT_OK) status = measure_entries(bench, list, ctx, limits->peak[dtype], products, error);
    if (!*cpu) *cpu = peft_machine_cpu(ctx);
    peft_context_close(ctx);
    return status;
}

/* The type that was asked for, or all that this machine has with the backend. */
static int choose_dtypes(const peft_bench *bench, peft_dtype dtypes[MAX_DTYPES])
{
    int count = 0;
    for (int k = 0; peft_dtype_choices[k] && count < MAX_DTYPES; k++) {
        peft_dtype dtype = peft_dtype_chosen(peft_dtype_choices[k]);
        const char *wanted = bench->options->dtype;
        peft_context *ctx = NULL;
        bool taken = wanted ? strcmp(wanted, peft_dtype_choices[k]) == 0
                            : dtype == PEFT_F32 || peft_bench_context_open(bench, dtype, &ctx, NULL) == PEFT_OK;
        peft_context_close(ctx);
        if (taken) dtypes[count++] = dtype;
    }
    return count;
}

static peft_status measure(peft_bench *bench, json_t **document, peft_error *error)
{
    int64_t rows = bench->options->sequences * bench->options->length;
    entries list = {.count = 0};
    peft_dtype dtypes[MAX_DTYPES];
    int num_dtypes = choose_dtypes(bench, dtypes);
    peft_bench_limits limits = {.bandwidth = 0};
    json_t *products = json_array(), *cpu = NULL;
    peft_status status = collect(bench, &list, error);
    peft_bench_begin(bench, "gemm", "products", num_dtypes * (list.count + 1));
    for (int k = 0; k < num_dtypes && status == PEFT_OK; k++)
        status = measure_dtype(bench, dtypes[k], &list, &limits, products, &cpu, error);
    peft_bench_end(bench);
    if (status != PEFT_OK) {
        json_decref(products);
        json_decref(cpu);
        return status;
    }
    *document = json_pack("{s:s, s:I, s:o, s:o, s:o, s:o}", "bench", "gemm", "rows", (json_int_t)rows, "limits",
                          peft_bench_limits_json(&limits), "products", products, "cpu", cpu, "versions",
                          peft_machine_versions());
    return PEFT_OK;
}

/* ---- showing ---- */

static peft_status print(const json_t *document, FILE *out, peft_error *error)
{
    static const char *const headings[] = {"model",         "out x in", "layers",       "type",
                                           "x W^T GFLOP/s", "of peak",  "dy W GFLOP/s", "of peak"};
    const double percent = 100;
    peft_text_table table;
    peft_text_table_init(&table, headings, sizeof headings / sizeof *headings);
    size_t k;
    json_t *p;
    json_array_foreach(json_object_get(document, "products"), k, p)
    {
        peft_text_table_cell(&table, "%s", peft_document_text(p, "model", "?"));
        peft_text_table_cell(&table, "%lld x %lld", peft_document_integer(p, "out_features"),
                             peft_document_integer(p, "in_features"));
        peft_text_table_cell(&table, "%lld", peft_document_integer(p, "layers"));
        peft_text_table_cell(&table, "%s", peft_document_text(p, "dtype", "?"));
        peft_text_table_cell(&table, "%.0f", peft_document_number(p, "forward_gflops"));
        peft_text_table_cell(&table, "%.0f %%", percent * peft_document_number(p, "forward_share"));
        peft_text_table_cell(&table, "%.0f", peft_document_number(p, "backward_gflops"));
        peft_text_table_cell(&table, "%.0f %%", percent * peft_document_number(p, "backward_share"));
    }
    const json_t *cpu = json_object_get(document, "cpu");
    fprintf(out, "%s, %lld threads, backend %s, %lld rows\n", peft_document_text(cpu, "model", "?"),
            peft_document_integer(cpu, "threads"), peft_document_text(cpu, "backend", "?"),
            peft_document_integer(document, "rows"));
    peft_bench_limits_print(json_object_get(document, "limits"), out);
    fputc('\n', out);
    peft_status status = peft_text_table_print(&table, out, error);
    peft_text_table_free(&table);
    return status;
}

const peft_bench_subject peft_bench_gemm = {.name = "gemm", .measure = measure, .print = print};
