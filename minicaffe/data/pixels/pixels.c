// Loops over pixels, called by kernels.py, with the arithmetic of NumPy in resizing.py and
// minicaffe/data/transformer.py to the bit.

#include <immintrin.h>

#include "native.h"

static inline void divide(const uint8_t *restrict pixels, int step, uint8_t *restrict blue,
                          uint8_t *restrict green, uint8_t *restrict red, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        red[i] = pixels[step * i];
        green[i] = pixels[step * i + 1];
        blue[i] = pixels[step * i + 2];
    }
}

// n pixels of `step` bytes, 3 or 4, which begin with red, green, blue -> planes of blue, green, red.
EXPORT void planes_of_rgb(const uint8_t *pixels, int64_t step, uint8_t *planes, int64_t n)
{
    if (step == 3)
        divide(pixels, 3, planes, planes + n, planes + 2 * n, n);
    else
        divide(pixels, 4, planes, planes + n, planes + 2 * n, n);
}

// Which source rows the two rows of sums are of: an even one, an odd one.
typedef struct {
    int64_t row[2];
} Held;

// Return whether the sums of a source row have to be computed, and note that they will be.
static inline int is_missing(Held *held, int64_t row)
{
    int is_new = held->row[row % 2] != row;
    held->row[row % 2] = row;
    return is_new;
}

// Sums of two columns of a row for each new column, cut to 16 bits.
static inline void sum_columns(const uint8_t *restrict row, const int32_t *restrict taps,
                               const int16_t *restrict weights, uint16_t *restrict sums, int64_t n)
{
    for (int64_t x = 0; x < n; x++)
        sums[x] = (row[taps[2 * x]] * weights[2 * x] + row[taps[2 * x + 1]] * weights[2 * x + 1])
                  >> 4;
}

// Resize planes bilinearly. The taps are pairs of source columns, and of consecutive or equal source
// rows, for each new one; `sums` has room for two new rows.
EXPORT void resize_planes(const uint8_t *image, int64_t planes, int64_t old_rows,
                          int64_t old_columns, uint8_t *restrict resized, int64_t rows,
                          int64_t columns, const int32_t *column_taps,
                          const int16_t *column_weights, const int32_t *row_taps,
                          const int16_t *row_weights, uint16_t *sums)
{
    for (int64_t plane = 0; plane < planes; plane++) {
        const uint8_t *source = image + plane * old_rows * old_columns;
        Held held = {{-1, -1}};
        for (int64_t y = 0; y < rows; y++) {
            for (int64_t k = 2 * y; k < 2 * y + 2; k++)
                if (is_missing(&held, row_taps[k]))
                    sum_columns(source + row_taps[k] * old_columns, column_taps, column_weights,
                                sums + row_taps[k] % 2 * columns, columns);
            const uint16_t *restrict upper = sums + row_taps[2 * y] % 2 * columns;
            const uint16_t *restrict lower = sums + row_taps[2 * y + 1] % 2 * columns;
            uint32_t a = row_weights[2 * y], b = row_weights[2 * y + 1];
            for (int64_t x = 0; x < columns; x++)
                resized[x] = ((upper[x] * a >> 16) + (lower[x] * b >> 16) + 2) >> 2;
            resized += columns;
        }
    }
}

// The same for pixels of four bytes, whose columns are consecutive.
static inline void sum_pixels(const uint8_t *row, const int32_t *taps, const int16_t *weights,
                              uint16_t *sums, int64_t n)
{
    // First values of the two pixels, second values, ...: 16 bits each.
    const __m128i order = _mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1);
    for (int64_t x = 0; x < n; x++) {
        __m128i pixels = _mm_loadl_epi64((const __m128i *)(row + 4 * taps[2 * x]));
        int32_t pair;
        memcpy(&pair, weights + 2 * x, sizeof pair);
        __m128i products =
            _mm_madd_epi16(_mm_shuffle_epi8(pixels, order), _mm_set1_epi32(pair));
        __m128i cut = _mm_srli_epi32(products, 4);
        _mm_storel_epi64((__m128i *)(sums + 4 * x), _mm_packus_epi32(cut, cut));
    }
}

