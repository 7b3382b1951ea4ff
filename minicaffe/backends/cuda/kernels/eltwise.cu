// Tensors combined element by element; see minicaffe/ops/eltwise.py. y may be any of the inputs.

// The weighted sum of up to four inputs; those that are not there are null. Then, if asked for, what
// is not positive becomes zero; a NaN stays one.
extern "C" __global__ void weighted(const VALUE* a, const VALUE* b, const VALUE* c, const VALUE* d,
                                    VALUE* y, int n, float ca, float cb, float cc, float cd,
                                    int rectifies) {
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
        if (rectifies)
            FOR_EACH_IN_PACK(k) sum.at[k] = sum.at[k] <= 0 ? 0.0f : sum.at[k];
        store_pack(y, i, n, sum);
    }
}

// The gradient of that sum for up to four inputs at once, so that dy is read once. dy may be any of
// them.
extern "C" __global__ void spread(const VALUE* dy, VALUE* a, VALUE* b, VALUE* c, VALUE* d, int n,
                                  float ca, float cb, float cc, float cd) {
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

// The gradient of a product by way of the quotient: infinite or NaN where x is 0, as in Caffe.
extern "C" __global__ void quotient(const VALUE* dy, const VALUE* y, const VALUE* x, VALUE* dx,
                                    int n) {
    FOR_EACH(i, n) store(dx, i, load(dy, i) * load(y, i) / load(x, i));
}

// The first two inputs: the later one is chosen if they are equal.
extern "C" __global__ void larger(const VALUE* a, const VALUE* b, VALUE* y,
                                  unsigned char* chosen, int n) {
    FOR_EACH(i, n) {
        float first = load(a, i), second = load(b, i);
        chosen[i] = first > second ? 0 : 1;
        store(y, i, first > second ? first : second);
    }
}

// Input `index`: chosen only if it is larger than the largest so far.
extern "C" __global__ void larger_still(const VALUE* x, VALUE* y, unsigned char* chosen, int n,
                                        int index) {
    FOR_EACH(i, n) {
        float value = load(x, i);
        if (value > load(y, i)) {
            chosen[i] = (unsigned char)index;
            store(y, i, value);
        }
    }
}

extern "C" __global__ void where_chosen(const VALUE* dy, const unsigned char* chosen, VALUE* dx,
                                        int n, int index) {
    FOR_EACH(i, n) store(dx, i, chosen[i] == index ? load(dy, i) : 0.0f);
}
