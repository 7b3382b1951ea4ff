// Products of matrices in parts of the output, each by oneDNN's sgemm on one thread; see gemm.py.

#include "native.h"

#include <omp.h>

typedef int (*Sgemm)(
    char, char, int64_t, int64_t, int64_t, float, const float *, int64_t, const float *, int64_t,
    float, float *, int64_t);

// A product of C-ordered matrices, in the order in which Python writes it: out (m, n) (+)= op(a)
// op(b), where op(a) is (m, k) and op(b) is (k, n). op transposes if these are not 0.
typedef struct {
    int64_t transposes_a, transposes_b, m, n, k, parts;
} Product;

static int compute_part(
    const Product *p, Sgemm sgemm, int64_t part, const float *a, const float *b, float beta,
    float *out)
{
    const int64_t row_a = p->transposes_a ? p->m : p->k, row_b = p->transposes_b ? p->k : p->n;
    const int is_wide = p->n >= p->m;
    const int64_t whole = is_wide ? p->n : p->m;
    // Whole cache lines of a wide output.
    const int64_t units = (whole + 15) / 16, first = units * part / p->parts * 16;
    const int64_t end = units * (part + 1) / p->parts * 16, size = (end < whole ? end : whole) - first;
    if (is_wide) {
        b += p->transposes_b ? first * row_b : first;
        out += first;
    } else {
        a += p->transposes_a ? first : first * row_a;
        out += first * p->n;
    }
    return sgemm(
        p->transposes_a ? 'T' : 'N', p->transposes_b ? 'T' : 'N', is_wide ? p->m : size,
        is_wide ? size : p->n, p->k, 1, a, row_a, b, row_b, beta, out, p->n);
}

// Overwrite out if beta is 0, add to it if beta is 1. `failed` becomes sgemm's status if that is
// not 0. The number of threads changes no bit, because each part is computed by one.
EXPORT void multiply_in_parts(
    const void *sgemm, const int64_t *product, const float *a, const float *b, float beta,
    float *out, int *failed, int threads)
{
    const Product *p = (const Product *)product;
    const int before = omp_get_max_threads();
    int status = 0;
    if (threads == 1) omp_set_num_threads(1);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1) reduction(| : status)
    for (int64_t part = 0; part < p->parts; part++)
        status |= compute_part(p, (Sgemm)sgemm, part, a, b, beta, out);
    if (threads == 1) omp_set_num_threads(before);
    *failed = status;
}
