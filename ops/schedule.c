/* ops/schedule.c - learning-rate schedules, as transformers/optimization.py defines them. */
#include <math.h>
#include <string.h>

#include "ops/optimizer.h"

/* After the warm-up, `left` of `length` steps before the end. */
static double constant(double left, double length)
{
    (void)left, (void)length;
    return 1;
}

static double linear(double left, double length)
{
    return left / length;
}

static double cosine(double left, double length)
{
    const double pi = 3.14159265358979323846;
    return 0.5 * (1 + cos(pi * ((length - left) / length)));
}

static const struct {
    const char *name;
    double (*factor)(double left, double length);
} schedules[] = {
    [PEFT_SCHEDULE_CONSTANT] = {"constant", constant},
    [PEFT_SCHEDULE_LINEAR] = {"linear", linear},
    [PEFT_SCHEDULE_COSINE] = {"cosine", cosine},
};

bool peft_schedule_find(const char *name, peft_schedule *schedule)
{
    for (size_t k = 0; k < sizeof schedules / sizeof schedules[0]; k++)
        if (strcmp(schedules[k].name, name) == 0) {
            *schedule = (peft_schedule)k;
            return true;
        }
    return false;
}

double peft_schedule_factor(peft_schedule schedule, int64_t step, int64_t warmup_steps, int64_t total_steps)
{
    if (step < warmup_steps) return (double)step / (double)warmup_steps;
    int64_t length = total_steps > warmup_steps ? total_steps - warmup_steps : 1;
    int64_t left = total_steps > step ? total_steps - step : 0;
    return schedules[schedule].factor((double)left, (double)length);
}
