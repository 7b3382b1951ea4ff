// Functions of one number: the table of minicaffe/ops/activation.py. KIND names the row.
//
// VARIANTS KIND: relu elu sigmoid tanh exp bnll absval clip log power swish threshold

#define JOINED(A, B) A##B
#define JOIN(A, B) JOINED(A, B)
#define NUMBERS float alpha, float beta, float scale, float shift

// y from x; and dy/dx from x and y, of which only what the contract says is read.
#define ROW(KIND_NAME, Y, SLOPE) \
    __device__ __forceinline__ float value_##KIND_NAME(float x, NUMBERS) { return Y; } \
    __device__ __forceinline__ float slope_##KIND_NAME(float x, float y, NUMBERS) { return SLOPE; }

ROW(relu, x > 0 ? x : alpha * x, (alpha < 0 ? x : y) > 0 ? 1.0f : alpha)
ROW(elu, x > 0 ? x : alpha * expm1f(x), (alpha < 0 ? x : y) > 0 ? 1.0f : alpha + y)
ROW(sigmoid, sigmoid_of(x), y * (1 - y))
ROW(tanh, tanhf(x), 1 - y * y)
ROW(exp, expf(scale * x + shift), scale * y)
ROW(bnll, fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))), -expm1f(-y))
ROW(absval, fabsf(x), x > 0 ? 1.0f : (x < 0 ? -1.0f : 0.0f))
ROW(clip, fminf(fmaxf(x, alpha), beta), x >= alpha && x <= beta ? 1.0f : 0.0f)
ROW(log, alpha * logf(scale * x + shift), alpha * scale / (scale * x + shift))
ROW(power, powf(scale * x + shift, alpha),
    alpha * scale == 0 ? 0.0f : alpha * scale * powf(scale * x + shift, alpha - 1))
ROW(swish, x * sigmoid_of(alpha * x), alpha * y + sigmoid_of(alpha * x) * (1 - alpha * y))
ROW(threshold, x > alpha ? 1.0f : 0.0f, 0.0f)

extern "C" __global__ void forward(const VALUE* x, VALUE* y, int n, NUMBERS) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        FOR_EACH_IN_PACK(k)
            pack.at[k] = JOIN(value_, KIND)(pack.at[k], alpha, beta, scale, shift);
        store_pack(y, i, n, pack);
    }
}

// x may be y where the function's gradient reads only one of them; dx may be dy.
extern "C" __global__ void backward(const VALUE* x, const VALUE* y, const VALUE* dy, VALUE* dx,
                                    int n, NUMBERS) {
    FOR_EACH_PACK(i, n) {
        Pack before = load_pack(x, i, n), after = load_pack(y, i, n), pack = load_pack(dy, i, n);
        FOR_EACH_IN_PACK(k)
            pack.at[k] *= JOIN(slope_, KIND)(before.at[k], after.at[k], alpha, beta, scale, shift);
        store_pack(dx, i, n, pack);
    }
}
