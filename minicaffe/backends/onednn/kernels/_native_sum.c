// Sums of tensors with ReLU or its gradient, in one pass over all terms; see _native_sum.py.

#include "values.h"

// Values that a thread processes at a time: partial sums of them stay in the cache until all terms
// are added.
enum { CHUNK = 4096 };

// Add up all terms but the last in `sums`. `terms` are the addresses of at least three.
ALWAYS_INLINE void add_most(
    const int64_t *terms, int n_terms, const int type, int64_t start, int64_t n, float *sums)
{
    for (int t = 1; t < n_terms - 1; t++) {
        const void *term = value_at((const void *)terms[t], start, type);
        const void *before = t == 1 ? value_at((const void *)terms[0], start, type) : sums;
        const int before_type = t == 1 ? type : FLOAT32;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            const vec sum = load_values(value_at(before, i, before_type), before_type);
            store(sums + i, sum + load_values(value_at(term, i, type), type));
        }
        for (; i < n; i++) sums[i] = ((const float *)before)[i] + ((const float *)term)[i];
    }
}

// y = (a + b) m, where b may be NULL, and m is a ReLU, or whether `signs` are positive. y may be a
// or b unless it is streamed. Values of the last, incomplete vector are float32.
ALWAYS_INLINE void write_sum(
    const void *a, const int a_type, const void *b, const void *signs, void *y, const int type,
    const int rectifies, const int streams, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec values = load_values(value_at(a, i, a_type), a_type);
        if (b != NULL) values += load_values(value_at(b, i, type), type);
        if (rectifies) values = rectify(values);
        // A product with 1 or 0 instead of a selection, so that NaN is not lost.
        if (signs != NULL) {
            const vec y_values = load_values(value_at(signs, i, type), type);
            values *= (vec)((ivec)fill(1) & (y_values > 0));
        }
        store_values(value_to_write(y, i, type), values, type, streams);
    }
    for (; i < n; i++) {
        float value = ((const float *)a)[i];
        if (b != NULL) value += ((const float *)b)[i];
        if (rectifies) value = rectify_one(value);
        if (signs != NULL) value *= ((const float *)signs)[i] > 0 ? 1.0f : 0.0f;
        ((float *)y)[i] = value;
    }
}

ALWAYS_INLINE void add_chunk_as(
    const int64_t *terms, int n_terms, const void *signs, void *y, const int type, int rectifies,
    const int streams, int64_t start, int64_t n)
{
    float sums[CHUNK];
    const void *a = value_at((const void *)terms[0], start, type), *s = NULL;
    const void *b = n_terms > 1 ? value_at((const void *)terms[n_terms - 1], start, type) : NULL;
    void *to = value_to_write(y, start, type);
    if (signs != NULL) s = value_at(signs, start, type);
    if (n_terms > 2) {
        add_most(terms, n_terms, type, start, n, sums);
        if (signs != NULL)
            write_sum(sums, FLOAT32, b, s, to, type, 0, streams, n);
        else if (rectifies)
            write_sum(sums, FLOAT32, b, NULL, to, type, 1, streams, n);
        else
            write_sum(sums, FLOAT32, b, NULL, to, type, 0, streams, n);
    } else if (signs != NULL)
        write_sum(a, type, b, s, to, type, 0, streams, n);
    else if (rectifies)
        write_sum(a, type, b, NULL, to, type, 1, streams, n);
    else
        write_sum(a, type, b, NULL, to, type, 0, streams, n);
    if (streams) end_stream();
}

static void add_chunk(
    const int64_t *terms, int n_terms, const void *signs, void *y, int type, int rectifies,
    int streams, int64_t start, int64_t n)
{
    if (HAS_BFLOAT16 && type == BFLOAT16 && streams)
        add_chunk_as(terms, n_terms, signs, y, BFLOAT16, rectifies, 1, start, n);
    else if (HAS_BFLOAT16 && type == BFLOAT16)
        add_chunk_as(terms, n_terms, signs, y, BFLOAT16, rectifies, 0, start, n);
    else if (streams)
        add_chunk_as(terms, n_terms, signs, y, FLOAT32, rectifies, 1, start, n);
    else
        add_chunk_as(terms, n_terms, signs, y, FLOAT32, rectifies, 0, start, n);
}

// Overwrite y with the sum of the terms, of which it may be one; with its ReLU if `rectifies`; or,
// unless `signs` is NULL, with the sum where these are positive, 0 elsewhere. All are of one type,
// FLOAT32 or BFLOAT16; the number of bfloat16 values is a multiple of LANES.
EXPORT void add_tensors(
    const int64_t *terms, int n_terms, const void *signs, void *y, int type, int64_t n,
    int rectifies, int streams, int threads)
{
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    PARALLEL_FOR(threads)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t start = chunk * CHUNK, size = n - start < CHUNK ? n - start : CHUNK;
        add_chunk(terms, n_terms, signs, y, type, rectifies, streams, start, size);
    }
}
