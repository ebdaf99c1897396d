/*
 * leaving.c -- answers that are on their way: sent, and not yet taken by their callers.
 *
 *     last batch ──────────> leaving [ oldest ... newest ] ──WROTE──> released
 *     message of a stream ─────────────────────────────────WROTE──> the next may follow
 *                               '── too many bytes, or the server stops: the oldest are cut off
 *
 * An answer stays in memory until the caller's window lets it out, and a caller may open none: so there is a budget, and who takes nothing
 * loses his own answers, the oldest first. Nobody else is refused for it. The newest always has its chance, however long it is. A message of a
 * stream (a Watch's list, what reflection says) is an answer like any other; its call stays in the list of its kind. Thread: the lane's.
 */
#include <grpc/byte_buffer.h>

#include "call.h"

/* Which part of limits.rpc_memory they may take, over all lanes of a listener; and how long they may take to leave in a drain. */
enum { MEMORY_SHARE = 4, LEAVE_MS = 1000 };

static void cut(struct call *call, enum rpc_code code, const char *text)
{
    leave_end(call);
    call_counted(call, code); /* a stream; a question has been when it was answered */
    grpc_call_cancel_with_status(call->call, (grpc_status_code)code, text, NULL);
}

/* Of those whose bytes are on their way. NULL: all of these have hung up, and it will be heard that nothing is on its way any more. */
static struct call *oldest(const struct lane *lane)
{
    const struct call_list *streams[] = {&lane->streams, &lane->watched}; /* none in `due` is writing (watch.c) */
    struct call *oldest = lane->leaving.first;

    while (oldest && !oldest->sent_bytes)
        oldest = oldest->after;
    for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++)
        for (struct call *call = streams[i]->first; call; call = call->after)
            if (call->sent_bytes && (!oldest || call->sent_ns < oldest->sent_ns))
                oldest = call;
    return oldest;
}

/* Whoever has taken nothing for longest makes room for it. */
void leave_message(struct call *call)
{
    struct lane *lane = call->lane;
    struct serve *serve = lane->serve;
    struct call *old;

    call->sent_ns = fr_mono_ns();
    call->sent_bytes = call->sent ? grpc_byte_buffer_length(call->sent) : 0;
    lane->leaving_bytes += call->sent_bytes;
    while (lane->leaving_bytes > serve->options.memory / MEMORY_SHARE / lane->listener->lanes_len && (old = oldest(lane)) && old != call) {
        fr_count(serve->rejected[REJECTED_UNTAKEN], 1);
        cut(old, RPC_CODE_RESOURCE_EXHAUSTED, "answers that nobody takes fill a quarter of limits.rpc_memory");
    }
}

void leave_begin(struct call *call)
{
    list_admit(&call->lane->leaving, call, UINT32_MAX);
    leave_message(call);
}

void leave_end(struct call *call)
{
    if (call->list == &call->lane->leaving)
        list_remove(call);
    call->lane->leaving_bytes -= call->sent_bytes;
    call->sent_bytes = 0;
}

static bool had_its_time(const struct call *call, uint64_t now_ns)
{
    const uint64_t patience_ns = LEAVE_MS * UINT64_C(1000000);

    return now_ns > call->lane->draining_ns + patience_ns && now_ns > call->sent_ns + patience_ns;
}

/* Watches are ended sooner, by themselves (watch.c). */
void lane_end_leaving(struct lane *lane)
{
    const uint64_t now_ns = fr_mono_ns();

    while (lane->leaving.first && had_its_time(lane->leaving.first, now_ns))
        cut(lane->leaving.first, RPC_CODE_UNAVAILABLE, "draining");
    for (struct call *call = lane->streams.first; call; call = call->after)
        if (call->writing && !call->counted && had_its_time(call, now_ns))
            cut(call, RPC_CODE_UNAVAILABLE, "draining");
}
