// Losses except that of softmax (minicaffe/ops/loss.py), on floats in C order. Each has a kernel that
// writes one sum for each block (_loss_sum.cu reduces them) and a kernel that writes gradients.
// Bound by memory or launch latency, because the outputs of nets are small.

// Euclidean: sum of (a - b)^2.
extern "C" __global__ void euclidean(const float* __restrict__ a, const float* __restrict__ b,
                                     float* __restrict__ block_sums, int n) {
    float sum = 0;
    FOR_EACH(i, n) {
        float difference = a[i] - b[i];
        sum += difference * difference;
    }
    write_sums(sum, 0, block_sums);
}

// da = (a - b) scale dloss = -db; either may be null.
extern "C" __global__ void euclidean_backward(const float* __restrict__ a,
                                              const float* __restrict__ b,
                                              const float* __restrict__ dloss, float* da, float* db,
                                              int n, float scale) {
    float factor = dloss[0] * scale;
    FOR_EACH(i, n) {
        float slope = (a[i] - b[i]) * factor;
        if (da) da[i] = slope;
        if (db) db[i] = -slope;
    }
}

// Cross entropy of s = sigmoid(x): -t log(s) - (1 - t) log(1 - s), without exponentials of large
// numbers.
#define TARGETS const float* __restrict__ targets, int ignores, int ignored
#define IS_COUNTED(i) (!ignores || truncf(targets[i]) != (float)ignored)

extern "C" __global__ void sigmoid(const float* __restrict__ x, float* __restrict__ block_sums,
                                   TARGETS, int n) {
    float sum = 0, counted = 0;
    FOR_EACH(i, n) {
        if (!IS_COUNTED(i)) continue;
        float above = x[i] > 0 || x[i] != x[i] ? x[i] : 0.0f;
        sum += above - x[i] * targets[i] + log1pf(expf(-fabsf(x[i])));
        counted += 1;
    }
    write_sums(sum, counted, block_sums);
}

extern "C" __global__ void sigmoid_backward(const float* __restrict__ x, float* __restrict__ dx,
                                            const float* __restrict__ dloss,
                                            const float* __restrict__ inverse_normalizer, TARGETS,
                                            int n) {
    float scale = dloss[0] * inverse_normalizer[0];
    FOR_EACH(i, n) {
        float slope = 0.5f * tanhf(0.5f * x[i]) + 0.5f - targets[i];
        dx[i] = IS_COUNTED(i) ? slope * scale : 0.0f;
    }
}

// Hinge: sign is -1 for the true class and 1 for the others; margins are max(0, 1 + sign x).
#define SIGN(i, row) (labels[row] == (float)((i) - (row) * classes_by) ? -1.0f : 1.0f)
__device__ __forceinline__ float positive(float value) {
    return value > 0 || value != value ? value : 0.0f;
}

extern "C" __global__ void hinge(const float* __restrict__ x, const float* __restrict__ labels,
                                 float* __restrict__ margins, float* __restrict__ block_sums,
                                 int* label_error, int n, DIVISOR(classes), int squares) {
    float sum = 0;
    FOR_EACH(i, n) {
        unsigned int row = quotient(i, divisor(classes));
        float margin = positive(1 + SIGN(i, row) * x[i]);
        margins[i] = margin;
        sum += squares ? margin * margin : margin;
        if (i == row * classes_by && class_of(labels[row], classes_by, row, label_error) < 0)
            sum = NOT_A_NUMBER;
    }
    write_sums(sum, 0, block_sums);
}

extern "C" __global__ void hinge_backward(const float* __restrict__ x,
                                          const float* __restrict__ labels, float* __restrict__ dx,
                                          const float* __restrict__ dloss, int n, DIVISOR(classes),
                                          int squares, float scale) {
    float factor = dloss[0] * scale;
    FOR_EACH(i, n) {
        unsigned int row = quotient(i, divisor(classes));
        float sign = SIGN(i, row), margin = positive(1 + sign * x[i]);
        dx[i] = sign * (squares ? 2 * margin : (margin > 0 ? 1.0f : 0.0f)) * factor;
    }
}

// Multinomial logistic: - log of the true class's probability, at least TINY.
#define TINY 1e-20f

extern "C" __global__ void logistic(const float* __restrict__ p, const float* __restrict__ labels,
                                    float* __restrict__ block_sums, int* label_error, int rows,
                                    int classes) {
    float sum = 0;
    FOR_EACH(row, rows) {
        int label = class_of(labels[row], classes, row, label_error);
        float own = label < 0 ? NOT_A_NUMBER : p[row * classes + label];
        sum -= logf(own < TINY ? TINY : own);
    }
    write_sums(sum, 0, block_sums);
}

// dp = - scale dloss / p for the true class, 0 for the others.
extern "C" __global__ void logistic_backward(const float* __restrict__ p,
                                             const float* __restrict__ labels,
                                             float* __restrict__ dp,
                                             const float* __restrict__ dloss, int n,
                                             DIVISOR(classes), float scale) {
    float factor = dloss[0] * scale;
    FOR_EACH(i, n) {
        unsigned int row = quotient(i, divisor(classes));
        bool is_true = labels[row] == (float)(i - row * classes_by);
        dp[i] = is_true ? -factor / (p[i] < TINY ? TINY : p[i]) : 0.0f;
    }
}

// Contrastive: a warp computes the squared distance of a pair, stored in `distances` for backward.
extern "C" __global__ void contrastive(const float* __restrict__ a, const float* __restrict__ b,
                                       const float* __restrict__ similar,
                                       float* __restrict__ distances, float* __restrict__ block_sums,
                                       int rows, int length, float margin, int legacy) {
    float total = 0;
    for (unsigned int row = (blockIdx.x * THREADS + threadIdx.x) / 32; row < (unsigned int)rows;
         row += gridDim.x * (THREADS / 32)) {
        float squares = 0;
        for (int k = threadIdx.x % 32; k < length; k += 32) {
            float difference = a[row * length + k] - b[row * length + k];
            squares += difference * difference;
        }
        squares = warp_sum(squares);
        if (threadIdx.x % 32) continue;
        distances[row] = squares;
        float lack = positive(margin - (legacy ? squares : sqrtf(squares)));
        total += truncf(similar[row]) != 0 ? squares : (legacy ? lack : lack * lack);
    }
    write_sums(total, 0, block_sums);
}

// da = (a - b) weight scale dloss = -db; either may be null.
extern "C" __global__ void contrastive_backward(const float* __restrict__ a,
                                                const float* __restrict__ b,
                                                const float* __restrict__ similar,
                                                const float* __restrict__ distances,
                                                const float* __restrict__ dloss, float* da,
                                                float* db, int n, DIVISOR(length), float margin,
                                                int legacy, float scale) {
    float factor = dloss[0] * scale;
    FOR_EACH(i, n) {
        unsigned int row = quotient(i, divisor(length));
        float squares = distances[row], distance = sqrtf(squares), weight = 1;
        if (truncf(similar[row]) == 0) {
            float lack = positive(margin - (legacy ? squares : distance));
            // The small constant keeps the gradient of two equal vectors finite.
            weight = legacy ? (lack > 0 ? -1.0f : 0.0f) : -lack / (distance + 1e-4f);
        }
        float slope = (a[i] - b[i]) * weight * factor;
        if (da) da[i] = slope;
        if (db) db[i] = -slope;
    }
}
