/* peft/config.h - adapter_config.json, as Hugging Face PEFT writes and reads it.
 *
 * What a key means depends on peft_type. Keys are, in this order: fields of every type, the targets' (peft/target.h),
 * options of the variant under their names there, fields that are known but not offered, and unknown ones. A key that
 * is missing stands for PEFT's default. One that is known to change the maths and is not offered is refused; an unknown
 * one is ignored where its value is null, false, {} or [], else noted. */
#ifndef PEFT_PEFT_CONFIG_H
#define PEFT_PEFT_CONFIG_H

#include "peft/target.h"
#include "variants/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_adapter_config {
    const peft_variant *variant; /* chosen by peft_type and its flag; NULL: no adapter, modules_to_save alone */
    void *options;               /* the variant's own struct; NULL where it is */
    peft_target_options targets;
    char *task_type, *base_model_name_or_path, *revision, *peft_version;
    json_t *auto_mapping;
    bool inference_mode;
} peft_adapter_config;

typedef struct peft_load_options {
    bool strict;      /* what would be noted is an error */
    bool other_base;  /* the model may be another than the one that the adapter was trained on, which is noted */
    bool hidden_only; /* nobody will ask for a head: nothing is said of one that is left out */
    json_t *notes;    /* the caller's array: what is no error but should be known, as strings; may be NULL */

    /* Of peft_load alone: answers to compare texts with where neither model nor adapter has a head (peft/answers.h),
     * NULL: none; the length of their vectors, and what computes these. */
    const json_t *answers;
    double answer_scale;
    peft_context *ctx;
} peft_load_options;

/* peft_type of a folder that has no adapter but modules trained in full. PEFT does not know it. */
#define PEFT_TYPE_HEAD "HEAD"

/* All defaults. `variant` may be NULL. Release with peft_adapter_config_free, which takes a struct of zeros too. */
PEFT_API peft_status peft_adapter_config_init(peft_adapter_config *config, const peft_variant *variant,
                                              peft_error *error);
PEFT_API void peft_adapter_config_free(peft_adapter_config *config);

/* PEFT_ERR_FILE, PEFT_ERR_FORMAT (a value of the wrong type or out of range), PEFT_ERR_UNSUPPORTED (a method or a field
 * that is not offered), each with file and key. `options` may be NULL. */
PEFT_API peft_status peft_adapter_config_load(peft_adapter_config *config, const char *path,
                                              const peft_load_options *options, peft_error *error);

/* Writes all known fields, keys and lists of names sorted. */
PEFT_API peft_status peft_adapter_config_save(const peft_adapter_config *config, const char *path, peft_error *error);

/* peft_fail_in, where a wrong value is the file's fault, not the caller's: PEFT_ERR_FORMAT for PEFT_ERR_ARGUMENT. */
peft_status peft_fail_in_file(peft_error *error, peft_status status, const char *where);

/* Adds a formatted note, or fails with PEFT_ERR_UNSUPPORTED under `strict`. `options` may be NULL. */
peft_status peft_note(const peft_load_options *options, peft_error *error, const char *format, ...) PEFT_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
