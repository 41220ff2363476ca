/* peft/cli/inspect.h - what `peft inspect` finds out about a folder, one file a kind. */
#ifndef PEFT_CLI_INSPECT_H
#define PEFT_CLI_INSPECT_H

#include "peft/cli/output.h"

typedef struct peft_inspection {
    const char *folder;
    const char *model; /* folder of the base model of an adapter, or NULL */
} peft_inspection;

/* `describe` makes the document that --json prints and `print` shows it to people: they say the same. */
typedef struct peft_inspector {
    const char *kind;     /* key of the document */
    const char *files[2]; /* the folder holds one of these; the second may be NULL */
    peft_status (*describe)(const peft_inspection *what, json_t **document, peft_error *error);
    peft_status (*print)(const json_t *document, FILE *out, peft_error *error);
} peft_inspector;

extern const peft_inspector peft_inspect_run, peft_inspect_decisions, peft_inspect_adapter, peft_inspect_model;

/* A number, or null where it is not finite. */
json_t *peft_inspect_number(double value);

/* Bytes of a file; 0 where the system does not say. */
json_int_t peft_inspect_file_bytes(const char *path);

#endif
