// The gradient of ReLU, in one pass over all terms of a sum; see activation.py.

#include "native.h"

// Values that a thread processes at a time: those of dx stay in the cache until all terms are added.
enum { CHUNK = 4096 };

static inline void rectify(
    const float *restrict y, const float *a, const float *b, float *dx, int64_t n)
{
    // ivdep: dx is a or b, or apart from them, so that no value is read after it was written.
    // A product instead of a selection, so that NaN in dy is not lost where y is 0.
    if (b == NULL)
#pragma GCC ivdep
        for (int64_t i = 0; i < n; i++) dx[i] = a[i] * (y[i] > 0 ? 1.0f : 0.0f);
    else
#pragma GCC ivdep
        for (int64_t i = 0; i < n; i++) dx[i] = (a[i] + b[i]) * (y[i] > 0 ? 1.0f : 0.0f);
}

// dx = (the sum of the terms) (y > 0), where dx may be a term. `terms` are addresses.
EXPORT void relu_backward(
    const float *y, const int64_t *terms, int n_terms, float *dx, int64_t n, int threads)
{
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    PARALLEL_FOR(threads)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t start = chunk * CHUNK, size = n - start < CHUNK ? n - start : CHUNK;
        float sums[CHUNK];
        const float *first = (const float *)terms[0] + start;
        const float *last = n_terms > 1 ? (const float *)terms[n_terms - 1] + start : NULL;
        for (int t = 1; t < n_terms - 1; t++) {
            const float *term = (const float *)terms[t] + start;
#pragma GCC ivdep
            for (int64_t i = 0; i < size; i++) sums[i] = first[i] + term[i];
            first = sums;
        }
        rectify(y + start, first, last, dx + start, size);
    }
}
