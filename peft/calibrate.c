#include "peft/calibrate.h"

#include <stdlib.h>
#include <string.h>

#include "ops/linear_algebra.h"
#include "ops/ops.h"
#include "ops/side.h"
#include "peft/inject.h"
#include "peft/task_objective.h"
#include "variants/redistribute.h"

/* What is seen of layers `first` ... `end` - 1 in one pass. */
typedef struct pass {
    const peft_calibration *c;
    const peft_trace_wish *wish;
    peft_adapters *probes; /* stand in for the adapters: [num_layers] */
    int64_t first, end;
    peft_trace *traces; /* of these layers */
    double *memory;     /* of the traces */
    double *rows;       /* a batch's inputs of one layer in double, for each that is worked on at a time */
    int64_t row_capacity, row_numbers; /* of all, of one */
    peft_graph *g;
    peft_task_objective task; /* what is looked at is its loss, without dropout */
    uint32_t *order;
} pass;

/* ---- probes ----
 *
 * A probe stands in a layer's place as an adapter would, so that the model hands it the layer's input: of all tokens,
 * since it is not by_token, and as a product with the layer's own weight, since it has none to give. It has no values,
 * no options and no files, and is in no registry: of the table of a variant it needs `forward` alone. */

/* The pass that the probes of a model are for stands in place of their options. */
static bool is_watched(const peft_adapter *probe)
{
    const pass *p = probe->all->options;
    int64_t layer = probe - probe->all->layers;
    return layer >= p->first && layer < p->end;
}

/* The plain layer, of which the pass sees the inputs or the weight's gradient when it is its turn. */
static peft_tensor *probe_forward(peft_graph *g, const peft_adapter *probe, const peft_base_linear *base,
                                  peft_tensor *x, const peft_batch *batch)
{
    (void)batch;
    float *gradient = probe->values[0].gradient;
    if (!is_watched(probe)) return peft_base_forward(g, base, x);
    if (!gradient) {
        peft_graph_observe(g, probe->module, "input", x);
        return peft_base_forward(g, base, x);
    }
    peft_tensor *W = peft_weight_leaf_with_gradient(g, base->weight, gradient);
    return peft_linear(g, x, W, base->bias ? peft_weight_leaf(g, base->bias) : NULL);
}

static const peft_variant probe_variant = {.name = "probe", .forward = probe_forward};

static peft_status make_probes(const peft_adapters *adapters, peft_adapters *probes, peft_error *error)
{
    *probes = (peft_adapters){.variant = &probe_variant, .num_layers = adapters->num_layers};
    probes->layers = calloc((size_t)adapters->num_layers, sizeof *probes->layers);
    if (!probes->layers) return peft_fail(error, PEFT_ERR_MEMORY, "start values: out of memory");
    for (int64_t l = 0; l < adapters->num_layers; l++) {
        const peft_adapter *a = &adapters->layers[l];
        probes->layers[l] = (peft_adapter){
            .all = probes, .module = a->module, .in_features = a->in_features, .out_features = a->out_features};
    }
    return PEFT_OK;
}

/* ---- one pass ---- */

/* Numbers in double that a layer's trace takes. */
static int64_t numbers_of(const pass *p, const peft_adapter *probe)
{
    int64_t in = probe->in_features, out = probe->out_features;
    return p->wish->kind == PEFT_TRACE_INPUTS ? in * in + in : (in * out + 1) / 2;
}

/* And what decomposing it takes (variants/lora_start_data.c), the work memory of LAPACK included. */
static int64_t numbers_to_decompose(const pass *p, const peft_adapter *probe)
{
    int64_t in = probe->in_features, out = probe->out_features, k = in < out ? in : out;
    int64_t svd = in * out + (in + out + 1) * k + k * (4 * k + 7);
    return p->wish->kind == PEFT_TRACE_INPUTS ? 3 * in * in + in * out + in * k + svd : svd;
}

/* As many layers as fit below the limit, at least one. */
static int64_t choose_layers(pass *p)
{
    enum { USUAL_LIMIT = 32 << 20 };
    int64_t limit = p->c->most_numbers ? p->c->most_numbers : USUAL_LIMIT, numbers = 0;
    for (p->end = p->first; p->end < p->probes->num_layers; p->end++) {
        int64_t next = numbers_of(p, &p->probes->layers[p->end]);
        if (p->end > p->first && numbers + next > limit) break;
        numbers += next;
    }
    return numbers;
}

