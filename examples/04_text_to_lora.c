/* examples/04_text_to_lora.c - Text-to-LoRA in small: a library of tasks with their adapters, a generator that learns
 * to make these from descriptions, and the adapter of a task that it has not seen.
 *
 * A task turns the layer W into W + d_1 U_1 + d_2 U_2, with U of rank one; the numbers d_1 and d_2 are its description,
 * as an encoder would make them of a text. Each task of the library has a LoRA of rank 2 with this update, written with
 * factors of its own, as training would leave them: (B G, G^-1 A) for some G. The loss looks at B A alone.
 *
 *     cc 04_text_to_lora.c $(pkg-config --cflags --libs peft)  */
#include <math.h>
#include <peft/peft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 12, OUT = 10, RANK = 2, DESCRIPTION = 3, TASKS = 48, STEPS = 4000 };

static float u[2][OUT], v[2][IN];
static float descriptions[TASKS * DESCRIPTION]; /* the third number is always 1 */

/* Everything below fails the same way: print the library's message and stop. */
static void check(peft_status status, const peft_error *error)
{
    if (status == PEFT_OK) return;
    fprintf(stderr, "%s\n", error->message);
    exit(EXIT_FAILURE);
}

static void make_tasks(void)
{
    peft_random_normal(u[0], 2 * OUT, 0, 0.5, 1, peft_stream("u"));
    peft_random_normal(v[0], 2 * IN, 0, 0.5, 1, peft_stream("v"));
    peft_random_uniform(descriptions, TASKS * DESCRIPTION, -1, 1, 1, peft_stream("descriptions"));
    for (int task = 0; task < TASKS; task++) descriptions[task * DESCRIPTION + 2] = 1;
}

static peft_adapters *make_adapters(void)
{
    peft_error error = {0};
    const peft_variant *lora = peft_variant_find("lora");
    void *options = malloc(lora->options_bytes);
    check(peft_variant_options_init(lora, options, &error), &error);
    check(peft_options_set_text(lora->options, options, "rank", "2", &error), &error);
    check(peft_options_set_text(lora->options, options, "alpha", "2", &error), &error); /* the scale is 1 */
    const peft_layer layer = {"layer", IN, OUT};
    peft_adapters *adapters;
    check(peft_adapters_create(&adapters, lora, options, &layer, 1, 0, &error), &error);
    peft_options_free(lora->options, options);
    free(options);
    return adapters;
}

/* The LoRA of a task: A = G^-1 [v_1; v_2], B = [d_1 u_1, d_2 u_2] G, with G a rotation that differs from task to task.
 */
static void set_adapter(peft_adapters *adapters, const float *d, double angle)
{
    float *A = peft_value_set_find(&adapters->set, "layer.lora_A.weight")->data;
    float *B = peft_value_set_find(&adapters->set, "layer.lora_B.weight")->data;
    const float c = (float)cos(angle), s = (float)sin(angle);
    for (int i = 0; i < IN; i++) {
        A[i] = c * v[0][i] + s * v[1][i];
        A[IN + i] = c * v[1][i] - s * v[0][i];
    }
    for (int o = 0; o < OUT; o++) {
        B[o * RANK] = c * d[0] * u[0][o] + s * d[1] * u[1][o];
        B[o * RANK + 1] = c * d[1] * u[1][o] - s * d[0] * u[0][o];
    }
}

static void open_network(peft_t2l *net, peft_adapters *adapters)
{
    peft_error error = {0};
    peft_t2l_options options;
    check(peft_options_init(peft_t2l_option_table, &options, &error), &error);
    check(peft_options_set_text(peft_t2l_option_table, &options, "start", "random", &error), &error);
    options.latent_size = 32;
    options.head_size = 64;
    options.dropout = 0;
    check(peft_t2l_create(net, &options, adapters, DESCRIPTION, 1, &error), &error);
    peft_options_free(peft_t2l_option_table, &options);
    printf("network    %lld parameters\n", (long long)net->set.num_trained);
}

