/* peft/cli/bench/limits.c - the limits that figures stand beside. */
#include <math.h>

#include "peft/cli/bench/bench.h"
#include "peft/cli/document.h"

static const double GIGA = 1e9;

const char *peft_bench_dtype_name(peft_dtype dtype)
{
    for (int k = 0; peft_dtype_choices[k]; k++)
        if (peft_dtype_chosen(peft_dtype_choices[k]) == dtype) return peft_dtype_choices[k];
    return peft_dtype_name(dtype);
}

peft_status peft_bench_context_open(const peft_bench *bench, peft_dtype dtype, peft_context **ctx, peft_error *error)
{
    const peft_context_options options = {
        .threads = (int)bench->job.threads, .backend = bench->options->backend, .dtype = dtype};
    return peft_context_open(ctx, &options, error);
}

peft_status peft_bench_limits_measure(peft_context *ctx, peft_bench_limits *limits, peft_error *error)
{
    double bandwidth = 0;
    peft_status status = peft_peak_measure(ctx, &limits->peak[peft_context_dtype(ctx)], error);
    if (status == PEFT_OK) status = peft_bandwidth_measure(ctx, &bandwidth, error);
    limits->bandwidth = fmax(limits->bandwidth, bandwidth);
    return status;
}

json_t *peft_bench_limits_json(const peft_bench_limits *limits)
{
    json_t *peaks = json_object();
    for (int dtype = 0; dtype < PEFT_NUM_DTYPES; dtype++)
        if (limits->peak[dtype] > 0)
            json_object_set_new(peaks, peft_bench_dtype_name((peft_dtype)dtype), json_real(limits->peak[dtype] / GIGA));
    return json_pack("{s:o, s:f}", "peak_gflops", peaks, "bandwidth_gbs", limits->bandwidth / GIGA);
}

void peft_bench_limits_print(const json_t *limits, FILE *out)
{
    const char *dtype, *between = "limits of this machine: ";
    json_t *peak;
    json_object_foreach(json_object_get(limits, "peak_gflops"), dtype, peak)
    {
        fprintf(out, "%s%.0f GFLOP/s in %s", between, json_number_value(peak), dtype);
        between = ", ";
    }
    fprintf(out, " (large square products), %.1f GB/s (a = b + c)\n", peft_document_number(limits, "bandwidth_gbs"));
}
