/*
 * c11_threads.c -- C11 threads by way of POSIX threads, for ThreadSanitizer only.
 *
 * librdkafka makes its threads with glibc's thrd_create, which ThreadSanitizer does not intercept: the first malloc in
 * such a thread crashes in the sanitizer, and its locks would not count as locks. Linked into a program, these
 * definitions come before glibc's and lead to the functions that are intercepted. In glibc mtx_t and cnd_t are a
 * pthread_mutex_t and a pthread_cond_t.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "a mutex fits into its C11 name");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "a condition fits into its C11 name");

/* librdkafka hands the address of a new lock to other threads by rwlocks and atomics of its own, which the sanitizer
 * does not see: making (and destroying) one must look like nothing to it, or each first use would be a race with that.
 */
#define UNSEEN __attribute__((no_sanitize("thread")))

struct start {
    thrd_start_t run;
    void *arg;
};

static void *run_thread(void *arg)
{
    struct start start = *(struct start *)arg;

    free(arg);
    return (void *)(intptr_t)start.run(start.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *arg)
{
    struct start *start = malloc(sizeof(*start));

    if (!start)
        return thrd_nomem;
    *start = (struct start){run, arg};
    if (pthread_create(thread, NULL, run_thread, start) == 0)
        return thrd_success;
    free(start);
    return thrd_error;
}

int thrd_join(thrd_t thread, int *result)
{
    void *returned;

    if (pthread_join(thread, &returned))
        return thrd_error;
    if (result)
        *result = (int)(intptr_t)returned;
    return thrd_success;
}

UNSEEN int mtx_init(mtx_t *mutex, int type)
{
    static const pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER, recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

    *(pthread_mutex_t *)mutex = type & mtx_recursive ? recursive : plain;
    return thrd_success;
}

void mtx_destroy(mtx_t *mutex)
{
    (void)mutex; /* glibc has nothing to release */
}

int mtx_lock(mtx_t *mutex)
{
    return pthread_mutex_lock((pthread_mutex_t *)mutex) ? thrd_error : thrd_success;
}

int mtx_unlock(mtx_t *mutex)
{
    return pthread_mutex_unlock((pthread_mutex_t *)mutex) ? thrd_error : thrd_success;
}

UNSEEN int cnd_init(cnd_t *condition)
{
    static const pthread_cond_t fresh = PTHREAD_COND_INITIALIZER;

    *(pthread_cond_t *)condition = fresh;
    return thrd_success;
}

void cnd_destroy(cnd_t *condition)
{
    (void)condition;
}

int cnd_signal(cnd_t *condition)
{
    return pthread_cond_signal((pthread_cond_t *)condition) ? thrd_error : thrd_success;
}

int cnd_broadcast(cnd_t *condition)
{
    return pthread_cond_broadcast((pthread_cond_t *)condition) ? thrd_error : thrd_success;
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex) ? thrd_error : thrd_success;
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *end)
{
    int status = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, end);

    return status == 0 ? thrd_success : status == ETIMEDOUT ? thrd_timedout : thrd_error;
}
