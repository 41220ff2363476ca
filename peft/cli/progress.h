/* peft/cli/progress.h - how far long work has come: a bar that is drawn in place on a terminal, else a line now and
 * then.
 *
 *     train  42% [########------------] 420/1000 steps, 12.5/s, 0:46 left, loss 0.4321
 *
 * Work of many parts shows a line for each that goes on above it. */
#ifndef PEFT_CLI_PROGRESS_H
#define PEFT_CLI_PROGRESS_H

#include "peft/cli/output.h"

#include <stdint.h>

enum { PEFT_PROGRESS_DETAIL_BYTES = 128 };

typedef struct peft_progress {
    peft_output *output;
    const char *label, *unit; /* "train", "steps" */
    int64_t first, done, total;
    double started, shown; /* seconds: when the work began, when it was last shown */
    int64_t shown_done;    /* and what was done then */
    const char *const *parts;
    size_t num_parts;
    char detail[PEFT_PROGRESS_DETAIL_BYTES];
} peft_progress;

/* Begins at `first` of `total`: `first` is above 0 where work is resumed. Label and unit must outlive the progress. */
void peft_progress_start(peft_progress *progress, peft_output *output, const char *label, const char *unit,
                         int64_t first, int64_t total, double now);

/* To be called as often as one likes: a bar is drawn ten times a second at most, a line written every ten seconds.
 * `detail`, "loss 0.4321", stands at the end of the line. */
void peft_progress_update(peft_progress *progress, int64_t done, const char *detail, double now);

/* Lines that stand above the bar on a terminal, one for each part of the work that goes on: as many as there is room
 * for. They are the caller's, until they are replaced or the progress ends. */
void peft_progress_parts(peft_progress *progress, const char *const *parts, size_t num_parts);

/* "0:46", "1:02:03" */
enum { PEFT_DURATION_BYTES = 32 };
void peft_progress_duration(double seconds, char text[PEFT_DURATION_BYTES]);

/* Shows the last state and ends the line. */
void peft_progress_finish(peft_progress *progress, double now);

#endif
