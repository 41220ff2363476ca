/* peft/adapter_settings.h - what an adapter_config.json says about modules that a file does not bear out. */
#ifndef PEFT_PEFT_ADAPTER_SETTINGS_H
#define PEFT_PEFT_ADAPTER_SETTINGS_H

#include "peft/config.h"

/* Everything is borrowed. */
typedef struct peft_settings_case {
    const char *folder;
    const peft_adapter_config *config;
    const peft_adapters *adapters; /* of the file, at least described; may be NULL */
    peft_model *model;             /* may be NULL */
    const json_t *report;          /* of peft_targets_find; may be NULL */
    const char *unselected;        /* of peft_file_layers; may be NULL */
} peft_settings_case;

/* Notes the names and patterns that match nothing, a layer of the file that they leave out, and alphas of which two are
 * meant for one module: the order of a JSON object, which says which of them counts, is lost where programs sort it. */
peft_status peft_note_settings(const peft_settings_case *settings, const peft_load_options *options, peft_error *error);

/* The patterns of `options` as they are to be written: where two of a setting meet one module, whole names in their
 * place, since a file does not keep their order. New objects, or NULL where nothing has to change. */
peft_status peft_settings_patterns(const peft_adapters *adapters, json_t **rank_pattern, json_t **alpha_pattern,
                                   peft_error *error);

#endif
