#include "peft/cli/version.h"

#include <jansson.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>

#include "ops/context.h"
#include "peft/train_options.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* What this CPU runs: the first of the backends that it has is the one that is taken. */
static void report_backends(FILE *out)
{
    fputs("backends", out);
    for (int k = 0; peft_backend_name(k); k++)
        if (peft_backend_available(peft_backend_name(k))) fprintf(out, " %s", peft_backend_name(k));
    fputs(", the first is taken\n", out);
}

static void report_dtypes(FILE *out)
{
    fputs("dtypes", out);
    for (int k = 0; peft_dtype_choices[k]; k++)
        if (peft_dtype_available(peft_dtype_chosen(peft_dtype_choices[k]))) fprintf(out, " %s", peft_dtype_choices[k]);
    fputs("\n", out);
}

void peft_version_report(FILE *out)
{
    report_backends(out);
    report_dtypes(out);
    char library[PEFT_VERSION_TEXT];
    fprintf(out, "blis %s\n", peft_library_version("blis", library));
    unsigned xxhash = XXH_versionNumber();
    fprintf(out, "compiler %s\n", COMPILER);
    fprintf(out, "jansson %s\n", jansson_version_str());
    fprintf(out, "onednn %s\n", peft_library_version("onednn", library));
    fprintf(out, "libyaml %s\n", yaml_get_version_string());
    fprintf(out, "utf8proc %s\n", utf8proc_version());
    fprintf(out, "xxhash %u.%u.%u\n", xxhash / 10000, xxhash / 100 % 100, xxhash % 100);
}
