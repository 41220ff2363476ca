/* Tests of peft/statistics/same_examples.c against scipy 1.17 (binomtest, permutation_test), and of what must be true
 * of answers that are exchanged. */
#include "peft/statistics/same_examples.h"

#include <stdlib.h>
#include <string.h>

#include "ops/rng.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

static peft_error error;

/* `worse` examples that A alone gets right, `better` that B alone does, and some that both do. */
static double mcnemar(size_t worse, size_t better)
{
    size_t count = worse + better + 50;
    int32_t *gains = calloc(count, sizeof *gains);
    double p;
    for (size_t i = 0; i < worse + better; i++) gains[i] = i < worse ? -1 : 1;
    ck_assert_int_eq(peft_sign_flip_counts(gains, count, 1, &p, &error), PEFT_OK);
    free(gains);
    return p;
}

START_TEST(of_two_runs_it_is_mcnemars_exact_test)
{
    static const struct {
        size_t worse, better;
        double p;
    } known[] = {{3, 11, 0.057373046875},
                 {10, 10, 1.0},
                 {0, 6, 0.03125},
                 {40, 62, 0.037066767438560584},
                 {400, 470, 0.019267052848609047}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        ck_assert_double_eq_tol(mcnemar(known[k].worse, known[k].better), known[k].p, 1e-10);
        ck_assert_double_eq_tol(mcnemar(known[k].better, known[k].worse), known[k].p, 1e-10);
    }
    ck_assert_double_eq(mcnemar(0, 0), 1.0);
}
END_TEST

START_TEST(of_several_runs_it_is_the_test_over_all_signs)
{
    static const int32_t gains[] = {3, -1, 2, 0, 0, 1, -2, 3, 1, 1, -3, 2};
    double p;
    ck_assert_int_eq(peft_sign_flip_counts(gains, 12, 3, &p, &error), PEFT_OK);
    ck_assert_double_eq_tol(p, 0.373046875, 1e-12);
}
END_TEST

enum { COUNT = 60, PAIRS = 2 };

typedef struct answers {
    int32_t a[PAIRS][COUNT], b[PAIRS][COUNT], gold[COUNT];
    peft_answer_pair pairs[PAIRS];
} answers;

/* A is right with probability `of_a`, B with `of_b`. */
static void fill(answers *x, double of_a, double of_b, uint64_t seed)
{
    float u[2 * PAIRS * COUNT];
    peft_random_uniform(u, 2 * PAIRS * COUNT, 0.0, 1.0, seed, 5);
    for (size_t i = 0; i < COUNT; i++) x->gold[i] = i % 3 == 0;
    for (size_t k = 0; k < PAIRS; k++) {
        for (size_t i = 0; i < COUNT; i++) {
            bool right_a = (double)u[(2 * k) * COUNT + i] < of_a, right_b = (double)u[(2 * k + 1) * COUNT + i] < of_b;
            x->a[k][i] = right_a ? x->gold[i] : 1 - x->gold[i];
            x->b[k][i] = right_b ? x->gold[i] : 1 - x->gold[i];
        }
        const peft_outcomes whole = {.count = COUNT, .classes = x->gold, .positive = 1};
        x->pairs[k] = (peft_answer_pair){whole, whole};
        x->pairs[k].a.predicted = x->a[k];
        x->pairs[k].b.predicted = x->b[k];
    }
}

static double p_of(const char *metric, const answers *x)
{
    double p;
    ck_assert_msg(peft_same_examples(metric, x->pairs, PAIRS, &p, &error) == PEFT_OK, "%s", error.message);
    return p;
}

