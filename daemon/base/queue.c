/*
 * queue.c -- a ring of pointers under a mutex; waits are on the monotonic clock.
 */
#include "freshet/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "freshet/alloc.h"
#include "freshet/clock.h"

struct fr_queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    void **ring;
    size_t cap, first, len;
    bool closed;
};

struct fr_queue *fr_queue_new(size_t capacity)
{
    struct fr_queue *queue = fr_zalloc(1, sizeof(*queue));
    pthread_condattr_t monotonic;

    queue->cap = capacity ? capacity : 1;
    queue->ring = fr_zalloc(queue->cap, sizeof(*queue->ring));
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->not_empty, &monotonic);
    pthread_cond_init(&queue->not_full, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return queue;
}

void fr_queue_free(struct fr_queue *queue)
{
    if (!queue)
        return;
    pthread_cond_destroy(&queue->not_empty);
    pthread_cond_destroy(&queue->not_full);
    pthread_mutex_destroy(&queue->lock);
    free(queue->ring);
    free(queue);
}

/* One wait for `changed`; false once the time is over. timeout_ms 0: at once, negative: no limit. */
static bool wait(struct fr_queue *queue, pthread_cond_t *changed, int timeout_ms, uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / 1000000000U), (long)(until_ns % 1000000000U)};

    if (timeout_ms == 0)
        return false;
    if (timeout_ms < 0)
        return pthread_cond_wait(changed, &queue->lock) == 0;
    return pthread_cond_timedwait(changed, &queue->lock, &until) == 0;
}

bool fr_queue_push(struct fr_queue *queue, void *item, int timeout_ms)
{
    uint64_t until = timeout_ms > 0 ? fr_mono_ns() + (uint64_t)timeout_ms * 1000000U : 0;
    bool pushed;

    pthread_mutex_lock(&queue->lock);
    while (queue->len == queue->cap && !queue->closed && wait(queue, &queue->not_full, timeout_ms, until))
        ;
    pushed = queue->len < queue->cap && !queue->closed;
    if (pushed) {
        queue->ring[(queue->first + queue->len++) % queue->cap] = item;
        pthread_cond_signal(&queue->not_empty);
    }
    pthread_mutex_unlock(&queue->lock);
    return pushed;
}

void *fr_queue_pop(struct fr_queue *queue, int timeout_ms)
{
    uint64_t until = timeout_ms > 0 ? fr_mono_ns() + (uint64_t)timeout_ms * 1000000U : 0;
    void *item = NULL;

    pthread_mutex_lock(&queue->lock);
    while (!queue->len && !queue->closed && wait(queue, &queue->not_empty, timeout_ms, until))
        ;
    if (queue->len) {
        item = queue->ring[queue->first];
        queue->first = (queue->first + 1) % queue->cap;
        queue->len--;
        pthread_cond_signal(&queue->not_full);
    }
    pthread_mutex_unlock(&queue->lock);
    return item;
}

void fr_queue_close(struct fr_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty);
    pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->lock);
}

bool fr_queue_closed(struct fr_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool closed = queue->closed;
    pthread_mutex_unlock(&queue->lock);
    return closed;
}

size_t fr_queue_len(struct fr_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t len = queue->len;
    pthread_mutex_unlock(&queue->lock);
    return len;
}
