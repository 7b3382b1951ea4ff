// Sums of tensors with ReLU or its gradient, in one pass over all terms; see _native_sum.py.

#include "native.h"

// Values that a thread processes at a time: partial sums of them stay in the cache until all terms
// are added.
enum { CHUNK = 4096 };

// Add up all terms but the last in `sums`; return where the sum is. `terms` are addresses.
static const float *add_most(
    const int64_t *terms, int n_terms, int64_t start, int64_t n, float *sums)
{
    const float *first = (const float *)terms[0] + start;
    for (int t = 1; t < n_terms - 1; t++) {
        const float *term = (const float *)terms[t] + start;
        for (int64_t i = 0; i < n; i++) sums[i] = first[i] + term[i];
        first = sums;
    }
    return first;
}

static inline __attribute__((always_inline)) void put(float *to, vec values, const int streams)
{
    if (streams)
        stream(to, values);
    else
        store(to, values);
}

// y = (a + b) m, where b may be NULL, and m is a ReLU, or whether `signs` are positive. y may be a
// or b unless it is streamed.
static inline __attribute__((always_inline)) void write_sum(
    const float *a, const float *b, const float *signs, float *y, const int rectifies,
    const int streams, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec values = load(a + i);
        if (b != NULL) values += load(b + i);
        if (rectifies) values = rectify(values);
        // A product with 1 or 0 instead of a selection, so that NaN is not lost.
        if (signs != NULL) values *= (vec)((ivec)fill(1) & (load(signs + i) > 0));
        put(y + i, values, streams);
    }
    for (; i < n; i++) {
        float value = b != NULL ? a[i] + b[i] : a[i];
        if (rectifies) value = rectify_one(value);
        if (signs != NULL) value *= signs[i] > 0 ? 1.0f : 0.0f;
        y[i] = value;
    }
}

// Overwrite y with the sum of the terms, of which it may be one; with its ReLU if `rectifies`; or,
// unless `signs` is NULL, with the sum where these are positive, 0 elsewhere.
EXPORT void add_tensors(
    const int64_t *terms, int n_terms, const float *signs, float *y, int64_t n, int rectifies,
    int streams, int threads)
{
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    PARALLEL_FOR(threads)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t start = chunk * CHUNK, size = n - start < CHUNK ? n - start : CHUNK;
        float sums[CHUNK];
        const float *a = add_most(terms, n_terms, start, size, sums), *s = signs + start;
        const float *b = n_terms > 1 ? (const float *)terms[n_terms - 1] + start : NULL;
        float *to = y + start;
        if (streams) {
            if (signs != NULL)
                write_sum(a, b, s, to, 0, 1, size);
            else if (rectifies)
                write_sum(a, b, NULL, to, 1, 1, size);
            else
                write_sum(a, b, NULL, to, 0, 1, size);
            end_stream();
        } else if (signs != NULL)
            write_sum(a, b, s, to, 0, 0, size);
        else if (rectifies)
            write_sum(a, b, NULL, to, 1, 0, size);
        else
            write_sum(a, b, NULL, to, 0, 0, size);
    }
}
