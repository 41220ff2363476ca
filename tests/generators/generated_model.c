#include "tests/generators/generated_model.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/rng.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"
#include "tests/variants/adapted_layer.h"

static const peft_layer layers[MODEL_LAYERS] = {{"model.layers.0.query", MODEL_IN, 5},
                                                {"model.layers.0.up", MODEL_IN, MODEL_MOST},
                                                {"model.layers.1.query", MODEL_IN, 5},
                                                {"model.layers.1.up", MODEL_IN, MODEL_MOST}};

static void fill(float *values, int64_t count, uint64_t salt)
{
    for (int64_t i = 0; i < count; i++) values[i] = (float)op_noise(salt * 1000003 + (uint64_t)i);
}

int num_variants(void)
{
    int count = 0;
    while (peft_variant_at((size_t)count)) count++;
    return count;
}

/* By default DoRA's backward is not the derivative of its forward (variants/dora.c). */
static const char *settings_of(const peft_variant *variant)
{
    if (strcmp(variant->name, "dora") == 0) return "rank=2;norm_gradient=full";
    return peft_options_find(variant->options, "rank") ? "rank=2" : NULL;
}

peft_status net_open(peft_t2l *net, peft_adapters *adapters, const char *text, int64_t vector_size, peft_error *error)
{
    peft_t2l_options options;
    char copy[512], *rest;
    ck_assert(!peft_options_init(peft_t2l_option_table, &options, error));
    options.latent_size = 8;
    options.head_size = 7;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *name = strtok_r(copy, ";", &rest); name; name = strtok_r(NULL, ";", &rest)) {
        char *equals = strchr(name, '=');
        *equals = '\0';
        ck_assert_msg(!peft_options_set_text(peft_t2l_option_table, &options, name, equals + 1, error), "%s",
                      error->message);
    }
    peft_status status = peft_t2l_create(net, &options, adapters, vector_size, 3, error);
    peft_options_free(peft_t2l_option_table, &options);
    return status;
}

static void open_base(generated_model *m)
{
    fill(m->x, MODEL_TOKENS * MODEL_IN, 1);
    fill(m->vectors, MODEL_TASKS * MODEL_VECTOR, 2);
    for (int s = 0; s <= MODEL_TASKS; s++) m->starts[s] = s * MODEL_LENGTH;
    for (int l = 0; l < MODEL_LAYERS; l++) {
        const int64_t out = layers[l].out_features;
        fill(m->weights[l], out * MODEL_IN, 10 + (uint64_t)l);
        fill(m->biases[l], out, 20 + (uint64_t)l);
        fill(m->targets[l], MODEL_TOKENS * out, 30 + (uint64_t)l);
        m->weight[l] =
            (peft_weight){.name = "weight", .shape = peft_shape_2(out, MODEL_IN), .stored.data = m->weights[l]};
        m->bias[l] = (peft_weight){.name = "bias", .shape = peft_shape_1(out), .stored.data = m->biases[l]};
        m->base[l] = (peft_base_linear){&m->weight[l], &m->bias[l]};
    }
}

void model_open(generated_model *m, int variant, const char *text)
{
    peft_error error = {0};
    const peft_variant *v = peft_variant_at((size_t)variant);
    *m = (generated_model){0};
    open_base(m);
    ck_assert_msg(!adapters_open(&m->adapters, v, layers, MODEL_LAYERS, settings_of(v), &error), "%s", error.message);
    for (int l = 0; l < MODEL_LAYERS; l++)
        ck_assert(!peft_adapter_init_from_base(&m->adapters->layers[l], &m->base[l], 4, &error));
    ck_assert_msg(!net_open(&m->net, m->adapters, text, MODEL_VECTOR, &error), "%s: %s", v->name, error.message);
}

void model_close(generated_model *m)
{
    peft_t2l_free(&m->net);
    peft_adapters_free(m->adapters);
}

/* ---- the loss ---- */

/* Float memory as a constant of either type; wide copies are the caller's, one after another. */
typedef struct constants {
    peft_graph *g;
    peft_dtype dtype;
    double *wide;
} constants;

static double *widen(double **at, const float *data, int64_t count)
{
    double *wide = *at;
    for (int64_t i = 0; i < count; i++) wide[i] = (double)data[i];
    *at += count;
    return wide;
}

static peft_tensor *constant(constants *c, peft_shape shape, const float *data)
{
    const void *values = c->dtype == PEFT_F64 ? (const void *)widen(&c->wide, data, peft_shape_count(&shape)) : data;
    return peft_constant(c->g, c->dtype, shape, values, "constant");
}

static peft_tensor *describe_loss(constants *c, const generated_model *m, peft_tensor *vectors, bool training)
{
    static peft_batch batch;
    peft_t2l_kind_output outputs[MODEL_KINDS];
    peft_graph *g = c->g;
    batch = (peft_batch){.num_tokens = MODEL_TOKENS,
                         .num_sequences = MODEL_TASKS,
                         .starts = m->starts,
                         .training = training,
                         .vectors = m->vectors,
                         .vector_size = MODEL_VECTOR};
    peft_t2l_emit(g, &m->net, vectors, training, 0, outputs);
    peft_t2l_finish(g, &m->net, MODEL_TASKS, outputs);
    peft_t2l_bind(g, &m->net, MODEL_TASKS, outputs, training);
    peft_tensor *x = constant(c, peft_shape_2(MODEL_TOKENS, MODEL_IN), m->x), *sum = NULL;
    peft_batch_set_embeddings(g, &batch, x);
    for (int l = 0; l < MODEL_LAYERS; l++) {
        peft_tensor *target = constant(c, peft_shape_2(MODEL_TOKENS, layers[l].out_features), m->targets[l]);
        peft_tensor *loss =
            peft_mse(g, peft_adapter_forward(g, &m->adapters->layers[l], &m->base[l], x, &batch), target, 0);
        sum = sum ? peft_add(g, sum, loss) : loss;
    }
    return peft_graph_total_loss(g, sum, 1);
}

