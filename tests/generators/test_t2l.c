/* The network of Text-to-LoRA with every variant as its target. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generators/t2l/internal.h"
#include "tests/generators/generated_model.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

/* Every head, and every other setting with one of them. */
static const char *const networks[] = {"head=L;start=random;bias=place",
                                       "head=M;start=random;bias=none;normalise=true",
                                       "head=S;start=random",
                                       "head=S;start=random;rank_code=rotary;bias=tensor",
                                       "head=LR;start=random;task_encoder=softmax",
                                       "head=LR;start=random;rank_code=rotary;bias=place"};
enum { NUM_NETWORKS = sizeof networks / sizeof *networks };

static double difference(const generated_model *m, double h, uint64_t salt)
{
    return model_loss_at(m, h, salt, NULL) - model_loss_at(m, -h, salt, NULL);
}

/* Of fourth order: some variants bend much within 1e-5. */
START_TEST(gradients_are_central_differences_through_network_and_variant)
{
    const double h = 1e-5;
    char text[128];
    generated_model m;
    snprintf(text, sizeof text, "%s;dropout=0", networks[_i % NUM_NETWORKS]);
    model_open(&m, _i / NUM_NETWORKS, text);
    for (uint64_t salt = 1; salt <= 2; salt++) {
        double derivative;
        model_loss_at(&m, 0, salt, &derivative);
        double numeric = (8 * difference(&m, h, salt) - difference(&m, 2 * h, salt)) / (12 * h);
        ck_assert_msg(fabs(numeric - derivative) <= 1e-6 * (1 + fabs(derivative)),
                      "%s, %s: expected %.12g, found %.12g", m.adapters->variant->name, text, numeric, derivative);
        ck_assert_double_gt(fabs(derivative), 1e-9);
    }
    model_close(&m);
}
END_TEST

static const char *const zero_starts[] = {"head=L;start=zero",
                                          "head=M;start=zero;bias=tensor",
                                          "head=S;start=zero",
                                          "head=S;start=zero;rank_code=rotary",
                                          "head=LR;start=zero;bias=place",
                                          "head=LR;start=zero;rank_code=rotary;bias=none"};

START_TEST(with_start_zero_every_description_gives_the_variants_start)
{
    generated_model m;
    float *made[MODEL_KINDS][PEFT_MAX_VALUES];
    model_open(&m, _i / NUM_NETWORKS, zero_starts[_i % NUM_NETWORKS]);
    model_emit(&m, &m.net, m.vectors, MODEL_TASKS, 2, made);
    for (int64_t k = 0; k < m.net.places.num_kinds; k++)
        for (int32_t v = 0; v < m.net.places.kinds[k].num_tensors; v++) {
            const peft_place_kind *kind = &m.net.places.kinds[k];
            const peft_place_tensor *tensor = &kind->tensors[v];
            for (int64_t row = 0; row < kind->num_places * MODEL_TASKS; row++)
                ck_assert_mem_eq(made[k][v] + row * tensor->count,
                                 peft_place_value(&m.net.places, kind, row / MODEL_TASKS, tensor)->data,
                                 (size_t)tensor->count * sizeof(float));
        }
    free_tensors(made);
    model_close(&m);
}
END_TEST

static void check_close(const generated_model *m, const char *what, const float *found, const float *expected,
                        int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)(found[i] - expected[i])) <= 2e-6 * (1 + fabs((double)expected[i])),
                      "%s: %s: element %lld: expected %.9g, found %.9g", m->adapters->variant->name, what, (long long)i,
                      (double)expected[i], (double)found[i]);
}

