/*
 * watch.c -- Watch: a list at once, and a fresh one whenever the user's events, the user's record or what is said of items has changed it.
 *
 *     engine ── tidings ──> thread `watch` ── a tag on each lane's queue ──> lane: whose users have moved?
 *
 *     watched [ a c d ] ── moved, and its last list has been taken ──> due [ b e ] ── one a turn: asked, and written if it is another
 *         ^────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Between tidings nothing is looked at; tidings of items are for all, and the engine gives them once a second at most. Pushes take turns
 * with questions, so that many watched users at once do not keep others waiting. However often a user moves, there is one list on its
 * way, and what comes next is made when that has been taken: so a slow reader holds one list (and what its connection buffers: a window
 * of 64 KiB), and gets the newest.
 *
 * Until its first list has been taken it is a question among its client's, like any other (limits.client_inflight); from then on it is not.
 *
 * Kept per call: the request as it came, what its drawing depends on, and a digest of the last list. Invariants: a call in `due` is not
 * writing; one in `watched` that has moved is writing, or a ring is on its way.
 *
 * Thread: the lane's, but for the thread `watch` itself, which rings.
 */
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"

/* Of a drain: how long a list may take to leave before its stream is cut off; and which part of limits.rpc_memory requests may take. */
enum { LEAVE_MS = 250, MEMORY_SHARE = 8 };

/* ---- one stream ---- */

static bool remember(struct call *call, struct fr_bytes request)
{
    struct serve *serve = call->lane->serve;

    if (atomic_fetch_add(&serve->watch_bytes, request.len) + request.len > serve->options.memory / MEMORY_SHARE) {
        atomic_fetch_sub(&serve->watch_bytes, request.len);
        return false;
    }
    char *kept = fr_alloc(request.len ? request.len : 1);
    memcpy(kept, request.at, request.len);
    call->request = (struct fr_bytes){kept, request.len};
    return true;
}

void watch_forget(struct call *call)
{
    struct serve *serve = call->lane->serve;

    if (call->watching)
        engine_unwatch(serve->engine, &call->of);
    if (call->request.at)
        atomic_fetch_sub(&serve->watch_bytes, call->request.len);
    free((char *)(uintptr_t)call->request.at);
    call->watching = false;
    call->request = (struct fr_bytes){0};
}

/* Asks, and writes what is new. */
static void push(struct call *call)
{
    struct lane *lane = call->lane;
    struct answer answer;

    if (!question_read(lane->answerer, &lane->question, RPC_WATCH, call->request, &answer)) {
        call_reply(call, &answer); /* good as it was when it came, it is not any more: a limit has changed */
        return;
    }
    if (!call->watching)
        call->of = engine_watch(lane->serve->engine, lane->question.ask.user);
    call->watching = true;
    /* One that explored anew at each look would be another list each time, though nothing has changed. */
    lane->question.drawn = call->listed;
    lane->question.ask.draw = call->draw;
    question_answer(lane->answerer, &lane->question, &answer);
    if (answer.code != RPC_CODE_OK) {
        call_reply(call, &answer);
    } else if (!call->listed || answer.digest != call->digest) {
        call->listed = true;
        call->digest = answer.digest;
        call->draw = lane->question.ask.draw;
        call_write(call, answer.bytes);
    }
}

void watch_open(struct call *call)
{
    struct lane *lane = call->lane;
    struct answer answer;

    wait_forget(call);
    if (!caller_may_still(call, &answer)) /* it has waited since it was asked */
        call_reply(call, &answer);
    else if (!call_keep(call, &lane->watched, lane->serve->options.max_watches))
        call_reject(call, REJECTED_STREAMS, RPC_CODE_RESOURCE_EXHAUSTED, "limits.max_watches lists are being watched already");
    else
        push(call);
}

void watch_begin(struct call *call, struct fr_bytes request)
{
    struct lane *lane = call->lane;
    struct answer answer;

    if (!question_read(lane->answerer, &lane->question, RPC_WATCH, request, &answer))
        call_reply(call, &answer);
    else if (!remember(call, request))
        call_reject(call, REJECTED_STREAMS, RPC_CODE_RESOURCE_EXHAUSTED,
                    "requests of Watch that are kept take an eighth of limits.rpc_memory already");
    else if (!question_ready(lane->answerer, &lane->question))
        call_wait(call, request);
    else
        watch_open(call);
}

void watch_wrote(struct call *call)
{
    caller_leave(call); /* at rest it is no question of its client's: max_watches bounds it */
    if (call->list == &call->lane->watched && engine_moved(call->lane->serve->engine, &call->of))
        call_move(call, &call->lane->due);
}

/* ---- a lane's ---- */

void lane_rung(struct lane *lane)
{
    atomic_exchange(&lane->rung, false); /* first: who moves from here on rings again */
    for (struct call *call = lane->watched.first, *next; call; call = next) {
        next = call->after;
        if (!call->writing && call->watching && engine_moved(lane->serve->engine, &call->of))
            call_move(call, &lane->due);
    }
}

void lane_push_next(struct lane *lane)
{
    struct call *call = lane->due.first;

    call_move(call, &lane->watched);
    push(call);
}

static void end_list(const struct lane *lane, struct call_list *list)
{
    const struct answer draining = {.code = RPC_CODE_UNAVAILABLE, .message = "draining"};
    bool late = fr_mono_ns() > lane->draining_ns + LEAVE_MS * UINT64_C(1000000);

    for (struct call *call = list->first, *next; call; call = next) {
        next = call->after;
        if (!call->writing) {
            call_refuse(call, RPC_CODE_UNAVAILABLE, "draining");
        } else if (late && !call->counted) { /* who does not take what was sent does not take the status behind it */
            call_cut_off(call, &draining);
        }
    }
}

void lane_end_watches(struct lane *lane)
{
    end_list(lane, &lane->watched);
    end_list(lane, &lane->due);
}

/* ---- the thread `watch` ---- */

/*
 * gRPC-core 1.51 has no call that puts a tag of ours on a queue. But one that waits for a channel to change, to a deadline, puts it there
 * when that is over; and the bell is a channel that never changes, to nowhere, with a deadline that is over.
 */
static void ring(struct lane *lane)
{
    if (!atomic_exchange(&lane->rung, true))
        grpc_channel_watch_connectivity_state(lane->serve->bell, GRPC_CHANNEL_TRANSIENT_FAILURE, gpr_inf_past(GPR_CLOCK_MONOTONIC),
                                              lane->queue, &lane->rung_tag);
}

static void run(void *arg)
{
    struct serve *serve = arg;
    struct listener *listener = &serve->listeners[0];

    for (;;) {
        engine_watch_wait(serve->engine);
        if (atomic_load(&serve->watcher_ends))
            return;
        for (size_t i = 0; i < listener->lanes_len && atomic_load(&serve->watches); i++)
            ring(&listener->lanes[i]);
    }
}

void watch_start(struct serve *serve)
{
    serve->bell = grpc_lame_client_channel_create("nowhere", GRPC_STATUS_UNAVAILABLE, "a bell");
    serve->watcher = fr_thread_start("watch", run, serve);
}

void watch_stop(struct serve *serve)
{
    if (!serve->watcher)
        return;
    atomic_store(&serve->watcher_ends, true);
    engine_watch_wake(serve->engine);
    fr_thread_join(serve->watcher);
    grpc_channel_destroy(serve->bell);
}
