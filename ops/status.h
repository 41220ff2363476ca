/* ops/status.h - every function that can fail returns a status and explains itself in the caller's peft_error.
 *
 * The library never prints, exits or aborts. A message says what went wrong, where (file, tensor, line), what was
 * expected, what was found, and where it helps what to do:
 *
 *     adapter_model.safetensors: base_model.model.classifier.weight: expected [3, 384], found [2, 384]
 */
#ifndef PEFT_OPS_STATUS_H
#define PEFT_OPS_STATUS_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PEFT_API            __attribute__((visibility("default")))
#define PEFT_PRINTF(at, to) __attribute__((format(printf, at, to)))
#else
#define PEFT_API
#define PEFT_PRINTF(at, to)
#endif

#define PEFT_STATUS_MAP(X)                                                                                             \
    X(OK, "success")                                                                                                   \
    X(ERR_ARGUMENT, "argument out of range")                                                                           \
    X(ERR_SHAPE, "shapes do not fit")                                                                                  \
    X(ERR_DTYPE, "element type not supported")                                                                         \
    X(ERR_MEMORY, "out of memory")                                                                                     \
    X(ERR_FILE, "file cannot be read")                                                                                 \
    X(ERR_FORMAT, "file is malformed")                                                                                 \
    X(ERR_UNSUPPORTED, "not offered here")                                                                             \
    X(ERR_NUMERIC, "not a finite number")                                                                              \
    X(ERR_CANCELLED, "stopped by the caller")                                                                          \
    X(ERR_WRITE, "output cannot be written")

typedef enum peft_status {
#define X(name, text) PEFT_##name,
    PEFT_STATUS_MAP(X)
#undef X
} peft_status;

enum { PEFT_MESSAGE_BYTES = 1024 };

/* Filled by the call that failed; its memory is the caller's. Start with `peft_error error = {0};`. */
typedef struct peft_error {
    peft_status status;
    char message[PEFT_MESSAGE_BYTES];
} peft_error;

/* The general text of a status, never NULL: "shapes do not fit". */
PEFT_API const char *peft_status_text(peft_status status);

/* Writes status and message into `error` (which may be NULL) and returns the status, so that a failing function can
 * end with `return peft_fail(error, PEFT_ERR_SHAPE, "lora_A: expected [8, 768], found [16, 768]");`. A message that is
 * too long is cut, its end marked by "...". It is one line: control characters, which names and texts of files may
 * hold, are written as "\n" or "\x1b". */
PEFT_API peft_status peft_fail(peft_error *error, peft_status status, const char *format, ...) PEFT_PRINTF(3, 4);
PEFT_API peft_status peft_fail_va(peft_error *error, peft_status status, const char *format, va_list arguments)
    PEFT_PRINTF(3, 0);

#ifdef __clang_analyzer__ /* it sees one file at a time, and has to be told what they return */
#define peft_fail(error, status, ...)        (peft_fail((error), (status), __VA_ARGS__), (status))
#define peft_fail_va(error, status, f, list) (peft_fail_va((error), (status), (f), (list)), (status))
#endif

/* Puts "where: " before the message that a call further down has left in `error`. Returns error's status, or `status`
 * where error is NULL. */
PEFT_API peft_status peft_fail_in(peft_error *error, peft_status status, const char *where);

#ifdef __cplusplus
}
#endif
#endif
