/*
 * figures.c -- what is counted of a call: that it is there, how long it took and how it ended, and which trace it was part of.
 *
 * Thread: the call's lane; the series are for any.
 */
#include "call.h"

#include <grpc/slice.h>
#include <stdio.h>

#include "freshet/log.h"
#include "trace.h"

void call_count_arrival(const struct call *call)
{
    fr_gauge_add(call->lane->serve->inflight[call->rpc], 1);
}

/* The trace this call is part of, "" if its caller names none; true: the caller records it. */
static bool trace_of(const struct call *call, char id[TRACE_ID_ROOM])
{
    bool recorded = false;

    id[0] = '\0';
    for (size_t i = 0; i < call->metadata.count && !*id; i++) {
        const grpc_metadata *entry = &call->metadata.metadata[i];
        if (grpc_slice_str_cmp(entry->key, "traceparent") == 0)
            trace_read((struct fr_bytes){(const char *)GRPC_SLICE_START_PTR(entry->value), GRPC_SLICE_LENGTH(entry->value)}, id,
                       &recorded);
    }
    return recorded;
}

/* A question that took long though it had nothing to wait for, and a mistake of ours: with the trace, so that the caller's side is found. */
static void tell(const struct call *call, enum rpc_code code, uint64_t now_ns, const char *trace)
{
    const struct rpc_method *method = &rpc_methods[call->rpc];
    span_ms slow = call->lane->serve->options.slow;
    uint64_t since_ns = !call->looks ? call->since_ns : call->admitted_ns ? call->admitted_ns : now_ns; /* early: its client's own doing */
    double seconds = (double)(now_ns - since_ns) * 1e-9;
    bool failed = code == RPC_CODE_INTERNAL;

    if (!failed && (!slow || seconds * 1000 < (double)slow || method->kind != RPC_KIND_ONE || method->listeners != RPC_PUBLIC ||
                    call->waited))
        return;
    fr_log(failed ? FR_ERROR : FR_WARN, "serve", failed ? "rpc.failed" : "rpc.slow",
           FR_FIELDS(FR_TEXT("method", method->label), FR_TEXT("code", rpc_code_name(code)), FR_REAL("seconds", seconds),
                     FR_TEXT("trace_id", trace)),
           "%s", failed ? "a call was answered INTERNAL" : "a question took longer than serve.slow_ms");
}

/* How long it took to answer. A stream says nothing of that: it ends when its reader has had enough. */
static void observe(const struct call *call, double seconds, const char *recorded_trace)
{
    struct fr_series *series = call->lane->serve->seconds[call->rpc];
    enum rpc_kind kind = rpc_methods[call->rpc].kind;
    char exemplar[FR_EXEMPLAR_MAX];

    if (kind == RPC_KIND_WATCH || kind == RPC_KIND_TALK)
        return;
    if (recorded_trace) {
        snprintf(exemplar, sizeof(exemplar), "trace_id=\"%s\"", recorded_trace);
        fr_observe_with(series, seconds, exemplar);
    } else {
        fr_observe(series, seconds);
    }
}

void call_counted(struct call *call, enum rpc_code code)
{
    struct serve *serve = call->lane->serve;
    char id[TRACE_ID_ROOM];
    uint64_t now_ns = fr_mono_ns();

    if (call->counted)
        return;
    call->counted = true;
    fr_gauge_add(serve->inflight[call->rpc], -1);
    bool recorded = trace_of(call, id);
    observe(call, (double)(now_ns - call->since_ns) * 1e-9, recorded ? id : NULL);
    fr_count(serve->handled[call->rpc][code], 1);
    tell(call, code, now_ns, id);
}
