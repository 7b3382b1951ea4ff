// Softmax, its losses and accuracy (minicaffe/ops/softmax.py, loss.py, accuracy.py) over rows of
// classes.
//
// Online softmax: rows are read twice, once for maximum and sum together, once to write.
//
// VARIANTS TEAM: 1 32 256

// Maximum of a row, and the sum of exp(x - maximum).
struct MaxAndSum { float largest, sum; };

__device__ __forceinline__ MaxAndSum max_and_sum(const VALUE* x, int first, int classes, int inner) {
    float largest = -INFINITE, sum = 0;
    FOR_EACH_CLASS(k, classes) {
        float value = load(x, first + k * inner);
        if (value > largest) {
            sum = sum * expf(largest - value) + 1;
            largest = value;
        } else {
            sum += value == largest ? 1.0f : expf(value - largest);
        }
    }
    float top = TEAM_MAX(largest);
    return MaxAndSum{top, TEAM_SUM(sum * expf(largest - top))};
}

// y may be x.
extern "C" __global__ void forward(const VALUE* x, VALUE* y, ROWS) {
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row);
        MaxAndSum at = max_and_sum(x, first, classes, inner);
        float inverse_sum = 1.0f / at.sum;
        FOR_EACH_CLASS(k, classes) {
            int i = first + k * inner;
            store(y, i, expf(load(x, i) - at.largest) * inverse_sum);
        }
    }
}

// dx = y (dy - sum of dy y); dx may be dy.
extern "C" __global__ void backward(const VALUE* __restrict__ y, const VALUE* dy, VALUE* dx, ROWS) {
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row);
        float sum = 0;
        FOR_EACH_CLASS(k, classes) sum += load(y, first + k * inner) * load(dy, first + k * inner);
        sum = TEAM_SUM(sum);
        FOR_EACH_CLASS(k, classes) {
            int i = first + k * inner;
            store(dx, i, load(y, i) * (load(dy, i) - sum));
        }
    }
}

#define LABELS const float* __restrict__ labels, int ignores, int ignored, int per_item
#define IS_COUNTED(row) (!ignores || labels[row] != (float)ignored)

// - log of the smallest normal float: the loss of a probability of 0.
#define MAX_LOSS 87.33654475f

// p: the probabilities; block_sums: loss and number of counted rows of each block.
extern "C" __global__ void loss(const VALUE* __restrict__ x, float* __restrict__ p,
                                float* __restrict__ block_sums, int* label_error, LABELS, ROWS) {
    float total = 0, counted = 0;
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row);
        MaxAndSum at = max_and_sum(x, first, classes, inner);
        float inverse_sum = 1.0f / at.sum;
        FOR_EACH_CLASS(k, classes) {
            int i = first + k * inner;
            p[i] = expf(load(x, i) - at.largest) * inverse_sum;
        }
        if (RANK == 0 && IS_COUNTED(row)) {
            int label = class_of(labels[row], classes, row / per_item, label_error);
            float own = NOT_A_NUMBER;
            if (label >= 0) own = logf(at.sum) - (load(x, first + label * inner) - at.largest);
            // NaN propagates.
            total += own > MAX_LOSS ? MAX_LOSS : own;
            counted += 1;
        }
    }
    write_sums(total, counted, block_sums);
}

// dx = (p - onehot(label)) dloss inverse_normalizer, 0 for ignored labels; parallel over values, not
// rows. loss_scale: of dx, or null.
extern "C" __global__ void loss_backward(const float* __restrict__ p, VALUE* __restrict__ dx,
                                         const float* __restrict__ dloss,
                                         const float* __restrict__ inverse_normalizer,
                                         LossScale* loss_scale, LABELS, int n, DIVISOR(classes),
                                         DIVISOR(inner)) {
    float scale = dloss[0] * inverse_normalizer[0] * (loss_scale ? next_scale(loss_scale) : 1.0f);
    FOR_EACH(i, n) {
        unsigned int line = quotient(i, divisor(inner)), pixel = i - line * inner_by;
        unsigned int outer = quotient(line, divisor(classes)), k = line - outer * classes_by;
        unsigned int row = outer * inner_by + pixel;
        float slope = p[i] - (labels[row] == (float)k ? 1.0f : 0.0f);
        store(dx, i, IS_COUNTED(row) ? slope * scale : 0.0f);
    }
}

