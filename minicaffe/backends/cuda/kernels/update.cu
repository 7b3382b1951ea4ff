// One solver step over all parameters (minicaffe/ops/update.py); each block processes one chunk.
//
// VARIANTS RULE: sgd nesterov adagrad rmsprop adadelta adam adamw
// VARIANTS DECAY: L1 L2

#define JOINED(A, B) A##B
#define JOIN(A, B) JOINED(A, B)

// Layout written by ChunkTable in update.py.
struct Chunk {
    float *w, *dw, *h, *k;
    int n;
    float lr_mult, decay_mult;
    int unused;
};
struct Size { float rate, decay, scale; };

__device__ __forceinline__ float term_L1(float w) { return w > 0 ? 1.0f : (w < 0 ? -1.0f : 0.0f); }
__device__ __forceinline__ float term_L2(float w) { return w; }

#define RULE_ARGS float g, float rate, float &h, float &k, float momentum, float decay2, float delta

__device__ __forceinline__ float step_sgd(RULE_ARGS) {
    h = momentum * h + rate * g;
    return h;
}
__device__ __forceinline__ float step_nesterov(RULE_ARGS) {
    float before = momentum * h;
    h = before + rate * g;
    return (1 + momentum) * h - before;
}
__device__ __forceinline__ float step_adagrad(RULE_ARGS) {
    h += g * g;
    return rate * g / (sqrtf(h) + delta);
}
__device__ __forceinline__ float step_rmsprop(RULE_ARGS) {
    h = decay2 * h + (1 - decay2) * g * g;
    return rate * g / (sqrtf(h) + delta);
}
__device__ __forceinline__ float step_adadelta(RULE_ARGS) {
    h = momentum * h + (1 - momentum) * g * g;
    float u = g * sqrtf((k + delta) / (h + delta));
    k = momentum * k + (1 - momentum) * u * u;
    return rate * u;
}
__device__ __forceinline__ float step_adam(RULE_ARGS) {
    h = momentum * h + (1 - momentum) * g;
    k = decay2 * k + (1 - decay2) * g * g;
    return rate * h / (sqrtf(k) + delta);
}
#define step_adamw step_adam
// A rule whose decay changes w directly, instead of the gradient.
#define DECOUPLED_adamw 1

// loss_scale, or null: with non-finite gradients at a scale above 1, the step is skipped.
// non_finite: 0 before; NaN if a w is not finite or is beyond `largest`, the type of activations.
extern "C" __global__ void step(const Chunk* chunks, const Size* size, const LossScale* loss_scale,
                                float* non_finite, float largest, float momentum, float decay2,
                                float delta) {
    const Chunk chunk = chunks[blockIdx.x];
    if (loss_scale && loss_scale->is_bad && loss_scale->next > 1) {
        for (int i = threadIdx.x; i < chunk.n; i += blockDim.x) chunk.dw[i] = 0;
        return;
    }
    const float rate = size->rate * chunk.lr_mult, decay = size->decay * chunk.decay_mult;
    const float scale = size->scale;
    for (int i = threadIdx.x; i < chunk.n; i += blockDim.x) {
        float w = chunk.w[i];
        float g = scale * chunk.dw[i], decay_term = decay * JOIN(term_, DECAY)(w);
#if !JOIN(DECOUPLED_, RULE)
        g += decay_term;
#endif
        float h = chunk.h ? chunk.h[i] : 0.0f, k = chunk.k ? chunk.k[i] : 0.0f;
        g = JOIN(step_, RULE)(g, rate, h, k, momentum, decay2, delta);
#if JOIN(DECOUPLED_, RULE)
        g += rate * decay_term;
#endif
        if (chunk.h) chunk.h[i] = h;
        if (chunk.k) chunk.k[i] = k;
        chunk.dw[i] = g;
        w -= g;
        chunk.w[i] = w;
        if (!(fabsf(w) <= largest)) *non_finite = NOT_A_NUMBER;
    }
}

// Before a step: sets loss_scale->is_bad if a gradient is not finite.
extern "C" __global__ void find_non_finite(const Chunk* chunks, LossScale* loss_scale) {
    const Chunk chunk = chunks[blockIdx.x];
    for (int i = threadIdx.x; i < chunk.n; i += blockDim.x)
        if (!(fabsf(chunk.dw[i]) < INFINITE)) loss_scale->is_bad = 1;
}

// After a step, by one thread: computes the scale of the next step. See loss_scale.py.
#define MAX_LOSS_SCALE 16777216.0f
#define GOOD_STEPS_TO_DOUBLE 2000
extern "C" __global__ void update_loss_scale(LossScale* loss_scale) {
    LossScale now = *loss_scale;
    now.n_good = now.is_bad ? 0 : now.n_good + 1;
    if (now.is_bad && now.next > 1) now.next /= 2;
    if (now.n_good == GOOD_STEPS_TO_DOUBLE) {
        now.n_good = 0;
        if (now.next < MAX_LOSS_SCALE) now.next *= 2;
    }
    now.is_bad = 0;
    *loss_scale = now;
}

// The running average chunk.w of the values chunk.dw, of which `share` enters it.
extern "C" __global__ void average(const Chunk* chunks, const float* share) {
    const Chunk chunk = chunks[blockIdx.x];
    const float now = *share;
    if (now == 0) return;
    for (int i = threadIdx.x; i < chunk.n; i += blockDim.x) {
        float mean = chunk.w[i], w = chunk.dw[i];
        chunk.w[i] = now == 1 ? w : mean + now * (w - mean);
    }
}

// The sum of squares of one chunk, in double precision as the op requires.
extern "C" __global__ void squares(const Chunk* chunks, double* sums) {
    __shared__ double parts[256];
    const Chunk chunk = chunks[blockIdx.x];
    double sum = 0;
    for (int i = threadIdx.x; i < chunk.n; i += blockDim.x) {
        double value = chunk.dw[i];
        sum += value * value;
    }
    parts[threadIdx.x] = sum;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = parts[0];
}