static void place_traces(pass *p)
{
    double *next = p->memory;
    for (int64_t l = p->first; l < p->end; l++) {
        peft_adapter *probe = &p->probes->layers[l];
        peft_trace *trace = &p->traces[l - p->first];
        *trace = (peft_trace){0};
        if (p->wish->kind == PEFT_TRACE_INPUTS) {
            trace->sum = next;
            trace->moments = next + probe->in_features;
        } else {
            trace->gradient = probe->values[0].gradient = (float *)next;
        }
        next += numbers_of(p, probe);
    }
}

/* Examples of all batches, from the first of the training on. */
static int64_t num_examples(const pass *p)
{
    int64_t wanted = p->wish->batches * p->c->options->batch_size;
    return wanted < p->c->train->count ? wanted : p->c->train->count;
}

/* How many layers are worked on at a time, and which of so many places is that of one. */
static int64_t places(const pass *p)
{
    int64_t layers = p->end - p->first, threads = peft_context_threads(p->c->ctx);
    return threads < layers ? threads : layers;
}

static int64_t place_of(const pass *p, int64_t layer, int thread)
{
    return places(p) < p->end - p->first ? thread : layer - p->first;
}

static peft_status reserve_rows(pass *p, int64_t tokens, peft_error *error)
{
    int64_t widest = 0;
    for (int64_t l = p->first; l < p->end; l++)
        if (p->probes->layers[l].in_features > widest) widest = p->probes->layers[l].in_features;
    p->row_numbers = tokens * widest;
    int64_t numbers = places(p) * p->row_numbers;
    if (numbers <= p->row_capacity) return PEFT_OK;
    free(p->rows);
    p->rows = malloc((size_t)numbers * sizeof *p->rows);
    p->row_capacity = p->rows ? numbers : 0;
    return p->rows ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "start values: out of memory");
}

static void add_inputs(const peft_tensor *x, const float *values, double *rows, peft_trace *trace)
{
    int64_t tokens = x->shape.size[0], in = x->shape.size[1];
    for (int64_t k = 0; k < tokens * in; k++) rows[k] = (double)values[k];
    for (int64_t k = 0; k < tokens * in; k++) trace->sum[k % in] += rows[k];
    peft_product(in, in, tokens, rows, true, rows, false, 1, trace->moments);
    trace->tokens += tokens;
}

/* What one layer observed. */
static void add_observed(void *argument, int64_t piece, int thread)
{
    const pass *p = argument;
    const peft_side_value *seen;
    const int64_t layer = p->first + piece;
    double *rows = p->rows + place_of(p, layer, thread) * p->row_numbers;
    for (int32_t k = 0; (seen = peft_graph_observation_at(p->g, k)); k++) {
        const void *values;
        if (seen->where != p->probes->layers[layer].module) continue;
        if (peft_graph_read(p->g, seen->tensor, &values, NULL) == PEFT_OK) /* once more: as before */
            add_inputs(seen->tensor, values, rows, &p->traces[piece]);
    }
}

static peft_status add_all_observed(pass *p, peft_error *error)
{
    const peft_side_value *seen;
    peft_status status = PEFT_OK;
    int64_t tokens = 0;
    for (int32_t k = 0; (seen = peft_graph_observation_at(p->g, k)) && status == PEFT_OK; k++) {
        const void *values;
        status = peft_graph_read(p->g, seen->tensor, &values, error);
        if (seen->tensor->shape.size[0] > tokens) tokens = seen->tensor->shape.size[0];
    }
    if (status == PEFT_OK && tokens > 0) status = reserve_rows(p, tokens, error);
    if (status == PEFT_OK && tokens > 0) peft_context_loop(p->c->ctx, p->end - p->first, add_observed, p);
    return status;
}