// Lower bound of probabilities in the logarithm; NaN propagates.
#define TINY 1e-20f

// Infogain: loss = - sum of weights[label] log(p), with weights (classes, classes).
extern "C" __global__ void infogain(const VALUE* __restrict__ x, const float* __restrict__ weights,
                                    float* __restrict__ p, float* __restrict__ block_sums,
                                    int* label_error, LABELS, ROWS) {
    float total = 0, counted = 0;
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row), label = -1;
        MaxAndSum at = max_and_sum(x, first, classes, inner);
        float inverse_sum = 1.0f / at.sum;
        if (IS_COUNTED(row)) {
            label = class_of(labels[row], classes, row / per_item, label_error);
            if (label < 0) total = NOT_A_NUMBER;
            counted += RANK == 0;
        }
        FOR_EACH_CLASS(k, classes) {
            int i = first + k * inner;
            float own = expf(load(x, i) - at.largest) * inverse_sum;
            p[i] = own;
            if (label >= 0) total -= weights[label * classes + k] * logf(own < TINY ? TINY : own);
        }
    }
    write_sums(total, counted, block_sums);
}

// dx = (p sum of weights[label] - weights[label]) dloss inverse_normalizer, 0 for ignored and invalid
// labels. loss_scale: of dx, or null.
extern "C" __global__ void infogain_backward(const float* __restrict__ p,
                                             const float* __restrict__ weights,
                                             VALUE* __restrict__ dx,
                                             const float* __restrict__ dloss,
                                             const float* __restrict__ inverse_normalizer,
                                             LossScale* loss_scale, LABELS, ROWS) {
    float scale = dloss[0] * inverse_normalizer[0] * (loss_scale ? next_scale(loss_scale) : 1.0f);
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row);
        int label = IS_COUNTED(row) ? whole_below(classes, labels[row]) : -1;
        const float* own = weights + max(label, 0) * classes;
        float sum = 0;
        FOR_EACH_CLASS(k, classes) sum += own[k];
        sum = TEAM_SUM(sum);
        FOR_EACH_CLASS(k, classes) {
            int i = first + k * inner;
            store(dx, i, label < 0 ? 0.0f : (p[i] * sum - own[k]) * scale);
        }
    }
}

// counts: correct rows, counted rows, invalid labels; then, if per_class, the first two for each
// class. Integers, so the order of atomic additions does not matter.
extern "C" __global__ void accuracy(const VALUE* __restrict__ x, int* counts, int* label_error,
                                    LABELS, ROWS, int top_k, int per_class) {
    FOR_EACH_ROW(row, rows) {
        if (!IS_COUNTED(row)) continue;
        int first = FIRST_OF(row);
        int label = class_of(labels[row], classes, row / per_item, label_error);
        float own = label < 0 ? NOT_A_NUMBER : load(x, first + label * inner);
        // Number of scores that are not less than the true class's; comparisons with NaN count.
        float above = 0;
        FOR_EACH_CLASS(k, classes) above += load(x, first + k * inner) < own ? 0.0f : 1.0f;
        above = TEAM_SUM(above);
        if (RANK != 0) continue;
        int is_correct = label >= 0 && above - 1 < (float)top_k;
        if (is_correct) atomicAdd(counts, 1);
        atomicAdd(counts + 1, 1);
        if (label < 0) atomicAdd(counts + 2, 1);
        if (per_class && label >= 0) {
            if (is_correct) atomicAdd(counts + 3 + label, 1);
            atomicAdd(counts + 3 + classes + label, 1);
        }
    }
}

// Accuracy over all rows and, if given, for each class.
extern "C" __global__ void shares(const int* __restrict__ counts, float* __restrict__ accuracy,
                                  float* __restrict__ per_class, int classes) {
    FOR_EACH(k, classes) {
        if (k == 0) {
            float share = (float)counts[0] / (float)max(counts[1], 1);
            accuracy[0] = counts[2] ? NOT_A_NUMBER : share;
        }
        if (per_class)
            per_class[k] = (float)counts[3 + k] / (float)max(counts[3 + classes + k], 1);
    }
}
