// What concerns whole channels: a term for each, sums over everything else.

// y += b, lined up with the channels; then, if asked for, what is negative becomes zero.
extern "C" __global__ void add_bias(VALUE* y, const float* b, int n, int channels, int pixels,
                                    int channels_last, int relu) {
    FOR_EACH(i, n) {
        int c = channels_last ? i % channels : (i / pixels) % channels;
        float value = load(y, i) + b[c];
        store(y, i, relu && value < 0 ? 0.0f : value);
    }
}

extern "C" __global__ void rectify(VALUE* y, int n) {
    FOR_EACH(i, n) if (load(y, i) < 0) store(y, i, 0.0f);
}

// Sums of each channel over a part of the images and pixels; parts are added up by `add_parts`, so
// that the order of the additions is fixed. With the channels last, neighbouring threads read
// neighbouring channels: block (32, 8), grid (channels / 32, parts). Else a block of 256 threads
// reads along the pixels: grid (channels, parts).
extern "C" __global__ void sum_last(const VALUE* x, float* parts, int rows, int channels,
                                    int rows_in_part) {
    __shared__ float sums[8][33];
    int c = blockIdx.x * 32 + threadIdx.x;
    int begin = blockIdx.y * rows_in_part;
    int end = min(begin + rows_in_part, rows);
    float sum = 0;
    if (c < channels)
        for (int row = begin + threadIdx.y; row < end; row += 8) sum += load(x, row * channels + c);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < channels) {
        for (int k = 1; k < 8; k++) sum += sums[k][threadIdx.x];
        parts[blockIdx.y * channels + c] = sum;
    }
}

extern "C" __global__ void sum_first(const VALUE* x, float* parts, int images, int channels,
                                     int pixels, int images_in_part) {
    int c = blockIdx.x;
    int begin = blockIdx.y * images_in_part;
    int end = min(begin + images_in_part, images);
    float sum = 0;
    for (int n = begin; n < end; n++)
        for (int p = threadIdx.x; p < pixels; p += blockDim.x)
            sum += load(x, (n * channels + c) * pixels + p);
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.y * channels + c] = sum;
}

extern "C" __global__ void add_parts(const float* parts, float* y, int channels, int n_parts,
                                     int is_first) {
    FOR_EACH(c, channels) {
        float sum = is_first ? 0.0f : y[c];
        for (int part = 0; part < n_parts; part++) sum += parts[part * channels + c];
        y[c] = sum;
    }
}

// y += x, from the type of activations to float.
extern "C" __global__ void accumulate(const VALUE* x, float* y, int n) {
    FOR_EACH(i, n) y[i] += load(x, i);
}
