// Softmax, its losses and accuracy (minicaffe/ops/softmax.py, loss.py, accuracy.py) over rows of
// classes.
//
// Rows are read twice: once for the maximum and the sum together, once to write.
//
// VARIANTS TEAM: 1 32 256

// Sum over a row of exp(x - largest).
struct Peak { float largest, sum; };

__device__ __forceinline__ Peak peak(const VALUE* x, int first, int classes, int inner) {
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
    return Peak{top, TEAM_SUM(sum * expf(largest - top))};
}

// y may be x.
extern "C" __global__ void forward(const VALUE* x, VALUE* y, ROWS) {
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row);
        Peak at = peak(x, first, classes, inner);
        float share = 1.0f / at.sum;
        FOR_EACH_CLASS(k, classes) {
            int i = first + k * inner;
            store(y, i, expf(load(x, i) - at.largest) * share);
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
#define COUNTS(row) (!ignores || labels[row] != (float)ignored)

// - log of the smallest normal float: the loss of a probability of 0.
#define MOST 87.33654475f

// p: the probabilities; pairs: loss and number of rows that count, of each block.
extern "C" __global__ void loss(const VALUE* __restrict__ x, float* __restrict__ p,
                                float* __restrict__ pairs, int* label_error, LABELS, ROWS) {
    float total = 0, counted = 0;
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row);
        Peak at = peak(x, first, classes, inner);
        float share = 1.0f / at.sum;
        FOR_EACH_CLASS(k, classes) {
            int i = first + k * inner;
            p[i] = expf(load(x, i) - at.largest) * share;
        }
        if (RANK == 0 && COUNTS(row)) {
            int label = class_of(labels[row], classes, row / per_item, label_error);
            float own = NOT_A_NUMBER;
            if (label >= 0) own = logf(at.sum) - (load(x, first + label * inner) - at.largest);
            // A NaN stays one.
            total += own > MOST ? MOST : own;
            counted += 1;
        }
    }
    write_sums(total, counted, pairs);
}

// dx = (p - onehot(label)) dloss share, 0 where a label does not count; by values, not rows.
// grown: the scale that dx has, or null.
extern "C" __global__ void loss_backward(const float* __restrict__ p, VALUE* __restrict__ dx,
                                         const float* __restrict__ dloss,
                                         const float* __restrict__ share, LossScale* grown,
                                         LABELS, int n,
                                         DIVISOR(classes), DIVISOR(inner)) {
    float scale = dloss[0] * share[0] * (grown ? enter(grown) : 1.0f);
    FOR_EACH(i, n) {
        unsigned int line = quotient(i, divisor(inner)), pixel = i - line * inner_by;
        unsigned int outer = quotient(line, divisor(classes)), k = line - outer * classes_by;
        unsigned int row = outer * inner_by + pixel;
        float slope = p[i] - (labels[row] == (float)k ? 1.0f : 0.0f);
        store(dx, i, COUNTS(row) ? slope * scale : 0.0f);
    }
}

// Below this a probability is not taken for the logarithm; a NaN is.
#define TINY 1e-20f

// Infogain: loss = - sum of weights[label] log(p), weights being (classes, classes).
extern "C" __global__ void infogain(const VALUE* __restrict__ x, const float* __restrict__ weights,
                                    float* __restrict__ p, float* __restrict__ pairs, int* label_error,
                                    LABELS, ROWS) {
    float total = 0, counted = 0;
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row), label = -1;
        Peak at = peak(x, first, classes, inner);
        float share = 1.0f / at.sum;
        if (COUNTS(row)) {
            label = class_of(labels[row], classes, row / per_item, label_error);
            if (label < 0) total = NOT_A_NUMBER;
            counted += RANK == 0;
        }
        FOR_EACH_CLASS(k, classes) {
            int i = first + k * inner;
            float own = expf(load(x, i) - at.largest) * share;
            p[i] = own;
            if (label >= 0) total -= weights[label * classes + k] * logf(own < TINY ? TINY : own);
        }
    }
    write_sums(total, counted, pairs);
}

// dx = (p sum of weights[label] - weights[label]) dloss share, 0 where a label does not count or is
// no class. grown: the scale that dx has, or null.
extern "C" __global__ void infogain_backward(const float* __restrict__ p,
                                             const float* __restrict__ weights,
                                             VALUE* __restrict__ dx,
                                             const float* __restrict__ dloss,
                                             const float* __restrict__ share, LossScale* grown,
                                             LABELS, ROWS) {
    float scale = dloss[0] * share[0] * (grown ? enter(grown) : 1.0f);
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row);
        int label = COUNTS(row) ? whole_below(classes, labels[row]) : -1;
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

// tally: rows that are right, rows that count, labels that are no class; then, where per_class, the
// first two for each class. Whole numbers: their order of addition changes nothing.
extern "C" __global__ void accuracy(const VALUE* __restrict__ x, int* tally, int* label_error, LABELS, ROWS,
                                    int top_k, int per_class) {
    FOR_EACH_ROW(row, rows) {
        if (!COUNTS(row)) continue;
        int first = FIRST_OF(row);
        int label = class_of(labels[row], classes, row / per_item, label_error);
        float own = label < 0 ? NOT_A_NUMBER : load(x, first + label * inner);
        // Those that do not score less than the true class; so is whatever is compared with a NaN.
        float above = 0;
        FOR_EACH_CLASS(k, classes) above += load(x, first + k * inner) < own ? 0.0f : 1.0f;
        above = TEAM_SUM(above);
        if (RANK != 0) continue;
        int is_right = label >= 0 && above - 1 < (float)top_k;
        if (is_right) atomicAdd(tally, 1);
        atomicAdd(tally + 1, 1);
        if (label < 0) atomicAdd(tally + 2, 1);
        if (per_class && label >= 0) {
            if (is_right) atomicAdd(tally + 3 + label, 1);
            atomicAdd(tally + 3 + classes + label, 1);
        }
    }
}

// accuracy of all rows, and, where given, of those of each class.
extern "C" __global__ void shares(const int* __restrict__ tally, float* __restrict__ accuracy,
                                  float* __restrict__ per_class, int classes) {
    FOR_EACH(k, classes) {
        if (k == 0) {
            float share = (float)tally[0] / (float)max(tally[1], 1);
            accuracy[0] = tally[2] ? NOT_A_NUMBER : share;
        }
        if (per_class)
            per_class[k] = (float)tally[3 + k] / (float)max(tally[3 + classes + k], 1);
    }
}
