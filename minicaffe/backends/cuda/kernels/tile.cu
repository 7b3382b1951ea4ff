// Tile along an axis (minicaffe/ops/tile.py): x (outer, length), y (outer, tiles, length).
// Bound by writing y, or reading dy, once.
//
// VARIANTS TEAM: 1 32 256

extern "C" __global__ void repeat(const VALUE* __restrict__ x, VALUE* __restrict__ y, int n,
                                  DIVISOR(tiles), DIVISOR(length)) {
    FOR_EACH(i, n) {
        unsigned int line = quotient(i, divisor(length)), outer = quotient(line, divisor(tiles));
        store(y, i, load(x, outer * length_by + (i - line * length_by)));
    }
}

// dx: sums over the copies, which are indexed like classes.
extern "C" __global__ void add_copies(const VALUE* __restrict__ dy, VALUE* __restrict__ dx, ROWS) {
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row);
        float sum = 0;
        FOR_EACH_CLASS(k, classes) sum += load(dy, first + k * inner);
        sum = TEAM_SUM(sum);
        if (RANK == 0) store(dx, row, sum);
    }
}
