/* What a run takes is known before it starts. */
#include "peft/trainer.h"

#include "ops/rng.h"
#include "peft/adapter_folder.h"
#include "peft/evaluate.h"
#include "peft/inject.h"
#include "peft/task_objective.h"
#include "tests/peft/tiny_bert.h"
#include "tests/peft/trained.h"
#include "tests/support/main.h"

enum { EXAMPLES = 640, BATCH = 64, SHORTEST = 14, LENGTHS = 5, MOST = EXAMPLES * (SHORTEST + LENGTHS) };

/* Examples of 14 to 18 tokens, so that batches have some more or some less than peft_context_least_recalled_rows. */
typedef struct examples {
    peft_tokens tokens;
    int64_t offsets[EXAMPLES + 1];
    int32_t ids[MOST], types[MOST];
    int32_t classes[EXAMPLES];
} examples;

static void fill(examples *x)
{
    uint32_t order[EXAMPLES];
    peft_random_permutation(order, EXAMPLES, 7, peft_stream("lengths"));
    for (int k = 0; k < EXAMPLES; k++) {
        x->offsets[k + 1] = x->offsets[k] + SHORTEST + order[k] % LENGTHS;
        x->classes[k] = k % TINY_LABELS;
    }
    for (int t = 0; t < MOST; t++) x->ids[t] = t % 100;
    x->tokens = (peft_tokens){.count = EXAMPLES,
                              .offsets = x->offsets,
                              .input_ids = x->ids,
                              .token_type_ids = x->types,
                              .classes = x->classes,
                              .longest = SHORTEST + LENGTHS - 1};
}

START_TEST(no_batch_takes_more_than_planned)
{
    static const peft_dtype dtypes[] = {PEFT_F32, PEFT_BF16};
    static examples x;
    peft_error error;
    peft_context *ctx;
    peft_trainer t;
    peft_adapters *adapters;
    peft_adapter_config config;
    peft_train_options options;
    if (!peft_dtype_available(dtypes[_i])) return;
    fill(&x);
    peft_model *model = tiny_open();
    ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = 2, .dtype = dtypes[_i]}, &error));
    ck_assert(!peft_adapter_config_init(&config, peft_variant_find("lora"), &error));
    ck_assert(!peft_inject(model, config.variant, config.options, &config.targets, 0, &adapters, NULL, &error));
    ck_assert(!peft_options_init(peft_train_option_table, &options, &error));
    options.batch_size = BATCH;
    options.epochs = 1;
    trained of_model;
    trained_open(&of_model, adapters, model);
    peft_task_objective task = {.model = model, .options = &options, .tokens = &x.tokens};
    const peft_objective objective = peft_task_objective_of(&task);
    ck_assert_msg(!peft_trainer_open(&t, &options, ctx, of_model.sets, of_model.num_sets, &objective, &error), "%s",
                  error.message);

    size_t planned;
    int64_t largest, fewer = 0;
    ck_assert_msg(!peft_trainer_plan(&t, &planned, &largest, &error), "%s", error.message);
    while (t.step < t.num_steps) {
        peft_step_record record;
        ck_assert_msg(!peft_trainer_step(&t, &record, &error), "%s", error.message);
        ck_assert_int_le(record.tokens, largest);
        ck_assert_uint_le(peft_context_bytes(ctx), planned);
        fewer += record.tokens < peft_context_least_recalled_rows(ctx);
    }
    ck_assert(fewer > 0 && fewer < t.num_steps);
    ck_assert_uint_eq(peft_context_bytes(ctx), planned);

    peft_trainer_close(&t);
    peft_batch_memory_free(&task.memory);
    trained_close(&of_model);
    peft_context_close(ctx);
    peft_model_close(model);
    peft_adapters_free(adapters);
    peft_options_free(peft_train_option_table, &options);
    peft_adapter_config_free(&config);
}
END_TEST

START_TEST(nor_does_an_evaluation)
{
    static const peft_dtype dtypes[] = {PEFT_F32, PEFT_BF16};
    static examples x;
    static float logits[EXAMPLES * TINY_LABELS];
    peft_error error;
    peft_context *ctx;
    peft_graph *g;
    size_t planned;
    if (!peft_dtype_available(dtypes[_i])) return;
    fill(&x);
    peft_model *model = tiny_open();
    ck_assert(!peft_context_open(&ctx, &(peft_context_options){.threads = 2, .dtype = dtypes[_i]}, &error));
    ck_assert(!peft_graph_create(&g, &error));
    const peft_predictor predictor = {.ctx = ctx, .g = g, .model = model, .max_tokens = 1100};
    ck_assert(!peft_predict_plan(&predictor, PEFT_PREDICT_LOGITS, &x.tokens, &planned, &error));
    ck_assert_uint_eq(peft_context_bytes(ctx), 0); /* nothing has run */
    ck_assert(!peft_predict(&predictor, PEFT_PREDICT_LOGITS, &x.tokens, logits, &error));
    ck_assert_uint_eq(peft_context_bytes(ctx), planned);
    peft_graph_free(g);
    peft_context_close(ctx);
    peft_model_close(model);
}
END_TEST

TEST_MAIN("trainer", tcase_add_loop_test(tc, no_batch_takes_more_than_planned, 0, 2);
          tcase_add_loop_test(tc, nor_does_an_evaluation, 0, 2))
