// Winograd's algorithm, F(4x4, 3x3) and F(2x2, 5x5): the sizes of a correlation, and the transforms.
//
// An output tile of 4x4 (2x2) needs an input tile of 6x6. The interpolation points are 0, +-3/4, +-3/2
// and infinity: with 512 channels of normally distributed values the largest error against float64
// is 2.0e-6 of the largest output, a third of that of the usual 0, +-1, +-2. Sums of powers of two,
// so the constants of the transforms of data and outputs are exact.
//
// Source: A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks" (2016),
// equations 5 to 8; the rows of each matrix for +-p are combined into an even and an odd part.

#ifndef MINICAFFE_WINOGRAD_H
#define MINICAFFE_WINOGRAD_H

#include <omp.h>

#include "values.h"

#define SPAN 6
#define POSITIONS 36
// The rows of a tile of outputs for filters of so many rows, and the most of both.
#define OUTPUTS(taps) (SPAN + 1 - (taps))
#define MAX_OUTPUTS 4
#define MAX_TAPS 5
// LANES x LANES filters of one tap.
#define WEIGHT_BLOCK (LANES * LANES)

// Images in blocks of LANES channels: their size, and the distances in values between neighbours.
// A block of all channels (channels last) has the same form.
typedef struct {
    int64_t rows, columns, image, block, row, pixel;
} Images;

// A correlation of x, padded above and left, with filters gives y. Written by `forward.py`.
typedef struct {
    int64_t groups, images, in_blocks, out_blocks; // blocks of one group
    int64_t above, left, tile_rows, tile_columns;
    int64_t range; // Tiles that are processed together.
    int64_t is_shared; // Whether all threads process one range together, else one range each.
    int64_t taps; // Rows and columns of a filter: 3 or 5.
    int64_t is_flipped; // Whether x and y are gradients of a convolution's output and input.
    Images x, y;
    int64_t x_type, y_type, w_type; // as in values.h; w is not BFLOAT16
} Correlation;

typedef struct {
    int64_t image, row, column; // of the tile, counted in tiles
} Tile;

ALWAYS_INLINE Tile tile_at(const Correlation *c, int64_t n)
{
    const int64_t row = n / c->tile_columns;
    return (Tile){row / c->tile_rows, row % c->tile_rows, n % c->tile_columns};
}

ALWAYS_INLINE int64_t n_tiles(const Correlation *c)
{
    return c->images * c->tile_rows * c->tile_columns;
}

// The matrices of a range: for each position, blocks of channels; a block is tiles times LANES. The
// distance between positions is no multiple of 4 KiB, which would map them to one set of the cache.
ALWAYS_INLINE int64_t position_step(int64_t blocks, int64_t tiles)
{
    return (blocks * tiles + 1) * LANES;
}

// The first of n items that belong to a member of a team.
ALWAYS_INLINE int64_t share(int64_t n, int member, int team) { return n * member / team; }

// The lanes of two vectors that `lanes` names, those of the second from LANES on.
ALWAYS_INLINE vec select_lanes(vec a, vec b, ivec lanes)
{
#ifdef __AVX512F__
    return (vec)_mm512_permutex2var_ps((__m512)a, (__m512i)lanes, (__m512)b);
#else
    const __m256 first = _mm256_permutevar8x32_ps((__m256)a, (__m256i)lanes);
    const __m256 second = _mm256_permutevar8x32_ps((__m256)b, (__m256i)lanes);
    return (vec)_mm256_blendv_ps(first, second, (__m256)(lanes > LANES - 1));
#endif
}

#define A1 0.75f
#define B1 1.5f
#define A2 0.5625f
#define B2 2.25f
#define A3 0.421875f
#define B3 3.375f
#define A4 0.31640625f
#define B4 5.0625f
#define SUM2 2.8125f
#define PRODUCT2 1.265625f
// The reciprocals of the products of the differences between a point and the others.
#define SCALE_0 (1 / PRODUCT2)
#define SCALE_A (1 / (2 * A2 * (A2 - B2)))
#define SCALE_B (1 / (2 * B2 * (B2 - A2)))

