// Elementwise sum, product and maximum of tensors (minicaffe/ops/eltwise.py). y may be any input.

// Weighted sum of up to four inputs, null if absent; then ReLU if `applies_relu`.
extern "C" __global__ void weighted_sum(const VALUE* a, const VALUE* b, const VALUE* c,
                                        const VALUE* d, VALUE* y, int n, float ca, float cb,
                                        float cc, float cd, int applies_relu) {
    const VALUE* others[] = {b, c, d};
    const float factors[] = {cb, cc, cd};
    FOR_EACH_PACK(i, n) {
        Pack sum = load_pack(a, i, n);
        FOR_EACH_IN_PACK(k) sum.at[k] *= ca;
#pragma unroll
        for (int j = 0; j < 3; j++) {
            if (!others[j]) continue;
            Pack term = load_pack(others[j], i, n);
            FOR_EACH_IN_PACK(k) sum.at[k] += factors[j] * term.at[k];
        }
        if (applies_relu)
            FOR_EACH_IN_PACK(k) sum.at[k] = rectified(sum.at[k]);
        store_pack(y, i, n, sum);
    }
}

// The gradients of that sum for up to four inputs, so that dy is read once. dy may be any of them.
extern "C" __global__ void weighted_sum_backward(const VALUE* dy, VALUE* a, VALUE* b, VALUE* c,
                                                 VALUE* d, int n, float ca, float cb, float cc,
                                                 float cd) {
    VALUE* const targets[] = {a, b, c, d};
    const float factors[] = {ca, cb, cc, cd};
    FOR_EACH_PACK(i, n) {
        Pack given = load_pack(dy, i, n), scaled;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (!targets[j]) continue;
            FOR_EACH_IN_PACK(k) scaled.at[k] = factors[j] * given.at[k];
            store_pack(targets[j], i, n, scaled);
        }
    }
}

extern "C" __global__ void product(const VALUE* a, const VALUE* b, VALUE* y, int n) {
    FOR_EACH(i, n) store(y, i, load(a, i) * load(b, i));
}

// The gradient of a product as dy y / x: infinite or NaN where x is 0, as in Caffe.
extern "C" __global__ void product_backward(const VALUE* dy, const VALUE* y, const VALUE* x,
                                            VALUE* dx, int n) {
    FOR_EACH(i, n) store(dx, i, load(dy, i) * load(y, i) / load(x, i));
}

// Maximum of the first two inputs; of equal values the second is the argmax. NaN is the largest value.
extern "C" __global__ void max_of_two(const VALUE* a, const VALUE* b, VALUE* y,
                                      unsigned char* argmax, int n) {
    FOR_EACH(i, n) {
        float first = load(a, i), second = load(b, i);
        int is_first = first > second || first != first;
        argmax[i] = is_first ? 0 : 1;
        store(y, i, is_first ? first : second);
    }
}

// Maximum with input `index`, which is the argmax only if it is larger than the previous maximum.
extern "C" __global__ void max_with(const VALUE* x, VALUE* y, unsigned char* argmax, int n,
                                    int index) {
    FOR_EACH(i, n) {
        float value = load(x, i);
        if (value > load(y, i) || value != value) {
            argmax[i] = (unsigned char)index;
            store(y, i, value);
        }
    }
}

extern "C" __global__ void max_backward(const VALUE* dy, const unsigned char* argmax, VALUE* dx,
                                        int n, int index) {
    FOR_EACH(i, n) store(dx, i, argmax[i] == index ? load(dy, i) : 0.0f);
}
