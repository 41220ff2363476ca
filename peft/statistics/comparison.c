#include "peft/statistics/comparison.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "peft/statistics/holm.h"
#include "peft/statistics/sign_flip.h"
#include "peft/statistics/summary.h"

static const double POINTS = 100.0; /* of a score of one */

peft_comparison peft_comparison_of(const double *a, const double *b, size_t n)
{
    peft_comparison c = {.seeds = n, .comparisons = 1, .detectable = (double)NAN, .p_examples = (double)NAN};
    double *d = calloc(n + 1, sizeof *d);
    for (size_t i = 0; d && i < n; i++) d[i] = b[i] - a[i];
    peft_statistics s = peft_statistics_of(d, d ? n : 0);
    c.difference = s.mean;
    c.deviation = s.deviation;
    c.low = s.low;
    c.high = s.high;
    c.p = c.adjusted = d ? peft_sign_flip(d, n) : 1.0;
    c.smallest = peft_sign_flip_smallest(n);
    free(d);
    return c;
}
/* ---- together ---- */

static void correct(peft_comparison *c, size_t count, const double *adjusted)
{
    double level = PEFT_COMPARISON_LEVEL / (double)count, effect = (double)NAN;
    size_t known = 0; /* seeds that the effect is of */
    for (size_t k = 0; k < count; k++) {
        if (c[k].seeds != known) effect = peft_sign_flip_detectable(c[k].seeds, level, PEFT_COMPARISON_POWER);
        known = c[k].seeds;
        c[k].comparisons = count;
        c[k].adjusted = adjusted[k];
        c[k].detectable = isinf(effect) ? effect : effect * c[k].deviation;
    }
}

peft_status peft_comparisons_correct(peft_comparison *comparisons, size_t count, peft_error *error)
{
    double *p = calloc(2 * count + 1, sizeof *p);
    if (!p) return peft_fail(error, PEFT_ERR_MEMORY, "comparisons: out of memory");
    for (size_t k = 0; k < count; k++) p[k] = comparisons[k].p;
    peft_holm(p, count, p + count);
    correct(comparisons, count, p + count);
    free(p);
    return PEFT_OK;
}

peft_verdict peft_comparison_verdict(const peft_comparison *c)
{
    if (!c->seeds || c->adjusted > PEFT_COMPARISON_LEVEL) return PEFT_VERDICT_NONE;
    return c->difference > 0.0 ? PEFT_VERDICT_ABOVE : PEFT_VERDICT_BELOW;
}

/* ---- sentences ---- */

typedef struct sentence {
    char *text;
    size_t bytes, used;
} sentence;

static void add(sentence *s, const char *format, ...) PEFT_PRINTF(2, 3);

static void add(sentence *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(s->text + s->used, s->bytes - s->used, format, arguments);
    va_end(arguments);
    s->used += (size_t)written;
    if (s->used >= s->bytes) s->used = s->bytes - 1;
}

/* "(95 % interval 1.2 to 5.2; p = 0.012 over 10 seeds, corrected for 3 comparisons)" */
static void add_evidence(sentence *s, const peft_comparison *c)
{
    add(s, "95 %% interval %.1f to %.1f; p = %.2g over %zu seeds", POINTS * c->low, POINTS * c->high, c->adjusted,
        c->seeds);
    if (c->comparisons > 1) add(s, ", corrected for %zu comparisons", c->comparisons);
}

static void add_shown(sentence *s, const peft_comparison *c, const char *a, const char *b)
{
    bool above = c->difference > 0.0;
    add(s, "%s is %s %s by %.1f points (", b, above ? "above" : "below", a, POINTS * fabs(c->difference));
    add_evidence(s, c);
    add(s, ").");
    if (c->examples && c->p_examples > PEFT_COMPARISON_LEVEL)
        add(s, " It may be otherwise on other examples (p = %.2g over these %zu).", c->p_examples, c->examples);
}

/* What the seeds could have shown. */
static void add_reach(sentence *s, const peft_comparison *c)
{
    double level = PEFT_COMPARISON_LEVEL / (double)c->comparisons;
    if (isinf(c->detectable))
        add(s, ", nor could one have been, however large: the smallest p is %.2g, and it takes %zu seeds%s.",
            c->smallest, peft_sign_flip_fewest(level), c->comparisons > 1 ? " for so many comparisons" : "");
    else if (c->detectable > 0.0)
        add(s, ": one of %.1f points would have been found with probability %.1f.", POINTS * c->detectable,
            PEFT_COMPARISON_POWER);
    else
        add(s, ": their scores are the same, seed by seed.");
}

static void add_not_shown(sentence *s, const peft_comparison *c, const char *a, const char *b)
{
    add(s, "No difference between %s and %s could be shown with %s%zu seed%s", a, b, c->seeds == 1 ? "" : "these ",
        c->seeds, c->seeds == 1 ? "" : "s");
    add_reach(s, c);
    add(s, " Found: %.1f points", POINTS * c->difference);
    if (c->seeds > 1) {
        add(s, ", ");
        add_evidence(s, c);
    }
    add(s, ".");
    if (c->examples && c->p_examples <= PEFT_COMPARISON_LEVEL)
        add(s,
            " These runs answer the same %zu examples differently by more than chance (p = %.2g); other seeds may not.",
            c->examples, c->p_examples);
}

char *peft_comparison_sentence(const peft_comparison *c, const char *a, const char *b, char *text, size_t bytes)
{
    sentence s = {text, bytes, 0};
    *text = '\0';
    if (!c->seeds)
        add(&s, "%s and %s have no seed in common that is done.", a, b);
    else if (peft_comparison_verdict(c) != PEFT_VERDICT_NONE)
        add_shown(&s, c, a, b);
    else
        add_not_shown(&s, c, a, b);
    return text;
}
