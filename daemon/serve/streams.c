/*
 * streams.c -- calls that go on and know nothing of the engine: Health.Watch, and reflection.
 *
 *     Health.Watch    a word whenever health changes, until the caller leaves or the server stops
 *     reflection      READ, write, WROTE, READ ... until the caller has no more questions
 *
 * Thread: the lane's.
 */
#include "call.h"

static void push_health(struct call *call)
{
    enum health health = health_of(call->service);

    if (call->writing || health == call->said)
        return;
    call->said = health;
    fr_arena_reset(&call->lane->scratch);
    call_write(call, health_message(&call->lane->scratch, health));
}

void stream_health(struct call *call)
{
    struct answer answer;
    grpc_slice slice;
    bool good;

    if (!call_take_received(call, &slice))
        return;
    fr_arena_reset(&call->lane->scratch);
    good = health_read(&call->lane->scratch, call->lane->listener->which, slice_bytes(&slice), &call->service, &answer);
    grpc_slice_unref(slice);
    if (!good)
        call_reply(call, &answer);
    else if (!call_keep(call, &call->lane->streams, STREAMS_MAX))
        call_reject(call, REJECTED_STREAMS, RPC_CODE_RESOURCE_EXHAUSTED, "too many streams are open");
    else
        push_health(call);
}

void stream_talk(struct call *call)
{
    if (!call_keep(call, &call->lane->streams, STREAMS_MAX))
        call_reject(call, REJECTED_STREAMS, RPC_CODE_RESOURCE_EXHAUSTED, "too many streams are open");
    else
        call_read(call);
    if (!call->finished) /* open, it is no question of its client's: STREAMS_MAX bounds it */
        caller_leave(call);
}

void stream_read(struct call *call)
{
    struct fr_arena *scratch = &call->lane->scratch;
    struct answer answer = {.code = RPC_CODE_OK};
    grpc_slice slice;

    if (!call->received) { /* no more questions */
        call_reply(call, &answer);
        return;
    }
    if (!call_take_received(call, &slice))
        return;
    fr_arena_reset(scratch);
    reflection_answer(call->lane->serve->reflection, scratch, call->lane->listener->which, slice_bytes(&slice), &answer);
    grpc_slice_unref(slice);
    if (answer.code == RPC_CODE_OK)
        call_write(call, answer.bytes);
    else
        call_reply(call, &answer);
}

void lane_look_at_streams(struct lane *lane)
{
    bool stopping = atomic_load(&lane->serve->stopping);

    for (struct call *call = lane->streams.first, *next; call; call = next) {
        next = call->after;
        if (rpc_methods[call->rpc].kind == RPC_KIND_WATCH)
            push_health(call); /* a stopping server's last word is that it does not serve */
        if (stopping && !call->writing)
            call_refuse(call, RPC_CODE_UNAVAILABLE, "draining");
    }
}