peft_tensor *model_loss(peft_graph *g, const generated_model *m, peft_tensor *vectors, peft_dtype dtype, bool training)
{
    constants c = {g, dtype, NULL};
    return describe_loss(&c, m, vectors, training);
}

/* All of the network's values in double, those that train as parameters. */
static void bind_net(constants *c, const generated_model *m, double step, uint64_t salt, double *moved,
                     double *gradient)
{
    int64_t at = 0;
    for (int64_t k = 0; k < m->net.set.count; k++) {
        const peft_value *value = m->net.set.items[k].value;
        int64_t count = peft_value_count(value);
        if (!value->gradient) {
            peft_graph_bind(c->g, value, constant(c, value->spec.shape, value->data));
            continue;
        }
        for (int64_t i = 0; i < count; i++)
            moved[at + i] = (double)value->data[i] + step * op_noise(salt * 7919 + (uint64_t)(at + i));
        peft_graph_bind(c->g, value,
                        peft_parameter(c->g, PEFT_F64, value->spec.shape, moved + at, gradient + at, "parameter"));
        at += count;
    }
}

static void bind_base(constants *c, const generated_model *m)
{
    for (int l = 0; l < MODEL_LAYERS; l++) {
        peft_graph_bind(c->g, &m->weight[l], constant(c, m->weight[l].shape, m->weights[l]));
        peft_graph_bind(c->g, &m->bias[l], constant(c, m->bias[l].shape, m->biases[l]));
    }
    for (int64_t k = 0; k < m->adapters->set.count; k++) {
        const peft_value *value = m->adapters->set.items[k].value;
        if (value->spec.kind == PEFT_VALUE_STATE)
            peft_graph_bind(c->g, value, constant(c, value->spec.shape, value->data));
    }
}

double model_loss_at(const generated_model *m, double step, uint64_t salt, double *derivative)
{
    enum { ROOM = 1 << 16 };
    peft_error error = {0};
    peft_graph *g;
    peft_context *ctx;
    const int64_t count = m->net.set.num_trained;
    double *wide = malloc(ROOM * sizeof *wide), *moved = malloc((size_t)count * sizeof *moved);
    double *gradient = calloc((size_t)count, sizeof *gradient);
    const peft_context_options options = {.threads = 1};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, &options, &error));
    constants c = {g, PEFT_F64, wide};
    bind_net(&c, m, step, salt, moved, gradient);
    bind_base(&c, m);
    peft_tensor *vectors = constant(&c, peft_shape_2(MODEL_TASKS, MODEL_VECTOR), m->vectors);
    peft_tensor *loss = peft_graph_keep(g, describe_loss(&c, m, vectors, true));
    ck_assert_msg(!peft_graph_status(g, &error), "%s: %s", m->adapters->variant->name, error.message);
    ck_assert(c.wide - wide < ROOM);
    if (derivative) ck_assert_msg(!peft_graph_differentiate(g, loss, &error), "%s", error.message);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    double value = *(const double *)read_values(g, loss);
    if (derivative) *derivative = 0;
    for (int64_t i = 0; derivative && i < count; i++) *derivative += gradient[i] * op_noise(salt * 7919 + (uint64_t)i);
    peft_graph_free(g);
    peft_context_close(ctx);
    free(wide);
    free(moved);
    free(gradient);
    return value;
}

/* ---- what is emitted ---- */

static float *copy(peft_graph *g, const peft_tensor *t)
{
    size_t bytes = (size_t)peft_shape_count(&t->shape) * sizeof(float);
    float *values = malloc(bytes + 1);
    ck_assert_ptr_nonnull(values);
    return memcpy(values, read_values(g, t), bytes);
}

void model_emit(const generated_model *m, const peft_t2l *net, const float *vectors, int64_t descriptions, int threads,
                float *tensors[MODEL_KINDS][PEFT_MAX_VALUES])
{
    peft_error error = {0};
    peft_graph *g;
    peft_context *ctx;
    const peft_context_options options = {.threads = threads};
    peft_t2l_kind_output outputs[MODEL_KINDS];
    (void)m;
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, &options, &error));
    peft_tensor *e = peft_constant(g, PEFT_F32, peft_shape_2(descriptions, net->vector_size), vectors, "vectors");
    peft_t2l_emit(g, net, e, false, 0, outputs);
    peft_t2l_finish(g, net, descriptions, outputs);
    for (int64_t k = 0; k < net->places.num_kinds; k++)
        for (int32_t v = 0; v < net->places.kinds[k].num_tensors; v++) peft_graph_keep(g, outputs[k].tensors[v]);
    ck_assert_msg(!peft_graph_status(g, &error) && !peft_graph_run(g, ctx, &error), "%s", error.message);
    memset(tensors, 0, MODEL_KINDS * sizeof *tensors);
    for (int64_t k = 0; k < net->places.num_kinds; k++)
        for (int32_t v = 0; v < net->places.kinds[k].num_tensors; v++) tensors[k][v] = copy(g, outputs[k].tensors[v]);
    peft_graph_free(g);
    peft_context_close(ctx);
}

void free_tensors(float *tensors[MODEL_KINDS][PEFT_MAX_VALUES])
{
    for (int k = 0; k < MODEL_KINDS; k++)
        for (int v = 0; v < PEFT_MAX_VALUES; v++) free(tensors[k][v]);
}
