// Scale, Bias and PReLU: per-channel factors and terms of a tensor (outer, channels, inner)
// (minicaffe/ops/scale.py, prelu.py). Bound by reading x and writing y once.

// y may be x; terms and factors may be null; saved_x, if given, receives x.
extern "C" __global__ void scale(const VALUE* x, VALUE* y, VALUE* saved_x,
                                 const float* __restrict__ factors, const float* __restrict__ terms,
                                 int n, CHANNEL) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        if (saved_x) store_pack(saved_x, i, n, pack);
        ChannelAt at = CHANNEL_AT(i);
        FOR_EACH_IN_PACK(k) {
            if (factors) pack.at[k] *= factors[at.channel];
            if (terms) pack.at[k] += terms[at.channel];
            at.next();
        }
        store_pack(y, i, n, pack);
    }
}

// y may be x; saved_x, if given, receives x.
extern "C" __global__ void prelu(const VALUE* x, VALUE* y, VALUE* saved_x,
                                 const float* __restrict__ slopes, int n, CHANNEL) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        if (saved_x) store_pack(saved_x, i, n, pack);
        ChannelAt at = CHANNEL_AT(i);
        FOR_EACH_IN_PACK(k) {
            float value = pack.at[k], slope = slopes[at.channel];
            // As in Caffe, max(x, 0) + slope * min(x, 0): NaN also if the slope is not finite.
            pack.at[k] = value > 0 ? value + slope * 0.0f : slope * value;
            at.next();
        }
        store_pack(y, i, n, pack);
    }
}

// dx may be dy.
extern "C" __global__ void prelu_backward(const VALUE* __restrict__ x, const VALUE* dy, VALUE* dx,
                                          const float* __restrict__ slopes, int n, CHANNEL) {
    FOR_EACH_PACK(i, n) {
        Pack values = load_pack(x, i, n), pack = load_pack(dy, i, n);
        ChannelAt at = CHANNEL_AT(i);
        FOR_EACH_IN_PACK(k) {
            float slope = slopes[at.channel];
            pack.at[k] *= values.at[k] > 0 ? 1.0f + slope * 0.0f : slope;
            at.next();
        }
        store_pack(dx, i, n, pack);
    }
}