static peft_status run_batch(pass *p, int64_t first, int64_t size, peft_error *error)
{
    const peft_calibration *c = p->c;
    peft_status status = peft_tokens_gather(c->train, p->order + first, size, &p->task.memory, error);
    if (status) return status;
    peft_graph_reset(p->g);
    peft_tensor *loss = peft_task_loss(p->g, &p->task, (double)num_examples(p));
    status = peft_graph_status(p->g, error);
    if (status == PEFT_OK && p->wish->kind == PEFT_TRACE_GRADIENT) status = peft_graph_differentiate(p->g, loss, error);
    if (status == PEFT_OK) status = peft_graph_run(p->g, p->c->ctx, error);
    if (status == PEFT_OK) status = peft_graph_wait(p->g, error);
    return status == PEFT_OK ? add_all_observed(p, error) : status;
}

static peft_status look(pass *p, size_t *bytes, peft_error *error)
{
    int64_t numbers = choose_layers(p);
    p->memory = calloc((size_t)numbers, sizeof *p->memory);
    p->traces = calloc((size_t)(p->end - p->first), sizeof *p->traces);
    if (!p->memory || !p->traces) return peft_fail(error, PEFT_ERR_MEMORY, "start values: out of memory");
    place_traces(p);
    peft_status status = PEFT_OK;
    for (int64_t first = 0; first < num_examples(p) && status == PEFT_OK; first += p->c->options->batch_size) {
        int64_t left = num_examples(p) - first, size = p->c->options->batch_size;
        status = run_batch(p, first, left < size ? left : size, error);
    }
    int64_t most = 0;
    for (int64_t l = p->first; l < p->end; l++) {
        int64_t next = numbers_to_decompose(p, &p->probes->layers[l]);
        if (next > most) most = next;
    }
    size_t taken =
        (size_t)(numbers + p->row_capacity + places(p) * most) * sizeof(double) + peft_context_bytes(p->c->ctx);
    if (taken > *bytes) *bytes = taken;
    return status;
}

static void forget(pass *p)
{
    for (int64_t l = p->first; l < p->end; l++) {
        p->probes->layers[l].values[0].gradient = NULL;
    }
    free(p->memory);
    free(p->traces);
    p->memory = NULL;
    p->traces = NULL;
}

/* ---- all layers ---- */

static peft_status open_pass(pass *p, peft_error *error)
{
    const peft_calibration *c = p->c;
    p->order = malloc((size_t)c->train->count * sizeof *p->order);
    if (!p->order) return peft_fail(error, PEFT_ERR_MEMORY, "start values: out of memory");
    p->task = (peft_task_objective){
        .model = c->model, .options = c->options, .tokens = c->train, .regression = c->regression};
    peft_tokens_order(p->order, c->train->count, (uint64_t)c->options->seed, 0);
    peft_status status = peft_graph_create(&p->g, error);
    if (status == PEFT_OK) peft_graph_set_context(p->g, p->c->ctx);
    return status;
}

static void close_pass(pass *p)
{
    peft_graph_free(p->g);
    peft_batch_memory_free(&p->task.memory);
    free(p->order);
    free(p->rows);
}

static const peft_base_linear *base_of(const peft_calibration *c, const char *module)
{
    int64_t count;
    const peft_linear_layer *linears = peft_model_linears(c->model, &count);
    for (int64_t i = 0; i < count; i++)
        if (strcmp(linears[i].module, module) == 0) return &linears[i].base;
    return NULL;
}

/* Start values of the layers that a pass has seen, each from its own trace. */
typedef struct setting {
    const pass *pass;
    peft_adapters *adapters;
    double **worth;     /* of each of these layers */
    peft_error *errors; /* of each of these layers */
} setting;

static void set_layer(void *argument, int64_t piece, int thread)
{
    const setting *s = argument;
    const pass *p = s->pass;
    peft_adapter *a = &s->adapters->layers[p->first + piece];
    (void)thread;
    peft_adapter_init_from_trace(a, base_of(p->c, a->module), &p->traces[piece], s->worth[piece], &s->errors[piece]);
}

/* The first error in the order of the layers, whichever came first. */
static peft_status first_error(const setting *s, int64_t count, peft_error *error)
{
    for (int64_t k = 0; k < count; k++)
        if (s->errors[k].status != PEFT_OK) return peft_fail(error, s->errors[k].status, "%s", s->errors[k].message);
    return PEFT_OK;
}

