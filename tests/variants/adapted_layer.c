#include "tests/variants/adapted_layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

enum { SEED = 5 };

static float *noise(int64_t count, uint64_t salt)
{
    float *values = malloc((size_t)count * sizeof *values + 1);
    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < count; i++) values[i] = (float)op_noise(salt * 1000003 + (uint64_t)i);
    return values;
}

static void set_option(const peft_variant *variant, void *options, const char *name, const char *value)
{
    peft_error error = {0};
    if (!peft_options_find(variant->options, name)) return;
    ck_assert_msg(!peft_options_set_text(variant->options, options, name, value, &error), "%s", error.message);
}

static void set_texts(const peft_variant *variant, void *options, const char *text)
{
    char copy[512], *rest;
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    for (char *name = strtok_r(copy, ";", &rest); name; name = strtok_r(NULL, ";", &rest)) {
        char *equals = strchr(name, '=');
        *equals = '\0';
        ck_assert_msg(peft_options_find(variant->options, name) != NULL, "%s has no option %s", variant->name, name);
        set_option(variant, options, name, equals + 1);
    }
}

static void set_options(const peft_variant *variant, void *options, const layer_case *sizes, const char *text)
{
    char value[64];
    ck_assert(!peft_options_init(variant->options, options, NULL));
    snprintf(value, sizeof value, "%lld", (long long)sizes->rank);
    set_option(variant, options, "rank", value);
    snprintf(value, sizeof value, "%.17g", sizes->alpha);
    set_option(variant, options, "alpha", value);
    set_texts(variant, options, text);
}

peft_status adapters_open(peft_adapters **all, const peft_variant *variant, const peft_layer *layers, int64_t count,
                          const char *text, peft_error *error)
{
    void *options = calloc(1, variant->options_bytes);
    ck_assert(!peft_options_init(variant->options, options, NULL));
    set_texts(variant, options, text);
    peft_status status = peft_adapters_create(all, variant, options, layers, count, SEED, error);
    peft_options_free(variant->options, options);
    free(options);
    return status;
}

static void open_base(adapted_layer *l)
{
    const layer_case *s = &l->sizes;
    l->weight_data = noise(s->out_features * s->in_features, 1);
    l->bias_data = noise(s->out_features, 2);
    l->x = noise(s->tokens * s->in_features, 3);
    l->target = noise(s->tokens * s->out_features, 4);
    l->embeddings = noise(s->tokens * s->in_features, 5);
    l->vectors = noise(LAYER_SEQUENCES * s->in_features, 6);
    l->weight = (peft_weight){
        .name = "weight", .shape = peft_shape_2(s->out_features, s->in_features), .stored.data = l->weight_data};
    l->bias = (peft_weight){.name = "bias", .shape = peft_shape_1(s->out_features), .stored.data = l->bias_data};
    l->base = (peft_base_linear){&l->weight, &l->bias};
    int64_t sequences = s->tokens > 1 ? LAYER_SEQUENCES : 1;
    l->starts[1] = 1;
    l->starts[sequences] = (int32_t)s->tokens;
    l->batch = (peft_batch){.num_tokens = s->tokens,
                            .num_sequences = sequences,
                            .starts = l->starts,
                            .training = true,
                            .vectors = l->vectors,
                            .vector_size = s->in_features};
}

void layer_open(adapted_layer *l, const peft_variant *variant, layer_case sizes, const char *text)
{
    peft_error error = {0};
    *l = (adapted_layer){.sizes = sizes};
    open_base(l);
    ck_assert_msg(!peft_variant_check(variant, &error), "%s", error.message);
    void *options = calloc(1, variant->options_bytes);
    set_options(variant, options, &sizes, text);
    peft_layer layer = {"model.layer.0.query", sizes.in_features, sizes.out_features};
    ck_assert_msg(!peft_adapters_create(&l->all, variant, options, &layer, 1, SEED, &error), "%s: rank %lld: %s",
                  variant->name, (long long)sizes.rank, error.message);
    l->adapter = &l->all->layers[0];
    ck_assert_msg(!peft_adapter_init_from_base(l->adapter, &l->base, SEED, &error), "%s: %s", layer_text(l),
                  error.message);
    peft_options_free(variant->options, options);
    free(options);
}

const char *layer_text(const adapted_layer *l)
{
    static char text[256];
    const layer_case *s = &l->sizes;
    snprintf(text, sizeof text, "%s, %lld to %lld, rank %lld, %lld tokens", l->all->variant->name,
             (long long)s->in_features, (long long)s->out_features, (long long)s->rank, (long long)s->tokens);
    return text;
}

void layer_close(adapted_layer *l)
{
    peft_adapters_free(l->all);
    free(l->weight_data);
    free(l->bias_data);
    free(l->x);
    free(l->target);
    free(l->embeddings);
    free(l->vectors);
}

