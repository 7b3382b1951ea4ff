// y = x w^T + b for few rows of x, in one pass over w; see inner_product.py.

#include "native.h"

// A tile of ROWS x COLUMNS sums stays in registers, with a vector of each of its columns and one
// of a row.
#if LANES == 16
enum { ROWS = 4, COLUMNS = 6 };
#else
enum { ROWS = 4, COLUMNS = 3 };
#endif
// Values of each row that one step multiplies: those of w stay in the first-level cache while all
// rows of x pass by, and so do those of up to some twenty rows of x.
enum { CHUNK = 256 };

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// The first n values at `from`, then zeros. The values after them may be infinite, so they must
// not be multiplied by a zero of x instead.
static inline vec load_part(const float *from, int64_t n)
{
    vec values = {0};
    memcpy(&values, from, (size_t)n * sizeof(float));
    return values;
}

// Halves are added, not lane after lane, which would take as long as the products of a short row.
static inline float sum_lanes(const vec *values)
{
    typedef float quarter __attribute__((vector_size(16), aligned(4), may_alias));
    const quarter *part = (const quarter *)values;
    quarter sum = part[0] + part[1];
    for (int i = 2; i < LANES / 4; i += 2) sum += part[i] + part[i + 1];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// sums[r, c] += x[r] w[c] over n values, where x is packed in rows of CHUNK, and w has rows of k.
ALWAYS_INLINE void add_tile(
    const int rows, const int columns, const float *x, const float *w, int64_t k, int64_t n,
    vec *sums)
{
    vec acc[ROWS][COLUMNS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int c = 0; c < columns; c++) acc[r][c] = sums[r * COLUMNS + c];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec weights[COLUMNS];
#pragma GCC unroll 8
        for (int c = 0; c < columns; c++) weights[c] = load(w + c * k + i);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const vec values = load(x + r * CHUNK + i);
#pragma GCC unroll 8
            for (int c = 0; c < columns; c++) acc[r][c] += values * weights[c];
        }
    }
    if (i < n) {
#pragma GCC unroll 8
        for (int c = 0; c < columns; c++) {
            const vec weights = load_part(w + c * k + i, n - i);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) acc[r][c] += load(x + r * CHUNK + i) * weights;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int c = 0; c < columns; c++) sums[r * COLUMNS + c] = acc[r][c];
}

// The same for any number of rows. The loads of w at `next`, as many rows and columns, begin
// meanwhile: main memory is the limit, and the processor's own prefetching stops at each page.
ALWAYS_INLINE void add_rows(
    int64_t m, const int columns, const float *x, const float *w, const float *next, int64_t k,
    int64_t n, vec *sums)
{
    const int64_t lines = CHUNK / 16, share = (columns * lines * ROWS + m - 1) / m;
    int64_t r = 0, line = 0;
    for (; r + ROWS <= m; r += ROWS) {
        const int64_t stop = smaller(line + share, columns * lines);
        for (; line < stop; line++)
            __builtin_prefetch(next + line / lines * k + line % lines * 16);
        add_tile(ROWS, columns, x + r * CHUNK, w, k, n, sums + r * COLUMNS);
    }
    for (; r < m; r++) add_tile(1, columns, x + r * CHUNK, w, k, n, sums + r * COLUMNS);
}

// Copy x (m, k) to chunks (m, CHUNK), one after the other, with zeros after the last value of a
// row. Without it, rows whose length is a multiple of a page would share few sets of the cache.
static void pack_rows(const float *x, int64_t m, int64_t k, int64_t chunk, float *packed)
{
    const int64_t start = chunk * CHUNK, n = smaller(CHUNK, k - start);
    for (int64_t r = 0; r < m; r++) {
        float *to = packed + (chunk * m + r) * CHUNK;
        memcpy(to, x + r * k + start, (size_t)n * sizeof(float));
        memset(to + n, 0, (size_t)(CHUNK - n) * sizeof(float));
    }
}

// inner_product.py has the same number.
enum { MAX_ROWS = 64 };

// y = relu(factor (x w^T + b) + term) on C-ordered x (m, k), w (n, k), y (m, n), for m up to
// MAX_ROWS. b, factor and term (n) may be NULL. `packed` has room for x in whole chunks.
EXPORT void inner_product(
    const float *x, const float *w, const float *b, const float *factor, const float *term,
    float *y, float *packed, int64_t m, int64_t n, int64_t k, int rectifies, int threads)
{
    const int64_t chunks = (k + CHUNK - 1) / CHUNK, blocks = (n + COLUMNS - 1) / COLUMNS;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        vec sums[MAX_ROWS * COLUMNS];
#pragma omp for schedule(static)
        for (int64_t chunk = 0; chunk < chunks; chunk++) pack_rows(x, m, k, chunk, packed);
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t first = block * COLUMNS, columns = smaller(COLUMNS, n - first);
            for (int64_t i = 0; i < m * COLUMNS; i++) sums[i] = (vec){0};
            for (int64_t chunk = 0; chunk < chunks; chunk++) {
                const int64_t start = chunk * CHUNK, size = smaller(CHUNK, k - start);
                const float *rows = packed + start * m, *weights = w + first * k + start;
                const float *next =
                    chunk + 1 < chunks ? weights + CHUNK : w + (first + COLUMNS) * k;
                if (columns == COLUMNS)
                    add_rows(m, COLUMNS, rows, weights, next, k, size, sums);
                else
                    for (int64_t c = 0; c < columns; c++)
                        add_rows(m, 1, rows, weights + c * k, weights + c * k, k, size, sums + c);
            }
            for (int64_t r = 0; r < m; r++) {
                for (int64_t c = 0; c < columns; c++) {
                    const int64_t j = first + c;
                    float value = sum_lanes(&sums[r * COLUMNS + c]) + (b ? b[j] : 0);
                    if (factor) value = factor[j] * value + term[j];
                    y[r * n + j] = rectifies ? rectify_one(value) : value;
                }
            }
        }
    }
}
