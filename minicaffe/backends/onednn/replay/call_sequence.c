// Sequences of recorded calls, run without Python between them.

#include "native.h"

#include <omp.h>
#include <time.h>

// A function that takes its arguments from a record (see build.py), and in seconds the time beyond
// which it has waited for a core, and that on one undisturbed thread; 0 if they are not watched.
typedef struct {
    void (*run)(const Slot *);
    const Slot *arguments;
    double limit, alone;
} Call;

// Times in seconds of some watched calls, and of the same calls on one undisturbed thread.
typedef struct {
    double took, alone;
} Times;

// What the caller reads after run_calls: the call that was not successful, or the number of calls;
// and the times of the watched ones.
typedef struct {
    double n_done;
    Times in_time, late;
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
            Times *times = took > call->limit ? &found.late : &found.in_time;
            times->took += took;
            times->alone += call->alone;
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
