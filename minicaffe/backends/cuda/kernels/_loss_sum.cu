// Second step of a loss: reduces the sums of the blocks in a fixed order and normalises.

// block_sums: loss and count of each block. normalizer: divisor of the loss, 0 for the count.
// inverse_normalizer: output, 1 / divisor, for backward.
extern "C" __global__ void reduce_loss(const float* __restrict__ block_sums, int n,
                                       float normalizer,
                                       float* __restrict__ loss,
                                       float* __restrict__ inverse_normalizer) {
    float total = 0, counted = 0;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        total += block_sums[2 * i];
        counted += block_sums[2 * i + 1];
    }
    total = block_sum(total);
    counted = block_sum(counted);
    if (threadIdx.x == 0) {
        float by = normalizer > 0 ? normalizer : fmaxf(counted, 1.0f);
        loss[0] = total / by;
        inverse_normalizer[0] = 1.0f / by;
    }
}

// loss += non_finite, the flag that an update writes; see minicaffe/ops/update.py.
extern "C" __global__ void non_finite(const float* __restrict__ term, float* loss, int n) {
    FOR_EACH(i, n) loss[i] += term[0];
}
