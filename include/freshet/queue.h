/*
 * queue.h -- a bounded hand-off of pointers between threads, in order.
 *
 * A mutex and two conditions: it passes batches, not events, so that a lock per batch costs nothing.
 * Being full is an answer, not an error: the producer waits or does something else.
 * Thread: any.
 */
#ifndef FR_QUEUE_H
#define FR_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct fr_queue;
struct fr_queue *fr_queue_new(size_t capacity);
void fr_queue_free(struct fr_queue *queue);
/* Waits up to timeout_ms (0: not at all, negative: for ever). False if still full, or closed. */
bool fr_queue_push(struct fr_queue *queue, void *item, int timeout_ms);
/* NULL if still empty after timeout_ms, or closed and empty. */
void *fr_queue_pop(struct fr_queue *queue, int timeout_ms);
/* Wakes everyone; pushes fail from now on, pops drain what is left. */
void fr_queue_close(struct fr_queue *queue);
bool fr_queue_closed(struct fr_queue *queue);
size_t fr_queue_len(struct fr_queue *queue);

#endif
