/*
 * signals.c -- see signals.h. Its thread lives as long as the process, for the last signal is the one that ends it.
 */
#include "signals.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "freshet/clock.h"
#include "freshet/life.h"
#include "freshet/log.h"

enum { LAST_WORD_MS = 3000 };

static int messages[2]; /* main reads 0, the thread writes 1; one byte is one signal */
/* STARTING -> LISTENS -> TOLD to stop, or at once, where a stop is asked for by a call before main listens. Never back. */
static _Atomic enum { STARTING, LISTENS, TOLD } main_is;
static pthread_t taker; /* the thread; set before pass_on can run */

static sigset_t ours(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    return set;
}

/*
 * Runs in none of our threads, for they block these signals: in one that a library has started before main. The
 * kernel may choose that one, and the default would end the process without a drain.
 */
static void pass_on(int number)
{
    int kept = errno;

    pthread_kill(taker, number);
    errno = kept;
}

static void *leave_by_the_clock(void *unused)
{
    uint64_t end = fr_mono_ns() + (uint64_t)LAST_WORD_MS * 1000000;

    (void)unused;
    for (uint64_t now; (now = fr_mono_ns()) < end;)
        poll(NULL, 0, (int)((end - now) / 1000000) + 1);
    _exit(0);
}

/*
 * Says so first if it can: the disk that the log goes to may never answer. Main may be waiting for it too, so no handler of a signal
 * is sure to run; a thread is, and _exit ends all who wait for what may be given up. Without that thread it is said all the same.
 */
static void leave_at_once(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, leave_by_the_clock, NULL); /* blocks what this one does */
    fr_log(FR_WARN, "main", "stop.at_once", FR_NO_FIELDS, "stopping at once; what is in the store and in Kafka is safe");
    _exit(0);
}

static void take_signals(void *arg)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    const struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigset_t set = ours();

    (void)arg;
    taker = pthread_self();
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        sigaction(numbers[i], &action, NULL);
    for (;;) {
        unsigned char byte;
        int number;

        if (sigwait(&set, &number) != 0)
            continue;
        byte = (unsigned char)number;
        if (number == SIGTERM || number == SIGINT) {
            /* The first one while main listens is main's; it does not listen while it starts, nor once it has been told to drain. */
            if (atomic_exchange(&main_is, TOLD) != LISTENS)
                leave_at_once();
        }
        if (write(messages[1], &byte, 1) != 1)
            continue; /* thousands of signals that main has not looked at: one more says nothing new */
    }
}

void signals_start(void)
{
    sigset_t set = ours();
    int failed = pipe2(messages, O_CLOEXEC);

    assert(!failed);
    fcntl(messages[1], F_SETFL, O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN);
    failed = pthread_sigmask(SIG_BLOCK, &set, NULL);
    assert(!failed);
    fr_thread_start("signals", take_signals, NULL);
}

void signals_running(void)
{
    int starting = STARTING;

    atomic_compare_exchange_strong(&main_is, &starting, LISTENS);
}

int signals_next(int timeout_ms)
{
    struct pollfd readable = {.fd = messages[0], .events = POLLIN};
    unsigned char byte = 0;
    ssize_t got;

    if (poll(&readable, 1, timeout_ms) <= 0)
        return 0;
    do
        got = read(messages[0], &byte, 1);
    while (got < 0 && errno == EINTR);
    assert(got == 1);
    return byte;
}

void signals_stop(void)
{
    unsigned char byte = SIGTERM;

    atomic_store(&main_is, TOLD); /* before main can know: once it drains, a TERM is the second */
    while (write(messages[1], &byte, 1) != 1 && errno == EINTR)
        ;
}
