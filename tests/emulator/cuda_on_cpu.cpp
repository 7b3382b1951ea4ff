// Runs the grid of a kernel on one CPU thread.
//
// The threads of a block run one after another on a fiber until one reaches a barrier. That one
// stays where it is, on the fiber's stack, and another fiber goes on with the next thread. So a
// kernel without barriers is a plain loop, and one with barriers needs as many fibers as a block
// has threads. Threads meet as CUDA prescribes, or the launch fails: at a barrier of the block all
// of its threads, at the same one; at a function of a warp all lanes that its mask names.

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <vector>

#include "cuda_on_cpu.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_on_cpu {

constexpr size_t GUARD = 4096;
constexpr size_t STACK = 128 << 10;
constexpr unsigned MAX_SHARED = 227 << 10;
constexpr unsigned MARGIN = 256;
constexpr unsigned char GARBAGE = 0xff, CANARY = 0xfd;

alignas(256) unsigned char dynamic_shared[MAX_SHARED + MARGIN];

namespace {

using Entry = void (*)(const char* arguments);

struct Fiber {
    explicit Fiber(void* memory) : stack(static_cast<char*>(memory)) {}
    char* stack;
    bool has_begun = false;
    ucontext_t beginning;
    jmp_buf place;
};

enum class State { ready, at_block_barrier, at_warp_function, returned };

struct Thread {
    State state = State::ready;
    Fiber* fiber = nullptr;
    int line = 0;
    unsigned mask = 0;
    unsigned long long value = 0;
};

// The launch that runs.
Entry entry;
const char* arguments;
bool is_backwards;
std::vector<Thread> threads;
int current;      // the thread that runs
int next, stop;   // the threads of the warp that have not begun

// How control moves.
jmp_buf scheduler;
Fiber* running;
std::vector<Fiber*> idle;
char failure[256];

// What the last function of a warp exchanged.
unsigned met_mask;
unsigned long long met_values[warpSize];

int in_order(int i, int n) { return is_backwards ? n - 1 - i : i; }

void become(int thread) {
    current = thread;
    const unsigned t = thread;
    if (blockDim.y * blockDim.z == 1) {
        threadIdx = {t, 0, 0};
    } else {
        threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
    }
}

void leave() {
    if (!_setjmp(running->place)) _longjmp(scheduler, 1);
}

void work() {
    for (;;) {
        while (next < stop) {
            become(in_order(next++, int(threads.size())));
            entry(arguments);
            threads[current].state = State::returned;
            threads[current].line = 0;
        }
        idle.push_back(running);
        leave();
    }
}

// Run a fiber until it has nothing to do or its thread waits.
__attribute__((noinline)) void enter(Fiber* fiber) {
    running = fiber;
    if (_setjmp(scheduler)) return;
    if (fiber->has_begun) _longjmp(fiber->place, 1);
    fiber->has_begun = true;
    getcontext(&fiber->beginning);
    fiber->beginning.uc_stack.ss_sp = fiber->stack + GUARD;
    fiber->beginning.uc_stack.ss_size = STACK;
    fiber->beginning.uc_link = nullptr;
    makecontext(&fiber->beginning, work, 0);
    setcontext(&fiber->beginning);
}

Fiber* idle_fiber() {
    if (idle.empty()) {
        void* stack = mmap(nullptr, GUARD + STACK, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) {
            snprintf(failure, sizeof failure, "no memory for the stack of a thread");
            return nullptr;
        }
        mprotect(stack, GUARD, PROT_NONE);
        idle.push_back(new Fiber(stack));
    }
    Fiber* fiber = idle.back();
    idle.pop_back();
    return fiber;
}

void wait(State state, int line) {
    Thread& thread = threads[current];
    thread.state = state;
    thread.line = line;
    thread.fiber = running;
    leave();
}

void describe(char* text, size_t size, int thread) {
    const Thread& t = threads[thread];
    if (t.state == State::returned)
        snprintf(text, size, "thread %d has returned", thread);
    else if (t.state == State::at_block_barrier)
        snprintf(text, size, "thread %d is at __syncthreads of line %d", thread, t.line);
    else
        snprintf(text, size, "thread %d is at the warp function of line %d with mask %#x", thread,
                 t.line, t.mask);
}

void fail_divergent(int one, int other) {
    char first[100], second[100];
    describe(first, sizeof first, one);
    describe(second, sizeof second, other);
    snprintf(failure, sizeof failure, "divergent barrier: %s, %s", first, second);
}

// Exchange the values of the lanes in the mask of the first waiting lane.
bool settle_warp(int first, int last, int leader) {
    met_mask = 0;
    for (int t = first; t < last; t++) {
        if (!(threads[leader].mask >> (t - first) & 1)) continue;
        if (threads[t].state != State::at_warp_function || threads[t].line != threads[leader].line ||
            threads[t].mask != threads[leader].mask) {
            fail_divergent(leader, t);
            return false;
        }
        met_mask |= 1u << (t - first);
    }
    if (!(met_mask >> (leader - first) & 1)) {
        snprintf(failure, sizeof failure, "thread %d is not in its own mask %#x at line %d", leader,
                 threads[leader].mask, threads[leader].line);
        return false;
    }
    for (int lane = 0; lane < warpSize; lane++) {
        const bool is_in = met_mask >> lane & 1;
        met_values[lane] = is_in ? threads[first + lane].value : ~0ull;
        if (is_in) threads[first + lane].state = State::ready;
    }
    return true;
}

// Run the threads first .. last - 1 until all of them are at a barrier of the block or have returned.
bool run_warp(int first, int last) {
    const int n = int(threads.size());
    for (bool has_begun = threads[first].fiber || threads[first].state == State::returned;; has_begun = true) {
        if (!has_begun) {
            next = is_backwards ? n - last : first;
            stop = is_backwards ? n - first : last;
            while (next < stop && !*failure)
                if (Fiber* fiber = idle_fiber()) enter(fiber);
        } else {
            for (int i = 0; i < last - first && !*failure; i++) {
                const int t = first + in_order(i, last - first);
                if (threads[t].state != State::ready) continue;
                become(t);
                enter(threads[t].fiber);
            }
        }
        int leader = first;
        while (leader < last && threads[leader].state != State::at_warp_function) leader++;
        if (*failure) return false;
        if (leader == last) return true;
        if (!settle_warp(first, last, leader)) return false;
    }
}

bool run_block() {
    const int n = int(threads.size());
    const int warps = (n + warpSize - 1) / warpSize;
    for (Thread& thread : threads) thread = Thread();
    for (;;) {
        for (int i = 0; i < warps; i++) {
            const int first = in_order(i, warps) * warpSize;
            const int last = first + warpSize < n ? first + warpSize : n;
            if (!run_warp(first, last)) return false;
        }
        for (int t = 1; t < n; t++) {
            if (threads[t].state != threads[0].state || threads[t].line != threads[0].line) {
                fail_divergent(0, t);
                return false;
            }
        }
        if (threads[0].state == State::returned) return true;
        for (Thread& thread : threads) thread.state = State::ready;
    }
}

// Threads that will never go on leave their stacks to others.
void abandon() {
    next = stop = 0;
    auto give_back = [](Fiber* fiber) {
        for (Fiber* other : idle)
            if (other == fiber) return;
        fiber->has_begun = false;
        idle.push_back(fiber);
    };
    for (Thread& thread : threads)
        if (thread.fiber) give_back(thread.fiber);
    if (running) give_back(running);
}

void stop_at_signal(int number) {
    snprintf(failure, sizeof failure, "%s in thread %d of block (%u, %u, %u)", strsignal(number), current,
             blockIdx.x, blockIdx.y, blockIdx.z);
    _longjmp(scheduler, 1);
}

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE};

