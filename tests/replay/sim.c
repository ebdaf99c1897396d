/*
 * sim.c -- a scheduler of coroutines in the place of the system's (the picture is in sim.h).
 *
 * A task waits for an address: of a condition variable, or of the task it joins. Signalling wakes it, and so does its deadline;
 * the mutex is let go and taken again as the real call would. Signal wakes all who wait, which POSIX allows.
 */
#include "sim.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include "freshet/life.h"
#include "freshet/log.h"

enum { TASKS_MAX = 24, STACK = 1 << 20, LOGGED_MAX = 64 };
#define NEVER UINT64_MAX

struct fr_thread { /* the real one is life.c's own */
    ucontext_t context;
    char *stack;
    void *fake_stack; /* AddressSanitizer's */
    void (*run)(void *arg);
    void *arg;
    const void *awaits; /* NULL: ready */
    uint64_t deadline;
    bool used, done, timed_out;
};

/* What main wants of the scheduler. */
enum mode { RUNS_ALONG, SETTLES, TURNS, SLEEPS };

static struct {
    struct fr_thread tasks[TASKS_MAX]; /* 0 is main, on its own stack */
    struct fr_thread *current;
    enum mode mode;
    unsigned turns;
    uint64_t until; /* SLEEPS */
    uint64_t now, random;
    when_ms wall;
    char logged[LOGGED_MAX][48];
    size_t logged_len;
} sim;

static _Alignas(16) char stacks[TASKS_MAX][STACK]; /* not allocated: alloc_test.c makes allocations fail */

/* ---- switching ---- */

static void arrived(void)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(sim.current->fake_stack, NULL, NULL);
#endif
}

static void switch_to(struct fr_thread *next)
{
    struct fr_thread *before = sim.current;

    if (next == before)
        return;
    sim.current = next;
#ifdef __SANITIZE_ADDRESS__
    static const void *main_bottom;
    static size_t main_size;
    if (!main_bottom) {
        pthread_attr_t attr;
        void *bottom;
        pthread_getattr_np(pthread_self(), &attr);
        pthread_attr_getstack(&attr, &bottom, &main_size);
        pthread_attr_destroy(&attr);
        main_bottom = bottom;
    }
    bool to_main = next == &sim.tasks[0];
    __sanitizer_start_switch_fiber(before->done ? NULL : &before->fake_stack, to_main ? main_bottom : next->stack,
                                   to_main ? main_size : STACK);
#endif
    swapcontext(&before->context, &next->context);
    arrived();
}

static uint64_t random_next(void)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return sim.random;
}

static bool ready(struct fr_thread *task)
{
    if (!task->used || task->done)
        return false;
    if (task->awaits && task->deadline <= sim.now) {
        task->awaits = NULL;
        task->timed_out = true;
    }
    return !task->awaits;
}

static _Noreturn void stuck(void)
{
    fprintf(stderr, "replay: every thread waits, and for nothing that could come\n");
    abort();
}

/* Who runs next; moves the clock when nobody can. */
static struct fr_thread *choose(void)
{
    struct fr_thread *main_task = &sim.tasks[0], *can[TASKS_MAX];

    for (;;) {
        size_t len = 0;
        uint64_t next = sim.mode == SLEEPS ? sim.until : NEVER;
        if (sim.mode == TURNS && !sim.turns)
            return main_task;
        for (int i = sim.mode == RUNS_ALONG ? 0 : 1; i < TASKS_MAX; i++) {
            struct fr_thread *task = &sim.tasks[i];
            if (ready(task))
                can[len++] = task;
            else if (task->used && !task->done && task->deadline < next)
                next = task->deadline;
        }
        if (len) {
            sim.turns -= sim.mode == TURNS;
            return can[len == 1 ? 0 : random_next() % len];
        }
        if (sim.mode == SETTLES || sim.mode == TURNS || (sim.mode == SLEEPS && sim.now >= sim.until))
            return main_task;
        if (next == NEVER)
            stuck();
        sim.wall += (when_ms)(next / 1000000 - sim.now / 1000000);
        sim.now = next;
    }
}

/* The current task waits for the address, at most to the deadline. False: the time is over. */
static bool wait_for(const void *address, uint64_t deadline)
{
    struct fr_thread *self = sim.current;

    self->awaits = address;
    self->deadline = deadline;
    self->timed_out = false;
    switch_to(choose());
    return !self->timed_out;
}

