/* io/yaml.h - YAML configuration files as jansson values, so that one set of readers serves YAML and JSON.
 *
 * Plain scalars follow the core schema of YAML 1.2: null ~ true false 8 -3 0x1f 0o17 1e-4 .5; all else, and whatever is
 * quoted, is a string (also `yes` and `no`). Keys are strings as they are written. */
#ifndef PEFT_IO_YAML_H
#define PEFT_IO_YAML_H

#include <jansson.h>
#include <stddef.h>

#include "io/yaml_lines.h"
#include "ops/status.h"

enum { PEFT_YAML_MAX_BYTES = 1 << 20, PEFT_YAML_MAX_DEPTH = 64 };

/* Reads one document in UTF-8; an empty one gives null. `*root` is the caller's (json_decref). Refused with
 * PEFT_ERR_FORMAT and "config.yaml:3: …": what YAML forbids, a key that comes twice, and features that a configuration
 * needs not: anchors and aliases, tags, a second document, keys that are lists or objects, infinity and NaN, more bytes
 * or nested lists than above. The second form reads from memory, with `where` in place of the path. */
peft_status peft_yaml_load(const char *path, json_t **root, peft_error *error);
peft_status peft_yaml_parse(const char *text, size_t bytes, const char *where, json_t **root, peft_error *error);

/* The same, with the lines of its parts. Release with peft_yaml_lines_free. */
peft_status peft_yaml_load_lines(const char *path, json_t **root, peft_yaml_lines *lines, peft_error *error);

#endif