START_TEST(accuracy_is_exact_and_other_metrics_agree_with_it)
{
    answers x;
    fill(&x, 0.6, 0.8, 1);
    int32_t gains[COUNT] = {0};
    for (size_t k = 0; k < PAIRS; k++)
        for (size_t i = 0; i < COUNT; i++) gains[i] += (x.b[k][i] == x.gold[i]) - (x.a[k][i] == x.gold[i]);
    double p;
    ck_assert_int_eq(peft_sign_flip_counts(gains, COUNT, PAIRS, &p, &error), PEFT_OK);
    ck_assert_double_eq(p_of("accuracy", &x), p);
    ck_assert_double_le(p, 0.05);
    ck_assert_double_le(p_of("matthews", &x), 0.05);
    ck_assert_double_le(p_of("f1", &x), 0.05);
    ck_assert_double_eq(p_of("matthews", &x), p_of("matthews", &x));
}
END_TEST

/* 200 pairs of equals: a test at 0.05 claims about 10 differences, above 20 with probability 0.002. */
START_TEST(equals_are_rarely_told_apart)
{
    static const char *const metrics[] = {"accuracy", "matthews"};
    for (size_t m = 0; m < 2; m++) {
        size_t claimed = 0;
        for (uint64_t seed = 0; seed < 200; seed++) {
            answers x;
            fill(&x, 0.7, 0.7, 100 + seed);
            claimed += p_of(metrics[m], &x) <= 0.05;
        }
        ck_assert_msg(claimed <= 20, "%s: %zu of 200", metrics[m], claimed);
    }
}
END_TEST

START_TEST(scores_are_exchanged_too)
{
    float gold[COUNT], good[COUNT], bad[COUNT], noise[COUNT];
    peft_random_uniform(gold, COUNT, 0.0, 5.0, 1, 1);
    peft_random_normal(noise, COUNT, 0.0, 1.0, 1, 2);
    for (size_t i = 0; i < COUNT; i++)
        good[i] = gold[i] + 0.3F * noise[i], bad[i] = gold[i] + 2.0F * noise[COUNT - 1 - i];
    peft_answer_pair pair = {{.count = COUNT, .predicted_scores = bad, .scores = gold},
                             {.count = COUNT, .predicted_scores = good, .scores = gold}};
    double p;
    ck_assert_int_eq(peft_same_examples("pearson", &pair, 1, &p, &error), PEFT_OK);
    ck_assert_double_le(p, 0.01);
    pair.b = pair.a;
    ck_assert_int_eq(peft_same_examples("pearson", &pair, 1, &p, &error), PEFT_OK);
    ck_assert_double_eq(p, 1.0);
}
END_TEST

START_TEST(runs_of_other_examples_are_refused)
{
    answers x, y;
    double p;
    fill(&x, 0.6, 0.8, 1);
    y = x;
    y.gold[7] = 1 - y.gold[7];
    x.pairs[1].b.classes = y.gold;
    ck_assert_int_eq(peft_same_examples("accuracy", x.pairs, PAIRS, &p, &error), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_same_examples("accuracy", x.pairs, 0, &p, &error), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_same_examples("acuracy", x.pairs, 1, &p, &error), PEFT_ERR_ARGUMENT);
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    static const char *const metrics[] = {"accuracy", "f1"};
    answers x;
    fill(&x, 0.6, 0.8, 1);
    for (size_t m = 0; m < 2; m++) {
        bool failed = true;
        for (int64_t call = 0; failed; call++) {
            double p;
            fail_allocation(call);
            peft_status status = peft_same_examples(metrics[m], x.pairs, PAIRS, &p, NULL);
            failed = allocation_failed();
            ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        }
    }
}
END_TEST

TEST_MAIN("same_examples", tcase_add_test(tc, of_two_runs_it_is_mcnemars_exact_test);
          tcase_add_test(tc, of_several_runs_it_is_the_test_over_all_signs);
          tcase_add_test(tc, accuracy_is_exact_and_other_metrics_agree_with_it);
          tcase_add_test(tc, equals_are_rarely_told_apart); tcase_add_test(tc, scores_are_exchanged_too);
          tcase_add_test(tc, runs_of_other_examples_are_refused); tcase_add_test(tc, running_out_of_memory_is_reported))
