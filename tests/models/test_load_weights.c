/* Which tensors of a folder a model takes, draws, names as left over, or refuses. */
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "models/model.h"
#include "tests/io/scratch.h"
#include "tests/support/main.h"

enum { MAX_TENSORS = 64 };

static peft_error error;
static peft_safetensors *file;
static peft_file_tensor tensors[MAX_TENSORS];
static size_t count;
static char notes[4096];

/* The tiny BERT's tensors, to be changed. */
static void setup(void)
{
    char path[600];
    scratch_setup();
    snprintf(path, sizeof path, "%s/goldens/models/bert/config.json", getenv("PEFT_FIXTURES"));
    ck_assert(!peft_file_copy(path, scratch("config.json"), &error));
    snprintf(path, sizeof path, "%s/goldens/models/bert/model.safetensors", getenv("PEFT_FIXTURES"));
    ck_assert(!peft_safetensors_open(path, &file, &error));
    count = peft_safetensors_count(file);
    for (size_t k = 0; k < count; k++) tensors[k] = *peft_safetensors_at(file, k);
}

static void teardown(void)
{
    peft_safetensors_close(file);
    scratch_teardown();
}

static void remove_all(const char *part)
{
    size_t kept = 0;
    for (size_t k = 0; k < count; k++)
        if (!strstr(tensors[k].name, part)) tensors[kept++] = tensors[k];
    ck_assert_uint_lt(kept, count);
    count = kept;
}

static void add(const char *name, peft_dtype dtype, peft_shape shape, const void *data)
{
    tensors[count++] = (peft_file_tensor){.name = name,
                                          .dtype = dtype,
                                          .shape = shape,
                                          .data = data,
                                          .bytes = (size_t)peft_shape_count(&shape) * peft_dtype_bytes(dtype)};
}

static void take_note(void *argument, const char *text)
{
    (void)argument;
    size_t used = strlen(notes);
    snprintf(notes + used, sizeof notes - used, "%s\n", text);
}

/* Writes the tensors, opens the folder, and collects the notes. NULL: it is refused. */
static peft_model *open_part(peft_model_part part)
{
    peft_model *model;
    const peft_model_options options = {.part = part, .seed = 3};
    ck_assert(!peft_safetensors_write(scratch("model.safetensors"), tensors, count, NULL, 0, &error));
    notes[0] = '\0';
    if (peft_model_open(&model, scratch(""), &options, &error)) return NULL;
    peft_model_notes(model, true, take_note, NULL);
    return model;
}

static const peft_weight *find(peft_model *model, const char *name)
{
    int64_t weights;
    const peft_weight *all = peft_model_weights(model, &weights);
    for (int64_t k = 0; k < weights; k++)
        if (strcmp(all[k].name, name) == 0) return &all[k];
    ck_abort_msg("no weight %s", name);
    return NULL;
}

static void check_notes(peft_model_part part, const char *expected)
{
    peft_model *model = open_part(part);
    ck_assert_msg(model != NULL, "%s", error.message);
    ck_assert_msg(*expected ? strstr(notes, expected) != NULL : !*notes, "found: %s", notes);
    peft_model_close(model);
}

static const float zeros[2 * 32] = {0};

START_TEST(left_over_heads_are_named)
{
    check_notes(PEFT_MODEL_WITH_HEAD, "");
    add("qa_outputs.weight", PEFT_F32, peft_shape_2(2, 32), zeros);
    add("crf.transitions", PEFT_F32, peft_shape_2(2, 2), zeros);
    for (int part = PEFT_MODEL_WITH_HEAD; part <= PEFT_MODEL_ENCODER; part++)
        check_notes((peft_model_part)part, "2 tensors of the file not used by this model: crf.transitions, "
                                           "qa_outputs.weight\n");
}
END_TEST

START_TEST(heads_that_nobody_asked_for_are_not)
{
    check_notes(PEFT_MODEL_HIDDEN, "");
    check_notes(PEFT_MODEL_ENCODER, "");
}
END_TEST

