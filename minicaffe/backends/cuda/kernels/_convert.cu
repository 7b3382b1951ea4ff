// From one format to another: order of values, and type: FROM and TO instead of VALUE.
//
// VARIANTS FROM: float bfloat16 float16
// VARIANTS TO: float bfloat16 float16

// A tensor of (outer, rows, columns) becomes (outer, columns, rows), 32 x 32 values at a time, so
// that both sides are read and written in runs. A block does one of the across x down tiles of one of
// the outer; all of them lie along x, as a grid is short along y and z.
#define TILE 32
#define TILE_ROWS 8

// scale: of gradients in 16 bits, or null; see loss_scale.py.
#define FACTOR (!scale ? 1.0f : sizeof(TO) < 4 ? enter(scale) : scale->inverse)

extern "C" __global__ void transpose(const FROM* x, TO* y, int rows, int columns, int across,
                                     int down, LossScale* scale) {
    const float factor = FACTOR;
    __shared__ float tile[TILE][TILE + 1];
    int line = blockIdx.x / across, outer = line / down;
    int first_column = (blockIdx.x - line * across) * TILE, first_row = (line - outer * down) * TILE;
    int base = outer * rows * columns, column = first_column + threadIdx.x;
    for (int k = threadIdx.y; k < TILE; k += TILE_ROWS) {
        int row = first_row + k;
        if (row < rows && column < columns)
            tile[k][threadIdx.x] = load(x, base + row * columns + column);
    }
    __syncthreads();
    int row = first_row + threadIdx.x;
    for (int k = threadIdx.y; k < TILE; k += TILE_ROWS) {
        int out = first_column + k;
        if (row < rows && out < columns)
            store(y, base + out * rows + row, factor * tile[threadIdx.x][k]);
    }
}

extern "C" __global__ void cast(const FROM* x, TO* y, int n, LossScale* scale) {
    const float factor = FACTOR;
    FOR_EACH(i, n) store(y, i, factor * load(x, i));
}
