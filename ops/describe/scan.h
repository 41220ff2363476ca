/* ops/describe/scan.h - inputs and attributes of the scans, and how sequences are cut into chunks. */
#ifndef PEFT_OPS_DESCRIBE_SCAN_H
#define PEFT_OPS_DESCRIBE_SCAN_H

#include <stdint.h>

enum { SCAN_X, SCAN_DELTA, SCAN_A, SCAN_B, SCAN_C, SCAN_SKIP, SCAN_STARTS, SCAN_INPUTS };

/* A chunk has so many tokens, the last of a sequence fewer. The state before each is kept for backward. */
typedef struct peft_scan_attributes {
    int64_t chunk;
} peft_scan_attributes;

typedef struct peft_scan_chunk {
    int64_t sequence, begin, end; /* tokens */
} peft_scan_chunk;

static inline int64_t peft_scan_chunks_of(const int32_t *starts, int64_t sequence, int64_t chunk)
{
    return (starts[sequence + 1] - starts[sequence] + chunk - 1) / chunk;
}

/* Chunks of all sequences before this one. */
static inline int64_t peft_scan_chunks_before(const int32_t *starts, int64_t sequence, int64_t chunk)
{
    int64_t count = 0;
    for (int64_t s = 0; s < sequence; s++) count += peft_scan_chunks_of(starts, s, chunk);
    return count;
}

static inline peft_scan_chunk peft_scan_chunk_at(const int32_t *starts, int64_t chunk, int64_t index)
{
    int64_t s = 0, count;
    while (index >= (count = peft_scan_chunks_of(starts, s, chunk))) index -= count, s++;
    int64_t begin = starts[s] + index * chunk, end = begin + chunk;
    return (peft_scan_chunk){s, begin, end < starts[s + 1] ? end : starts[s + 1]};
}

#endif
