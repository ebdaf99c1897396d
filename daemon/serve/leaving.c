/*
 * leaving.c -- answers that are on their way: sent, and not yet taken by their callers.
 *
 *     last batch ──> leaving [ oldest ... newest ] ──WROTE──> released
 *                       '── too many bytes, or the server stops: the oldest are cut off
 *
 * An answer stays in memory until the caller's window lets it out, and a caller may open none: so there is a budget, and who takes nothing
 * loses his own answers, the oldest first. Nobody else is refused for it. The newest always has its chance, however long it is. Thread: the
 * lane's.
 */
#include <grpc/byte_buffer.h>

#include "call.h"

/* Which part of limits.rpc_memory they may take, over all lanes of a listener; and how long they may take to leave in a drain. */
enum { MEMORY_SHARE = 4, LEAVE_MS = 1000 };

static void cut(struct call *call, enum rpc_code code, const char *text)
{
    leave_end(call);
    grpc_call_cancel_with_status(call->call, (grpc_status_code)code, text, NULL);
}

void leave_begin(struct call *call)
{
    struct lane *lane = call->lane;
    struct serve *serve = lane->serve;

    call->sent_ns = fr_mono_ns();
    call->sent_bytes = call->sent ? grpc_byte_buffer_length(call->sent) : 0;
    list_admit(&lane->leaving, call, UINT32_MAX);
    lane->leaving_bytes += call->sent_bytes;
    while (lane->leaving_bytes > serve->options.memory / MEMORY_SHARE / lane->listener->lanes_len && lane->leaving.first != call) {
        fr_count(serve->rejected[REJECTED_UNTAKEN], 1);
        cut(lane->leaving.first, RPC_CODE_RESOURCE_EXHAUSTED, "answers that nobody takes fill a quarter of limits.rpc_memory");
    }
}

void leave_end(struct call *call)
{
    if (call->list != &call->lane->leaving)
        return;
    list_remove(call);
    call->lane->leaving_bytes -= call->sent_bytes;
}

void lane_end_leaving(struct lane *lane)
{
    const uint64_t patience_ns = LEAVE_MS * UINT64_C(1000000), now_ns = fr_mono_ns();

    while (lane->leaving.first && now_ns > lane->draining_ns + patience_ns && now_ns > lane->leaving.first->sent_ns + patience_ns)
        cut(lane->leaving.first, RPC_CODE_UNAVAILABLE, "draining");
}
