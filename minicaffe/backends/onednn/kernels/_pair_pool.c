// Max pooling of plain images in windows of 2 x 2 with stride 2; see _pair_pool.py.
//
// The windows cover every value once, so the rows of all images are one sequence of pairs. It is
// divided into parts, whose intermediate values stay in the L1 cache.

#include "native.h"

// Values of a row of windows' upper or lower values in a part; a row has at most so many.
#define PART 1024

typedef int32_t iruns __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint8_t byte_run __attribute__((vector_size(8), aligned(1), may_alias));

// The larger of two rows, and 2 where it is the lower one, else 0.
static inline void take_larger_rows(const float *upper, int64_t n, float *best, int32_t *taps)
{
    const float *lower = upper + n;
    for (int64_t i = 0; i < n; i++) {
        const int is_lower = (lower[i] > upper[i]) | (lower[i] != lower[i]);
        best[i] = is_lower ? lower[i] : upper[i];
        taps[i] = is_lower ? 2 : 0;
    }
}

// The larger of two neighbours, and its tap: the first of equal ones, the last of several NaN.
static inline void take_larger_neighbours(
    const float *best, const int32_t *from, int64_t n, float *y, int32_t *taps)
{
    for (int64_t i = 0; i < n; i++) {
        const float left = best[2 * i], right = best[2 * i + 1];
        const int32_t a = from[2 * i], b = from[2 * i + 1] + 1;
        const int is_number = left == left;
        const int is_right = (right > left) | ((right == left) & (b < a)) |
                             ((right != right) & (is_number | (b > a)));
        y[i] = is_right ? right : left;
        taps[i] = is_right ? b : a;
    }
}

EXPORT void max_pool_pairs_forward(
    const float *x, int64_t row_pairs, int64_t width, float *y, uint8_t *taps, int threads)
{
    const int64_t step = PART / width, parts = (row_pairs + step - 1) / step;
    PARALLEL_FOR(threads)
    for (int64_t part = 0; part < parts; part++) {
        float best[PART];
        int32_t from[PART], chosen[PART / 2];
        const int64_t start = part * step, n = (row_pairs - start < step ? row_pairs - start : step);
        for (int64_t i = 0; i < n; i++)
            take_larger_rows(
                x + (start + i) * 2 * width, width, best + i * width, from + i * width);
        const int64_t n_out = n * width / 2, at = start * width / 2;
        take_larger_neighbours(best, from, n_out, y + at, chosen);
        for (int64_t i = 0; i < n_out; i++) taps[at + i] = (uint8_t)chosen[i];
    }
}

// Overwrite the values of two rows of windows, (n, 2) each, with dy where they were chosen.
static inline void spread_pairs(
    const float *dy, const uint8_t *taps, int64_t n, float *upper, float *lower)
{
    const iruns first = {0, 8, 1, 9, 2, 10, 3, 11}, second = {4, 12, 5, 13, 6, 14, 7, 15};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const iruns tap = __builtin_convertvector(*(const byte_run *)(taps + i), iruns);
        const iruns given = *(const iruns *)(dy + i);
        const iruns a = given & (tap == 0), b = given & (tap == 1);
        const iruns c = given & (tap == 2), d = given & (tap == 3);
        *(iruns *)(upper + 2 * i) = __builtin_shuffle(a, b, first);
        *(iruns *)(upper + 2 * i + 8) = __builtin_shuffle(a, b, second);
        *(iruns *)(lower + 2 * i) = __builtin_shuffle(c, d, first);
        *(iruns *)(lower + 2 * i + 8) = __builtin_shuffle(c, d, second);
    }
    for (; i < n; i++)
        for (int j = 0; j < 2; j++) {
            upper[2 * i + j] = taps[i] == j ? dy[i] : 0;
            lower[2 * i + j] = taps[i] == 2 + j ? dy[i] : 0;
        }
}

EXPORT void max_pool_pairs_backward(
    const float *dy, const uint8_t *taps, int64_t row_pairs, int64_t width, float *dx, int threads)
{
    const int64_t step = PART / width, parts = (row_pairs + step - 1) / step;
    PARALLEL_FOR(threads)
    for (int64_t part = 0; part < parts; part++) {
        float upper[PART], lower[PART];
        const int64_t start = part * step, n = (row_pairs - start < step ? row_pairs - start : step);
        const int64_t at = start * width / 2;
        spread_pairs(dy + at, taps + at, n * width / 2, upper, lower);
        for (int64_t i = 0; i < n; i++) {
            float *to = dx + (start + i) * 2 * width;
            memcpy(to, upper + i * width, width * sizeof(float));
            memcpy(to + width, lower + i * width, width * sizeof(float));
        }
    }
}
