/* ops/schedule.c - learning-rate schedules, as transformers/optimization.py defines them. */
#include <math.h>
#include <string.h>

#include "ops/optimizer.h"

static double constant(double progress)
{
    (void)progress;
    return 1;
}

static double linear(double progress)
{
    return fmax(0, 1 - progress);
}

static double cosine(double progress)
{
    const double pi = 3.14159265358979323846;
    return fmax(0, 0.5 * (1 + cos(pi * progress)));
}

/* After the warm-up, from its end (progress 0) to the last step (1). */
static const struct {
    const char *name;
    double (*factor)(double progress);
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
    if (step < warmup_steps) return (double)step / (double)(warmup_steps > 1 ? warmup_steps : 1);
    int64_t rest = total_steps - warmup_steps;
    return schedules[schedule].factor((double)(step - warmup_steps) / (double)(rest > 1 ? rest : 1));
}
