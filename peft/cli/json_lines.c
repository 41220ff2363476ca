#include "peft/cli/json_lines.h"

#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

static peft_status read_line(const char *text, size_t bytes, const char *where, peft_json_line *line, void *argument,
                             peft_error *error)
{
    json_t *root;
    peft_status status = peft_json_parse(text, bytes, where, &root, error);
    if (status != PEFT_OK) return status;
    bool kept = line(argument, root);
    json_decref(root);
    return kept ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", where);
}

peft_status peft_json_lines_read(const char *path, peft_json_line *line, void *argument, peft_error *error)
{
    peft_mapped_file file;
    peft_status status = peft_file_map(path, &file, error);
    if (status != PEFT_OK) return status;
    const char *text = file.data, *end = text + file.bytes, *line_end;
    for (size_t number = 1; status == PEFT_OK && text < end; number++, text = line_end + 1) {
        char where[PEFT_MESSAGE_BYTES / 2];
        line_end = memchr(text, '\n', (size_t)(end - text));
        if (!line_end) break;
        snprintf(where, sizeof where, "%s:%zu", path, number);
        status = read_line(text, (size_t)(line_end - text), where, line, argument, error);
    }
    peft_file_unmap(&file);
    return status;
}
