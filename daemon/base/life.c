/*
 * life.c -- the daemon's state, its loops' pulses, and its threads.
 */
#include "freshet/life.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base_private.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"

enum { CRASH_STACK_BYTES = 64 << 10 };

static _Atomic int state_now = FR_STARTING;

void fr_state_set(enum fr_state state)
{
    atomic_store(&state_now, (int)state);
}

enum fr_state fr_state_now(void)
{
    return (enum fr_state)atomic_load(&state_now);
}

const char *fr_state_name(enum fr_state state)
{
    static const char *const names[] = {"starting", "running", "draining"};

    return names[state];
}

/* ---- pulses: a fixed table, so that looking needs no lock ---- */

struct fr_pulse {
    _Atomic(const char *) name; /* NULL: free */
    _Atomic uint64_t beaten_ns;
};

static struct fr_pulse pulses[FR_PULSES_MAX];

struct fr_pulse *fr_pulse_start(const char *name)
{
    for (int i = 0; i < FR_PULSES_MAX; i++) {
        const char *none = NULL;
        if (atomic_load(&pulses[i].name))
            continue;
        atomic_store(&pulses[i].beaten_ns, fr_mono_ns());
        if (atomic_compare_exchange_strong(&pulses[i].name, &none, name))
            return &pulses[i];
    }
    assert(!"more than FR_PULSES_MAX loops");
    return NULL;
}

void fr_pulse_beat(struct fr_pulse *pulse)
{
    atomic_store_explicit(&pulse->beaten_ns, fr_mono_ns(), memory_order_relaxed);
}

void fr_pulse_rest(struct fr_pulse *pulse)
{
    atomic_store_explicit(&pulse->beaten_ns, UINT64_MAX, memory_order_relaxed);
}

void fr_pulse_stop(struct fr_pulse *pulse)
{
    atomic_store(&pulse->name, NULL);
}

bool life_pulses_at(uint64_t now_ns, const char **ret_stuck)
{
    for (int i = 0; i < FR_PULSES_MAX; i++) {
        const char *name = atomic_load(&pulses[i].name);
        uint64_t beaten = atomic_load(&pulses[i].beaten_ns);
        /* A beat may be later than `now_ns`, which was read before. */
        if (name && now_ns > beaten && now_ns - beaten > (uint64_t)FR_PULSE_LIMIT_MS * 1000000) {
            *ret_stuck = name;
            return false;
        }
    }
    return true;
}

bool fr_pulse_all(const char **ret_stuck)
{
    return life_pulses_at(fr_mono_ns(), ret_stuck);
}

/* ---- threads ---- */

struct fr_thread {
    pthread_t thread;
    char name[16]; /* the kernel keeps 15 bytes */
    int nice;
    void (*run)(void *arg);
    void *arg;
};

static void *begin(void *arg)
{
    struct fr_thread *thread = arg;

    /* So that a thread which has used up its stack can still say what it had in hand (blackbox.h). */
    stack_t aside = {.ss_sp = fr_alloc(CRASH_STACK_BYTES), .ss_size = CRASH_STACK_BYTES}, before;

    sigaltstack(&aside, &before);
    pthread_setname_np(pthread_self(), thread->name);
    if (thread->nice) /* Linux: of this thread alone. Asking for less than one has is never refused. */
        setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + thread->nice);
    thread->run(thread->arg);
    sigaltstack(&before, NULL);
    free(aside.ss_sp);
    return NULL;
}

struct fr_thread *fr_thread_start(const char *name, void (*run)(void *arg), void *arg)
{
    return fr_thread_start_nice(name, 0, run, arg);
}

struct fr_thread *fr_thread_start_nice(const char *name, int nice, void (*run)(void *arg), void *arg)
{
    struct fr_thread *thread = fr_zalloc(1, sizeof(*thread));
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t all, before;

    snprintf(thread->name, sizeof(thread->name), "%s", name);
    thread->nice = nice;
    thread->run = run;
    thread->arg = arg;
    /* Those that a thread causes itself stay open, so that a crash is reported where it happens. */
    sigfillset(&all);
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int refused = pthread_create(&thread->thread, NULL, begin, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (refused) {
        fprintf(stderr, "%s: cannot start thread '%s': %s\n", program_invocation_short_name, name, strerror(refused));
        _exit(EX_SOFTWARE);
    }
    return thread;
}

void fr_thread_join(struct fr_thread *thread)
{
    if (!thread)
        return;
    pthread_join(thread->thread, NULL);
    free(thread);
}

void fr_thread_leave(struct fr_thread *thread)
{
    pthread_detach(thread->thread);
    free(thread);
}
