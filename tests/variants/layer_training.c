#include "tests/variants/layer_training.h"

#include <string.h>

#include "ops/ops.h"

typedef struct listing {
    peft_optimizer_parameter *list;
    size_t count;
    int64_t floats; /* of all values */
} listing;

static peft_status add_value(void *argument, const char *module, peft_value *value, peft_error *error)
{
    const double weight_decay = 0.01;
    listing *l = argument;
    (void)module;
    (void)error;
    int64_t count = peft_shape_count(&value->spec.shape);
    l->floats += count;
    if (value->gradient && l->list)
        l->list[l->count++] =
            (peft_optimizer_parameter){value->data, value->gradient, count, 1, value->spec.no_decay ? 0 : weight_decay};
    return PEFT_OK;
}

static listing list_values(const layer_training *t, peft_optimizer_parameter *list)
{
    listing l = {.list = list};
    peft_adapters_each_value(t->layer.all, add_value, &l, NULL);
    return l;
}

void training_open(layer_training *t, const peft_variant *variant, layer_case sizes, const char *text, int threads)
{
    peft_optimizer_parameter list[2 * PEFT_MAX_VALUES];
    *t = (layer_training){.threads = threads, .rate = 0.01};
    layer_open(&t->layer, variant, sizes, text);
    listing l = list_values(t, list);
    ck_assert(!peft_optimizer_create(&t->optimizer, NULL, l.list, l.count, NULL));
}

void training_close(layer_training *t)
{
    peft_optimizer_free(t->optimizer);
    layer_close(&t->layer);
}

static void compute_gradients(layer_training *t, int64_t step)
{
    const adapted_layer *l = &t->layer;
    const layer_case *s = &l->sizes;
    peft_error error = {0};
    peft_graph *g;
    peft_context *ctx;
    const peft_context_options options = {.threads = t->threads, .backend = t->backend, .seed = 9};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, &options, &error));
    peft_context_set_step(ctx, step);
    peft_tensor *y = layer_forward(g, l);
    peft_tensor *target = peft_constant(g, PEFT_F32, peft_shape_2(s->tokens, s->out_features), l->target, "target");
    peft_tensor *loss = peft_graph_total_loss(g, peft_mse(g, y, target, 0), 1);
    peft_value_set_zero_gradients(&l->all->set);
    ck_assert_msg(!peft_graph_status(g, &error), "%s: %s", layer_text(l), error.message);
    ck_assert_msg(!peft_graph_differentiate(g, loss, &error) && !peft_graph_run(g, ctx, &error), "%s: %s",
                  layer_text(l), error.message);
    peft_graph_free(g);
    peft_context_close(ctx);
}

void training_run(layer_training *t, int64_t first, int64_t last, int64_t num_steps)
{
    peft_error error = {0};
    for (int64_t step = first; step <= last; step++) {
        compute_gradients(t, step - 1);
        ck_assert(!peft_optimizer_step(t->optimizer, t->rate, &error));
        const peft_training_step done = {step, num_steps, t->rate};
        ck_assert_msg(!peft_adapters_after_step(t->layer.all, &done, &error), "%s: step %lld: %s",
                      layer_text(&t->layer), (long long)step, error.message);
    }
}

static size_t bytes_of_values(const layer_training *t)
{
    return (size_t)list_values(t, NULL).floats * sizeof(float);
}

void training_resume(layer_training *t, const layer_training *other)
{
    peft_optimizer_parameter list[2 * PEFT_MAX_VALUES];
    listing l = list_values(t, list);
    memcpy(t->layer.all->set.memory, other->layer.all->set.memory, bytes_of_values(t));
    for (size_t p = 0; p < l.count; p++)
        for (int which = 0; which < 2; which++)
            memcpy(peft_optimizer_state(t->optimizer, p, which), peft_optimizer_state(other->optimizer, p, which),
                   (size_t)l.list[p].count * sizeof(float));
    peft_optimizer_set_steps(t->optimizer, peft_optimizer_steps(other->optimizer));
}

bool training_same(const layer_training *a, const layer_training *b)
{
    return memcmp(a->layer.all->set.memory, b->layer.all->set.memory, bytes_of_values(a)) == 0;
}
