/* Decompositions give back what they decompose, from parts with the form that they promise. */
#include "ops/linear_algebra.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"

enum { MOST = 64 * 64 };

static const double CLOSE = 1e-12;

static peft_error error;

static void fill(double *a, int64_t count, uint64_t salt)
{
    for (int64_t i = 0; i < count; i++) a[i] = op_noise(salt * 7919 + (uint64_t)i);
}

static void check_close(const char *what, const double *a, const double *b, int64_t count, double tolerance)
{
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(fabs(a[i] - b[i]) <= tolerance, "%s[%lld]: %.17g and %.17g", what, (long long)i, a[i], b[i]);
}

/* The rows, or the columns, of a [m, n] have length 1 and are at right angles. */
static void check_orthonormal(const char *what, int64_t m, int64_t n, const double *a, bool rows)
{
    double gram[MOST], unit[MOST] = {0};
    int64_t size = rows ? m : n;
    peft_product(size, size, rows ? n : m, a, !rows, a, rows, 0, gram);
    for (int64_t i = 0; i < size; i++) unit[i * size + i] = 1;
    check_close(what, gram, unit, size * size, CLOSE);
}

static void check_descending(const double *values, int64_t count)
{
    for (int64_t i = 1; i < count; i++) ck_assert_double_ge(values[i - 1], values[i]);
}

/* u diag(s) vt */
static void compose(int64_t m, int64_t n, int64_t k, const double *u, const double *s, const double *vt, double *a)
{
    double scaled[MOST];
    for (int64_t i = 0; i < m * k; i++) scaled[i] = u[i] * s[i % k];
    peft_product(m, n, k, scaled, false, vt, false, 0, a);
}

static const struct {
    int64_t m, n;
} shapes[] = {{1, 1}, {7, 5}, {5, 7}, {1, 9}, {9, 1}, {16, 16}, {40, 60}, {60, 33}};

enum { NUM_SHAPES = sizeof shapes / sizeof *shapes };

static int64_t smaller(int64_t m, int64_t n)
{
    return m < n ? m : n;
}

START_TEST(products_are_sums_of_products)
{
    const bool transpose_a = _i & 1, transpose_b = _i & 2;
    const int64_t m = 5, n = 7, k = 3;
    double a[15], b[21], before[35], c[35];
    fill(a, 15, 1);
    fill(b, 21, 2);
    fill(before, 35, 10);
    memcpy(c, before, sizeof c);
    peft_product(m, n, k, a, transpose_a, b, transpose_b, 0.5, c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0.5 * before[i * n + j];
            for (int64_t l = 0; l < k; l++)
                sum += a[transpose_a ? l * m + i : i * k + l] * b[transpose_b ? j * k + l : l * n + j];
            ck_assert_double_eq_tol(c[i * n + j], sum, CLOSE);
        }
}
END_TEST

START_TEST(singular_values_and_vectors_make_the_matrix)
{
    const int64_t m = shapes[_i].m, n = shapes[_i].n, k = smaller(m, n);
    double a[MOST], kept[MOST], u[MOST], s[64], vt[MOST], again[MOST];
    fill(a, m * n, 3);
    memcpy(kept, a, sizeof a);
    ck_assert_msg(!peft_svd(m, n, a, u, s, vt, &error), "%s", error.message);
    check_orthonormal("u", m, k, u, false);
    check_orthonormal("vt", k, n, vt, true);
    check_descending(s, k);
    ck_assert_double_ge(s[k - 1], 0);
    compose(m, n, k, u, s, vt, again);
    check_close("u s vt", again, kept, m * n, 10 * CLOSE);
}
END_TEST

START_TEST(singular_values_by_hand)
{
    double a[] = {3, 4, 0, 0, 0, -2}, u[4], s[2], vt[6]; /* rows at right angles, of lengths 5 and 2 */
    ck_assert(!peft_svd(2, 3, a, u, s, vt, &error));
    ck_assert_double_eq_tol(s[0], 5, CLOSE);
    ck_assert_double_eq_tol(s[1], 2, CLOSE);
    ck_assert_double_eq_tol(fabs(vt[1] / vt[0]), 4.0 / 3, CLOSE);
}
END_TEST

