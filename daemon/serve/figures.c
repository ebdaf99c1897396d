/*
 * figures.c -- what is counted of a call: that it is there, how long it took and how it ended, and which trace it was part of.
 *
 * Thread: the call's lane; the series are for any.
 */
#include "call.h"

#include <grpc/slice.h>
#include <stdio.h>

#include "trace.h"

void call_count_arrival(const struct call *call)
{
    fr_gauge_add(call->lane->serve->inflight[call->rpc], 1);
}

/* The trace that its caller records and this call is part of. */
static bool recorded_trace(const struct call *call, char id[TRACE_ID_ROOM])
{
    bool recorded = false;

    for (size_t i = 0; i < call->metadata.count && !recorded; i++) {
        const grpc_metadata *entry = &call->metadata.metadata[i];
        if (grpc_slice_str_cmp(entry->key, "traceparent") == 0)
            trace_read((struct fr_bytes){(const char *)GRPC_SLICE_START_PTR(entry->value), GRPC_SLICE_LENGTH(entry->value)}, id,
                       &recorded);
    }
    return recorded;
}

void call_counted(struct call *call, enum rpc_code code)
{
    struct serve *serve = call->lane->serve;
    char id[TRACE_ID_ROOM], exemplar[FR_EXEMPLAR_MAX];
    double seconds = (double)(fr_mono_ns() - call->since_ns) * 1e-9;

    if (call->counted)
        return;
    call->counted = true;
    caller_leave(call);
    fr_gauge_add(serve->inflight[call->rpc], -1);
    if (recorded_trace(call, id)) {
        snprintf(exemplar, sizeof(exemplar), "trace_id=\"%s\"", id);
        fr_observe_with(serve->seconds[call->rpc], seconds, exemplar);
    } else {
        fr_observe(serve->seconds[call->rpc], seconds);
    }
    fr_count(serve->handled[call->rpc][code], 1);
}
