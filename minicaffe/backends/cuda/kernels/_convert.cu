// Conversion between memory formats: order and type of values, with FROM and TO instead of VALUE.
//
// VARIANTS FROM: float bfloat16 float16
// VARIANTS TO: float bfloat16 float16

// Transposes (outer, rows, columns) to (outer, columns, rows) in tiles of 32 x 32 values, so that
// reads and writes are coalesced. A block does one of the across x down tiles of one outer index. All
// blocks lie along x, because a grid is limited to 65,535 blocks along y and z.
#define TILE 32
#define TILE_ROWS 8

// scale: loss scale of float16 gradients, or null; see loss_scale.py.
#define FACTOR (!scale ? 1.0f : sizeof(TO) < 4 ? next_scale(scale) : scale->inverse)

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
