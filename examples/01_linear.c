/* examples/01_linear.c - adapts one linear layer with the caller's own arrays; no model, no files but the adapter.
 *
 * The layer's weight W stays frozen. We pretend that the right weight is W + u v^T, and let a LoRA of rank 2 find the
 * difference from examples: forward, backward, step; then save the adapter and merge it into W.
 *
 *     cc 01_linear.c $(pkg-config --cflags --libs peft)  */
#include <peft/peft.h>
#include <stdio.h>
#include <stdlib.h>

enum { IN = 24, OUT = 16, TOKENS = 64, STEPS = 300 };

static float W[OUT * IN], x[TOKENS * IN], target[TOKENS * OUT];

static void make_data(void)
{
    float u[OUT], v[IN];
    peft_random_normal(W, OUT * IN, 0, 0.2, 1, peft_stream("W"));
    peft_random_normal(u, OUT, 0, 1, 1, peft_stream("u"));
    peft_random_normal(v, IN, 0, 0.3, 1, peft_stream("v"));
    peft_random_normal(x, TOKENS * IN, 0, 1, 1, peft_stream("x"));
    for (int t = 0; t < TOKENS; t++)
        for (int o = 0; o < OUT; o++)
            for (int i = 0; i < IN; i++) target[t * OUT + o] += (W[o * IN + i] + u[o] * v[i]) * x[t * IN + i];
}

/* Everything below fails the same way: print the library's message and stop. */
static void check(peft_status status, const peft_error *error)
{
    if (status == PEFT_OK) return;
    fprintf(stderr, "%s\n", error->message);
    exit(EXIT_FAILURE);
}

/* A LoRA of rank 2 for a layer of this size. */
static peft_adapters *make_adapter(void)
{
    peft_error error = {0};
    const peft_variant *lora = peft_variant_find("lora");
    void *options = malloc(lora->options_bytes);
    check(peft_variant_options_init(lora, options, &error), &error);
    check(peft_options_set_text(lora->options, options, "rank", "2", &error), &error);
    const peft_layer layer = {"layer", IN, OUT};
    peft_adapters *adapters;
    check(peft_adapters_create(&adapters, lora, options, &layer, 1, 0, &error), &error);
    peft_options_free(lora->options, options);
    free(options);
    return adapters;
}

static peft_optimizer *make_optimizer(peft_adapters *adapters)
{
    peft_error error = {0};
    const peft_optimizer_parameter all = {adapters->set.memory, adapters->set.gradients, adapters->set.num_trained, 1,
                                          0};
    peft_optimizer *adamw;
    check(peft_optimizer_create(&adamw, NULL, &all, 1, &error), &error);
    return adamw;
}

/* The mean squared error of the adapted layer, and its gradients. */
static float forward_and_backward(peft_graph *g, peft_context *ctx, const peft_adapters *adapters)
{
    peft_error error = {0};
    const peft_weight weight = {.name = "W", .shape = peft_shape_2(OUT, IN), .stored.data = W};
    const peft_base_linear base = {&weight, NULL};
    const int32_t starts[] = {0, TOKENS};
    const peft_batch batch = {.num_tokens = TOKENS, .num_sequences = 1, .starts = starts, .training = true};

    peft_graph_reset(g);
    peft_tensor *input = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, IN), x, "x");
    peft_tensor *wanted = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, OUT), target, "target");
    peft_tensor *y = peft_adapter_forward(g, &adapters->layers[0], &base, input, &batch);
    peft_tensor *loss = peft_mse(g, y, wanted, 0);
    check(peft_graph_status(g, &error), &error);
    check(peft_graph_differentiate(g, loss, &error), &error);
    check(peft_graph_run(g, ctx, &error), &error);
    const void *value;
    check(peft_graph_read(g, loss, &value, &error), &error);
    return *(const float *)value;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "linear-adapter";
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    make_data();
    peft_adapters *adapters = make_adapter();
    peft_optimizer *adamw = make_optimizer(adapters);
    check(peft_context_open(&ctx, NULL, &error), &error);
    check(peft_graph_create(&g, &error), &error);

    float loss = 0;
    for (int step = 0; step < STEPS; step++) {
        double norm;
        peft_value_set_zero_gradients(&adapters->set);
        loss = forward_and_backward(g, ctx, adapters);
        if (step % 50 == 0) printf("step %3d   loss %.6f\n", step, (double)loss);
        check(peft_optimizer_clip(adamw, 1.0, &norm, &error), &error);
        check(peft_optimizer_step(adamw, 0.02, &error), &error);
    }
    printf("step %3d   loss %.6f\n", STEPS, (double)loss);

    check(peft_adapter_save(NULL, adapters, NULL, folder, &error), &error);
    check(peft_adapter_merge(&adapters->layers[0], W, NULL, &error), &error);
    double squares = 0;
    for (int t = 0; t < TOKENS; t++)
        for (int o = 0; o < OUT; o++) {
            double y = 0;
            for (int i = 0; i < IN; i++) y += (double)(W[o * IN + i] * x[t * IN + i]);
            squares += (y - (double)target[t * OUT + o]) * (y - (double)target[t * OUT + o]);
        }
    printf("merged     loss %.6f\nadapter in %s\n", squares / (TOKENS * OUT), folder);

    peft_optimizer_free(adamw);
    peft_adapters_free(adapters);
    peft_graph_free(g);
    peft_context_close(ctx);
    return loss < 0.01F ? EXIT_SUCCESS : EXIT_FAILURE;
}
