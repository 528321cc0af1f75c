#include "fiber.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
static const size_t STACK = 256 << 10;
#else
static const size_t STACK = 64 << 10;
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

struct Fiber {
    char *stack;
#if defined(__x86_64__)
    void *sp;
#else
    ucontext_t context;
#endif
    bool finished;
    unsigned long line;
    void *fake_stack;
};
static std::vector<Fiber> pool;
static Fiber scheduler;
static Fiber *running;
static void (*body_)(void *, unsigned);
static void *user_;
#if defined(__SANITIZE_ADDRESS__)
static const void *scheduler_stack;
static size_t scheduler_size;
#endif

#if defined(__x86_64__)
// Saves the callee's registers on the stack, leaves the stack pointer in *from and takes the one of `to`.
extern "C" void fakecuda_switch(void **from, void *to);
asm(R"(
    .text
    .globl fakecuda_switch
    .hidden fakecuda_switch
    .type fakecuda_switch,@function
fakecuda_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size fakecuda_switch, .-fakecuda_switch
)");
#endif

static void switch_to(Fiber *from, Fiber *to, bool last) {
#if defined(__SANITIZE_ADDRESS__)
    const void *bottom = to == &scheduler ? scheduler_stack : to->stack;
    size_t size = to == &scheduler ? scheduler_size : STACK;
    __sanitizer_start_switch_fiber(last ? nullptr : &from->fake_stack, bottom, size);
#endif
    (void)last;
#if defined(__x86_64__)
    fakecuda_switch(&from->sp, to->sp);
#else
    swapcontext(&from->context, &to->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    const void *old;
    size_t old_size;
    __sanitizer_finish_switch_fiber(from->fake_stack, &old, &old_size);
    if (from == &scheduler) return;
    scheduler_stack = old;
    scheduler_size = old_size;
#endif
}

static void entry() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    Fiber *self = running;
    body_(user_, (unsigned)(self - pool.data()));
    self->finished = true;
    switch_to(self, &scheduler, true);
    abort();
}

static void prepare(Fiber *f) {
    f->finished = false;
    f->line = 0;
    f->fake_stack = nullptr;
#if defined(__x86_64__)
    void **sp = (void **)(f->stack + STACK);
    *--sp = nullptr; // the stack is aligned at entry as after a call
    *--sp = (void *)&entry;
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    f->sp = sp;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    makecontext(&f->context, entry, 0);
#endif
}

bool run_fibers(unsigned n, void (*body)(void *, unsigned), void *user, bool backwards, unsigned long *lines) {
    while (pool.size() < n) {
        Fiber f = {};
        f.stack = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (f.stack == MAP_FAILED) {
            perror("fakecuda: stacks of work-items");
            abort();
        }
        pool.push_back(f);
    }
    body_ = body;
    user_ = user;
    for (unsigned i = 0; i < n; i++) prepare(&pool[i]);
    for (;;) {
        unsigned finished = 0;
        for (unsigned k = 0; k < n; k++) {
            running = &pool[backwards ? n - 1 - k : k];
            switch_to(&scheduler, running, false);
            finished += running->finished;
        }
        running = nullptr;
        if (finished == n) return true;
        lines[0] = lines[1] = 0;
        for (unsigned i = 0; i < n; i++) {
            unsigned long line = pool[i].finished ? 0 : pool[i].line;
            if (i == 0) lines[0] = lines[1] = line;
            else if (line != lines[0]) lines[1] = line;
        }
        if (finished != 0 || lines[0] != lines[1]) return false;
        backwards = !backwards;
    }
}

void fiber_pause(unsigned long line) {
    running->line = line;
    switch_to(running, &scheduler, false);
}
unsigned fiber_index() { return (unsigned)(running - pool.data()); }
bool in_fiber() { return running != nullptr; }