// The transform of the data along one axis: v = B^T d.
ALWAYS_INLINE void transform_data(const vec *d, int step, vec *v)
{
    const vec d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
    const vec even_a = d4 - B2 * d2, odd_a = d3 - B2 * d1;
    const vec even_b = d4 - A2 * d2, odd_b = d3 - A2 * d1;
    v[0] = PRODUCT2 * d[0] + (d4 - SUM2 * d2);
    v[1] = even_a + A1 * odd_a;
    v[2] = even_a - A1 * odd_a;
    v[3] = even_b + B1 * odd_b;
    v[4] = even_b - B1 * odd_b;
    v[5] = PRODUCT2 * d1 + (d[5 * step] - SUM2 * d3);
}

// The transform back to the outputs along one axis: y = A^T m.
ALWAYS_INLINE void transform_outputs(int taps, const vec *m, int step, vec *y)
{
    const vec sum_a = m[step] + m[2 * step], difference_a = m[step] - m[2 * step];
    const vec sum_b = m[3 * step] + m[4 * step], difference_b = m[3 * step] - m[4 * step];
    y[0] = m[0] + sum_a + sum_b;
    y[1] = A1 * difference_a + B1 * difference_b;
    if (taps == 5) {
        y[1] += m[5 * step];
        return;
    }
    y[2] = A2 * sum_a + B2 * sum_b;
    y[3] = A3 * difference_a + (B3 * difference_b + m[5 * step]);
}

// The transform of the outputs' gradient along one axis: m = A y.
ALWAYS_INLINE void transform_gradient(int taps, const vec *y, int step, vec *m)
{
    const vec y0 = y[0], y1 = y[step];
    vec even_a = y0, odd_a = A1 * y1, even_b = y0, odd_b = B1 * y1;
    if (taps == 3) {
        even_a += A2 * y[2 * step];
        odd_a += A3 * y[3 * step];
        even_b += B2 * y[2 * step];
        odd_b += B3 * y[3 * step];
    }
    m[0] = y0;
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[(OUTPUTS(taps) - 1) * step];
}

// The transform of the filters along one axis: u = G g.
ALWAYS_INLINE void transform_filter(int taps, const vec *g, int step, vec *u)
{
    vec even_a = g[0] + A2 * g[2 * step], odd_a = A1 * g[step];
    vec even_b = g[0] + B2 * g[2 * step], odd_b = B1 * g[step];
    if (taps == 5) {
        even_a += A4 * g[4 * step];
        odd_a += A3 * g[3 * step];
        even_b += B4 * g[4 * step];
        odd_b += B3 * g[3 * step];
    }
    even_a *= SCALE_A;
    even_b *= SCALE_B;
    u[0] = SCALE_0 * g[0];
    u[1] = even_a + SCALE_A * odd_a;
    u[2] = even_a - SCALE_A * odd_a;
    u[3] = even_b + SCALE_B * odd_b;
    u[4] = even_b - SCALE_B * odd_b;
    u[5] = g[(taps - 1) * step];
}

// The gradient of `transform_filter`: g = G^T u.
ALWAYS_INLINE void transform_filter_gradient(int taps, const vec *u, int step, vec *g)
{
    const vec sum_a = SCALE_A * (u[step] + u[2 * step]);
    const vec sum_b = SCALE_B * (u[3 * step] + u[4 * step]);
    const vec difference_a = SCALE_A * (u[step] - u[2 * step]);
    const vec difference_b = SCALE_B * (u[3 * step] - u[4 * step]);
    g[0] = SCALE_0 * u[0] + (sum_a + sum_b);
    g[1] = A1 * difference_a + B1 * difference_b;
    g[2] = A2 * sum_a + B2 * sum_b;
    if (taps == 5) {
        g[3] = A3 * difference_a + B3 * difference_b;
        g[4] = A4 * sum_a + B4 * sum_b;
    }
    g[taps - 1] += u[5 * step];
}

#endif
