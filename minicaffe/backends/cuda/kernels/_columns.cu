// im2col and col2im, for convolution as a matrix product if no library has a plan. Images are
// (C, depth, height, width), columns (C * taps, positions); missing axes have size 1. C order.

#define AXES(NAME) int NAME##0, int NAME##1, int NAME##2
#define GEOMETRY \
    AXES(image), AXES(out), AXES(kernel), AXES(stride), AXES(pad), AXES(dilation)

extern "C" __global__ void im2col(const VALUE* x, VALUE* columns, int n, int channels, GEOMETRY) {
    int taps = kernel0 * kernel1 * kernel2, positions = out0 * out1 * out2;
    FOR_EACH(i, n) {
        int position = i % positions, row = i / positions;
        int tap = row % taps, plane = row / taps;
        int z = position / (out1 * out2) * stride0 - pad0 + tap / (kernel1 * kernel2) * dilation0;
        int r = position / out2 % out1 * stride1 - pad1 + tap / kernel2 % kernel1 * dilation1;
        int c = position % out2 * stride2 - pad2 + tap % kernel2 * dilation2;
        bool inside = z >= 0 && z < image0 && r >= 0 && r < image1 && c >= 0 && c < image2;
        store(columns, i, inside ? load(x, ((plane * image0 + z) * image1 + r) * image2 + c) : 0.0f);
    }
}

// The window along one axis whose tap `k` reads `at`; -1 if there is none.
__device__ __forceinline__ int window_of(int at, int k, int stride, int pad, int dilation, int out) {
    int distance = at + pad - k * dilation;
    if (distance < 0 || distance % stride) return -1;
    int position = distance / stride;
    return position < out ? position : -1;
}

// Each value of the images is the sum over the windows that contain it, in a fixed order.
extern "C" __global__ void col2im(const VALUE* columns, VALUE* x, int n, int channels, GEOMETRY) {
    int taps = kernel0 * kernel1 * kernel2, positions = out0 * out1 * out2;
    FOR_EACH(i, n) {
        int c = i % image2, r = i / image2 % image1, z = i / (image2 * image1) % image0;
        int plane = i / (image2 * image1 * image0);
        float sum = 0;
        for (int k0 = 0; k0 < kernel0; k0++) {
            int p0 = window_of(z, k0, stride0, pad0, dilation0, out0);
            if (p0 < 0) continue;
            for (int k1 = 0; k1 < kernel1; k1++) {
                int p1 = window_of(r, k1, stride1, pad1, dilation1, out1);
                if (p1 < 0) continue;
                for (int k2 = 0; k2 < kernel2; k2++) {
                    int p2 = window_of(c, k2, stride2, pad2, dilation2, out2);
                    if (p2 < 0) continue;
                    int row = plane * taps + (k0 * kernel1 + k1) * kernel2 + k2;
                    sum += load(columns, row * positions + (p0 * out1 + p1) * out2 + p2);
                }
            }
        }
        store(x, i, sum);
    }
}