/* Position numbers are what the model counts itself; other numbers would be another model's. */
START_TEST(saved_positions_are_known)
{
    int64_t positions[64];
    for (int k = 0; k < 64; k++) positions[k] = k;
    add("bert.embeddings.position_ids", PEFT_I64, peft_shape_2(1, 64), positions);
    check_notes(PEFT_MODEL_WITH_HEAD, "");
    positions[0] = 2;
    ck_assert_ptr_null(open_part(PEFT_MODEL_WITH_HEAD));
    ck_assert_ptr_nonnull(strstr(error.message, "bert.embeddings.position_ids: unexpected"));
}
END_TEST

static const char *const misfits[] = {"bert.encoder.layer.2.output.dense.weight", "encoder.layer.2.output.dense.weight",
                                      "bert.embeddings.more.weight", "embeddings.more"};

START_TEST(what_does_not_fit_inside_the_encoder_is_refused)
{
    add(misfits[_i], PEFT_F32, peft_shape_1(32), zeros);
    ck_assert_ptr_null(open_part(PEFT_MODEL_HIDDEN));
    ck_assert_int_eq(error.status, PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "unexpected in a bert model of 2 layers"));
    ck_assert_ptr_nonnull(strstr(error.message, misfits[_i]));
}
END_TEST

START_TEST(a_layer_that_is_missing_is_refused)
{
    remove_all("layer.1.output.dense.weight");
    ck_assert_ptr_null(open_part(PEFT_MODEL_HIDDEN));
    ck_assert_ptr_nonnull(strstr(error.message, "bert.encoder.layer.1.output.dense.weight: missing"));
}
END_TEST

/* Drawn from the seed, and trained like the head. */
START_TEST(a_missing_pooler_is_drawn)
{
    remove_all("pooler");
    peft_model *model = open_part(PEFT_MODEL_WITH_HEAD);
    ck_assert_msg(model != NULL, "%s", error.message);
    ck_assert_ptr_nonnull(strstr(notes, "drawn at random: results are arbitrary until trained: "
                                        "bert.pooler.dense.weight, bert.pooler.dense.bias\n"));
    const peft_weight *pooler = find(model, "bert.pooler.dense.weight");
    ck_assert(peft_model_is_drawn(model, pooler));
    ck_assert_ptr_nonnull(pooler->gradient);
    ck_assert(pooler->value[0] != 0 && pooler->value[0] != pooler->value[1]);
    ck_assert(peft_model_has_trained_head(model)); /* the classifier is there */
    peft_model_set_given(model, pooler);
    ck_assert(!peft_model_is_drawn(model, pooler));
    peft_model_close(model);
    check_notes(PEFT_MODEL_HIDDEN, "");

    model = open_part(PEFT_MODEL_ENCODER);
    int64_t linears;
    peft_model_linears(model, &linears);
    ck_assert_int_eq(linears, 12); /* the encoder's */
    ck_assert_str_eq(notes, "");
    peft_model_close(model);
}
END_TEST

START_TEST(an_encoder_keeps_the_pooler_that_its_file_has)
{
    peft_model *model = open_part(PEFT_MODEL_ENCODER);
    ck_assert(!peft_model_is_drawn(model, find(model, "bert.pooler.dense.weight")));
    ck_assert_ptr_null(find(model, "bert.pooler.dense.weight")->value);
    ck_assert_str_eq(peft_model_architecture(model), "BertModel");
    peft_model_close(model);
}
END_TEST

TEST_MAIN("load_weights", tcase_add_checked_fixture(tc, setup, teardown); tcase_add_test(tc, left_over_heads_are_named);
          tcase_add_test(tc, heads_that_nobody_asked_for_are_not); tcase_add_test(tc, saved_positions_are_known);
          tcase_add_loop_test(tc, what_does_not_fit_inside_the_encoder_is_refused, 0, sizeof misfits / sizeof *misfits);
          tcase_add_test(tc, a_layer_that_is_missing_is_refused); tcase_add_test(tc, a_missing_pooler_is_drawn);
          tcase_add_test(tc, an_encoder_keeps_the_pooler_that_its_file_has))
