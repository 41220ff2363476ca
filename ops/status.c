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

peft_status peft_fail_va(peft_error *error, peft_status status, const char *format, va_list arguments)
{
    if (error) {
        error->status = status;
        mark_cut(error->message, vsnprintf(error->message, sizeof error->message, format, arguments));
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
