#include "generators/library.h"
#include "generators/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generators/canonical.h"
#include "ops/linear_algebra.h"

peft_status peft_library_create(peft_library *library, const peft_places *places, int64_t num_tasks, peft_error *error)
{
    *library =
        (peft_library){.places = places, .num_tasks = num_tasks, .num_values = places->adapters->set.num_trained};
    if (num_tasks < 1) return peft_fail(error, PEFT_ERR_ARGUMENT, "library: it has no tasks");
    if ((uint64_t)num_tasks > SIZE_MAX / sizeof(float) / (size_t)(library->num_values + 1))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "library: its adapters are more than memory can have");
    library->values = calloc((size_t)(num_tasks * library->num_values) + 1, sizeof *library->values);
    return library->values ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "library: out of memory for its adapters");
}

void peft_library_free(peft_library *library)
{
    free(library->values);
    *library = (peft_library){0};
}

static float *values_of(const peft_library *library, int64_t task)
{
    return library->values + task * library->num_values;
}

void peft_library_put(peft_library *library, int64_t task)
{
    memcpy(values_of(library, task), library->places->adapters->set.memory,
           (size_t)library->num_values * sizeof(float));
}

void peft_library_get(const peft_library *library, int64_t task)
{
    memcpy(library->places->adapters->set.memory, values_of(library, task),
           (size_t)library->num_values * sizeof(float));
}

/* Where a value of the adapters stands in each row of the library. */
static int64_t place_of(const peft_library *library, const peft_value *value)
{
    return value->data - library->places->adapters->set.memory;
}

/* ---- canonical factors ---- */

/* The factors of a layer; false: it has others. */
static bool find_factors(const peft_adapter *a, const peft_value **A, const peft_value **B)
{
    *A = *B = NULL;
    for (int32_t v = 0; v < a->num_values; v++) {
        const peft_value *value = &a->values[v];
        if (strcmp(value->spec.name, "lora_A.weight") == 0) *A = value;
        if (strcmp(value->spec.name, "lora_B.weight") == 0) *B = value;
        if (value->spec.kind == PEFT_VALUE_TRAINED && value != *A && value != *B) return false;
    }
    return *A && *B && (*A)->spec.kind == PEFT_VALUE_TRAINED && (*B)->spec.kind == PEFT_VALUE_TRAINED;
}

static peft_status check_lora(const peft_library *library, const char *what, peft_error *error)
{
    const peft_adapters *all = library->places->adapters;
    const peft_value *A, *B;
    for (int64_t i = 0; i < all->num_layers; i++)
        if (!find_factors(&all->layers[i], &A, &B))
            return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: are about B A of lora and rslora, found %s", what,
                             all->variant->name);
    return PEFT_OK;
}

peft_status peft_library_canonical(peft_library *library, peft_error *error)
{
    const peft_adapters *all = library->places->adapters;
    peft_status status = check_lora(library, "canonical factors", error);
    for (int64_t task = 0; task < library->num_tasks && status == PEFT_OK; task++)
        for (int64_t i = 0; i < all->num_layers && status == PEFT_OK; i++) {
            const peft_adapter *a = &all->layers[i];
            const peft_value *A, *B;
            find_factors(a, &A, &B);
            float *values = values_of(library, task);
            status = peft_canonical_factors(A->spec.shape.size[0], a->in_features, a->out_features,
                                            values + place_of(library, A), values + place_of(library, B), error);
        }
    return status;
}

/* ---- statistics ---- */

typedef struct moments {
    double *mean, *deviation; /* [num_values] */
    double mean_deviation;
} moments;

static peft_status measure(const peft_library *library, moments *m, peft_error *error)
{
    const int64_t n = library->num_values, tasks = library->num_tasks;
    m->mean = calloc((size_t)n + 1, sizeof *m->mean);
    m->deviation = calloc((size_t)n + 1, sizeof *m->deviation);
    if (!m->mean || !m->deviation) return peft_fail(error, PEFT_ERR_MEMORY, "library: out of memory for statistics");
    for (int64_t task = 0; task < tasks; task++)
        for (int64_t i = 0; i < n; i++) m->mean[i] += (double)values_of(library, task)[i] / (double)tasks;
    for (int64_t task = 0; task < tasks; task++)
        for (int64_t i = 0; i < n; i++) {
            double off = (double)values_of(library, task)[i] - m->mean[i];
            m->deviation[i] += off * off / (double)(tasks - 1);
        }
    for (int64_t i = 0; i < n; i++) {
        m->deviation[i] = sqrt(m->deviation[i]);
        m->mean_deviation += m->deviation[i] / (double)n;
    }
    return PEFT_OK;
}

