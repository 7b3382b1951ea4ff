// y = correlation of x with 3x3 or 5x5 filters by Winograd's algorithm; see forward.py.
//
// A range of tiles is transformed, multiplied at 36 positions and transformed back while it is in
// the cache. With few tiles and many channels the filters are larger than the tiles; all threads
// then process one range, each with filters of its own, which it transforms just before it uses
// them, so that the transformed filters stay in the cache too.

#include "filters.h"
#include "tiles.h"

// Groups of tiles whose products are transformed back together.
#define CHUNK 4
// Half of the third-level cache of the processor it was measured on, an AMD EPYC (Zen 5).
#define STREAMED_BYTES (16 << 20)

typedef struct {
    const float *factor, *term; // for each channel of y; NULL: 1, 0
    int rectifies;
    int streams; // Whether y leaves the cache before it is read.
} Epilogue;

// Whether to write y past the cache: it would not stay there, and tiles fill whole cache lines.
ALWAYS_INLINE int leaves_cache(const Correlation *c)
{
    const int64_t size = c->y_type == BFLOAT16 ? 2 : 4;
    return c->images * c->y.image * size >= STREAMED_BYTES && c->y.row * size % 64 == 0;
}

// Transform the products m of some tiles back, and write them to a block of channels.
ALWAYS_INLINE void write_tiles_of(
    int taps, const Correlation *c, const float *m, int64_t step, int64_t first, int64_t tiles,
    const Epilogue *epilogue, int64_t channel, void *y)
{
    const int type = (int)c->y_type, outputs = OUTPUTS(taps);
    const vec factor = epilogue->factor ? load(epilogue->factor + channel) : fill(1);
    const vec term = epilogue->term ? load(epilogue->term + channel) : fill(0);
    for (int64_t t = 0; t < tiles; t++, m += LANES) {
        const Tile tile = tile_at(c, first + t);
        const int64_t row = tile.row * outputs, column = tile.column * outputs;
        const int64_t offset = tile.image * c->y.image + row * c->y.row + column * c->y.pixel;
        const int64_t rows = c->y.rows - row, columns = c->y.columns - column;
        vec in[POSITIONS], half[MAX_OUTPUTS * SPAN], line[MAX_OUTPUTS];
        for (int i = 0; i < POSITIONS; i++) in[i] = load(m + i * step);
        for (int i = 0; i < SPAN; i++) {
            transform_outputs(taps, in + i, SPAN, line);
            for (int r = 0; r < outputs; r++) half[r * SPAN + i] = line[r];
        }
        for (int r = 0; r < outputs && r < rows; r++) {
            transform_outputs(taps, half + r * SPAN, 1, line);
            for (int i = 0; i < outputs; i++) {
                line[i] = line[i] * factor + term;
                if (epilogue->rectifies) line[i] = rectify(line[i]);
            }
            for (int i = 0; i < outputs && i < columns; i++) {
                const int64_t at = offset + r * c->y.row + i * c->y.pixel;
                store_values(value_to_write(y, at, type), line[i], type, epilogue->streams);
            }
        }
    }
}

static void write_tiles(
    const Correlation *c, const float *m, int64_t step, int64_t first, int64_t tiles,
    const Epilogue *epilogue, int64_t channel, void *y)
{
    if (c->taps == 3)
        write_tiles_of(3, c, m, step, first, tiles, epilogue, channel, y);
    else
        write_tiles_of(5, c, m, step, first, tiles, epilogue, channel, y);
}

// Multiply a range by a panel of filters, and write the blocks of y that these give.
static void multiply_panel(
    const Correlation *c, const float *v, const float *u, int64_t first, int64_t tiles, int vectors,
    const Epilogue *epilogue, int64_t block, float *m, void *y)
{
    const int64_t v_step = position_step(c->in_blocks, tiles), u_step = panel_step(c);
    const int64_t groups = n_groups(tiles);
    for (int64_t i = 0; i < groups; i += CHUNK) {
        const int64_t last = i + CHUNK < groups ? i + CHUNK : groups;
        const int64_t from = tiles * i / groups, n = tiles * last / groups - from;
        const int64_t m_step = position_step(vectors, n);
        for (int p = 0; p < POSITIONS; p++) {
            for (int64_t g = i; g < last; g++) {
                const int64_t at = tiles * g / groups, rows = tiles * (g + 1) / groups - at;
                MULTIPLY[rows - 1][vectors - 1](
                    v + p * v_step + at * c->in_blocks * LANES, u + p * u_step, c->in_blocks,
                    m + p * m_step + (at - from) * LANES, n * LANES);
            }
        }
        for (int j = 0; j < vectors; j++) {
            write_tiles(
                c, m + j * n * LANES, m_step, first + from, n, epilogue, (block + j) * LANES,
                value_to_write(y, (block + j) * c->y.block, (int)c->y_type));
        }
    }
}

// Overwrite y.
//
// w: in blocks, see transform_panel; it is not read if `has_filters`.
// filters: the panels of all groups; NULL if each thread transforms a panel when it needs it.
// scratch: for each thread, at a distance of `scratch_step` values: V, a panel, M.
EXPORT void winograd_forward(
    const int64_t *sizes, const void *x, const float *w, float *filters, int has_filters,
    const float *factor, const float *term, int rectifies, void *y, float *scratch,
    int64_t scratch_step, int threads)
{
    const Correlation *c = (const Correlation *)sizes;
    const Epilogue epilogue = {factor, term, rectifies, leaves_cache(c)};
    const int64_t panels = n_panels(c), tiles = n_tiles(c);
    const int64_t ranges = (tiles + c->range - 1) / c->range, tasks = c->groups * ranges;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = omp_get_thread_num(), n_threads = omp_get_num_threads();
        const int team = c->is_shared ? n_threads : 1, member = c->is_shared ? thread : 0;
        const int64_t from = c->is_shared ? 0 : share(tasks, thread, n_threads);
        const int64_t to = c->is_shared ? tasks : share(tasks, thread + 1, n_threads);
        float *v = scratch + (c->is_shared ? 0 : thread * scratch_step);
        float *own_panel = scratch + thread * scratch_step + POSITIONS * position_step(c->in_blocks, c->range);
        float *m = own_panel + (filters ? 0 : panel_size(c));
        if (filters && !has_filters) {
            const int64_t n = c->groups * panels;
            for (int64_t i = share(n, thread, n_threads); i < share(n, thread + 1, n_threads); i++)
                transform_panel(c, w, i / panels, i % panels, filters + i * panel_size(c));
#pragma omp barrier
        }
        for (int64_t task = from; task < to; task++) {
            const int64_t group = task / ranges, i = task % ranges;
            const int64_t first = tiles * i / ranges, n = tiles * (i + 1) / ranges - first;
            transform_input(
                c, value_at(x, group * c->in_blocks * c->x.block, (int)c->x_type), first, n,
                n_groups(n),
                share(c->in_blocks, member, team), share(c->in_blocks, member + 1, team), v);
            if (c->is_shared) {
#pragma omp barrier
            }
            for (int64_t k = share(panels, member, team); k < share(panels, member + 1, team); k++) {
                float *u = filters ? filters + (group * panels + k) * panel_size(c) : own_panel;
                if (!filters) transform_panel(c, w, group, k, u);
                multiply_panel(
                    c, v, u, first, n, panel_vectors(c, k), &epilogue,
                    group * c->out_blocks + k * MAX_VECTORS, m, y);
            }
            if (c->is_shared) {
#pragma omp barrier
            }
        }
        if (epilogue.streams) end_stream();
    }
}
