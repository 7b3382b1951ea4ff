// Elementwise parts of recurrent layers (minicaffe/ops/recurrent.py): one launch for each time step
// and direction, and a few before and after the loop.
//
// A state has n = N D values; value i belongs to stream i / D. Sums, cells and the gradients passed
// from step to step are float; VALUE is the type that matrix products read. A null pointer means
// zeros for an input, and that an output is not needed.

#define STREAM(i) quotient(i, divisor(size))

// Before the first step: initialises the input of its matrix products, and the cells, if any.
extern "C" __global__ void init_states(const float* __restrict__ h, const float* __restrict__ c,
                                       const float* __restrict__ cont, VALUE* __restrict__ before,
                                       float* __restrict__ cells, int n, DIVISOR(size)) {
    FOR_EACH(i, n) {
        store(before, i, cont[STREAM(i)] * h[i]);
        if (cells) cells[i] = c[i];
    }
}

// Outputs of the state after a step: `to` for the products of this step, `before` for those of the
// next step, whose cont is `next_cont`, and `end` for the state after the last step.
#define STATE VALUE* __restrict__ to, VALUE* __restrict__ before, \
    const float* __restrict__ next_cont, float* __restrict__ end
__device__ __forceinline__ void store_state(float h, unsigned int i, unsigned int stream, STATE) {
    store(to, i, h);
    if (before) store(before, i, next_cont[stream] * h);
    if (end) end[i] = h;
}

// One step of an LSTM. a: its sums without bias and static_sums, (N, 4 D), like the gates, which may
// overwrite them; the forget gate is stored multiplied by cont.
extern "C" __global__ void lstm(const float* a, float* gates, const float* __restrict__ bias,
                                const float* __restrict__ static_sums,
                                const float* __restrict__ cont,
                                const float* __restrict__ c_before, float* __restrict__ c,
                                float* __restrict__ c_end, STATE, int n, DIVISOR(size)) {
    int size = size_by;
    FOR_EACH(i, n) {
        int stream = STREAM(i), unit = i - stream * size, first = 4 * stream * size + unit;
        float sum[4];
        for (int k = 0; k < 4; k++) {
            int at = first + k * size;
            sum[k] = a[at] + (bias ? bias[k * size + unit] : 0.0f) +
                     (static_sums ? static_sums[at] : 0.0f);
        }
        float in = sigmoid_of(sum[0]), forget = cont[stream] * sigmoid_of(sum[1]);
        float out = sigmoid_of(sum[2]), candidate = tanhf(sum[3]);
        gates[first] = in;
        gates[first + size] = forget;
        gates[first + 2 * size] = out;
        gates[first + 3 * size] = candidate;
        float cell = forget * c_before[i] + in * candidate;
        c[i] = cell;
        if (c_end) c_end[i] = cell;
        store_state(out * tanhf(cell), i, stream, to, before, next_cont, end);
    }
}

// One step of a plain RNN: a, (N, D), becomes the state.
extern "C" __global__ void rnn(float* __restrict__ a, const float* __restrict__ bias,
                               const float* __restrict__ static_sums, STATE, int n, DIVISOR(size)) {
    FOR_EACH(i, n) {
        int stream = STREAM(i), unit = i - stream * size_by;
        float h = tanhf(a[i] + bias[unit] + (static_sums ? static_sums[i] : 0.0f));
        a[i] = h;
        store_state(h, i, stream, to, before, next_cont, end);
    }
}

// The outputs of a plain RNN: sums, without the bias, become y, also stored as float in place.
extern "C" __global__ void outputs(float* __restrict__ sums, const float* __restrict__ bias,
                                   VALUE* __restrict__ y, int n, DIVISOR(size)) {
    FOR_EACH(i, n) {
        float value = tanhf(sums[i] + bias[i - STREAM(i) * size_by]);
        sums[i] = value;
        store(y, i, value);
    }
}

extern "C" __global__ void outputs_backward(const float* __restrict__ y,
                                            const VALUE* __restrict__ dy, VALUE* __restrict__ dsums,
                                            int n, DIVISOR(size)) {
    FOR_EACH(i, n) store(dsums, i, load(dy, i) * (1 - y[i] * y[i]));
}

// Converts the gradient of the state after the last step to float.
extern "C" __global__ void to_float(const VALUE* __restrict__ given, float* __restrict__ to, int n) {
    FOR_EACH(i, n) to[i] = load(given, i);
}

// The gradient of a state before the first step, multiplied by cont unless that is null.
extern "C" __global__ void start_gradient(const float* __restrict__ gradient,
                                          const float* __restrict__ cont, VALUE* __restrict__ to,
                                          int n, DIVISOR(size)) {
    FOR_EACH(i, n) store(to, i, gradient[i] * (cont ? cont[STREAM(i)] : 1.0f));
}

// The gradient of a state from the next step, whose cont is `next_cont`; null after the last step,
// where dh is used unchanged.
#define CARRIED const float* __restrict__ dh, const float* __restrict__ next_cont
__device__ __forceinline__ float carried(unsigned int i, unsigned int stream, CARRIED) {
    return (dh ? dh[i] : 0.0f) * (next_cont ? next_cont[stream] : 1.0f);
}

// Backward of one LSTM step: from dy, dh and dc, the gradients of the sums and of the previous cell;
// dc_before may be dc.
extern "C" __global__ void lstm_backward(const float* __restrict__ gates,
                                         const float* __restrict__ c_before,
                                         const float* __restrict__ c, const VALUE* __restrict__ dy,
                                         CARRIED, const float* dc, float* dc_before,
                                         VALUE* __restrict__ da, int n, DIVISOR(size)) {
    int size = size_by;
    FOR_EACH(i, n) {
        int stream = STREAM(i), first = 4 * stream * size + (i - stream * size);
        float in = gates[first], forget = gates[first + size];
        float out = gates[first + 2 * size], candidate = gates[first + 3 * size];
        float tanh_c = tanhf(c[i]), given = load(dy, i) + carried(i, stream, dh, next_cont);
        float slope = (dc ? dc[i] : 0.0f) + given * out * (1 - tanh_c * tanh_c);
        if (da) {
            store(da, first, slope * candidate * in * (1 - in));
            store(da, first + size, slope * c_before[i] * forget * (1 - forget));
            store(da, first + 2 * size, given * tanh_c * out * (1 - out));
            store(da, first + 3 * size, slope * in * (1 - candidate * candidate));
        }
        if (dc_before) dc_before[i] = slope * forget;
    }
}

// Backward of one RNN step; given: the gradient from the outputs.
extern "C" __global__ void rnn_backward(const float* __restrict__ h, const float* __restrict__ given,
                                        CARRIED, VALUE* __restrict__ da, int n, DIVISOR(size)) {
    FOR_EACH(i, n) {
        float slope = given[i] + carried(i, STREAM(i), dh, next_cont);
        store(da, i, slope * (1 - h[i] * h[i]));
    }
}

// Sums gradients (steps, n) over all steps: the gradient of static_sums.
extern "C" __global__ void sum_steps(const VALUE* __restrict__ da, VALUE* __restrict__ total,
                                     int steps, int n) {
    FOR_EACH(i, n) {
        float sum = 0;
        for (int t = 0; t < steps; t++) sum += load(da, t * n + i);
        store(total, i, sum);
    }
}
