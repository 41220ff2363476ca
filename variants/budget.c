#include "variants/budget.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Places in the state of a layer. The averages stand in pairs: sensitivity Ia, then uncertainty Ua. */
enum { OF_E, OF_ROWS = 2, OF_COLUMNS = 4, KEPT = 6 };

void peft_budget_state_values(const peft_budget_values *v, peft_value_spec *specs)
{
    static const char *const names[PEFT_BUDGET_STATE - 1] = {"E.sensitivity",       "E.uncertainty",
                                                             "rows.sensitivity",    "rows.uncertainty",
                                                             "columns.sensitivity", "columns.uncertainty"};
    const int32_t scored[] = {v->E, v->E, v->rows, v->rows, v->columns, v->columns};
    peft_value_spec *state = specs + v->state;
    for (int i = 0; i < KEPT; i++)
        state[i] = (peft_value_spec){.name = names[i], .shape = specs[scored[i]].shape, .kind = PEFT_VALUE_STATE};
    state[KEPT] = (peft_value_spec){.name = "kept",
                                    .shape = peft_shape_1(specs[v->E].shape.size[0]),
                                    .kind = PEFT_VALUE_STATE,
                                    .start = PEFT_START_ONE};
}

double peft_budget_scaling(const peft_adapter *a)
{
    const peft_budget_options *options = a->all->options;
    double rank = (double)options->common.rank;
    return (a->alpha > 0 ? a->alpha : rank) / (rank + 1e-5);
}

float *peft_budget_kept(const peft_budget_values *v, const peft_adapter *a)
{
    return a->values[v->state + KEPT].data;
}

/* ---- when ---- */

/* Steps: nothing is masked up to `first`; at `last` it is settled who is left, `target` directions a layer. */
typedef struct schedule {
    int64_t first, last, total, target;
} schedule;

static peft_status find_schedule(const peft_adapters *all, int64_t num_steps, schedule *s, peft_error *error)
{
    const peft_budget_options *o = all->options;
    const char *name = all->variant->name;
    s->total = o->total_step ? o->total_step : num_steps;
    s->first = o->tinit < 0 ? s->total / 10 : o->tinit;
    s->last = s->total - (o->tfinal < 0 ? s->total / 2 : o->tfinal);
    s->target = o->target_rank ? o->target_rank : (2 * o->common.rank + 2) / 3;
    if (s->target > o->common.rank)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: target_rank: expected at most the rank at the start, %" PRId64 ", found %" PRId64, name,
                         o->common.rank, s->target);
    if (s->first >= s->last)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: tinit %" PRId64 " and tfinal %" PRId64 " leave none of %" PRId64
                         " steps to prune in: lower one of them or train longer",
                         name, s->first, s->total - s->last, s->total);
    if (num_steps < s->last)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: pruning ends at step %" PRId64 " (total_step - tfinal), but there are only %" PRId64
                         " steps: lower total_step or train longer",
                         name, s->last, num_steps);
    return PEFT_OK;
}

/* What was left to the run is known now, and files say it: also those of a run that is resumed after its last step. */
static peft_status settle(const peft_adapters *all, int64_t num_steps, schedule *s, peft_error *error)
{
    peft_budget_options *o = all->options;
    peft_status status = find_schedule(all, num_steps, s, error);
    if (status != PEFT_OK) return status;
    o->total_step = s->total;
    o->tinit = s->first;
    o->tfinal = s->total - s->last;
    o->target_rank = s->target;
    return PEFT_OK;
}

peft_status peft_budget_check_steps(const peft_adapters *all, int64_t num_steps, peft_error *error)
{
    schedule s;
    return settle(all, num_steps, &s, error);
}

/* (3) */
static int64_t budget_at(const schedule *s, int64_t step, int64_t start, int64_t target)
{
    if (step >= s->last) return target;
    double left = 1 - (double)(step - s->first) / (double)(s->last - s->first);
    return (int64_t)((double)(start - target) * pow(left, 3) + (double)target);
}

/* ---- scores ---- */

/* (1) */
static void update_averages(const peft_budget_options *o, const peft_value *value, float *sensitivity,
                            float *uncertainty)
{
    const float beta1 = (float)o->beta1, beta2 = (float)o->beta2;
    int64_t count = peft_shape_count(&value->spec.shape);
    for (int64_t i = 0; i < count; i++) {
        float now = fabsf(value->data[i] * value->gradient[i]);
        sensitivity[i] = beta1 * sensitivity[i] + (1 - beta1) * now;
        uncertainty[i] = beta2 * uncertainty[i] + (1 - beta2) * fabsf(now - sensitivity[i]);
    }
}