/* Two tensors of the network, or of the adapters, from an array with an entry for each value of these. */
static void take(const peft_library *library, const double *from, double floor, const peft_place_kind *kind,
                 const peft_place_tensor *tensor, float *to)
{
    for (int64_t p = 0; p < kind->num_places; p++) {
        int64_t at = place_of(library, peft_place_value(library->places, kind, p, tensor));
        for (int64_t i = 0; i < tensor->count; i++)
            to[p * tensor->count + i] = (float)(from[at + i] > floor ? from[at + i] : floor);
    }
}

peft_status peft_library_statistics(const peft_library *library, const peft_t2l *t, peft_error *error)
{
    const double floor = 1e-6;
    moments m = {0};
    peft_status status = PEFT_OK;
    if (library->num_tasks < 2)
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "z-scores: take two adapters or more, found one");
    if (status == PEFT_OK) status = measure(library, &m, error);
    if (status == PEFT_OK && !(m.mean_deviation > 0))
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "z-scores: all adapters of the library are the same");
    for (int64_t k = 0; k < t->places.num_kinds && status == PEFT_OK; k++)
        for (int32_t v = 0; v < t->places.kinds[k].num_tensors; v++) {
            const peft_place_kind *kind = &t->places.kinds[k];
            const peft_place_tensor *tensor = &kind->tensors[v];
            const peft_value *mean = peft_net_value(&t->set, "mean_recon_target.%s.%s", tensor->name, kind->name);
            const peft_value *sd = peft_net_value(&t->set, "std_recon_target.%s.%s", tensor->name, kind->name);
            if (!mean || !sd || !tensor->emitted) continue;
            take(library, m.mean, -HUGE_VAL, kind, tensor, mean->data);
            take(library, m.deviation, floor * m.mean_deviation, kind, tensor, sd->data);
        }
    free(m.mean);
    free(m.deviation);
    return status;
}

void peft_library_mean(const peft_library *library)
{
    float *to = library->places->adapters->set.memory;
    for (int64_t i = 0; i < library->num_values; i++) {
        double sum = 0;
        for (int64_t task = 0; task < library->num_tasks; task++) sum += (double)values_of(library, task)[i];
        to[i] = (float)(sum / (double)library->num_tasks);
    }
}

void peft_library_gather(const peft_library *library, const peft_place_kind *kind, const peft_place_tensor *tensor,
                         const uint32_t *tasks, int64_t count, float *out)
{
    for (int64_t p = 0; p < kind->num_places; p++) {
        const int64_t at = place_of(library, peft_place_value(library->places, kind, p, tensor));
        for (int64_t n = 0; n < count; n++, out += tensor->count)
            memcpy(out, values_of(library, tasks[n]) + at, (size_t)tensor->count * sizeof *out);
    }
}

/* ---- how alike two updates are ---- */

/* tr((B A)^T B' A') = tr((B'^T B) (A A'^T)), with r x r products only */
static double inner(int64_t rank, int64_t in, int64_t out, const float *A, const float *B, const float *A2,
                    const float *B2)
{
    double sum = 0;
    for (int64_t r = 0; r < rank; r++)
        for (int64_t s = 0; s < rank; s++) {
            double up = 0, down = 0;
            for (int64_t o = 0; o < out; o++) up += (double)B2[o * rank + s] * (double)B[o * rank + r];
            for (int64_t i = 0; i < in; i++) down += (double)A[r * in + i] * (double)A2[s * in + i];
            sum += up * down;
        }
    return sum;
}

peft_status peft_library_cosine(const peft_library *library, const float *first, const float *second, double *cosine,
                                peft_error *error)
{
    const peft_adapters *all = library->places->adapters;
    double products[3] = {0};
    const float *const pairs[3][2] = {{first, second}, {first, first}, {second, second}};
    peft_status status = check_lora(library, "cosines of updates", error);
    for (int64_t i = 0; i < all->num_layers && status == PEFT_OK; i++) {
        const peft_adapter *a = &all->layers[i];
        const peft_value *A, *B;
        find_factors(a, &A, &B);
        const int64_t down = place_of(library, A), up = place_of(library, B);
        for (int k = 0; k < 3; k++)
            products[k] += inner(A->spec.shape.size[0], a->in_features, a->out_features, pairs[k][0] + down,
                                 pairs[k][0] + up, pairs[k][1] + down, pairs[k][1] + up);
    }
    double norms = sqrt(products[1] * products[2]);
    *cosine = norms > 0 ? products[0] / norms : 0;
    return status;
}
