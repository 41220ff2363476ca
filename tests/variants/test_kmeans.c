#include <math.h>
#include <string.h>

#include "ops/rng.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "variants/kmeans.h"

enum { CLUSTERS = 4, EACH = 25, SIZE = 3, POINTS = CLUSTERS * EACH };

static const float corners[CLUSTERS][SIZE] = {{5, 0, 0}, {0, 5, 0}, {0, 0, 5}, {-5, -5, -5}};

/* Point p belongs to corner p % CLUSTERS and is at most 0.5 away in each direction. */
static void scatter(float *points)
{
    peft_random_uniform(points, POINTS * SIZE, -0.5, 0.5, 7, 1);
    for (int k = 0; k < POINTS * SIZE; k++) points[k] += corners[k / SIZE % CLUSTERS][k % SIZE];
}

static int corner_of(const float *centre)
{
    for (int c = 0; c < CLUSTERS; c++) {
        double d = 0;
        for (int i = 0; i < SIZE; i++) d += fabs((double)(centre[i] - corners[c][i]));
        if (d < 1) return c;
    }
    return -1;
}

START_TEST(clusters_that_lie_apart_are_found_whatever_the_seed)
{
    float points[POINTS * SIZE], centres[CLUSTERS * SIZE];
    bool found[CLUSTERS] = {false};
    scatter(points);
    ck_assert(!peft_kmeans(points, POINTS, SIZE, CLUSTERS, (uint64_t)_i, centres, NULL));
    for (int j = 0; j < CLUSTERS; j++) {
        int corner = corner_of(centres + j * SIZE);
        ck_assert_int_ge(corner, 0);
        ck_assert(!found[corner]);
        found[corner] = true;
        for (int i = 0; i < SIZE; i++) {
            double mean = 0;
            for (int p = corner; p < POINTS; p += CLUSTERS) mean += (double)points[p * SIZE + i] / EACH;
            ck_assert_double_eq_tol((double)centres[j * SIZE + i], mean, 1e-6);
        }
    }
}
END_TEST

START_TEST(the_seed_alone_decides)
{
    float points[POINTS * SIZE], a[9 * SIZE], b[9 * SIZE], c[9 * SIZE];
    scatter(points);
    ck_assert(!peft_kmeans(points, POINTS, SIZE, 9, 1, a, NULL));
    ck_assert(!peft_kmeans(points, POINTS, SIZE, 9, 1, b, NULL));
    ck_assert(!peft_kmeans(points, POINTS, SIZE, 9, 2, c, NULL));
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_mem_ne(a, c, sizeof a);
}
END_TEST

START_TEST(one_centre_is_the_mean_and_few_points_are_centres)
{
    const float points[] = {1, 2, 3, 6};
    float centre, centres[4];
    ck_assert(!peft_kmeans(points, 4, 1, 1, 3, &centre, NULL));
    ck_assert(centre == 3);
    const float two[] = {1, 1, 4};
    ck_assert(!peft_kmeans(two, 3, 1, 4, 3, centres, NULL));
    bool one = false, four = false;
    for (int j = 0; j < 4; j++) {
        ck_assert(centres[j] == 1 || centres[j] == 4);
        one |= centres[j] == 1;
        four |= centres[j] == 4;
    }
    ck_assert(one && four);
}
END_TEST

START_TEST(nothing_is_refused_and_memory_may_fail)
{
    const float points[] = {1, 2};
    float centres[2];
    peft_error error = {0};
    ck_assert_int_eq(peft_kmeans(points, 0, 1, 1, 1, centres, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "k-means: expected points and centres, found 0 points"));
    ck_assert_int_eq(peft_kmeans(points, 2, 1, 0, 1, centres, &error), PEFT_ERR_ARGUMENT);
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = peft_kmeans(points, 2, 1, 2, 1, centres, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
    }
}
END_TEST

TEST_MAIN("kmeans", tcase_add_loop_test(tc, clusters_that_lie_apart_are_found_whatever_the_seed, 0, 10);
          tcase_add_test(tc, the_seed_alone_decides);
          tcase_add_test(tc, one_centre_is_the_mean_and_few_points_are_centres);
          tcase_add_test(tc, nothing_is_refused_and_memory_may_fail))
