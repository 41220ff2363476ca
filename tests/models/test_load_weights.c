/* Which tensors of a folder a model takes, draws, names as left over, or refuses. */
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "models/model_internal.h"
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

/* ---- formats ---- */

/* All tensors in this type; `memory` holds them. */
static void convert_all(peft_dtype dtype, char *memory)
{
    for (size_t k = 0; k < count; k++) {
        int64_t numbers = peft_shape_count(&tensors[k].shape);
        ck_assert(peft_floats_write(tensors[k].data, numbers, dtype, memory));
        tensors[k].dtype = dtype;
        tensors[k].data = memory;
        tensors[k].bytes = (size_t)numbers * peft_dtype_bytes(dtype);
        memory += tensors[k].bytes;
    }
}

/* Of other formats than float, matrices stay as they lie in the file, and vectors become floats. */
START_TEST(matrices_stay_as_they_are_stored)
{
    static const struct {
        peft_dtype dtype;
        peft_format format;
    } types[] = {{PEFT_F16, PEFT_FORMAT_F16}, {PEFT_BF16, PEFT_FORMAT_BF16}};
    char *memory = malloc(1 << 22);
    size_t in_matrices = 0;
    convert_all(types[_i].dtype, memory);
    peft_model *model = open_part(PEFT_MODEL_HIDDEN);
    ck_assert_msg(model != NULL, "%s", error.message);
    int64_t weights;
    const peft_weight *all = peft_model_weights(model, &weights);
    for (int64_t k = 0; k < weights; k++) {
        bool matrix = all[k].shape.ndim == 2;
        float *read = malloc((size_t)peft_shape_count(&all[k].shape) * sizeof *read), *expected = malloc(1 << 22);
        const peft_file_tensor *stored = peft_weights_find(model->file, all[k].name);
        ck_assert(!peft_file_tensor_read_f32(stored, expected, &error));
        peft_weight_read(&all[k], 0, matrix ? all[k].shape.size[0] : 1, read);
        ck_assert_mem_eq(read, expected, (size_t)peft_shape_count(&all[k].shape) * sizeof *read);
        ck_assert_int_eq(all[k].stored.format, matrix ? types[_i].format : PEFT_FORMAT_F32);
        ck_assert_int_eq(all[k].stored.data == stored->data, matrix);
        if (matrix) in_matrices += stored->bytes;
        free(read);
        free(expected);
    }
    ck_assert_uint_eq(peft_model_mapped_bytes(model), in_matrices);
    peft_model_close(model);
    free(memory);
}
END_TEST

/* A layer as GPT-2 has it, and one that has no bias. */
START_TEST(layers_may_lie_transposed_and_have_no_bias)
{
    static const peft_model_kind kind = {.type = "test", .prefix = "", .head = "head"};
    static const float turned[2 * 3] = {1, 2, 3, 4, 5, 6}, straight[3 * 2] = {1, 4, 2, 5, 3, 6}, b[3] = {7, 8, 9};
    float read[3 * 2];
    count = 0;
    add("first.weight", PEFT_F32, peft_shape_2(2, 3), turned);
    add("first.bias", PEFT_F32, peft_shape_1(3), b);
    add("second.weight", PEFT_F32, peft_shape_2(3, 2), straight);
    ck_assert(!peft_safetensors_write(scratch("model.safetensors"), tensors, count, NULL, 0, &error));
    peft_model *model = calloc(1, sizeof *model);
    model->kind = &kind;
    model->dir = strdup(scratch(""));
    ck_assert(!peft_weights_open(model->dir, &model->file, &error) && !peft_model_reserve(model, 3, 2, &error));
    const peft_linear_layer *first = peft_model_add_linear(model, 3, 2, PEFT_LINEAR_TRANSPOSED, "first");
    const peft_linear_layer *second =
        peft_model_add_linear(model, 3, 2, PEFT_LINEAR_WITHOUT_BIAS | PEFT_LINEAR_OUTPUT, "second");
    model->num_encoder_weights = model->num_weights;
    ck_assert_msg(!peft_model_load_weights(model, &error), "%s", error.message);
    for (int k = 0; k < 2; k++) {
        peft_weight_read((k ? second : first)->base.weight, 0, 3, read);
        ck_assert_mem_eq(read, straight, sizeof read);
    }
    ck_assert(first->base.bias && !first->output && !second->base.bias && second->output);
    ck_assert_int_eq(model->num_weights, 3);
    peft_model_close(model);

    model = calloc(1, sizeof *model);
    model->kind = &kind;
    model->dir = strdup(scratch(""));
    ck_assert(!peft_weights_open(model->dir, &model->file, &error) && !peft_model_reserve(model, 1, 1, &error));
    ck_assert(peft_model_add_linear(model, 3, 2, PEFT_LINEAR_TRANSPOSED | PEFT_LINEAR_WITHOUT_BIAS, "second"));
    model->num_encoder_weights = model->num_weights;
    ck_assert_int_eq(peft_model_load_weights(model, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "tensor second.weight: expected [2, 3], found [3, 2]"));
    peft_model_close(model);
}
END_TEST

TEST_MAIN("load_weights", tcase_add_checked_fixture(tc, setup, teardown); tcase_add_test(tc, left_over_heads_are_named);
          tcase_add_test(tc, heads_that_nobody_asked_for_are_not); tcase_add_test(tc, saved_positions_are_known);
          tcase_add_loop_test(tc, what_does_not_fit_inside_the_encoder_is_refused, 0, sizeof misfits / sizeof *misfits);
          tcase_add_test(tc, a_layer_that_is_missing_is_refused); tcase_add_test(tc, a_missing_pooler_is_drawn);
          tcase_add_test(tc, an_encoder_keeps_the_pooler_that_its_file_has);
          tcase_add_loop_test(tc, matrices_stay_as_they_are_stored, 0, 2);
          tcase_add_test(tc, layers_may_lie_transposed_and_have_no_bias))
