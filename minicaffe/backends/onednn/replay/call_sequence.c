// Sequences of recorded calls, run without Python between them.

#include "native.h"

#include <omp.h>
#include <time.h>

// A function that takes its arguments from a record (see build.py), and the time in seconds beyond
// which it has waited for a core; 0 if that is not watched.
typedef struct {
    void (*run)(const Slot *);
    const Slot *arguments;
    double limit;
} Call;

// What the caller reads after run_calls: the call that was not successful, or the number of calls;
// how many watched calls were in time; how many were late; the time of the last late one.
typedef struct {
    double n_done, n_in_time, n_late, late_seconds;
} Outcome;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Run calls in order, until one writes another status than 0.
EXPORT void run_calls(const Call *calls, int64_t n, volatile int64_t *status, Outcome *outcome)
{
    Outcome found = {0};
    *status = 0;
    int64_t i = 0;
    for (; i < n; i++) {
        const Call *call = &calls[i];
        const double start = call->limit > 0 ? seconds() : 0;
        call->run(call->arguments);
        if (*status)
            break;
        if (call->limit > 0) {
            const double took = seconds() - start;
            if (took > call->limit) {
                found.n_late++;
                found.late_seconds = took;
            } else {
                found.n_in_time++;
            }
        }
    }
    found.n_done = (double)i;
    *outcome = found;
}

// Run oneDNN's dnnl_primitive_execute, whose address is given. If `threads` is not 0, the primitive
// is for the calling thread alone, and `threads` is the number to restore.
EXPORT void execute_primitive(const void *execute, const void *primitive, const void *stream,
                              int64_t n, const void *arguments, int threads, int64_t *status)
{
    typedef int Execute(const void *, const void *, int, const void *);
    Execute *run = (Execute *)execute;
    if (threads)
        omp_set_num_threads(1);
    *status = run(primitive, stream, (int)n, arguments);
    if (threads)
        omp_set_num_threads(threads);
}

// Set the status to 1 if a value is NaN or infinite, to 0 otherwise.
EXPORT void check_finite(const float *values, int64_t n, int threads, int64_t *status)
{
    const int32_t exponent = 0x7f800000;
    const int32_t *bits = (const int32_t *)values;
    int found = 0;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1) reduction(| : found)
    for (int64_t i = 0; i < n; i++)
        found |= (bits[i] & exponent) == exponent;
    *status = found;
}
