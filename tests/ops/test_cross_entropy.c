#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

enum { ROWS = 4, CLASSES = 3 };

static const int32_t labels[] = {2, 0, -100, 1}, too_large[] = {2, 0, 3, 1}, none[] = {-1, -1, -100, -1};
static const int32_t many_labels[] = {0, 39, 17, -1, 5, 5, 22, 31, 8, 0, -100, 39, 1, 2, 3, 4, 5, 6, 7, 8};

static peft_tensor *mean(peft_graph *g, peft_tensor *const *in)
{
    return peft_cross_entropy(g, in[0], in[1], in[2], 0, 0);
}

static peft_tensor *smoothed(peft_graph *g, peft_tensor *const *in)
{
    return peft_cross_entropy(g, in[0], in[1], in[2], 0.25, 0);
}

static peft_tensor *of_a_larger_batch(peft_graph *g, peft_tensor *const *in)
{
    return peft_cross_entropy(g, in[0], in[1], in[2], 0.1, 40);
}

#define LOGITS(rows, classes)                                                                                          \
    {                                                                                                                  \
        .shape = {2, {rows, classes}}, .low = -5, .high = 5                                                            \
    }
#define LABELS(rows, values)                                                                                           \
    {                                                                                                                  \
        .shape = {1, {rows}}, .indices = values                                                                        \
    }
#define WEIGHTS(classes)                                                                                               \
    {                                                                                                                  \
        .shape = {1, {classes}}, .low = 0.5, .high = 2, .constant = true                                               \
    }

static const op_case cases[] = {
    {"mean", mean, {LOGITS(4, 3), LABELS(4, labels)}, 0},
    {"class weights", mean, {LOGITS(4, 3), LABELS(4, labels), WEIGHTS(3)}, 0},
    {"smoothing", smoothed, {LOGITS(4, 3), LABELS(4, labels)}, 0},
    {"smoothing and class weights", smoothed, {LOGITS(4, 3), LABELS(4, labels), WEIGHTS(3)}, 0},
    {"given normalizer", of_a_larger_batch, {LOGITS(4, 3), LABELS(4, labels), WEIGHTS(3)}, 0},
    {"given normalizer, no row counts", of_a_larger_batch, {LOGITS(4, 3), LABELS(4, none)}, 0},
    {"many classes, several pieces", smoothed, {LOGITS(20, 40), LABELS(20, many_labels), WEIGHTS(40)}, 0},
};

START_TEST(cross_entropy_is_right)
{
    op_check(&cases[_i]);
}
END_TEST

/* The values of torch 2.15:
 *
 *     x = torch.tensor([[0.5, -1.25, 2], [1.5, 0.25, -0.75], [-2, 0.125, 1], [0, 3, -1]], requires_grad=True)
 *     w = torch.tensor([0.5, 2, 1.25])
 *     loss = F.cross_entropy(x, torch.tensor([2, 0, -100, 1]), weight=w, label_smoothing=eps)
 *
 * and the same with reduction='sum', which is normalizer 1. */
static const float logits[ROWS][CLASSES] = {{0.5F, -1.25F, 2}, {1.5F, 0.25F, -0.75F}, {-2, 0.125F, 1}, {0, 3, -1}};
static const float class_weights[CLASSES] = {0.5F, 2, 1.25F};

