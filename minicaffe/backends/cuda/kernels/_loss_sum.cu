// The second step of a loss: the sums of blocks, in a fixed order, over what they are divided by.

// pairs: loss and count of each block. normalizer: what the loss is divided by, or 0 for the count.
// share: where it leaves 1 / that, for backward.
extern "C" __global__ void finish(const float* __restrict__ pairs, int n, float normalizer,
                                  float* __restrict__ loss, float* __restrict__ share) {
    float total = 0, counted = 0;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        total += pairs[2 * i];
        counted += pairs[2 * i + 1];
    }
    total = block_sum(total);
    counted = block_sum(counted);
    if (threadIdx.x == 0) {
        float by = normalizer > 0 ? normalizer : fmaxf(counted, 1.0f);
        loss[0] = total / by;
        share[0] = 1.0f / by;
    }
}

// loss += non_finite: what an update says about the weights; see minicaffe/ops/update.py.
extern "C" __global__ void non_finite(const float* __restrict__ term, float* loss, int n) {
    FOR_EACH(i, n) loss[i] += term[0];
}