/* Each singular value half of the one before: what is left of the subspace's error is far below rounding. */
static void fill_decaying(int64_t m, int64_t n, double *a)
{
    double left[MOST], right[MOST], u[MOST], vt[MOST], s[64];
    const int64_t k = smaller(m, n);
    fill(left, m * k, 4);
    fill(right, n * k, 5);
    ck_assert(!peft_qr(m, k, left, u, NULL, &error) && !peft_qr(n, k, right, vt, NULL, &error));
    for (int64_t i = 0; i < k; i++) s[i] = pow(0.5, (double)i);
    for (int64_t i = 0; i < m * k; i++) u[i] *= s[i % k];
    peft_product(m, n, k, u, false, vt, true, 0, a);
}

START_TEST(a_random_subspace_finds_the_largest)
{
    enum { RANK = 4, ITERATIONS = 6 };
    const int64_t m = _i ? 30 : 50, n = _i ? 50 : 30;
    double a[MOST], kept[MOST], u[MOST], s[64], vt[MOST], first[MOST], expected[MOST], found[MOST];
    double some_u[MOST], some_s[RANK], some_vt[MOST];
    fill_decaying(m, n, a);
    memcpy(kept, a, sizeof a);
    ck_assert_msg(!peft_svd_randomised(m, n, a, RANK, ITERATIONS, 1, 2, some_u, some_s, some_vt, &error), "%s",
                  error.message);
    ck_assert_mem_eq(a, kept, (size_t)(m * n) * sizeof *a);
    ck_assert(!peft_svd(m, n, a, u, s, vt, &error));
    check_close("s", some_s, s, RANK, CLOSE);
    check_orthonormal("u", m, RANK, some_u, false);
    check_orthonormal("vt", RANK, n, some_vt, true);
    for (int64_t i = 0; i < m; i++) memcpy(first + i * RANK, u + i * smaller(m, n), RANK * sizeof *u);
    compose(m, n, RANK, first, s, vt, expected);
    compose(m, n, RANK, some_u, some_s, some_vt, found);
    check_close("the first terms", found, expected, m * n, 10 * CLOSE);
}
END_TEST

START_TEST(a_random_subspace_may_be_the_whole_space)
{
    double a[] = {1, 2, 3, 4, 5, 7}, u[4], s[2], vt[6], again[6];
    ck_assert(!peft_svd_randomised(2, 3, a, 2, 0, 1, 2, u, s, vt, &error));
    compose(2, 3, 2, u, s, vt, again);
    check_close("all terms", again, a, 6, 100 * CLOSE);
}
END_TEST

START_TEST(q_and_r_make_the_matrix)
{
    const int64_t m = shapes[_i].m, n = shapes[_i].n, k = smaller(m, n);
    double a[MOST], kept[MOST], q[MOST], r[MOST], again[MOST];
    fill(a, m * n, 6);
    memcpy(kept, a, sizeof a);
    ck_assert(!peft_qr(m, n, a, q, r, &error));
    check_orthonormal("q", m, k, q, false);
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < j; i++) ck_assert_double_eq(r[j * n + i], 0);
    peft_product(m, n, k, q, false, r, false, 0, again);
    check_close("q r", again, kept, m * n, 10 * CLOSE);
}
END_TEST

START_TEST(eigenvectors_make_the_matrix)
{
    const int64_t n = shapes[_i].n;
    double half[MOST], a[MOST], kept[MOST], values[64], scaled[MOST], again[MOST];
    fill(half, n * n, 7);
    peft_product(n, n, n, half, true, half, false, 0, a);
    memcpy(kept, a, sizeof a);
    ck_assert(!peft_eigen(n, a, values, &error));
    check_orthonormal("vectors", n, n, a, true);
    check_descending(values, n);
    for (int64_t i = 0; i < n * n; i++) scaled[i] = a[i] * values[i / n];
    peft_product(n, n, n, a, true, scaled, false, 0, again);
    check_close("sum of values times squares", again, kept, n * n, 100 * CLOSE);
}
END_TEST