static peft_status shake(void *argument, const char *module, peft_value *value, peft_error *error)
{
    const adapted_layer *l = argument;
    (void)module;
    (void)error;
    if (!value->gradient) return PEFT_OK;
    double factor = value->spec.learning_rate_factor > 0 ? value->spec.learning_rate_factor : 1;
    uint64_t first = 77 + (uint64_t)(value->data - l->all->set.memory);
    for (int64_t i = 0; i < peft_shape_count(&value->spec.shape); i++)
        value->data[i] += (float)(0.5 * factor * op_noise(first + (uint64_t)i));
    return PEFT_OK;
}

void layer_shake(adapted_layer *l)
{
    peft_adapters_each_value(l->all, shake, l, NULL);
}

static peft_context *open_context(int threads, const char *backend)
{
    peft_context *ctx;
    peft_error error = {0};
    peft_context_options options = {.threads = threads, .backend = backend, .seed = 9};
    ck_assert_msg(!peft_context_open(&ctx, &options, &error), "%s", error.message);
    return ctx;
}

static peft_graph *open_graph(void)
{
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, NULL));
    return g;
}

static void run(const adapted_layer *l, peft_graph *g, peft_context *ctx)
{
    peft_error error = {0};
    ck_assert_msg(!peft_graph_status(g, &error), "%s: %s", layer_text(l), error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s: %s", layer_text(l), error.message);
}

peft_tensor *layer_forward(peft_graph *g, const adapted_layer *l)
{
    peft_shape inputs = peft_shape_2(l->sizes.tokens, l->sizes.in_features);
    peft_batch_set_embeddings(g, &l->batch, peft_constant(g, PEFT_F32, inputs, l->embeddings, "embeddings"));
    peft_tensor *x = peft_constant(g, PEFT_F32, inputs, l->x, "x");
    return peft_adapter_forward(g, l->adapter, &l->base, x, &l->batch);
}

bool layer_has_weight(const adapted_layer *l)
{
    peft_graph *g = open_graph();
    bool has = peft_adapter_weight(g, l->adapter, &l->base, &l->batch) != NULL;
    peft_error error = {0};
    ck_assert_msg(!peft_graph_status(g, &error), "%s: %s", layer_text(l), error.message);
    peft_graph_free(g);
    return has;
}

static peft_tensor *by_weight(peft_graph *g, const adapted_layer *l)
{
    peft_tensor *V = peft_adapter_weight(g, l->adapter, &l->base, &l->batch);
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(l->sizes.tokens, l->sizes.in_features), l->x, "x");
    return peft_linear(g, x, V, peft_weight_leaf(g, l->base.bias));
}

static float *output_of(const adapted_layer *l, int threads,
                        peft_tensor *(*describe)(peft_graph *g, const adapted_layer *l))
{
    peft_context *ctx = open_context(threads, NULL);
    peft_graph *g = open_graph();
    peft_tensor *y = peft_graph_keep(g, describe(g, l));
    run(l, g, ctx);
    size_t bytes = (size_t)(l->sizes.tokens * l->sizes.out_features) * sizeof(float);
    float *output = malloc(bytes);
    ck_assert_ptr_nonnull(output);
    memcpy(output, read_values(g, y), bytes);
    peft_graph_free(g);
    peft_context_close(ctx);
    return output;
}

float *layer_output(const adapted_layer *l, int threads)
{
    return output_of(l, threads, layer_forward);
}

float *layer_output_by_weight(const adapted_layer *l)
{
    return output_of(l, 1, by_weight);
}

/* ---- in double ---- */

/* The trained values and x as one row of doubles, with its gradient; and double copies of all else that is read. */
typedef struct doubles {
    const adapted_layer *layer;
    peft_graph *g;
    double *row, *gradient;
    int64_t used;
    double *frozen[PEFT_MAX_VALUES * 2 + 5];
    int num_frozen;
} doubles;

int64_t layer_num_coordinates(const adapted_layer *l)
{
    return l->all->set.num_trained + l->sizes.tokens * l->sizes.in_features;
}

static double *widen(const float *from, int64_t count, double *to)
{
    for (int64_t i = 0; i < count; i++) to[i] = (double)from[i];
    return to;
}

static double *reserve(doubles *d, int64_t count)
{
    double *copy = malloc((size_t)count * sizeof *copy + 1);
    ck_assert_ptr_nonnull(copy);
    return d->frozen[d->num_frozen++] = copy;
}

static peft_tensor *as_constant(doubles *d, peft_shape shape, const float *data)
{
    int64_t count = peft_shape_count(&shape);
    return peft_constant(d->g, PEFT_F64, shape, widen(data, count, reserve(d, count)), "constant");
}

