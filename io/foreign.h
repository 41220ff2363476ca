/* io/foreign.h - files that are something else than their name says, told by their first bytes: what a download, a
 * spreadsheet or another program left in the place of a table, a JSON document or weights. */
#ifndef PEFT_IO_FOREIGN_H
#define PEFT_IO_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "ops/status.h"

/* "a Git LFS pointer …; fetch the file itself with `git lfs pull`"; NULL where nothing is recognised. */
const char *peft_foreign_kind(const void *data, size_t bytes);

/* The same of a file whose lines matter: also text whose lines end with CR alone. */
const char *peft_foreign_text(const void *data, size_t bytes);

/* Is what is recognised HTML or XML, which may also be somebody's text? */
bool peft_foreign_is_markup(const void *data, size_t bytes);

/* What a reader returns that has failed with `status`: where the file is malformed for it and is recognised, the
 * message becomes "PATH: this is a Git LFS pointer …". Other failures stay as they are. */
peft_status peft_fail_foreign(peft_error *error, peft_status status, const char *path, const void *data, size_t bytes);
peft_status peft_fail_foreign_text(peft_error *error, peft_status status, const char *path, const void *data,
                                   size_t bytes);

#endif
