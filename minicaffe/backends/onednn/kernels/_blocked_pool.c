// Max pooling of images in blocks of LANES channels; see _blocked_pool.py. A vector holds the
// channels of a pixel.

#include "native.h"

typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

// Sizes in the order in which Python writes them: a plane is a block of channels of an image.
typedef struct {
    int64_t planes, height, width, out_height, out_width;
    int64_t rows, columns, stride_rows, stride_columns, above, left; // of a window, and the padding
} Sizes;

// Indices from `first` to before `stop`.
typedef struct {
    int64_t first, stop;
} Range;

// The largest values under a window so far, and their taps.
typedef struct {
    vec best;
    ivec taps;
} Largest;

// The taps of a window that are inside the image.
ALWAYS_INLINE Range inside(int64_t start, int64_t taps, int64_t size)
{
    return (Range){start < 0 ? -start : 0, start + taps > size ? size - start : taps};
}

// Take the values that are larger; a NaN is never.
ALWAYS_INLINE void take_larger(Largest *l, vec value, int32_t tap)
{
    const ivec taps = (ivec){0} + tap;
#ifdef __AVX512F__
    const __mmask16 is_larger = _mm512_cmp_ps_mask((__m512)value, (__m512)l->best, _CMP_GT_OQ);
    l->best = (vec)_mm512_mask_mov_ps((__m512)l->best, is_larger, (__m512)value);
    l->taps = (ivec)_mm512_mask_mov_epi32((__m512i)l->taps, is_larger, (__m512i)taps);
#else
    const __m256 is_larger = (__m256)(value > l->best);
    l->best = (vec)_mm256_blendv_ps((__m256)l->best, (__m256)value, is_larger);
    l->taps = (ivec)_mm256_blendv_ps((__m256)l->taps, (__m256)taps, is_larger);
#endif
}

// Take NaN in the lanes that have one, the last of several.
static void take_nan(
    const Sizes *s, const float *x, Range rows, Range columns, Largest *l)
{
    for (int64_t r = rows.first; r < rows.stop; r++)
        for (int64_t c = columns.first; c < columns.stop; c++) {
            const vec value = load(x + (r * s->width + c) * LANES);
            const ivec is_nan = value != value, taps = (ivec){0} + (int32_t)(r * s->columns + c);
            l->best = (vec)(((ivec)value & is_nan) | ((ivec)l->best & ~is_nan));
            l->taps = (taps & is_nan) | (l->taps & ~is_nan);
        }
}

// The first largest value under a window, or the last NaN.
ALWAYS_INLINE Largest largest_of(const Sizes *s, const float *x, Range rows, Range columns)
{
    const float *first = x + (rows.first * s->width + columns.first) * LANES;
    Largest found = {load(first), (ivec){0} + (int32_t)(rows.first * s->columns + columns.first)};
    // NaN if a value is; also if infinities of both signs are there.
    vec sum = {0};
    for (int64_t r = rows.first; r < rows.stop; r++)
        for (int64_t c = columns.first; c < columns.stop; c++) {
            const vec value = load(x + (r * s->width + c) * LANES);
            take_larger(&found, value, (int32_t)(r * s->columns + c));
            sum += value;
        }
#ifdef __AVX512F__
    const int has_nan = _mm512_cmp_ps_mask((__m512)sum, (__m512)sum, _CMP_UNORD_Q) != 0;
#else
    const int has_nan = _mm256_movemask_ps(_mm256_cmp_ps((__m256)sum, (__m256)sum, _CMP_UNORD_Q));
#endif
    if (has_nan) take_nan(s, x, rows, columns, &found);
    return found;
}

// `size`: rows and columns of a window where they are known to the compiler, which then unrolls the
// loops over windows inside the image; else 0.
ALWAYS_INLINE void pool_row(
    const Sizes *s, const float *plane, int64_t row, float *y, uint8_t *taps, const int size)
{
    const int64_t top = row * s->stride_rows - s->above;
    const Range rows = inside(top, s->rows, s->height);
    for (int64_t i = 0; i < s->out_width; i++, y += LANES, taps += LANES) {
        const int64_t start = i * s->stride_columns - s->left;
        const Range columns = inside(start, s->columns, s->width), all = {0, size};
        const float *x = plane + (top * s->width + start) * LANES;
        const int is_whole = rows.stop - rows.first == size && columns.stop - columns.first == size;
        const Largest found = is_whole ? largest_of(s, x, all, all) : largest_of(s, x, rows, columns);
        store(y, found.best);
        *(bytes *)taps = __builtin_convertvector(found.taps, bytes);
    }
}

// Overwrite y and the taps of its values, (planes, out_height, out_width, LANES) each.
EXPORT void blocked_max_pool(
    const int64_t *sizes, const float *x, float *y, uint8_t *taps, int threads)
{
    const Sizes *s = (const Sizes *)sizes;
    const int64_t size = s->rows == s->columns ? s->rows : 0;
    PARALLEL_FOR(threads)
    for (int64_t i = 0; i < s->planes * s->out_height; i++) {
        const float *from = x + i / s->out_height * s->height * s->width * LANES;
        const int64_t row = i % s->out_height, at = i * s->out_width * LANES;
        if (size == 3)
            pool_row(s, from, row, y + at, taps + at, 3);
        else if (size == 2)
            pool_row(s, from, row, y + at, taps + at, 2);
        else
            pool_row(s, from, row, y + at, taps + at, 0);
    }
}