/* The network of one layer of the model alone, with the values of the whole. */
static void open_part(peft_t2l *part, peft_adapters **adapters, const generated_model *m, int64_t k, int64_t p,
                      const char *text)
{
    peft_error error = {0};
    const peft_place_kind *kind = &m->net.places.kinds[k];
    const peft_adapter *a = &m->adapters->layers[kind->layers[p]];
    const peft_layer layer = {a->module, a->in_features, a->out_features};
    ck_assert_msg(!peft_adapters_create(adapters, m->adapters->variant, m->adapters->options, &layer, 1, 0, &error),
                  "%s", error.message);
    ck_assert_msg(!net_open(part, *adapters, text, MODEL_VECTOR, &error), "%s", error.message);
    for (int64_t i = 0; i < part->set.count; i++) {
        const char *name = part->set.items[i].name;
        const peft_value *from = peft_net_value(&m->net.set, "%s", name);
        const int64_t count = peft_value_count(part->set.items[i].value);
        const bool by_depth = strcmp(name, "layer_depth_encoder.0.weight") == 0;
        const bool by_kind = strcmp(name, "layer_type_encoder.0.weight") == 0;
        const bool by_place = strncmp(name, "AB_offset.", 10) == 0 ||
                              (strncmp(name, "bias.", 5) == 0 && m->net.bias == PEFT_T2L_BIAS_PLACE);
        const int64_t row = by_depth ? kind->depths[p] : by_kind ? k : by_place ? p : 0;
        ck_assert_msg(from != NULL, "%s", name);
        memcpy(part->set.items[i].value->data, from->data + row * count, (size_t)count * sizeof(float));
    }
}

START_TEST(all_places_in_one_batch_are_places_one_by_one)
{
    const char *text = networks[_i % NUM_NETWORKS];
    generated_model m;
    float *made[MODEL_KINDS][PEFT_MAX_VALUES], *alone[MODEL_KINDS][PEFT_MAX_VALUES];
    model_open(&m, _i / NUM_NETWORKS, text);
    model_emit(&m, &m.net, m.vectors, MODEL_TASKS, 1, made);
    for (int64_t k = 0; k < m.net.places.num_kinds; k++)
        for (int64_t p = 0; p < m.net.places.kinds[k].num_places; p++) {
            const peft_place_kind *kind = &m.net.places.kinds[k];
            peft_adapters *adapters;
            peft_t2l part;
            if (strcmp(m.adapters->variant->name, "mola") == 0) break; /* alone, a layer has other experts */
            open_part(&part, &adapters, &m, k, p, text);
            for (int64_t n = 0; n < MODEL_TASKS; n++) {
                model_emit(&m, &part, m.vectors + n * MODEL_VECTOR, 1, 1, alone);
                for (int32_t v = 0; v < kind->num_tensors; v++)
                    check_close(&m, kind->tensors[v].name, alone[0][v],
                                made[k][v] + (p * MODEL_TASKS + n) * kind->tensors[v].count, kind->tensors[v].count);
                free_tensors(alone);
            }
            peft_t2l_free(&part);
            peft_adapters_free(adapters);
        }
    free_tensors(made);
    model_close(&m);
}
END_TEST

/* Loss and gradients of all values of a step: the caller frees them. */
static float *step_bits(generated_model *m, int threads)
{
    peft_error error = {0};
    peft_graph *g;
    peft_context *ctx;
    const peft_context_options options = {.threads = threads, .seed = 5};
    const int64_t count = m->net.set.num_trained;
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, &options, &error));
    peft_value_set_zero_gradients(&m->net.set);
    peft_tensor *vectors = peft_constant(g, PEFT_F32, peft_shape_2(MODEL_TASKS, MODEL_VECTOR), m->vectors, "vectors");
    peft_tensor *loss = peft_graph_keep(g, model_loss(g, m, vectors, PEFT_F32, true));
    ck_assert_msg(!peft_graph_status(g, &error) && !peft_graph_differentiate(g, loss, &error) &&
                      !peft_graph_run(g, ctx, &error),
                  "%s", error.message);
    float *bits = malloc((size_t)(count + 1) * sizeof *bits);
    bits[count] = *(const float *)read_values(g, loss);
    memcpy(bits, m->net.set.gradients, (size_t)count * sizeof *bits);
    peft_graph_free(g);
    peft_context_close(ctx);
    return bits;
}

