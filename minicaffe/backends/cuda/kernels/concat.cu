// Concatenation and slicing: a part has rows of `width` contiguous values, which are stored at
// `offset` in the rows of `whole` values of the whole tensor.

extern "C" __global__ void concat_part(const VALUE* part, VALUE* y, int n, int width, int whole,
                                       int offset) {
    FOR_EACH(i, n) y[(i / width) * whole + offset + i % width] = part[i];
}

extern "C" __global__ void slice_part(const VALUE* x, VALUE* part, int n, int width, int whole,
                                      int offset) {
    FOR_EACH(i, n) part[i] = x[(i / width) * whole + offset + i % width];
}
