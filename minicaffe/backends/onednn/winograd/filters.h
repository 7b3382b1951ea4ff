// Transformed filters: panels of at most MAX_VECTORS blocks of outputs.

#ifndef MINICAFFE_WINOGRAD_FILTERS_H
#define MINICAFFE_WINOGRAD_FILTERS_H

#include "product.h"

// The distance between the positions of a panel, no multiple of 4 KiB; see position_step.
ALWAYS_INLINE int64_t panel_step(const Correlation *c)
{
    return (c->in_blocks * LANES * MAX_VECTORS + 1) * LANES;
}

ALWAYS_INLINE int64_t panel_size(const Correlation *c) { return POSITIONS * panel_step(c); }

ALWAYS_INLINE int64_t n_panels(const Correlation *c)
{
    return (c->out_blocks + MAX_VECTORS - 1) / MAX_VECTORS;
}

ALWAYS_INLINE int panel_vectors(const Correlation *c, int64_t panel)
{
    const int64_t left = c->out_blocks - panel * MAX_VECTORS;
    return left < MAX_VECTORS ? (int)left : MAX_VECTORS;
}

// Transpose LANES vectors in registers: exchange halves, quarters, ... of pairs of rows.
ALWAYS_INLINE void transpose(const float *from, float *to)
{
    vec rows[LANES];
    for (int i = 0; i < LANES; i++) rows[i] = load(from + i * LANES);
#pragma GCC unroll 4
    for (int step = LANES / 2; step > 0; step /= 2) {
        ivec lower, upper;
        for (int j = 0; j < LANES; j++) {
            lower[j] = j & step ? LANES + j - step : j;
            upper[j] = j & step ? LANES + j : j + step;
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & step) continue;
            const vec a = rows[i], b = rows[i + step];
            rows[i] = select_lanes(a, b, lower);
            rows[i + step] = select_lanes(a, b, upper);
        }
    }
    for (int i = 0; i < LANES; i++) store(to + i * LANES, rows[i]);
}

// Write the panel of a group's filters. w is in blocks (outputs, inputs, taps, LANES inputs, LANES
// outputs) of the convolution; the gradient of the data exchanges the two and reverses the taps.
ALWAYS_INLINE void transform_panel_of(
    int taps, const Correlation *c, const float *w, int64_t group, int64_t panel, float *u)
{
    const int vectors = panel_vectors(c, panel);
    const int64_t step = panel_step(c);
    const int area = taps * taps;
    // The processor does not foresee that the next block of inputs follows.
    const int64_t ahead = (c->is_flipped ? c->out_blocks : 1) * area * WEIGHT_BLOCK;
    float turned[MAX_TAPS * MAX_TAPS * WEIGHT_BLOCK];
    for (int j = 0; j < vectors; j++) {
        const int64_t out = panel * MAX_VECTORS + j;
        for (int64_t in = 0; in < c->in_blocks; in++) {
            const int64_t index = c->is_flipped
                ? (group * c->in_blocks + in) * c->out_blocks + out
                : (group * c->out_blocks + out) * c->in_blocks + in;
            const float *block = w + index * area * WEIGHT_BLOCK, *from = block;
            if (c->is_flipped) {
                for (int i = 0; i < area; i++)
                    transpose(block + (area - 1 - i) * WEIGHT_BLOCK, turned + i * WEIGHT_BLOCK);
                from = turned;
            }
            for (int i = 0; i < LANES; i++) {
                vec g[MAX_TAPS * MAX_TAPS], rows[MAX_TAPS * SPAN], line[SPAN];
                float *to = u + ((in * LANES + i) * vectors + j) * LANES;
                for (int k = 0; k < area; k++)
                    g[k] = load_values(from + k * WEIGHT_BLOCK + i * LANES, c->w_type);
                for (int k = 0; k < area; k++)
                    __builtin_prefetch(block + ahead + k * WEIGHT_BLOCK + i * LANES);
                for (int k = 0; k < taps; k++)
                    transform_filter(taps, g + k * taps, 1, rows + k * SPAN);
                for (int k = 0; k < SPAN; k++) {
                    transform_filter(taps, rows + k, SPAN, line);
                    for (int r = 0; r < SPAN; r++) store(to + (r * SPAN + k) * step, line[r]);
                }
            }
        }
    }
}

static void transform_panel(
    const Correlation *c, const float *w, int64_t group, int64_t panel, float *u)
{
    if (c->taps == 3)
        transform_panel_of(3, c, w, group, panel, u);
    else
        transform_panel_of(5, c, w, group, panel, u);
}

#endif
