// Detection of NaN and infinity; see _non_finite.py.

#include "values.h"

// Values that a thread looks at together.
enum { CHUNK = 16384 };

// The exponent of a value that is not finite, and all bits but the sign.
#define EXPONENT 0x7F800000u
#define MAGNITUDE 0x7FFFFFFFu

static int has_non_finite(const uint32_t *bits, int64_t n)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t magnitude = bits[i] & MAGNITUDE;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest >= EXPONENT;
}

// The same for bfloat16, the upper halves of float32.
static int has_non_finite_halves(const uint16_t *bits, int64_t n)
{
    uint16_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint16_t magnitude = bits[i] & (uint16_t)(MAGNITUDE >> 16);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest >= (uint16_t)(EXPONENT >> 16);
}

// Overwrite the status with the number of chunks that hold a value that is not finite.
EXPORT void check_finite(const void *values, int type, int64_t n, int64_t *status, int threads)
{
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    int64_t total = 0;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1) reduction(+ : total)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t start = chunk * CHUNK, size = n - start < CHUNK ? n - start : CHUNK;
        if (type == BFLOAT16)
            total += has_non_finite_halves((const uint16_t *)values + start, size);
        else
            total += has_non_finite((const uint32_t *)values + start, size);
    }
    *status = total;
}