static void update_scores(const peft_budget_values *v, peft_adapters *all)
{
    const int32_t scored[] = {v->E, v->rows, v->columns};
    for (int64_t l = 0; l < all->num_layers; l++) {
        peft_adapter *a = &all->layers[l];
        for (int i = 0; i < 3; i++) {
            const peft_value *state = &a->values[v->state + 2 * i];
            update_averages(all->options, &a->values[scored[i]], state[0].data, state[1].data);
        }
    }
}

/* Mean of Ia Ua over `count` elements from `first` on, `stride` apart. */
static double mean_score(const peft_value *averages, int64_t first, int64_t stride, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = first + i * stride;
        sum += (double)averages[0].data[at] * (double)averages[1].data[at];
    }
    return sum / (double)count;
}

/* (2) */
static double score_of(const peft_budget_values *v, const peft_adapter *a, int64_t j)
{
    const peft_value *state = a->values + v->state;
    int64_t row = a->values[v->rows].spec.shape.size[1], column = a->values[v->columns].spec.shape.size[0];
    return mean_score(state + OF_E, j, 1, 1) + mean_score(state + OF_ROWS, j * row, 1, row) +
           mean_score(state + OF_COLUMNS, j, a->rank, column);
}

/* ---- masks ---- */

typedef struct direction {
    double score;
    int64_t layer, j;
} direction;

static int compare_directions(const void *a, const void *b)
{
    const direction *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return x->j < y->j ? -1 : x->j > y->j;
}

static int64_t count_directions(const peft_adapters *all)
{
    int64_t count = 0;
    for (int64_t l = 0; l < all->num_layers; l++) count += all->layers[l].rank;
    return count;
}

static peft_status list_directions(const peft_budget_values *v, const peft_adapters *all, direction *list,
                                   peft_error *error)
{
    int64_t count = 0;
    for (int64_t l = 0; l < all->num_layers; l++)
        for (int64_t j = 0; j < all->layers[l].rank; j++) {
            double score = score_of(v, &all->layers[l], j);
            if (!isfinite(score))
                return peft_fail(error, PEFT_ERR_NUMERIC, "%s: the score of direction %" PRId64 " is %g",
                                 all->layers[l].module, j, score);
            list[count++] = (direction){score, l, j};
        }
    return PEFT_OK;
}

/* Zeroes E of all directions but the `budget` best; where that is settled, it is remembered. */
static peft_status prune(const peft_budget_values *v, peft_adapters *all, int64_t budget, bool settled,
                         peft_error *error)
{
    int64_t count = count_directions(all);
    direction *list = malloc((size_t)(count + 1) * sizeof *list);
    if (!list) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its scores", all->variant->name);
    peft_status status = list_directions(v, all, list, error);
    if (status == PEFT_OK) qsort(list, (size_t)count, sizeof *list, compare_directions);
    for (int64_t i = 0; i < count - budget && status == PEFT_OK; i++) {
        const peft_adapter *a = &all->layers[list[i].layer];
        a->values[v->E].data[list[i].j] = 0;
        if (settled) peft_budget_kept(v, a)[list[i].j] = 0;
    }
    free(list);
    return status;
}

static void mask_settled(const peft_budget_values *v, peft_adapters *all)
{
    for (int64_t l = 0; l < all->num_layers; l++) {
        const peft_adapter *a = &all->layers[l];
        const float *kept = peft_budget_kept(v, a);
        for (int64_t j = 0; j < a->rank; j++)
            if (kept[j] == 0) a->values[v->E].data[j] = 0;
    }
}

peft_status peft_budget_after_step(const peft_budget_values *v, peft_adapters *all, const peft_training_step *done,
                                   peft_error *error)
{
    const peft_budget_options *o = all->options;
    schedule s;
    peft_status status = settle(all, done->num_steps, &s, error);
    if (status) return status;
    int64_t t = done->step, start = count_directions(all), target = s.target * all->num_layers;
    if (t < s.last) update_scores(v, all);
    if (t == s.last || (t > s.first && t < s.last && t % o->delta_t == 0))
        return prune(v, all, budget_at(&s, t, start, target), t == s.last, error);
    if (t > s.last) mask_settled(v, all);
    return PEFT_OK;
}
