// The gradient of sums over the trailing axes (minicaffe/ops/reduction.py); _channel_sums.cu sums.

// dx = factor dy d/dx |x|^power, where power 0 means x itself. x may be null if it is not read.
// loss_scale: of dx, or null.
extern "C" __global__ void reduction_backward(const VALUE* __restrict__ x,
                                              const float* __restrict__ dy,
                                              VALUE* __restrict__ dx, int n, TRAILING, int power,
                                              float factor, LossScale* loss_scale) {
    if (loss_scale) factor *= next_scale(loss_scale);
    FOR_EACH_PACK(i, n) {
        Pack pack = power ? load_pack(x, i, n) : Pack{};
        FOR_EACH_IN_PACK(k) {
            float value = pack.at[k], slope = 1;
            // 0 at 0 and NaN, as in Caffe.
            if (power == 1) slope = value > 0 ? 1.0f : value < 0 ? -1.0f : 0.0f;
            if (power == 2) slope = 2 * value;
            if (i + k < (unsigned int)n) pack.at[k] = factor * dy[TRAILING_AT(i + k)] * slope;
        }
        store_pack(dx, i, n, pack);
    }
}