static peft_tensor *as_parameter(doubles *d, peft_shape shape)
{
    int64_t at = d->used;
    d->used += peft_shape_count(&shape);
    return peft_parameter(d->g, PEFT_F64, shape, d->row + at, d->gradient + at, "parameter");
}

/* Trained values stand in the row in the order of the walk, as they do in the memory of the adapters. */
static peft_status bind_value(void *argument, const char *module, peft_value *value, peft_error *error)
{
    doubles *d = argument;
    (void)module;
    (void)error;
    bool trained = value->spec.kind == PEFT_VALUE_TRAINED;
    peft_graph_bind(d->g, value,
                    trained ? as_parameter(d, value->spec.shape) : as_constant(d, value->spec.shape, value->data));
    return PEFT_OK;
}

static void fill_row(doubles *d, int64_t index, double step)
{
    const adapted_layer *l = d->layer;
    size_t bytes = (size_t)layer_num_coordinates(l) * sizeof(double);
    d->row = malloc(bytes);
    d->gradient = calloc(1, bytes);
    ck_assert(d->row && d->gradient);
    widen(l->all->set.memory, l->all->set.num_trained, d->row);
    widen(l->x, l->sizes.tokens * l->sizes.in_features, d->row + l->all->set.num_trained);
    if (index >= 0) d->row[index] += step;
}

static peft_tensor *describe_loss(doubles *d)
{
    const adapted_layer *l = d->layer;
    peft_adapters_each_value(l->all, bind_value, d, NULL);
    peft_graph_bind(d->g, &l->weight, as_constant(d, l->weight.shape, l->weight_data));
    peft_graph_bind(d->g, &l->bias, as_constant(d, l->bias.shape, l->bias_data));
    peft_shape inputs = peft_shape_2(l->sizes.tokens, l->sizes.in_features);
    peft_shape vectors = peft_shape_2(l->batch.num_sequences, l->sizes.in_features);
    peft_batch_set_embeddings(d->g, &l->batch, as_constant(d, inputs, l->embeddings));
    peft_graph_bind(d->g, &l->batch.vectors, as_constant(d, vectors, l->vectors));
    peft_tensor *x = as_parameter(d, inputs);
    peft_tensor *y = peft_adapter_forward(d->g, l->adapter, &l->base, x, &l->batch);
    peft_tensor *target = as_constant(d, peft_shape_2(l->sizes.tokens, l->sizes.out_features), l->target);
    return peft_graph_keep(d->g, peft_graph_total_loss(d->g, peft_mse(d->g, y, target, 0), 1));
}

static double evaluate(const adapted_layer *l, int64_t index, double step, double **gradient)
{
    peft_context *ctx = open_context(1, "portable");
    doubles d = {.layer = l, .g = open_graph()};
    fill_row(&d, index, step);
    peft_tensor *loss = describe_loss(&d);
    peft_error error = {0};
    if (gradient) ck_assert_msg(!peft_graph_differentiate(d.g, loss, &error), "%s: %s", layer_text(l), error.message);
    run(l, d.g, ctx);
    double value = *(const double *)read_values(d.g, loss);
    if (gradient)
        *gradient = d.gradient;
    else
        free(d.gradient);
    free(d.row);
    while (d.num_frozen > 0) free(d.frozen[--d.num_frozen]);
    peft_graph_free(d.g);
    peft_context_close(ctx);
    return value;
}

double layer_loss_at(const adapted_layer *l, int64_t index, double step)
{
    return evaluate(l, index, step, NULL);
}

double *layer_gradient(const adapted_layer *l)
{
    double *gradient;
    evaluate(l, -1, 0, &gradient);
    return gradient;
}

void layer_check_gradient(const adapted_layer *l)
{
    /* A central difference in double with this step is off by some 1e-10 times the third derivative, and by 1e-11 from
     * rounding. */
    const double step = 1e-5, tolerance = 1e-6;
    double *gradient = layer_gradient(l);
    for (int64_t k = 0; k < layer_num_coordinates(l); k++) {
        double numeric = (layer_loss_at(l, k, step) - layer_loss_at(l, k, -step)) / (2 * step);
        ck_assert_msg(fabs(numeric - gradient[k]) <= tolerance * (1 + fabs(gradient[k])),
                      "%s: coordinate %lld of %lld: difference %.12g, backward %.12g", layer_text(l), (long long)k,
                      (long long)layer_num_coordinates(l), numeric, gradient[k]);
    }
    free(gradient);
}

double largest_difference(const float *a, const float *b, int64_t count)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)a[i] - (double)b[i]));
    return largest;
}

double largest_value(const float *a, int64_t count)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)a[i]));
    return largest;
}
