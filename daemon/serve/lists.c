/*
 * lists.c -- the lists of calls a lane has: a call is in one of them at most, and each kind has a count over several lanes.
 *
 * Thread: the lane's; the counts are shared.
 */
#include "call.h"

#include <assert.h>

static void list_add(struct call_list *list, struct call *call)
{
    call->list = list;
    call->before = list->last;
    call->after = NULL;
    *(list->last ? &list->last->after : &list->first) = call;
    list->last = call;
}

void list_remove(struct call *call)
{
    struct call_list *list = call->list;

    if (!list)
        return;
    atomic_fetch_sub(list->count, 1);
    if (list == &call->lane->ready)
        shed_leave(&call->lane->shed, call->rpc);
    *(call->before ? &call->before->after : &list->first) = call->after;
    *(call->after ? &call->after->before : &list->last) = call->before;
    call->list = NULL;
}

void call_move(struct call *call, struct call_list *list)
{
    struct call_list *from = call->list;

    assert(from && from->count == list->count);
    atomic_fetch_add(list->count, 1);
    list_remove(call);
    list_add(list, call);
}

bool list_admit(struct call_list *list, struct call *call, uint32_t max)
{
    if (atomic_fetch_add(list->count, 1) >= max) {
        atomic_fetch_sub(list->count, 1);
        return false;
    }
    list_add(list, call);
    return true;
}