static void wake(const void *address)
{
    for (int i = 0; i < TASKS_MAX; i++)
        if (sim.tasks[i].used && sim.tasks[i].awaits == address)
            sim.tasks[i].awaits = NULL;
}

static void main_steps_aside(enum mode mode)
{
    assert(sim.current == &sim.tasks[0]);
    sim.mode = mode;
    switch_to(choose());
    sim.mode = RUNS_ALONG;
}

/* ---- for tests ---- */

void sim_begin(uint64_t seed)
{
    sim.random = seed * 0x9E3779B97F4A7C15U + 1;
    sim.random += !sim.random;
    if (sim.current)
        return;
    sim.now = 1000000000;
    sim.current = &sim.tasks[0];
    sim.current->used = true;
}

void sim_set_wall(when_ms when)
{
    sim.wall = when;
}

void sim_settle(void)
{
    main_steps_aside(SETTLES);
}

void sim_turns(unsigned turns)
{
    sim.turns = turns;
    main_steps_aside(TURNS);
}

void sim_sleep(span_ms span)
{
    sim.until = sim.now + (uint64_t)span * 1000000;
    main_steps_aside(SLEEPS);
}

bool sim_logged(const char *event)
{
    for (size_t i = 0; i < sim.logged_len; i++)
        if (strcmp(sim.logged[i], event) == 0)
            return true;
    return false;
}

void sim_log_forget(void)
{
    sim.logged_len = 0;
}

/* ---- in the place of the real ones ---- */

struct fr_thread *__wrap_fr_thread_start(const char *name, void (*run)(void *arg), void *arg);
struct fr_thread *__wrap_fr_thread_start_nice(const char *name, int nice, void (*run)(void *arg), void *arg);
void __wrap_fr_thread_join(struct fr_thread *thread);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
uint64_t __wrap_fr_mono_ns(void);
when_ms __wrap_fr_wall_ms(void);
void __wrap_fr_log(enum fr_level level, const char *component, const char *event, const struct fr_field *fields,
                   size_t fields_len, const char *format, ...) __attribute__((format(printf, 6, 7)));

static void task_begin(void)
{
    struct fr_thread *self = sim.current;

    arrived();
    self->run(self->arg);
    self->done = true;
    wake(self);
    switch_to(choose());
}

static struct fr_thread *new_task(void (*run)(void *arg), void *arg)
{
    int i = 1;

    while (i < TASKS_MAX && sim.tasks[i].used)
        i++;
    assert(i < TASKS_MAX && sim.current);
    sim.tasks[i] = (struct fr_thread){.stack = stacks[i], .run = run, .arg = arg, .used = true, .deadline = NEVER};
    return &sim.tasks[i];
}

struct fr_thread *__wrap_fr_thread_start(const char *name, void (*run)(void *arg), void *arg)
{
    struct fr_thread *task = new_task(run, arg);

    (void)name;
    getcontext(&task->context);
    task->context.uc_stack.ss_sp = task->stack;
    task->context.uc_stack.ss_size = STACK;
    makecontext(&task->context, task_begin, 0);
    return task;
}

struct fr_thread *__wrap_fr_thread_start_nice(const char *name, int nice, void (*run)(void *arg), void *arg)
{
    (void)nice;
    return __wrap_fr_thread_start(name, run, arg);
}

void __wrap_fr_thread_join(struct fr_thread *thread)
{
    if (!thread)
        return;
    while (!thread->done)
        wait_for(thread, NEVER);
    thread->used = false;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
    wait_for(cond, NEVER);
    return pthread_mutex_lock(mutex);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    pthread_mutex_unlock(mutex);
    bool woken = wait_for(cond, (uint64_t)until->tv_sec * 1000000000 + (uint64_t)until->tv_nsec);
    pthread_mutex_lock(mutex);
    return woken ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    wake(cond);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
    wake(cond);
    return 0;
}

uint64_t __wrap_fr_mono_ns(void)
{
    return sim.now;
}

when_ms __wrap_fr_wall_ms(void)
{
    return sim.wall;
}

void __wrap_fr_log(enum fr_level level, const char *component, const char *event, const struct fr_field *fields,
                   size_t fields_len, const char *format, ...)
{
    (void)level, (void)component, (void)fields, (void)fields_len, (void)format;
    if (sim.logged_len < LOGGED_MAX)
        snprintf(sim.logged[sim.logged_len++], sizeof(sim.logged[0]), "%s", event);
}
