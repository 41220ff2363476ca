#include "peft/cli/output.h"

#include "io/file.h"
#include "peft/cli/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void peft_output_open_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* the lowest number is this one */
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

void peft_output_init(peft_output *output, FILE *results, FILE *messages)
{
    const char *kind = getenv("TERM");
    bool dumb = kind && strcmp(kind, "dumb") == 0;
    bool plain = dumb || is_set("NO_COLOR"), terminal = isatty(fileno(messages)) && !dumb;
    *output = (peft_output){.results = results,
                            .messages = messages,
                            .terminal = terminal,
                            .colour = terminal && !plain,
                            .bold = isatty(fileno(results)) && !plain};
}

size_t peft_output_columns(const peft_output *output)
{
    struct winsize size = {0};
    bool known = ioctl(fileno(output->messages), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 80;
}

size_t peft_output_rows(const peft_output *output)
{
    struct winsize size = {0};
    bool known = ioctl(fileno(output->messages), TIOCGWINSZ, &size) == 0 && size.ws_row > 0;
    return known ? size.ws_row : 24;
}

static bool is_shown(const peft_output *output, peft_say kind)
{
    const bool shown[] = {[PEFT_SAY_ERROR] = true,
                          [PEFT_SAY_NOTE] = !output->quiet,
                          [PEFT_SAY_DETAIL] = output->verbose && !output->quiet};
    return shown[kind];
}

void peft_output_erase(peft_output *output)
{
    if (output->open_lines > 1) fprintf(output->messages, "\033[%zuA\r\033[J", output->open_lines - 1);
    if (output->open_lines == 1) fputs("\r\033[K", output->messages);
    output->open_lines = 0;
}

void peft_output_say(peft_output *output, peft_say kind, const char *format, ...)
{
    char line[2 * PEFT_MESSAGE_BYTES];
    va_list arguments;
    if (!is_shown(output, kind)) return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    peft_text_clean(line);
    peft_output_erase(output);
    fprintf(output->messages, "peft: %s\n", line);
    fflush(output->messages);
}

/* 15 digits, so that 0.1 stays 0.1; files keep all 17. */
void peft_output_notes(peft_output *output, const json_t *notes)
{
    size_t index;
    json_t *note;
    json_array_foreach(notes, index, note) peft_output_say(output, PEFT_SAY_NOTE, "%s", json_string_value(note));
}

peft_status peft_output_json(peft_output *output, const json_t *document, peft_error *error)
{
    if (json_dumpf(document, output->results, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) != 0 &&
        !ferror(output->results))
        return peft_fail(error, PEFT_ERR_MEMORY, "out of memory");
    putc('\n', output->results);
    return PEFT_OK; /* a failed write shows at the end */
}

peft_status peft_output_finish(peft_output *output, peft_error *error)
{
    if (fflush(output->results) == 0 && !ferror(output->results)) return PEFT_OK;
    return peft_fail_write(error, errno, "standard output", "write");
}
