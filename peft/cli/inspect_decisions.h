/* peft/cli/inspect_decisions.h - pictures of what a document of `peft inspect` says about modules. */
#ifndef PEFT_CLI_INSPECT_DECISIONS_H
#define PEFT_CLI_INSPECT_DECISIONS_H

#include <jansson.h>

#include "ops/status.h"

/* Writes an SVG: the size of each module's update, then each quantity that the run's variant decided, by layers and
 * modules at the end, and by modules and steps over the run. `all` is the document of --json. PEFT_ERR_ARGUMENT where
 * it has neither. */
peft_status peft_inspect_draw(const json_t *all, const char *path, peft_error *error);

#endif
