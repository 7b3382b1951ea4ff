// The gradient of sums over the trailing axes (minicaffe/ops/reduction.py); channel_sums.cu sums.

// dx = factor dy times the derivative of |x| to a power, 0 standing for x itself. x may be null where
// that is not read. grown: the scale that dx has, or null.
extern "C" __global__ void spread(const VALUE* __restrict__ x, const float* __restrict__ dy,
                                  VALUE* __restrict__ dx, int n, TRAILING, int power, float factor,
                                  LossScale* grown) {
    if (grown) factor *= enter(grown);
    FOR_EACH_PACK(i, n) {
        Pack pack = power ? load_pack(x, i, n) : Pack{};
        FOR_EACH_IN_PACK(k) {
            float value = pack.at[k], slope = 1;
            // Of 0 it is 0, and a NaN stays one.
            if (power == 1) slope = value > 0 ? 1.0f : value < 0 ? -1.0f : value;
            if (power == 2) slope = 2 * value;
            if (i + k < (unsigned int)n) pack.at[k] = factor * dy[TRAILING_AT(i + k)] * slope;
        }
        store_pack(dx, i, n, pack);
    }
}
