/* io/json_decode.h - JSON text to jansson values, with what Python's json module reads and writes beyond the standard.
 *
 * Files of Hugging Face tools hold integers of any size ("model_max_length": 1000000000000000019884624838656), NaN,
 * Infinity, reals beyond double precision, and "\u0000". jansson refuses them. Here a too large integer becomes the
 * nearest real; a number that no real can hold becomes a string that starts with a NUL, which no reader takes for
 * anything, so that it does no harm where nobody reads it and is an error where somebody does. */
#ifndef PEFT_IO_JSON_DECODE_H
#define PEFT_IO_JSON_DECODE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* json_loadb with JSON_REJECT_DUPLICATES and the above. Places in `failure` are those of the text as given. NULL on
 * failure; peft_json_out_of_memory tells why. */
json_t *peft_json_decode(const char *text, size_t bytes, json_error_t *failure);

/* jansson leaves no text where an allocation failed half way. */
bool peft_json_out_of_memory(const json_error_t *failure);

/* The text of a number that no real can hold, "NaN"; NULL for any other value. */
const char *peft_json_beyond_real(const json_t *value);

#endif
