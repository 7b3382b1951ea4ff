// Parts of a tensor: `outer` times, `width` values in a row lie `offset` values behind the beginning
// of a row of `whole` values. A part alone has its rows right behind one another.

extern "C" __global__ void put(const VALUE* part, VALUE* y, int n, int width, int whole,
                               int offset) {
    FOR_EACH(i, n) y[(i / width) * whole + offset + i % width] = part[i];
}

extern "C" __global__ void take(const VALUE* x, VALUE* part, int n, int width, int whole,
                                int offset) {
    FOR_EACH(i, n) part[i] = x[(i / width) * whole + offset + i % width];
}
