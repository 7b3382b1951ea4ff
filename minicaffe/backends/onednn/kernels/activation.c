// The gradient of ReLU, in one pass over all terms of a sum; see activation.py.

#include "native.h"

// Values that a thread processes at a time: those of dx stay in the cache until all terms are added.
enum { CHUNK = 4096 };

// dx = (a + b) (y > 0), where b may be NULL, and dx may be a or b unless it is streamed.
static inline void rectify(
    const float *y, const float *a, const float *b, float *dx, int streams, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        // A product with 1 or 0 instead of a selection, so that NaN in dy is not lost.
        const vec factor = (vec)((ivec)fill(1) & (load(y + i) > 0));
        vec values = load(a + i);
        if (b != NULL) values += load(b + i);
        values *= factor;
        if (streams)
            stream(dx + i, values);
        else
            store(dx + i, values);
    }
    for (; i < n; i++) dx[i] = (b ? a[i] + b[i] : a[i]) * (y[i] > 0 ? 1.0f : 0.0f);
}

// dx = (the sum of the terms) (y > 0), where dx may be a term. `terms` are addresses.
EXPORT void relu_backward(
    const float *y, const int64_t *terms, int n_terms, float *dx, int64_t n, int streams,
    int threads)
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
            for (int64_t i = 0; i < size; i++) sums[i] = first[i] + term[i];
            first = sums;
        }
        rectify(y + start, first, last, dx + start, streams, size);
        if (streams) end_stream();
    }
}
