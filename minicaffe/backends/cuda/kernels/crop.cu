// Crop (minicaffe/ops/crop.py): five axes, with adjacent axes merged where possible. Bound by writing
// every value once.

// y[p] = x[p + offset], and 0 outside of x. x and y are the sizes of the axes; the first one of y is
// not needed.
#define AXES(NAME) int NAME##0, int NAME##1, int NAME##2, int NAME##3, int NAME##4
#define ALONG(AXIS) \
    unsigned int rest##AXIS = quotient(rest, divisor(y##AXIS)); \
    int at##AXIS = (int)(rest - rest##AXIS * y##AXIS##_by) + offset##AXIS; \
    inside = inside && (unsigned int)at##AXIS < (unsigned int)x##AXIS; \
    rest = rest##AXIS;

extern "C" __global__ void cut(const VALUE* __restrict__ x, VALUE* __restrict__ y, int n, AXES(x),
                               AXES(offset), DIVISOR(y1), DIVISOR(y2), DIVISOR(y3), DIVISOR(y4)) {
    FOR_EACH(i, n) {
        unsigned int rest = i;
        bool inside = true;
        ALONG(4) ALONG(3) ALONG(2) ALONG(1)
        int at0 = (int)rest + offset0;
        inside = inside && (unsigned int)at0 < (unsigned int)x0;
        int from = (((at0 * x1 + at1) * x2 + at2) * x3 + at3) * x4 + at4;
        store(y, i, inside ? load(x, from) : 0.0f);
    }
}
