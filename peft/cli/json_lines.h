/* peft/cli/json_lines.h - reading a file with a JSON document on each line. */
#ifndef PEFT_CLI_JSON_LINES_H
#define PEFT_CLI_JSON_LINES_H

#include <jansson.h>
#include <stdbool.h>

#include "ops/status.h"

/* One line; false: out of memory. The document is the reader's only during the call. */
typedef bool peft_json_line(void *argument, json_t *line);

/* Calls `line` for each line of the file. A last line without its end is left out: a run that goes on is writing it, or
 * was when it was killed. */
peft_status peft_json_lines_read(const char *path, peft_json_line *line, void *argument, peft_error *error);

#endif
