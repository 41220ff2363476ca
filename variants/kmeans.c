#include "variants/kmeans.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ops/rng.h"

enum { MOST_ROUNDS = 100 };

typedef struct clusters {
    const float *points;
    float *centres;
    int64_t count, size, k;
    int64_t *nearest; /* [count]: the centre of each point */
    double *distance; /* [count]: squared, to it */
    double *sums;     /* [k, size] */
    int64_t *members; /* [k] */
} clusters;

static double squared_distance(const float *a, const float *b, int64_t size)
{
    double sum = 0;
    for (int64_t i = 0; i < size; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

/* ---- the first centres ---- */

static void take_point(clusters *c, int64_t centre, int64_t point)
{
    float *to = c->centres + centre * c->size;
    memcpy(to, c->points + point * c->size, (size_t)c->size * sizeof *to);
    for (int64_t p = 0; p < c->count; p++) {
        double d = squared_distance(c->points + p * c->size, to, c->size);
        if (centre == 0 || d < c->distance[p]) c->distance[p] = d;
    }
}

/* A point, each as probable as its squared distance to the nearest centre says; `part` is uniform in [0, 1). */
static int64_t draw_far_point(const clusters *c, double part)
{
    double total = 0;
    int64_t last = 0;
    for (int64_t p = 0; p < c->count; p++) total += c->distance[p];
    double left = part * total;
    for (int64_t p = 0; p < c->count; p++) {
        if (c->distance[p] <= 0) continue;
        last = p;
        left -= c->distance[p];
        if (left < 0) break;
    }
    return last;
}

static void draw_centres(clusters *c, uint64_t seed)
{
    uint64_t stream = peft_stream("k-means");
    take_point(c, 0, (int64_t)(peft_random_u64(seed, stream, 0) % (uint64_t)c->count));
    for (int64_t j = 1; j < c->k; j++) {
        double part = (double)(peft_random_u64(seed, stream, (uint64_t)j) >> 11) * 0x1p-53;
        take_point(c, j, draw_far_point(c, part));
    }
}

/* ---- points and centres follow each other ---- */

/* The nearest centre of each point, the first of several; false: none has changed. */
static bool assign(clusters *c, bool first)
{
    bool changed = first;
    for (int64_t p = 0; p < c->count; p++) {
        int64_t nearest = 0;
        double least = 0;
        for (int64_t j = 0; j < c->k; j++) {
            double d = squared_distance(c->points + p * c->size, c->centres + j * c->size, c->size);
            if (j > 0 && d >= least) continue;
            least = d;
            nearest = j;
        }
        changed = changed || nearest != c->nearest[p];
        c->nearest[p] = nearest;
    }
    return changed;
}

/* Each centre becomes the mean of its points; without any it stays where it is. */
static void move_centres(clusters *c)
{
    memset(c->sums, 0, (size_t)(c->k * c->size) * sizeof *c->sums);
    memset(c->members, 0, (size_t)c->k * sizeof *c->members);
    for (int64_t p = 0; p < c->count; p++) {
        int64_t j = c->nearest[p];
        c->members[j]++;
        for (int64_t i = 0; i < c->size; i++) c->sums[j * c->size + i] += (double)c->points[p * c->size + i];
    }
    for (int64_t j = 0; j < c->k; j++)
        for (int64_t i = 0; c->members[j] > 0 && i < c->size; i++)
            c->centres[j * c->size + i] = (float)(c->sums[j * c->size + i] / (double)c->members[j]);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the centres are written through a struct */
peft_status peft_kmeans(const float *points, int64_t count, int64_t size, int64_t k, uint64_t seed, float *centres,
                        peft_error *error)
{
    if (count < 1 || size < 1 || k < 1)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "k-means: expected points and centres, found %" PRId64 " points of %" PRId64
                         " numbers and %" PRId64 " centres",
                         count, size, k);
    clusters c = {.points = points, .centres = centres, .count = count, .size = size, .k = k};
    c.nearest = calloc((size_t)count, sizeof *c.nearest);
    c.distance = calloc((size_t)count, sizeof *c.distance);
    c.sums = calloc((size_t)k, (size_t)size * sizeof *c.sums);
    c.members = calloc((size_t)k, sizeof *c.members);
    bool complete = c.nearest && c.distance && c.sums && c.members;
    if (complete) {
        draw_centres(&c, seed);
        for (int round = 0; round < MOST_ROUNDS && assign(&c, round == 0); round++) move_centres(&c);
    }
    free(c.nearest);
    free(c.distance);
    free(c.sums);
    free(c.members);
    return complete ? PEFT_OK
                    : peft_fail(error, PEFT_ERR_MEMORY, "k-means: out of memory for %" PRId64 " points", count);
}
