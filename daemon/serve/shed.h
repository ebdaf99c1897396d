/*
 * shed.h -- which questions are turned away so that the others keep their latency. No gRPC, no clock: times come in.
 *
 *     arrival ── max_inflight admitted already? ──> RESOURCE_EXHAUSTED (inflight)
 *        │    ├── those before it take longer than max_queue ──> RESOURCE_EXHAUSTED (queue)
 *        │    └── ... or than its deadline leaves ──> RESOURCE_EXHAUSTED (deadline)
 *        │ admitted, first in first out
 *     its turn ── waited longer than max_queue? ──> RESOURCE_EXHAUSTED (queue)
 *        │    └── time left < what answering takes ──> RESOURCE_EXHAUSTED (deadline); none left: DEADLINE_EXCEEDED
 * (expired) answered, and how long that took is learned
 *
 * What answering takes is a moving average per method. Each call turned away at its turn for it makes it smaller by an
 * eighth, so that one slow answer cannot shut a method for ever. On arrival it can shut nothing: who has nobody before him is
 * admitted, and the queue empties whatever the averages say.
 *
 * Thread: each lane its own.
 */
#ifndef FR_SHED_H
#define FR_SHED_H

#include "rpc.h"

#include <stdint.h>

enum rejection {
    REJECTED_DRAINING,
    REJECTED_EXPIRED,
    REJECTED_WAITING,
    REJECTED_STREAMS,
    REJECTED_INFLIGHT,
    REJECTED_QUEUE,
    REJECTED_DEADLINE,
    REJECTED_CLIENT_RATE, /* clients.h */
    REJECTED_CLIENT_INFLIGHT,
    REJECTED_CLIENTS, /* there is no place for one more of them */
    REJECTED_UNTAKEN, /* an answer, after all: leaving.c */
    REJECTIONS,
    NOT_REJECTED = REJECTIONS
};

/* When the time that is left is over; UINT64_MAX, never, if that is beyond all times. */
uint64_t shed_deadline(uint64_t now_ns, int64_t left_s, int32_t left_ns);
/* Has a caller that resets its call now done so because its deadline was over? deadline_ns UINT64_MAX: none. */
bool shed_was_deadline(uint64_t arrived_ns, uint64_t deadline_ns, uint64_t now_ns);

struct shed {
    uint64_t queue_ns_max;
    uint64_t cost_ns[RPCS]; /* of an answer; 0: none was made yet */
    uint32_t queued[RPCS];  /* admitted, their turn has not come */
};

/* On arrival, by what those before it will take. NOT_REJECTED: shed_enter it, and shed_leave it when it leaves the queue. */
enum rejection shed_expect(const struct shed *shed, uint64_t deadline_ns, uint64_t now_ns);
void shed_enter(struct shed *shed, enum rpc rpc);
void shed_leave(struct shed *shed, enum rpc rpc);
/* When it is the call's turn. deadline_ns UINT64_MAX: none. */
enum rejection shed_judge(struct shed *shed, enum rpc rpc, uint64_t arrived_ns, uint64_t deadline_ns, uint64_t now_ns);
void shed_learn(struct shed *shed, enum rpc rpc, uint64_t took_ns);

#endif
