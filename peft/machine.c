#include "peft/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The text behind `key` and a colon in a file of /proc; false: not there. */
static bool proc_field(const char *path, const char *key, char *value, size_t bytes)
{
    FILE *file = fopen(path, "re");
    if (!file) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0) continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(value, bytes, "%.*s", (int)strcspn(colon, "\n"), colon);
        found = true;
    }
    fclose(file);
    return found;
}

static size_t status_bytes(const char *key)
{
    char text[64];
    return proc_field("/proc/self/status", key, text, sizeof text) ? strtoull(text, NULL, 10) * 1024 : 0;
}

peft_memory_use peft_machine_memory(void)
{
    return (peft_memory_use){status_bytes("RssAnon"), status_bytes("RssFile"), status_bytes("VmHWM")};
}

double peft_machine_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

json_t *peft_machine_cpu(const peft_context *ctx)
{
    char name[256];
    if (!proc_field("/proc/cpuinfo", "model name", name, sizeof name)) snprintf(name, sizeof name, "unknown");
    return json_pack("{s:s, s:i, s:s, s:s, s:b}", "model", name, "threads", peft_context_threads(ctx), "backend",
                     peft_context_backend(ctx), "dtype", peft_dtype_name(peft_context_dtype(ctx)), "amx",
                     (int)peft_context_amx(ctx));
}

json_t *peft_machine_versions(void)
{
#if defined(__clang__)
    const char *compiler = "clang " __clang_version__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    char blis[PEFT_VERSION_TEXT], onednn[PEFT_VERSION_TEXT];
    return json_pack("{s:s, s:s, s:s, s:s}", "libpeft", PEFT_VERSION, "blis", peft_library_version("blis", blis),
                     "onednn", peft_library_version("onednn", onednn), "compiler", compiler);
}