/* *worth: of the directions of these layers and, after them, of others. */
static peft_status set_seen(const pass *p, peft_adapters *adapters, double **worth, peft_error *error)
{
    int64_t count = p->end - p->first;
    setting s = {p, adapters, calloc((size_t)count, sizeof *s.worth), calloc((size_t)count, sizeof *s.errors)};
    peft_status status =
        s.worth && s.errors ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "start values: out of memory");
    for (int64_t k = 0; k < count && status == PEFT_OK; k++) {
        s.worth[k] = *worth;
        *worth += adapters->layers[p->first + k].rank;
    }
    if (status == PEFT_OK) {
        peft_context_loop(p->c->ctx, count, set_layer, &s);
        status = first_error(&s, count, error);
    }
    free(s.worth);
    free(s.errors);
    return status;
}

/* Start values of all layers of `adapters`; worth: of their directions, one layer after another. */
static peft_status set_layers(pass *p, peft_adapters *adapters, double *worth, size_t *bytes, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (; p->first < adapters->num_layers && status == PEFT_OK; p->first = p->end) {
        status = look(p, bytes, error);
        if (status == PEFT_OK) status = set_seen(p, adapters, &worth, error);
        forget(p);
    }
    return status;
}

static peft_status look_at_all(const peft_calibration *c, const peft_trace_wish *wish, peft_adapters *adapters,
                               double *worth, size_t *bytes, peft_error *error)
{
    peft_adapters probes;
    peft_status status = make_probes(adapters, &probes, error);
    if (status) return status;
    pass p = {.c = c, .wish = wish, .probes = &probes};
    probes.options = &p;
    status = open_pass(&p, error);
    if (status == PEFT_OK) status = peft_attach(c->model, &probes, error);
    if (status == PEFT_OK) status = set_layers(&p, adapters, worth, bytes, error);
    peft_detach(c->model, &probes);
    close_pass(&p);
    free(probes.layers);
    return status;
}

static double *allocate_worth(const peft_adapters *adapters, peft_error *error)
{
    int64_t count = 0;
    for (int64_t l = 0; l < adapters->num_layers; l++) count += adapters->layers[l].rank;
    double *worth = calloc((size_t)count + 1, sizeof *worth);
    if (!worth) peft_fail(error, PEFT_ERR_MEMORY, "start values: out of memory");
    return worth;
}

/* Looks at wider adapters, and makes *shared of the best of their directions. */
static peft_status share(const peft_calibration *c, const peft_trace_wish *wish, const peft_adapters *adapters,
                         peft_adapters **shared, size_t *bytes, peft_error *error)
{
    peft_adapters *wide;
    peft_status status = peft_adapters_widen(adapters, wish->widening, &wide, error);
    double *worth = status == PEFT_OK ? allocate_worth(wide, error) : NULL;
    if (status == PEFT_OK && !worth) status = PEFT_ERR_MEMORY;
    if (status == PEFT_OK) status = look_at_all(c, wish, wide, worth, bytes, error);
    if (status == PEFT_OK) status = peft_adapters_share_ranks(adapters, wide, worth, shared, error);
    if (status == PEFT_OK) status = peft_init_from_base(c->model, *shared, (uint64_t)c->options->seed, error);
    peft_adapters_free(wide);
    free(worth);
    return status;
}

static peft_status set_in_place(const peft_calibration *c, const peft_trace_wish *wish, peft_adapters *adapters,
                                size_t *bytes, peft_error *error)
{
    double *worth = allocate_worth(adapters, error);
    if (!worth) return PEFT_ERR_MEMORY;
    peft_status status = look_at_all(c, wish, adapters, worth, bytes, error);
    free(worth);
    return status;
}

peft_status peft_calibrate(const peft_calibration *c, peft_adapters **adapters, size_t *bytes, peft_error *error)
{
    peft_trace_wish wish = peft_adapters_trace_wish(*adapters);
    *bytes = 0;
    if (wish.kind == PEFT_TRACE_NOTHING) return PEFT_OK;
    peft_adapters *shared = NULL;
    peft_detach(c->model, *adapters);
    peft_status status = wish.widening > 1 ? share(c, &wish, *adapters, &shared, bytes, error)
                                           : set_in_place(c, &wish, *adapters, bytes, error);
    if (status == PEFT_OK && shared) {
        peft_adapters_free(*adapters);
        *adapters = shared;
    } else {
        peft_adapters_free(shared);
    }
    peft_status attached = peft_attach(c->model, *adapters, status == PEFT_OK ? error : NULL);
    return status == PEFT_OK ? attached : status;
}
