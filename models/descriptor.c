#include "models/descriptor.h"

#include <math.h>

#include "ops/rng.h"

enum { PROJECTIONS = PEFT_DESCRIPTOR_SIZE - 1, BLOCK = 64 / PROJECTIONS };

/* One number of 64 bits has the signs of a block of elements, four for each. */
static void add_block(const float *weight, int64_t count, uint64_t signs, double sums[PROJECTIONS])
{
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < PROJECTIONS; k++, signs >>= 1)
            sums[k] += signs & 1 ? (double)weight[i] : -(double)weight[i];
}

void peft_weight_describe(const float *weight, int64_t count, double descriptor[PEFT_DESCRIPTOR_SIZE])
{
    const uint64_t stream = peft_stream("descriptor of a weight");
    double square = 0, sums[PROJECTIONS] = {0};
    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t size = count - first < BLOCK ? count - first : BLOCK;
        add_block(weight + first, size, peft_random_u64(0, stream, (uint64_t)first / BLOCK), sums);
    }
    for (int64_t i = 0; i < count; i++) square += (double)weight[i] * (double)weight[i];
    descriptor[0] = sqrt(square);
    for (int k = 0; k < PROJECTIONS; k++) descriptor[k + 1] = sums[k];
}

double peft_descriptors_differ(const double first[PEFT_DESCRIPTOR_SIZE], const double second[PEFT_DESCRIPTOR_SIZE])
{
    double square = 0;
    for (int k = 1; k < PEFT_DESCRIPTOR_SIZE; k++) square += (first[k] - second[k]) * (first[k] - second[k]);
    double difference = fmax(sqrt(square / PROJECTIONS), fabs(first[0] - second[0]));
    return difference > 0 ? difference / first[0] : 0;
}
