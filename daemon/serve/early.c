/*
 * early.c -- calls that came before their client had a place for them (limits.client_inflight).
 *
 *     no place ──> early [ ... ] ──each ms──> a place: goes on
 *                                        \──> LOOKS in vain: RESOURCE_EXHAUSTED
 *
 * Who has had an answer may ask again before we have heard that it left: gRPC says that later, and by another thread. So a call is refused
 * only after a while. As many of a client may be early as it may have in flight, so that its excess takes nobody else's patience; of what is
 * above that, and above EARLY_MAX of a lane, which are all looked at each time, none is kept.
 *
 * Thread: the lane's.
 */
#include "call.h"

enum { LOOKS = 50, EARLY_MAX = 64 };

bool early_wait(struct call *call, struct fr_bytes name)
{
    struct lane *lane = call->lane;

    if (call->list == &lane->early)
        return call->looks++ < LOOKS;
    call->early = clients_wait(lane->serve->clients, name);
    if (call->early && call_keep(call, &lane->early, EARLY_MAX)) {
        call->waited = true;
        call->looks = 1;
        return true;
    }
    early_end(call);
    return false;
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
