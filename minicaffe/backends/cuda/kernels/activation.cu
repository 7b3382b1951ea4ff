// Elementwise activation functions: the table of minicaffe/ops/activation.py. KIND names the row.
//
// VARIANTS KIND: relu elu sigmoid tanh exp bnll abs clip log power swish threshold relu6 hardsigmoid selu mish negativerelu

#define JOINED(A, B) A##B
#define JOIN(A, B) JOINED(A, B)
#define NUMBERS float first, float second, float third

// y from x; and dy/dx from x or y, whichever the contract says. A, B and C name
// the fields of the op in their order.
#define ROW(KIND_NAME, A, B, C, Y, SLOPE) \
    __device__ __forceinline__ float value_##KIND_NAME(float x, float A, float B, float C) { \
        return Y; \
    } \
    __device__ __forceinline__ float slope_##KIND_NAME(float x, float y, float A, float B, \
                                                       float C) { \
        return SLOPE; \
    }

// Comparisons that keep NaN.
__device__ __forceinline__ float capped(float x, float high) { return x > high ? high : x; }
__device__ __forceinline__ float floored(float x, float low) { return x < low ? low : x; }

__device__ __forceinline__ float softplus_tanh(float x) {
    return tanhf(fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))));
}

ROW(relu, slope, , , x > 0 ? x : slope * x, (slope < 0 ? x : y) > 0 ? 1.0f : slope)
ROW(elu, alpha, , , x > 0 ? x : alpha * expm1f(x), alpha < 0 ? (x > 0 ? 1.0f : alpha * expf(x)) : (y > 0 ? 1.0f : alpha + y))
ROW(sigmoid, , , , sigmoid_of(x), y * (1 - y))
ROW(tanh, , , , tanhf(x), 1 - y * y)
ROW(exp, scale, shift, , expf(scale * x + shift), scale * y)
ROW(bnll, , , , fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))), sigmoid_of(x))
ROW(abs, , , , fabsf(x), x > 0 ? 1.0f : (x < 0 ? -1.0f : 0.0f))
ROW(clip, low, high, , x < low ? low : (x > high ? high : x), x >= low && x <= high ? 1.0f : 0.0f)
ROW(log, factor, scale, shift, factor * logf(scale * x + shift),
    factor * scale / (scale * x + shift))
ROW(power, power, scale, shift, power * scale == 0 ? powf(shift, power) : powf(scale * x + shift, power),
    power * scale == 0 ? 0.0f : power * scale * powf(scale * x + shift, power - 1))
ROW(swish, beta, , , x * sigmoid_of(beta * x),
    sigmoid_of(beta * x) * (1 + beta * x * (1 - sigmoid_of(beta * x))))
ROW(threshold, threshold, , , x > threshold ? 1.0f : 0.0f, 0.0f)
ROW(negativerelu, slope, , , x < 0 ? x : slope * x, x < 0 ? 1.0f : slope)
ROW(relu6, slope, , , capped(x > 0 ? x : slope * x, 6.0f),
    slope < 0 ? (x > 0 ? (x < 6 ? 1.0f : 0.0f) : (slope * x < 6 ? slope : 0.0f))
              : (y < 6 ? (y > 0 ? 1.0f : slope) : 0.0f))
ROW(hardsigmoid, scale, shift, , capped(floored(scale * x + shift, 0.0f), 1.0f),
    scale * x + shift > 0 && scale * x + shift < 1 ? scale : 0.0f)
ROW(selu, alpha, scale, , scale * (x > 0 ? x : alpha * expm1f(x)),
    alpha < 0 || scale <= 0 ? (x > 0 ? scale : scale * alpha * expf(x))
                            : (y > 0 ? scale : scale * alpha + y))
ROW(mish, , , , x * softplus_tanh(x),
    softplus_tanh(x) + x * sigmoid_of(x) * (1 - softplus_tanh(x) * softplus_tanh(x)))

extern "C" __global__ void forward(const VALUE* x, VALUE* y, int n, NUMBERS) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        FOR_EACH_IN_PACK(k) pack.at[k] = JOIN(value_, KIND)(pack.at[k], first, second, third);
        store_pack(y, i, n, pack);
    }
}

// `read` is x or y, whichever the function's gradient reads; dx may be dy.
extern "C" __global__ void backward(const VALUE* read, const VALUE* dy, VALUE* dx, int n,
                                    NUMBERS) {
    FOR_EACH_PACK(i, n) {
        Pack values = load_pack(read, i, n), pack = load_pack(dy, i, n);
        FOR_EACH_IN_PACK(k)
            pack.at[k] *= JOIN(slope_, KIND)(values.at[k], values.at[k], first, second, third);
        store_pack(dx, i, n, pack);
    }
}
