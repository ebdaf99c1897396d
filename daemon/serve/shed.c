/*
 * shed.c -- a call arrives, a call's turn: admit it, answer it, or turn it away?
 */
#include "shed.h"

#include <assert.h>

enum {
    SLOWNESS = 8,        /* the moving average goes an eighth of the way */
    ROUNDING = 25,       /* a caller's own deadline may be before ours by a 25th of its time, */
    TRANSIT_NS = 5000000 /* and by what its request took longer on its way than its reset */
};

uint64_t shed_deadline(uint64_t now_ns, int64_t left_s, int32_t left_ns)
{
    uint64_t left;

    if (left_s < 0)
        return now_ns;
    if (__builtin_mul_overflow((uint64_t)left_s, 1000000000U, &left) || __builtin_add_overflow(left, (uint64_t)left_ns, &left) ||
        __builtin_add_overflow(now_ns, left, &left))
        return UINT64_MAX;
    return left;
}

/*
 * grpc-timeout is the caller's time rounded up. gRPC-core (timeout_encoding.cc) keeps three digits, so up to 1 % more; and its newer versions
 * (hpack_encoder.cc) write one that they have written before on the connection instead, if that is longer by less than 3 %. So callers who
 * give up at their deadline reset their calls up to 1 - 0.97 / 1.01 of their time before ours.
 */
bool shed_was_deadline(uint64_t arrived_ns, uint64_t deadline_ns, uint64_t now_ns)
{
    if (deadline_ns == UINT64_MAX)
        return false;
    return now_ns >= deadline_ns || deadline_ns - now_ns <= (deadline_ns - arrived_ns) / ROUNDING + TRANSIT_NS;
}

enum rejection shed_expect(const struct shed *shed, uint64_t deadline_ns, uint64_t now_ns)
{
    uint64_t wait_ns = 0;

    for (size_t rpc = 0; rpc < RPCS; rpc++)
        wait_ns += shed->queued[rpc] * shed->cost_ns[rpc];
    if (wait_ns > shed->queue_ns_max)
        return REJECTED_QUEUE;
    if (deadline_ns != UINT64_MAX && wait_ns > 0 && (now_ns >= deadline_ns || wait_ns >= deadline_ns - now_ns))
        return REJECTED_DEADLINE;
    return NOT_REJECTED;
}

void shed_enter(struct shed *shed, enum rpc rpc)
{
    shed->queued[rpc]++;
}

void shed_leave(struct shed *shed, enum rpc rpc)
{
    assert(shed->queued[rpc] > 0);
    shed->queued[rpc]--;
}

enum rejection shed_judge(struct shed *shed, enum rpc rpc, uint64_t arrived_ns, uint64_t deadline_ns, uint64_t now_ns)
{
    if (now_ns >= deadline_ns)
        return REJECTED_EXPIRED;
    if (now_ns - arrived_ns > shed->queue_ns_max)
        return REJECTED_QUEUE;
    if (deadline_ns != UINT64_MAX && deadline_ns - now_ns < shed->cost_ns[rpc]) {
        shed->cost_ns[rpc] -= shed->cost_ns[rpc] / SLOWNESS;
        return REJECTED_DEADLINE;
    }
    return NOT_REJECTED;
}

void shed_learn(struct shed *shed, enum rpc rpc, uint64_t took_ns)
{
    uint64_t cost = shed->cost_ns[rpc];

    shed->cost_ns[rpc] = !cost ? took_ns : cost - cost / SLOWNESS + took_ns / SLOWNESS;
}
