#include "peft/cli/job_progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "peft/cli/signals.h"
#include "peft/machine.h"

static bool report(void *argument, const peft_event *event)
{
    peft_job_progress *p = argument;
    double now = peft_machine_seconds();
    if (p->saves) peft_signals_defer();
    if (!p->what || strcmp(p->what, event->what) != 0) {
        peft_job_progress_finish(p);
        peft_progress_start(&p->bar, p->output, event->what, strcmp(event->what, "train") ? "examples" : "steps",
                            event->done, event->total, now);
        p->what = event->what;
        p->loss = event->loss;
    }
    const double share_of_new = 0.1; /* of the running mean: what the eye can follow */
    p->loss = isfinite(p->loss) ? p->loss + share_of_new * (event->loss - p->loss) : event->loss;
    char detail[PEFT_PROGRESS_DETAIL_BYTES] = "";
    if (isfinite(p->loss)) snprintf(detail, sizeof detail, "loss %.4f", p->loss);
    peft_progress_update(&p->bar, event->done, detail, now);
    return !peft_interrupted();
}

static void note(void *argument, const char *text)
{
    peft_output_say(argument, PEFT_SAY_NOTE, "%s", text);
}

peft_callback peft_job_progress_callback(peft_job_progress *progress, peft_output *output)
{
    *progress = (peft_job_progress){.output = output};
    return (peft_callback){report, progress};
}

void peft_job_progress_attach(peft_job_progress *progress, peft_output *output, peft_train_job *job)
{
    job->callback = peft_job_progress_callback(progress, output);
    progress->saves = true;
    job->note = note;
    job->note_argument = output;
}

void peft_job_progress_finish(peft_job_progress *progress)
{
    if (progress->what) peft_progress_finish(&progress->bar, peft_machine_seconds());
    progress->what = NULL;
}
