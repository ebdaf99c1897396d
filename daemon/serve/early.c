/*
 * early.c -- calls that came before their client had a place for them (limits.client_inflight).
 *
 *     no place ──> early [ ... ] ──each ms──> a place: goes on
 *                                        \──> early_looks in vain, or the deadline is near: RESOURCE_EXHAUSTED
 *
 * Who has had an answer may ask again before we have heard that it left: gRPC says that later, and by another thread. So a call is refused
 * only after a while. Few of a client are early at a time, as few calls are that soon, so that its excess takes the patience of others only
 * where several do the same; and EARLY_MAX of a lane, which are all looked at each time. What is above that is refused at once.
 *
 * Thread: the lane's.
 */
#include "call.h"

enum { EARLY_EACH = 8, EARLY_MAX = 64, LATE_MS = 5 /* there must be time to say no before the caller gives up */ };

static bool is_late(const struct call *call)
{
    uint64_t now_ns = call_now(call);

    return call->deadline_ns < now_ns || call->deadline_ns - now_ns < LATE_MS * UINT64_C(1000000);
}

bool early_wait(struct call *call, struct fr_bytes name)
{
    struct lane *lane = call->lane;

    if (is_late(call))
        return false;
    if (call->list == &lane->early)
        return call->looks++ < lane->serve->options.early_looks;
    call->early = clients_wait(lane->serve->clients, name, EARLY_EACH);
    if (!call->early)
        return false;
    if (!call_keep(call, &lane->early, EARLY_MAX)) {
        early_end(call);
        return false;
    }
    call->looks = 1;
    return true;
}

void early_end(struct call *call)
{
    if (call->early)
        clients_wait_over(call->lane->serve->clients, call->early);
    call->early = NULL;
}

void lane_look_at_early(struct lane *lane)
{
    for (struct call *call = lane->early.first, *next; call; call = next) {
        next = call->after;
        call_ask_leave(call);
    }
}