static void train(const peft_t2l *net, const peft_library *library)
{
    peft_error error = {0};
    peft_context *ctx;
    peft_train_options options;
    peft_trainer trainer;
    peft_objective objective;
    peft_reconstruction reconstruction = {.net = net,
                                          .library = library,
                                          .loss = PEFT_T2L_PRODUCT_SQUARED,
                                          .num_descriptions = TASKS,
                                          .vectors = descriptions};
    const peft_value_set *sets[] = {&net->set};
    check(peft_context_open(&ctx, NULL, &error), &error);
    check(peft_options_init(peft_train_option_table, &options, &error), &error);
    options.steps = STEPS;
    options.batch_size = 16;
    options.learning_rate = 2e-3;
    options.weight_decay = 0;
    check(peft_reconstruction_objective(&reconstruction, &objective, &error), &error);
    check(peft_trainer_open(&trainer, &options, ctx, sets, 1, &objective, &error), &error);
    while (trainer.step < trainer.num_steps) {
        peft_step_record record;
        check(peft_trainer_step(&trainer, &record, &error), &error);
        if (record.step % 500 == 0) printf("step %4d  loss %.7f\n", (int)record.step, record.loss);
    }
    peft_trainer_close(&trainer);
    peft_reconstruction_free(&reconstruction);
    peft_options_free(peft_train_option_table, &options);
    peft_context_close(ctx);
}

/* Squared difference of the adapter's update from that of a description, of an update of the size 1. */
static double error_of_update(const peft_adapters *adapters, const float *d)
{
    peft_error error = {0};
    float update[OUT * IN] = {0};
    double off = 0, size = 0;
    check(peft_adapter_merge(&adapters->layers[0], update, NULL, &error), &error);
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < IN; i++) {
            double wanted = (double)(d[0] * u[0][o] * v[0][i] + d[1] * u[1][o] * v[1][i]);
            off += (wanted - (double)update[o * IN + i]) * (wanted - (double)update[o * IN + i]);
            size += wanted * wanted;
        }
    return off / size;
}

typedef struct request {
    peft_generator *generator;
    const float *description;
    const char *folder;
    double off;
} request;

static peft_status made(void *argument, int64_t index, peft_error *error)
{
    request *r = argument;
    (void)index;
    r->off = error_of_update(peft_generator_adapters(r->generator), r->description);
    return peft_generator_write(r->generator, r->folder, error);
}

/* As `peft generate` does it: from the generator's folder to an adapter's. */
static double generate(const char *generator, const float *description, const char *folder)
{
    peft_error error = {0};
    peft_context *ctx;
    request r = {.description = description, .folder = folder};
    double cosine;
    check(peft_context_open(&ctx, NULL, &error), &error);
    check(peft_generator_open(&r.generator, generator, &error), &error);
    check(peft_generator_make(r.generator, ctx, description, 1, made, &r, &error), &error);
    int64_t nearest = peft_generator_nearest(r.generator, description, &cosine);
    printf("nearest    %s, cosine %.3f\n", peft_generator_task_at(r.generator, nearest)->name, cosine);
    peft_generator_close(r.generator);
    peft_context_close(ctx);
    return r.off;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "text-to-lora";
    static const float unseen[DESCRIPTION] = {0.5F, -0.6F, 1};
    static char names[TASKS][16], generator[1024], adapter[1024];
    peft_generator_task tasks[TASKS];
    peft_error error = {0};
    peft_t2l net;
    peft_library library;
    make_tasks();
    peft_adapters *adapters = make_adapters();
    open_network(&net, adapters);
    check(peft_library_create(&library, &net.places, TASKS, &error), &error);
    for (int task = 0; task < TASKS; task++) {
        snprintf(names[task], sizeof names[task], "task %d", task);
        tasks[task] = (peft_generator_task){names[task], "two numbers"};
        set_adapter(adapters, descriptions + task * DESCRIPTION, task);
        peft_library_put(&library, task);
    }
    train(&net, &library);

    snprintf(generator, sizeof generator, "%s/generator", folder);
    snprintf(adapter, sizeof adapter, "%s/adapter", folder);
    const peft_generator_about about = {.tasks = tasks, .num_tasks = TASKS, .vectors = descriptions};
    check(peft_generator_save(generator, &net, NULL, NULL, &about, &error), &error);
    double off = generate(generator, unseen, adapter);
    printf("unseen     error %.6f of the update\nadapter in %s\n", off, adapter);

    peft_library_free(&library);
    peft_t2l_free(&net);
    peft_adapters_free(adapters);
    return off < 0.05 ? EXIT_SUCCESS : EXIT_FAILURE;
}