START_TEST(eigenvalues_by_hand)
{
    double a[] = {2, 1, 1, 2}, values[2];
    ck_assert(!peft_eigen(2, a, values, &error));
    ck_assert_double_eq_tol(values[0], 3, CLOSE);
    ck_assert_double_eq_tol(values[1], 1, CLOSE);
    ck_assert_double_eq_tol(a[0], a[1], CLOSE);
    ck_assert_double_eq_tol(a[2], -a[3], CLOSE);
}
END_TEST

START_TEST(an_inverse_takes_back)
{
    const int64_t n = shapes[_i].n;
    double half[MOST], a[MOST], kept[MOST], unit[MOST] = {0}, product[MOST];
    fill(half, n * n, 8);
    peft_product(n, n, n, half, true, half, false, 0, a);
    for (int64_t i = 0; i < n; i++) {
        a[i * n + i] += 1;
        unit[i * n + i] = 1;
    }
    memcpy(kept, a, sizeof a);
    ck_assert(!peft_invert(n, a, &error));
    peft_product(n, n, n, a, false, kept, false, 0, product);
    check_close("inverse times matrix", product, unit, n * n, 100 * CLOSE);
}
END_TEST

START_TEST(what_cannot_be_decomposed_is_refused)
{
    double a[] = {1, 2, 3, (double)NAN}, b[] = {1, (double)INFINITY, 0, 1}, indefinite[] = {1, 2, 2, 1}, out[3][4];
    ck_assert_int_eq(peft_svd(2, 2, a, out[0], out[1], out[2], &error), PEFT_ERR_NUMERIC);
    ck_assert_int_eq(peft_qr(2, 2, b, out[0], NULL, &error), PEFT_ERR_NUMERIC);
    ck_assert_int_eq(peft_eigen(2, a, out[0], &error), PEFT_ERR_NUMERIC);
    ck_assert_int_eq(peft_invert(2, b, &error), PEFT_ERR_NUMERIC);
    ck_assert_int_eq(peft_invert(2, indefinite, &error), PEFT_ERR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(error.message, "not positive definite"));
    ck_assert_int_eq(peft_svd(1 << 20, 1 << 20, a, NULL, NULL, NULL, &error), PEFT_ERR_UNSUPPORTED);
}
END_TEST

/* Their own memory is the first that they take. What BLIS takes in a product cannot fail: it ends the program. */
START_TEST(without_memory_they_fail)
{
    double a[16], out[3][16];
    fill(a, 16, 9);
    fail_allocation(0);
    ck_assert_int_eq(peft_svd(4, 4, a, out[0], out[1], out[2], &error), PEFT_ERR_MEMORY);
    fail_allocation(0);
    ck_assert_int_eq(peft_svd_randomised(4, 4, a, 2, 1, 1, 2, out[0], out[1], out[2], &error), PEFT_ERR_MEMORY);
    fail_allocation(1);
    ck_assert_int_eq(peft_svd_randomised(4, 4, a, 2, 1, 1, 2, out[0], out[1], out[2], &error), PEFT_ERR_MEMORY);
    fail_allocation(0);
    ck_assert_int_eq(peft_qr(4, 4, a, out[0], NULL, &error), PEFT_ERR_MEMORY);
    fail_allocation(0);
    ck_assert_int_eq(peft_eigen(4, a, out[0], &error), PEFT_ERR_MEMORY);
    ck_assert(allocation_failed());
}
END_TEST

TEST_MAIN("linear_algebra", tcase_add_loop_test(tc, products_are_sums_of_products, 0, 4);
          tcase_add_loop_test(tc, singular_values_and_vectors_make_the_matrix, 0, NUM_SHAPES);
          tcase_add_test(tc, singular_values_by_hand);
          tcase_add_loop_test(tc, a_random_subspace_finds_the_largest, 0, 2);
          tcase_add_test(tc, a_random_subspace_may_be_the_whole_space);
          tcase_add_loop_test(tc, q_and_r_make_the_matrix, 0, NUM_SHAPES);
          tcase_add_loop_test(tc, eigenvectors_make_the_matrix, 0, NUM_SHAPES); tcase_add_test(tc, eigenvalues_by_hand);
          tcase_add_loop_test(tc, an_inverse_takes_back, 0, NUM_SHAPES);
          tcase_add_test(tc, what_cannot_be_decomposed_is_refused); tcase_add_test(tc, without_memory_they_fail))