static const struct {
    bool weighted;
    double label_smoothing, normalizer, loss;
    double dlogits[ROWS][CLASSES];
} torch_values[] = {
    {false,
     0,
     0,
     0.209726155,
     {{0.0589400604, 0.010242248, -0.0691823214},
      {-0.0938532203, 0.068612203, 0.0252410211},
      {0},
      {0.0155375414, -0.0212534871, 0.00571594108}}},
    {true,
     0,
     0,
     0.156768411,
     {{0.0589400604, 0.010242248, -0.0691823214},
      {-0.0375412889, 0.0274448805, 0.0100964084},
      {0},
      {0.0248600673, -0.0340055786, 0.00914550573}}},
    {false,
     0.1,
     0,
     0.379170597,
     {{0.0478289425, -0.000868864649, -0.0469600931},
      {-0.071630992, 0.0575010814, 0.0141299069},
      {0},
      {0.00442642905, 0.000968735665, -0.00539517077}}},
    {true,
     0.25,
     0,
     0.593618929,
     {{0.04782895, -0.0342021994, -0.0136267664},
      {0.0206029564, -0.00670773583, -0.0138952164},
      {0},
      {0.011418324, 0.00807134528, -0.0194896627}}},
    {true,
     0.25,
     1,
     2.22607112,
     {{0.179358542, -0.128258243, -0.0511003137},
      {0.0772610903, -0.0251540132, -0.0521070696},
      {0},
      {0.0428187065, 0.0302674286, -0.0730862468}}},
};

START_TEST(values_are_those_of_torch)
{
    const double tolerance = 4e-7; /* a few units in the last place of numbers around 1 */
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    float dlogits[ROWS][CLASSES] = {{0}};
    ck_assert(!peft_context_open(&ctx, NULL, &error));
    ck_assert(!peft_graph_create(&g, &error));
    peft_tensor *x = peft_parameter(g, PEFT_F32, peft_shape_2(ROWS, CLASSES), (void *)(uintptr_t)logits, dlogits, "x");
    peft_tensor *l = peft_constant(g, PEFT_I32, peft_shape_1(ROWS), labels, "labels");
    peft_tensor *w = peft_constant(g, PEFT_F32, peft_shape_1(CLASSES), class_weights, "weights");
    peft_tensor *loss = peft_cross_entropy(g, x, l, torch_values[_i].weighted ? w : NULL,
                                           torch_values[_i].label_smoothing, torch_values[_i].normalizer);
    peft_graph_differentiate(g, loss, &error);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    ck_assert_double_eq_tol((double)*(const float *)read_values(g, loss), torch_values[_i].loss, tolerance);
    for (int n = 0; n < ROWS; n++)
        for (int c = 0; c < CLASSES; c++)
            ck_assert_double_eq_tol((double)dlogits[n][c], torch_values[_i].dlogits[n][c], tolerance);
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

static peft_status run(const int32_t *values, peft_error *error)
{
    peft_context *ctx;
    peft_graph *g;
    ck_assert(!peft_context_open(&ctx, NULL, error));
    ck_assert(!peft_graph_create(&g, error));
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(ROWS, CLASSES), logits, "x");
    peft_cross_entropy(g, x, peft_constant(g, PEFT_I32, peft_shape_1(ROWS), values, "labels"), NULL, 0, 0);
    peft_status status = peft_graph_run(g, ctx, error);
    if (status == PEFT_OK) status = peft_graph_wait(g, error);
    peft_graph_free(g);
    peft_context_close(ctx);
    return status;
}

START_TEST(unusable_labels_fail_the_run)
{
    peft_error error = {0};
    ck_assert_int_eq(run(too_large, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "cross_entropy: labels[2]: expected less than 3 classes, found 3");
    ck_assert_int_eq(run(none, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message,
                     "cross_entropy: labels: the weights of the rows' labels sum to 0, so there is no mean");
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    op_case few = {"labels", mean, {LOGITS(5, 3), LABELS(4, labels)}, 0};
    op_check_refused(&few, PEFT_ERR_SHAPE, "cross_entropy: labels: expected [5], found [4]");
    op_case weights = {"weights", mean, {LOGITS(4, 3), LABELS(4, labels), WEIGHTS(4)}, 0};
    op_check_refused(&weights, PEFT_ERR_SHAPE, "cross_entropy: class_weights: expected [3], found [4]");
}
END_TEST

TEST_MAIN("cross_entropy", tcase_add_loop_test(tc, cross_entropy_is_right, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, values_are_those_of_torch, 0, sizeof torch_values / sizeof *torch_values);
          tcase_add_test(tc, unusable_labels_fail_the_run); tcase_add_test(tc, wrong_arguments_are_refused))
