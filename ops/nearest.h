/* ops/nearest.h - names that stand in tables: finding one, and "did you mean" where it is not there. */
#ifndef PEFT_OPS_NEAREST_H
#define PEFT_OPS_NEAREST_H

#include <stddef.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The names stand in a table: `first` is the address of the first entry's `const char *`, `stride` the bytes from one
 * entry to the next: sizeof(char *) for an array of strings, sizeof table[0] for names inside of structures. Entries
 * that are NULL are passed over. */
typedef struct peft_names {
    const void *first;
    size_t count;
    size_t stride;
} peft_names;

PEFT_API const char *peft_names_at(const peft_names *names, size_t index);

/* Its index, or names->count where it is not there. */
PEFT_API size_t peft_names_find(const peft_names *names, const char *name);

/* The name of the table with the fewest edits (a letter added, dropped or changed, or two neighbours swapped; case and
 * '-' against '_' do not count), the first of several. NULL where more than a third of the letters would change: a
 * wrong guess helps nobody. */
PEFT_API const char *peft_nearest(const char *name, const peft_names *names);

/* Fails with "WHAT \"rtt\": unknown; did you mean \"rte\"? Known: cola, rte, wnli". A long list ends in "...". */
PEFT_API peft_status peft_fail_unknown(peft_error *error, peft_status status, const char *what, const char *name,
                                       const peft_names *names);

#ifdef __cplusplus
}
#endif
#endif