bool is_dynamic_shared_intact(unsigned size) {
    for (unsigned i = 0; i < MARGIN; i++)
        if (dynamic_shared[size + i] != CANARY) return false;
    return true;
}

void run_grid(unsigned shared_bytes, char* shared, char* shared_end) {
    const unsigned long long blocks = 1ull * gridDim.x * gridDim.y * gridDim.z;
    memset(dynamic_shared + shared_bytes, CANARY, MARGIN);
    for (unsigned long long i = 0; i < blocks; i++) {
        const unsigned long long b = is_backwards ? blocks - 1 - i : i;
        blockIdx = {unsigned(b % gridDim.x), unsigned(b / gridDim.x % gridDim.y),
                    unsigned(b / gridDim.x / gridDim.y)};
        memset(dynamic_shared, GARBAGE, shared_bytes);
        if (shared) memset(shared, GARBAGE, shared_end - shared);
        if (!run_block()) return;
        if (!is_dynamic_shared_intact(shared_bytes)) {
            snprintf(failure, sizeof failure, "wrote beyond %u bytes of dynamic shared memory",
                     shared_bytes);
            return;
        }
    }
}

}  // namespace

void meet_block(int line) { wait(State::at_block_barrier, line); }

void meet_warp(unsigned mask, unsigned long long value, int line) {
    threads[current].mask = mask;
    threads[current].value = value;
    wait(State::at_warp_function, line);
}

unsigned met_lanes() { return met_mask; }
unsigned long long met_value(int lane) { return met_values[lane]; }
int own_lane() { return current % warpSize; }

void fail(const char* what, int line) {
    snprintf(failure, sizeof failure, "%s in line %d by thread %d of block (%u, %u, %u)", what, line,
             current, blockIdx.x, blockIdx.y, blockIdx.z);
    _longjmp(scheduler, 1);
}

// Run a kernel; return what went wrong, or an empty text.
extern "C" const char* cuda_on_cpu_launch(Entry kernel, const char* argument_bytes, const unsigned* grid,
                                          const unsigned* block, unsigned shared_bytes, char* shared,
                                          char* shared_end, int backwards) {
    entry = kernel;
    arguments = argument_bytes;
    is_backwards = backwards;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    threads.resize(block[0] * block[1] * block[2]);
    failure[0] = 0;
    running = nullptr;

    constexpr int n = sizeof SIGNALS / sizeof *SIGNALS;
    struct sigaction ours = {}, before[n];
    ours.sa_handler = stop_at_signal;
    ours.sa_flags = SA_ONSTACK | SA_NODEFER;
    for (int i = 0; i < n; i++) sigaction(SIGNALS[i], &ours, &before[i]);
    run_grid(shared_bytes, shared, shared_end);
    for (int i = 0; i < n; i++) sigaction(SIGNALS[i], &before[i], nullptr);
    if (*failure) abandon();
    return failure;
}

}  // namespace cuda_on_cpu
