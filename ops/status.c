#include "ops/status.h"

#include <stdio.h>
#include <string.h>

/* Of the header, for the analyzer. */
#undef peft_fail
#undef peft_fail_va

const char *peft_status_text(peft_status status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        PEFT_STATUS_MAP(X)
#undef X
    };
    size_t index = (size_t)status;
    return index < sizeof texts / sizeof texts[0] ? texts[index] : "unknown status";
}

static void mark_cut(char *message, int wanted)
{
    if (wanted >= PEFT_MESSAGE_BYTES) memcpy(message + PEFT_MESSAGE_BYTES - 4, "...", 4);
}

/* Bytes of the control character or line separator at `text`; 0: there is none. */
static int control_bytes(const unsigned char *text)
{
    if (text[0] < ' ' || text[0] == 0x7F) return 1;
    if (text[0] == 0xC2 && text[1] >= 0x80 && text[1] < 0xA0) return 2;               /* U+0080 ... U+009F */
    return text[0] == 0xE2 && text[1] == 0x80 && (text[2] == 0xA8 || text[2] == 0xA9) /* U+2028, U+2029 */
               ? 3
               : 0;
}

static int write_escaped(char *to, size_t room, const unsigned char *text, int bytes)
{
    static const char named[] = "\n\r\t", letters[] = "nrt";
    const char *name = bytes == 1 ? strchr(named, text[0]) : NULL;
    if (name) return snprintf(to, room, "\\%c", letters[name - named]);
    unsigned point = bytes == 1 ? text[0] : bytes == 2 ? text[1] : 0x2000u + (text[2] & 0x3Fu);
    return snprintf(to, room, bytes == 1 ? "\\x%02x" : "\\u%04x", point);
}

/* What files hold must neither break a message into lines nor command a terminal. */
static int write_in_one_line(char *to, size_t room, const char *from)
{
    size_t at = 0;
    for (const unsigned char *text = (const unsigned char *)from; *text && at < room;) {
        int bytes = control_bytes(text);
        if (bytes == 0)
            to[at++] = (char)*text++;
        else
            at += (size_t)write_escaped(to + at, room - at, text, bytes);
        text += bytes;
    }
    to[at < room ? at : room - 1] = '\0';
    return (int)at;
}

peft_status peft_fail_va(peft_error *error, peft_status status, const char *format, va_list arguments)
{
    if (error) {
        char text[PEFT_MESSAGE_BYTES];
        int wanted = vsnprintf(text, sizeof text, format, arguments);
        int written = write_in_one_line(error->message, sizeof error->message, text);
        error->status = status;
        mark_cut(error->message, wanted > written ? wanted : written);
    }
    return status;
}

peft_status peft_fail(peft_error *error, peft_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    peft_fail_va(error, status, format, arguments);
    va_end(arguments);
    return status;
}

peft_status peft_fail_in(peft_error *error, peft_status status, const char *where)
{
    if (!error) return status;
    char inner[PEFT_MESSAGE_BYTES];
    memcpy(inner, error->message, sizeof inner);
    mark_cut(error->message, snprintf(error->message, sizeof error->message, "%s: %s", where, inner));
    return error->status;
}
