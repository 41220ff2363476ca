/* io/json.h - JSON documents as jansson values, with errors that name file, line and column; typed reads of fields.
 *
 * jansson keeps the keys of an object in the order of the file. Readers rely on it: the first key of a `rank_pattern`
 * that matches a module wins. */
#ifndef PEFT_IO_JSON_H
#define PEFT_IO_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"

/* Larger documents are refused; the largest in use, tokenizer.json of a model with 260,000 tokens, has some 34 MB. */
enum { PEFT_JSON_MAX_BYTES = 128 << 20 };

/* Reads one document, an object or an array: UTF-8, no duplicate keys, no text after it, numbers as Python's json reads
 * them (io/json_decode.h). `*root` is the caller's (json_decref). Errors read "adapter_config.json:3:14: …", or say
 * what the file is instead (io/foreign.h); PEFT_ERR_FORMAT where it is malformed, which jansson also says of a string
 * that found no memory. The second form reads from memory, with `where` in place of the path. */
peft_status peft_json_load(const char *path, json_t **root, peft_error *error);
peft_status peft_json_parse(const char *text, size_t bytes, const char *where, json_t **root, peft_error *error);

/* Writes a document atomically (io/file.h), indented by two spaces, with a line end at the end. Real numbers have as
 * many digits as it takes to read the same value back; NaN and the like are written as they were read. Keys come in the
 * order of the object, or sorted. */
typedef enum peft_json_order { PEFT_JSON_AS_IS, PEFT_JSON_SORTED } peft_json_order;
peft_status peft_json_save(const char *path, json_t *root, peft_json_order order, peft_error *error);

/* Fields of an object. Where the key is absent or null, `*value` is left as it is, so set the default first. `where`
 * names the object in errors: "adapter_config.json: r: expected an integer from 1 to 65536, found "8""
 * (PEFT_ERR_FORMAT). Results other than numbers and booleans are borrowed from the object. */
peft_status peft_json_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *value,
                          const char *where, peft_error *error);
/* Integers are taken too. min and max are inclusive; use -INFINITY and INFINITY for no bound. */
peft_status peft_json_double(const json_t *object, const char *key, double min, double max, double *value,
                             const char *where, peft_error *error);
peft_status peft_json_bool(const json_t *object, const char *key, bool *value, const char *where, peft_error *error);
peft_status peft_json_string(const json_t *object, const char *key, const char **value, const char *where,
                             peft_error *error);
peft_status peft_json_array(const json_t *object, const char *key, json_t **value, const char *where,
                            peft_error *error);
peft_status peft_json_object(const json_t *object, const char *key, json_t **value, const char *where,
                             peft_error *error);

/* Is it a string that C can hold, without "\u0000"? */
bool peft_json_is_text(const json_t *value);

/* The first key in which two objects differ, also one that only the second has; NULL: they are equal. */
const char *peft_json_difference(json_t *first, json_t *second);

/* A value as messages quote it: `8`, `"abc"`, `a list of 3`, `nothing` for NULL. `text` needs PEFT_JSON_TEXT bytes and
 * is returned. */
enum { PEFT_JSON_TEXT = 96 };
const char *peft_json_text(const json_t *value, char text[PEFT_JSON_TEXT]);

#endif
