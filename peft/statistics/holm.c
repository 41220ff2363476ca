#include "peft/statistics/holm.h"

#include <math.h>
#include <stdbool.h>

/* In ascending order; of equal values the first stands first. */
static bool precedes(const double *p, size_t i, size_t j)
{
    return p[i] < p[j] || (i < j && !(p[i] > p[j]));
}

static double multiplied(const double *p, size_t m, size_t index)
{
    size_t before = 0;
    for (size_t i = 0; i < m; i++) before += precedes(p, i, index);
    return fmin(1.0, (double)(m - before) * p[index]);
}

void peft_holm(const double *p, size_t m, double *adjusted)
{
    for (size_t k = 0; k < m; k++) adjusted[k] = multiplied(p, m, k);
    for (size_t k = 0; k < m; k++)
        for (size_t j = 0; j < m; j++)
            if (precedes(p, j, k)) adjusted[k] = fmax(adjusted[k], adjusted[j]);
}
