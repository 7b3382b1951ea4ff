// The products of Winograd's algorithm: register-blocked, all operands in the cache.

#ifndef MINICAFFE_WINOGRAD_PRODUCT_H
#define MINICAFFE_WINOGRAD_PRODUCT_H

#include "winograd.h"

// Tiles times filters in registers: 14 x 2 vectors of the 32 of AVX-512, 6 x 2 of the 16 of AVX2,
// which leaves two for the filters and one for the broadcast value.
#if LANES == 16
#define MAX_ROWS 14
#else
#define MAX_ROWS 6
#endif
#define MAX_VECTORS 2

// out[row][vector] = sum over all inputs of v[row][input] u[input][vector], for a group of tiles.
// `out_step` is the distance of the blocks of filters.
ALWAYS_INLINE void multiply_rows(
    int rows, int vectors, const float *v, const float *u, int64_t blocks, float *out,
    int64_t out_step)
{
    vec sum[MAX_ROWS][MAX_VECTORS] = {0};
    for (int64_t b = 0; b < blocks; b++, v += rows * LANES) {
#pragma GCC unroll 4
        for (int i = 0; i < LANES; i++, u += vectors * LANES) {
            vec filters[MAX_VECTORS];
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++) filters[j] = load(u + j * LANES);
#pragma GCC unroll 14
            for (int r = 0; r < rows; r++) {
                const vec value = fill(v[r * LANES + i]);
#pragma GCC unroll 2
                for (int j = 0; j < vectors; j++) sum[r][j] += value * filters[j];
            }
        }
    }
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) store(out + j * out_step + r * LANES, sum[r][j]);
    }
}

typedef void (*MultiplyRows)(
    const float *v, const float *u, int64_t blocks, float *out, int64_t out_step);

#define DEFINE_MULTIPLY(rows, vectors) \
    static void multiply_##rows##x##vectors( \
        const float *v, const float *u, int64_t blocks, float *out, int64_t out_step) \
    { \
        multiply_rows(rows, vectors, v, u, blocks, out, out_step); \
    }
#define DEFINE_BOTH(rows) DEFINE_MULTIPLY(rows, 1) DEFINE_MULTIPLY(rows, 2)
#define BOTH(rows) {multiply_##rows##x1, multiply_##rows##x2}
DEFINE_BOTH(1) DEFINE_BOTH(2) DEFINE_BOTH(3) DEFINE_BOTH(4) DEFINE_BOTH(5) DEFINE_BOTH(6)
#if LANES == 16
DEFINE_BOTH(7) DEFINE_BOTH(8) DEFINE_BOTH(9) DEFINE_BOTH(10)
DEFINE_BOTH(11) DEFINE_BOTH(12) DEFINE_BOTH(13) DEFINE_BOTH(14)
#endif

static const MultiplyRows MULTIPLY[MAX_ROWS][MAX_VECTORS] = {
    BOTH(1), BOTH(2), BOTH(3), BOTH(4), BOTH(5), BOTH(6),
#if LANES == 16
    BOTH(7), BOTH(8), BOTH(9), BOTH(10), BOTH(11), BOTH(12), BOTH(13), BOTH(14),
#endif
};

// The number of groups of tiles in a range, as large as the registers allow.
ALWAYS_INLINE int64_t n_groups(int64_t tiles) { return (tiles + MAX_ROWS - 1) / MAX_ROWS; }

#endif