START_TEST(any_number_of_threads_gives_the_same_bits)
{
    generated_model m;
    model_open(&m, _i / NUM_NETWORKS, networks[_i % NUM_NETWORKS]);
    float *one = step_bits(&m, 1);
    for (int threads = 2; threads <= 3; threads++) {
        float *other = step_bits(&m, threads);
        ck_assert_mem_eq(one, other, (size_t)(m.net.set.num_trained + 1) * sizeof *one);
        free(other);
    }
    free(one);
    model_close(&m);
}
END_TEST

START_TEST(the_gradient_of_vq_passes_by_its_table)
{
    generated_model m;
    double derivative;
    model_open(&m, 0, "task_encoder=vq;start=random");
    model_loss_at(&m, 0, 1, &derivative);
    ck_assert_double_gt(fabs(derivative), 1e-9);
    float *bits = step_bits(&m, 1);
    const peft_value *first = peft_net_value(&m.net.set, "task_encoder.mlp.0.weight");
    double size = 0;
    for (int64_t i = 0; i < peft_value_count(first); i++) size += fabs((double)first->gradient[i]);
    ck_assert_double_gt(size, 0);
    free(bits);
    model_close(&m);
}
END_TEST

static const struct {
    const char *variant, *text, *message;
} refused[] = {{"lora", "latent_size=10", "latent_size: expected a multiple of 4, found 10"},
               {"lora", "head=M;start=hyperinit", "start hyperinit: up: head M needs 18 numbers of A's start"},
               {"lora", "start=hyperinit;bias=none", "expected bias head, found none"},
               {"loha", "start=hyperinit", "start hyperinit: is made for lora, found loha"},
               {"lora", "start=zero;emits=z-score", "start zero: goes with emits plain alone"},
               {"loha", "start=random;emits=product", "emits product: is about B A of lora and rslora; found loha"},
               {"lora", "task_encoder=discrete;head=S;rank_code=rotary;start=random", NULL}};

START_TEST(settings_that_do_not_go_together_are_refused)
{
    generated_model m;
    peft_error error = {0};
    peft_t2l net;
    int variant = 0;
    while (strcmp(peft_variant_at((size_t)variant)->name, refused[_i].variant) != 0) variant++;
    model_open(&m, variant, "head=L");
    peft_status status = net_open(&net, m.adapters, refused[_i].text, MODEL_VECTOR, &error);
    if (refused[_i].message) {
        ck_assert_int_eq(status, PEFT_ERR_ARGUMENT);
        ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "%s", error.message);
    } else { /* 64 + 2 depths + 2 kinds: even */
        ck_assert_msg(!status, "%s", error.message);
        peft_t2l_free(&net);
    }
    model_close(&m);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    generated_model m;
    peft_t2l_options options;
    model_open(&m, 0, "head=L");
    ck_assert(!peft_options_init(peft_t2l_option_table, &options, NULL));
    ck_assert(!peft_options_set_text(peft_t2l_option_table, &options, "head", "S", NULL));
    ck_assert(!peft_options_set_text(peft_t2l_option_table, &options, "rank_code", "rotary", NULL));
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_t2l net;
        fail_allocation(call);
        peft_status status = peft_t2l_create(&net, &options, m.adapters, MODEL_VECTOR, 1, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        if (!status) peft_t2l_free(&net);
    }
    peft_options_free(peft_t2l_option_table, &options);
    model_close(&m);
}
END_TEST

TEST_MAIN("t2l", const int all = NUM_NETWORKS * num_variants();
          tcase_add_loop_test(tc, gradients_are_central_differences_through_network_and_variant, 0, all);
          tcase_add_loop_test(tc, with_start_zero_every_description_gives_the_variants_start, 0, all);
          tcase_add_loop_test(tc, all_places_in_one_batch_are_places_one_by_one, 0, all);
          tcase_add_loop_test(tc, any_number_of_threads_gives_the_same_bits, 0, all);
          tcase_add_test(tc, every_allocation_may_fail); tcase_add_test(tc, the_gradient_of_vq_passes_by_its_table);
          tcase_add_loop_test(tc, settings_that_do_not_go_together_are_refused, 0, sizeof refused / sizeof *refused))
