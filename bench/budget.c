/* bench/budget.c - what importance scores cost: time of a budget's step and memory of its averages, for AdaLoRA, which
 * scores all its values, and for LoRA2, which leaves the outer planes out.
 *
 *     bench_budget [RANK [STEPS]]
 *
 * The layers are the six of each block of BERT-base. Gradients are random; forward and backward are not run. Prints one
 * JSON object a variant; times are the median and the fastest of the steps. */
#include <stdio.h>
#include <stdlib.h>

#include "ops/rng.h"
#include "peft/machine.h"
#include "variants/adapter.h"

enum { BLOCKS = 12, LAYERS = 6 * BLOCKS, HIDDEN = 768, WIDE = 3072, MOST_STEPS = 1000, NAME = 64 };

static void check(peft_status status, const peft_error *error)
{
    if (status == PEFT_OK) return;
    fprintf(stderr, "bench_budget: %s\n", error->message);
    exit(EXIT_FAILURE);
}

static peft_adapters *make_adapters(const char *name, const char *rank)
{
    static const struct {
        const char *name;
        int64_t in, out;
    } modules[] = {{"query", HIDDEN, HIDDEN},  {"key", HIDDEN, HIDDEN},        {"value", HIDDEN, HIDDEN},
                   {"output", HIDDEN, HIDDEN}, {"intermediate", HIDDEN, WIDE}, {"down", WIDE, HIDDEN}};
    static char names[LAYERS][NAME];
    peft_layer layers[LAYERS];
    for (int k = 0; k < LAYERS; k++) {
        snprintf(names[k], NAME, "layer.%d.%s", k / 6, modules[k % 6].name);
        layers[k] = (peft_layer){names[k], modules[k % 6].in, modules[k % 6].out};
    }
    peft_error error = {0};
    const peft_variant *variant = peft_variant_find(name);
    void *options = calloc(1, variant->options_bytes);
    peft_adapters *adapters;
    check(peft_options_init(variant->options, options, &error), &error);
    check(peft_options_set_text(variant->options, options, "rank", rank, &error), &error);
    if (peft_options_find(variant->options, "k"))
        check(peft_options_set_text(variant->options, options, "k", rank, &error), &error);
    check(peft_adapters_create(&adapters, variant, options, layers, LAYERS, 0, &error), &error);
    peft_options_free(variant->options, options);
    free(options);
    return adapters;
}

typedef struct counts {
    int64_t trained, state;
} counts;

static peft_status add(void *argument, const char *module, peft_value *value, peft_error *error)
{
    counts *c = argument;
    (void)module, (void)error;
    int64_t count = peft_shape_count(&value->spec.shape);
    if (value->spec.kind == PEFT_VALUE_TRAINED) c->trained += count;
    if (value->spec.kind == PEFT_VALUE_STATE) c->state += count;
    return PEFT_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, const char *rank, int64_t steps)
{
    peft_error error = {0};
    peft_adapters *adapters = make_adapters(name, rank);
    counts c = {0};
    double seconds[MOST_STEPS];
    check(peft_adapters_each_value(adapters, add, &c, &error), &error);
    peft_random_normal(adapters->set.gradients, (size_t)adapters->set.num_trained, 0, 1e-3, 1,
                       peft_stream("gradients"));
    for (int64_t step = 0; step < steps; step++) {
        const peft_training_step done = {step + 1, 10 * steps, 1e-3}; /* in the phase that scores and masks */
        double began = peft_machine_seconds();
        check(peft_adapters_after_step(adapters, &done, &error), &error);
        seconds[step] = peft_machine_seconds() - began;
    }
    qsort(seconds, (size_t)steps, sizeof *seconds, by_size);
    printf("{\"variant\": \"%s\", \"rank\": %s, \"trained\": %lld, \"averages\": %lld, \"averages_bytes\": %lld, "
           "\"median_ms\": %.3f, \"fastest_ms\": %.3f}\n",
           name, rank, (long long)c.trained, (long long)c.state, (long long)c.state * (long long)sizeof(float),
           1e3 * seconds[steps / 2], 1e3 * seconds[0]);
    peft_adapters_free(adapters);
}

int main(int argc, char **argv)
{
    const char *rank = argc > 1 ? argv[1] : "12";
    int64_t steps = argc > 2 ? strtoll(argv[2], NULL, 10) : 200;
    if (steps < 1 || steps > MOST_STEPS) steps = MOST_STEPS;
    measure("adalora", rank, steps);
    measure("lora2", rank, steps);
    return EXIT_SUCCESS;
}
