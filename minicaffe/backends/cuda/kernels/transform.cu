// Image transformation of bytes: crop window, mirroring, mean, scale (minicaffe/ops/transform.py).
// Bound by writing y.
//
// Blocks along x have one image each, so that its window is read once, and blocks along y share its
// values. The mean is read at c * mean_channel + row * mean_row + column * mean_column; the strides
// of a mean per channel are 1, 0, 0.
extern "C" __global__ void transform(const unsigned char* x, const int* __restrict__ windows,
                                     const float* __restrict__ mean, VALUE* y, int size,
                                     DIVISOR(channels), DIVISOR(rows), DIVISOR(columns),
                                     int mean_channel, int mean_row, int mean_column, float scale,
                                     int channels_last) {
    Divisor by_channel = divisor(channels), by_row = divisor(rows), by_column = divisor(columns);
    x += (long long)blockIdx.x * size;
    y += (long long)blockIdx.x * size;
    int top = windows[3 * blockIdx.x], left = windows[3 * blockIdx.x + 1];
    bool is_mirrored = windows[3 * blockIdx.x + 2] != 0;
    unsigned int step = gridDim.y * blockDim.x;
    for (unsigned int e = blockIdx.y * blockDim.x + threadIdx.x; e < (unsigned int)size; e += step) {
        unsigned int c, i, j;
        if (channels_last) {
            unsigned int pixel = quotient(e, by_channel);
            c = e - pixel * by_channel.by;
            i = quotient(pixel, by_column);
            j = pixel - i * by_column.by;
        } else {
            unsigned int line = quotient(e, by_column);
            j = e - line * by_column.by;
            c = quotient(line, by_row);
            i = line - c * by_row.by;
        }
        unsigned int k = is_mirrored ? by_column.by - 1 - j : j;
        float byte = x[(c * by_row.by + i) * by_column.by + k];
        int offset = c * mean_channel + (top + (int)i) * mean_row + (left + (int)k) * mean_column;
        // The difference is rounded as on the host: a sum before a product is never contracted.
        store(y, e, (byte - mean[offset]) * scale);
    }
}
