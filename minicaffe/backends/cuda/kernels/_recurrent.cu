// What is left of recurrent layers (minicaffe/ops/recurrent.py) beside matrix products: one launch
// for each time step and direction, and a few before and behind them.
//
// A state has n = N D values; value i belongs to stream i / D. Sums, cells and the gradients that go
// from step to step are float; VALUE is what matrix products read. A null pointer stands for zeros
// where a kernel reads, and for what nobody wants where it writes.

#define STREAM(i) quotient(i, divisor(size))

// Before the first step: what the products of that step read, and the cells where there are any.
extern "C" __global__ void begin(const float* __restrict__ h, const float* __restrict__ c,
                                 const float* __restrict__ cont, VALUE* __restrict__ before,
                                 float* __restrict__ cells, int n, DIVISOR(size)) {
    FOR_EACH(i, n) {
        store(before, i, cont[STREAM(i)] * h[i]);
        if (cells) cells[i] = c[i];
    }
}

// Where the state behind a step goes: to for the products of this step, before for those of the
// next one, whose cont is `going_on`; end for whoever has the state of the last step.
#define STATE VALUE* __restrict__ to, VALUE* __restrict__ before, \
    const float* __restrict__ going_on, float* __restrict__ end
__device__ __forceinline__ void put(float h, unsigned int i, unsigned int stream, STATE) {
    store(to, i, h);
    if (before) store(before, i, going_on[stream] * h);
    if (end) end[i] = h;
}

// A step of an LSTM. a: its sums without the bias and without share, (N, 4 D) as the gates, which
// may take their place; the forget gate is kept times cont.
extern "C" __global__ void lstm(const float* a, float* gates, const float* __restrict__ bias,
                                const float* __restrict__ share, const float* __restrict__ cont,
                                const float* __restrict__ c_before, float* __restrict__ c,
                                float* __restrict__ c_end, STATE, int n, DIVISOR(size)) {
    int size = size_by;
    FOR_EACH(i, n) {
        int stream = STREAM(i), unit = i - stream * size, first = 4 * stream * size + unit;
        float sum[4];
        for (int k = 0; k < 4; k++) {
            int at = first + k * size;
            sum[k] = a[at] + (bias ? bias[k * size + unit] : 0.0f) + (share ? share[at] : 0.0f);
        }
        float in = sigmoid_of(sum[0]), forget = cont[stream] * sigmoid_of(sum[1]);
        float out = sigmoid_of(sum[2]), fresh = tanhf(sum[3]);
        gates[first] = in;
        gates[first + size] = forget;
        gates[first + 2 * size] = out;
        gates[first + 3 * size] = fresh;
        float cell = forget * c_before[i] + in * fresh;
        c[i] = cell;
        if (c_end) c_end[i] = cell;
        put(out * tanhf(cell), i, stream, to, before, going_on, end);
    }
}

// A step of a plain net: a, (N, D), becomes the state.
extern "C" __global__ void rnn(float* __restrict__ a, const float* __restrict__ bias,
                               const float* __restrict__ share, STATE, int n, DIVISOR(size)) {
    FOR_EACH(i, n) {
        int stream = STREAM(i), unit = i - stream * size_by;
        float h = tanhf(a[i] + bias[unit] + (share ? share[i] : 0.0f));
        a[i] = h;
        put(h, i, stream, to, before, going_on, end);
    }
}

// The outputs of a plain net: sums, without the bias, become y, which is kept as float, too.
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

// The gradient of the state behind the last step, as float.
extern "C" __global__ void widen(const VALUE* __restrict__ given, float* __restrict__ to, int n) {
    FOR_EACH(i, n) to[i] = load(given, i);
}

// The gradient of a state before the first step; cont where it is one that cont multiplies.
extern "C" __global__ void finish(const float* __restrict__ gradient,
                                  const float* __restrict__ cont, VALUE* __restrict__ to, int n,
                                  DIVISOR(size)) {
    FOR_EACH(i, n) store(to, i, gradient[i] * (cont ? cont[STREAM(i)] : 1.0f));
}

// The gradient of a state that comes back from the next step, whose cont is `going_on`; behind the
// last step that is null, and dh is what it is.
#define CARRIED const float* __restrict__ dh, const float* __restrict__ going_on
__device__ __forceinline__ float carried(unsigned int i, unsigned int stream, CARRIED) {
    return (dh ? dh[i] : 0.0f) * (going_on ? going_on[stream] : 1.0f);
}

// A step of an LSTM back: from dy, dh and dc, the gradient of c, those of the sums and of the cell
// before; dc_before may be dc.
extern "C" __global__ void lstm_backward(const float* __restrict__ gates,
                                         const float* __restrict__ c_before,
                                         const float* __restrict__ c, const VALUE* __restrict__ dy,
                                         CARRIED, const float* dc, float* dc_before,
                                         VALUE* __restrict__ da, int n, DIVISOR(size)) {
    int size = size_by;
    FOR_EACH(i, n) {
        int stream = STREAM(i), first = 4 * stream * size + (i - stream * size);
        float in = gates[first], forget = gates[first + size];
        float out = gates[first + 2 * size], fresh = gates[first + 3 * size];
        float bent = tanhf(c[i]), given = load(dy, i) + carried(i, stream, dh, going_on);
        float slope = (dc ? dc[i] : 0.0f) + given * out * (1 - bent * bent);
        if (da) {
            store(da, first, slope * fresh * in * (1 - in));
            store(da, first + size, slope * c_before[i] * forget * (1 - forget));
            store(da, first + 2 * size, given * bent * out * (1 - out));
            store(da, first + 3 * size, slope * in * (1 - fresh * fresh));
        }
        if (dc_before) dc_before[i] = slope * forget;
    }
}

// A step of a plain net back: given is what comes from the outputs.
extern "C" __global__ void rnn_backward(const float* __restrict__ h, const float* __restrict__ given,
                                        CARRIED, VALUE* __restrict__ da, int n, DIVISOR(size)) {
    FOR_EACH(i, n) {
        float slope = given[i] + carried(i, STREAM(i), dh, going_on);
        store(da, i, slope * (1 - h[i] * h[i]));
    }
}

// Sum over all steps of gradients (steps, n): that of the share of a static input.
extern "C" __global__ void sum_steps(const VALUE* __restrict__ da, VALUE* __restrict__ total,
                                     int steps, int n) {
    FOR_EACH(i, n) {
        float sum = 0;
        for (int t = 0; t < steps; t++) sum += load(da, t * n + i);
        store(total, i, sum);
    }
}