// The sums of two rows, weighted and rounded, for n values.
static inline void sum_rows(const uint16_t *restrict upper, const uint16_t *restrict lower,
                            int16_t a, int16_t b, uint8_t *restrict values, int64_t n)
{
    __m128i weight_a = _mm_set1_epi16(a), weight_b = _mm_set1_epi16(b), two = _mm_set1_epi16(2);
    for (int64_t x = 0; x < n; x += 8) {
        __m128i above = _mm_mulhi_epu16(_mm_loadu_si128((const __m128i *)(upper + x)), weight_a);
        __m128i below = _mm_mulhi_epu16(_mm_loadu_si128((const __m128i *)(lower + x)), weight_b);
        __m128i sum = _mm_srli_epi16(_mm_add_epi16(_mm_add_epi16(above, below), two), 2);
        _mm_storel_epi64((__m128i *)(values + x), _mm_packus_epi16(sum, sum));
    }
}

// Resize pixels of four bytes, which begin with red, green, blue, to planes of blue, green, red.
// `sums` has room for two new rows, and `pixels` for one, both of an even number of columns.
EXPORT void resize_rgb(const uint8_t *image, int64_t old_columns, uint8_t *planes, int64_t rows,
                       int64_t columns, const int32_t *column_taps, const int16_t *column_weights,
                       const int32_t *row_taps, const int16_t *row_weights, uint16_t *sums,
                       uint8_t *pixels)
{
    int64_t size = rows * columns, n = 4 * (columns + columns % 2);
    Held held = {{-1, -1}};
    for (int64_t y = 0; y < rows; y++) {
        for (int64_t k = 2 * y; k < 2 * y + 2; k++)
            if (is_missing(&held, row_taps[k]))
                sum_pixels(image + 4 * row_taps[k] * old_columns, column_taps, column_weights,
                           sums + row_taps[k] % 2 * n, columns);
        sum_rows(sums + row_taps[2 * y] % 2 * n, sums + row_taps[2 * y + 1] % 2 * n,
                 row_weights[2 * y], row_weights[2 * y + 1], pixels, n);
        uint8_t *blue = planes + y * columns;
        divide(pixels, 4, blue, blue + size, blue + 2 * size, columns);
    }
}

// Cut a window of rows x columns at (top, left) out of an image, mirror it if asked to, subtract
// the mean and scale. The mean is one value for each channel, or (if `mean_is_image`) an image of
// the size of the given one.
EXPORT void transform_window(const uint8_t *image, int64_t channels, int64_t image_rows,
                             int64_t image_columns, int64_t top, int64_t left, int64_t mirrored,
                             const float *mean, int64_t mean_is_image, float scale,
                             float *restrict values, int64_t rows, int64_t columns)
{
    for (int64_t channel = 0; channel < channels; channel++) {
        for (int64_t y = 0; y < rows; y++) {
            int64_t at = (channel * image_rows + top + y) * image_columns + left;
            const uint8_t *restrict pixels = image + at;
            const float *restrict means = mean + (mean_is_image ? at : channel);
            if (mean_is_image && mirrored)
                for (int64_t x = 0; x < columns; x++)
                    values[x] = (pixels[columns - 1 - x] - means[columns - 1 - x]) * scale;
            else if (mean_is_image)
                for (int64_t x = 0; x < columns; x++)
                    values[x] = (pixels[x] - means[x]) * scale;
            else if (mirrored)
                for (int64_t x = 0; x < columns; x++)
                    values[x] = (pixels[columns - 1 - x] - means[0]) * scale;
            else
                for (int64_t x = 0; x < columns; x++)
                    values[x] = (pixels[x] - means[0]) * scale;
            values += columns;
        }
    }
}
