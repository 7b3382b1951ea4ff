// Loops over pixels, called by kernels.py, with the arithmetic of NumPy in resizing.py and
// minicaffe/data/transformer.py to the bit.

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

// Sums of two columns of a row for each new column, cut to 16 bits.
static inline void sum_columns(const uint8_t *restrict row, const int32_t *restrict taps,
                               const int32_t *restrict weights, uint16_t *restrict sums, int64_t n)
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
                          const int32_t *column_weights, const int32_t *row_taps,
                          const int32_t *row_weights, uint16_t *sums)
{
    for (int64_t plane = 0; plane < planes; plane++) {
        const uint8_t *source = image + plane * old_rows * old_columns;
        int64_t held[2] = {-1, -1}; // which source rows the sums are of: even ones, odd ones
        for (int64_t y = 0; y < rows; y++) {
            for (int k = 0; k < 2; k++) {
                int64_t row = row_taps[2 * y + k], slot = row % 2;
                if (held[slot] != row)
                    sum_columns(source + row * old_columns, column_taps, column_weights,
                                sums + slot * columns, columns);
                held[slot] = row;
            }
            const uint16_t *restrict upper = sums + row_taps[2 * y] % 2 * columns;
            const uint16_t *restrict lower = sums + row_taps[2 * y + 1] % 2 * columns;
            uint32_t a = row_weights[2 * y], b = row_weights[2 * y + 1];
            for (int64_t x = 0; x < columns; x++)
                resized[x] = ((upper[x] * a >> 16) + (lower[x] * b >> 16) + 2) >> 2;
            resized += columns;
        }
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
