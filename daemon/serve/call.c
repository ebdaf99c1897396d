/*
 * call.c -- the life of one call.
 *
 *     armed --ARRIVED--> ready --its turn--> one answer -------> reply --WROTE--> released
 *               |  \         \---> waits (waiting.c) ----------> reply           (another is armed at once on arrival,
 *               |   \               \--CLOSED: the caller is gone                  so that none is ever missing)
 *               |    \---> turned away (caller.c, shed.h) ------> reply           (early, by its client's limit: early.c)
 *               |  \------> Watch: a list now and whenever it changes (watch.c)
 *               |------> Health.Watch: write whenever health changes, until CLOSED or the server stops
 *               \------> reflection: READ, write, WROTE, READ ... until the caller has no more questions (streams.c)
 *
 * Invariants. At most one batch of each kind is on its way; `pending` counts them, and a call is released when none is
 * and it is finished. (An answer held until the end of its turn looks like that too; but nothing that happens is looked at
 * before.) A call that is kept has asked for CLOSED first, so that its end is always heard of. Nothing here blocks.
 * Thread: the lane's; only the counters in struct serve are shared.
 */
#include "call.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "received.h"

enum {
    TURN_NS = 200000,    /* no question is begun that would end later: what arrives meanwhile waits to be looked at, what is answered to be sent */
};

/* ---- birth and death ---- */

void call_arm(struct lane *lane, enum rpc rpc)
{
    struct call *call = lane->spare;
    grpc_call_error error;

    if (call)
        lane->spare = call->after;
    else
        call = fr_alloc(sizeof(*call));
    *call = (struct call){.lane = lane, .rpc = rpc};
    call->arrived = (struct tag){CALL_ARRIVED, call};
    call->read = (struct tag){CALL_READ, call};
    call->wrote = (struct tag){CALL_WROTE, call};
    call->closed = (struct tag){CALL_CLOSED, call};
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
    if (rpc == RPC_UNKNOWN)
        error = grpc_server_request_call(lane->listener->server, &call->call, &call->details, &call->metadata,
                                         lane->queue, lane->queue, &call->arrived);
    else
        error = grpc_server_request_registered_call(
            lane->listener->server, lane->listener->registered[rpc], &call->call, &call->deadline, &call->metadata,
            rpc_methods[rpc].kind == RPC_KIND_TALK ? NULL : &call->received, lane->queue, lane->queue, &call->arrived);
    assert(error == GRPC_CALL_OK);
    (void)error;
}

static void leave(struct call *call)
{
    struct serve *serve = call->lane->serve;

    if (!call->in_flight)
        return;
    call->in_flight = false;
    if (atomic_fetch_sub(&serve->calls, 1) > 1 || !atomic_load(&serve->stopping))
        return;
    pthread_mutex_lock(&serve->lock);
    pthread_cond_signal(&serve->changed);
    pthread_mutex_unlock(&serve->lock);
}

/* Into flight. False: the server stops, and waits for no more calls. Counted first, looked at then, as serve_stop does
 * it the other way round: one of the two sees the other. */
static bool enter(struct call *call)
{
    call->in_flight = true;
    atomic_fetch_add(&call->lane->serve->calls, 1);
    if (!atomic_load(&call->lane->serve->stopping))
        return true;
    leave(call);
    return false;
}

static void call_release(struct call *call)
{
    struct lane *lane = call->lane;

    assert(!call->list);
    grpc_byte_buffer_destroy(call->received);
    grpc_byte_buffer_destroy(call->sent);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    if (call->call) {
        grpc_call_unref(call->call);
        leave(call);
    }
    caller_leave(call);
    wait_forget(call);
    watch_forget(call);
    call->after = lane->spare;
    lane->spare = call;
}

void lane_free_calls(struct lane *lane)
{
    while (lane->spare) {
        struct call *call = lane->spare;
        lane->spare = call->after;
        free(call);
    }
}

/* ---- batches ---- */

static void start(struct call *call, const grpc_op *ops, size_t len, struct tag *tag)
{
    grpc_call_error error = grpc_call_start_batch(call->call, ops, len, tag, NULL);

    assert(error == GRPC_CALL_OK);
    (void)error;
    call->pending++;
}

static grpc_op op_greet(struct call *call)
{
    call->greeted = true;
    return (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
}

/* What is sent next; NULL: nothing. */
static void set_message(struct call *call, const struct fr_bytes *bytes)
{
    grpc_byte_buffer_destroy(call->sent);
    call->sent = NULL;
    if (!bytes)
        return;
    grpc_slice slice = grpc_slice_from_copied_buffer(bytes->at, bytes->len);
    call->sent = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
}

static grpc_op op_message(struct call *call)
{
    return (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->sent};
}

static grpc_op op_watch(struct call *call)
{
    call->watched = true;
    return (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &call->cancelled};
}

/* The last batch: the message, if there is one, and the status. */
static void send_last(struct call *call, enum rpc_code code, grpc_slice details)
{
    grpc_op ops[4] = {0};
    size_t len = 0;

    if (!call->greeted)
        ops[len++] = op_greet(call);
    if (call->sent)
        ops[len++] = op_message(call);
    ops[len] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    ops[len].data.send_status_from_server.status = (grpc_status_code)code;
    ops[len++].data.send_status_from_server.status_details = &details;
    if (!call->watched)
        ops[len++] = op_watch(call);
    leave_begin(call); /* before gRPC takes the message out of its buffer */
    start(call, ops, len, &call->wrote);
}

/* Until the end of the turn, before which nothing else happens to it. */
static bool hold(struct call *call)
{
    struct lane *lane = call->lane;

    if (!lane->holds || !call->sent)
        return false;
    assert(lane->held_len < HELD_MAX);
    lane->held[lane->held_len++] = call;
    return true;
}

static bool is_held(const struct call *call)
{
    const struct lane *lane = call->lane;

    return lane->held_len && lane->held[lane->held_len - 1] == call;
}

void call_reply(struct call *call, const struct answer *answer)
{
    bool message = answer->code == RPC_CODE_OK && rpc_methods[call->rpc].kind == RPC_KIND_ONE;

    assert(!call->finished && !call->writing);
    list_remove(call);
    call->finished = true;
    set_message(call, message ? &answer->bytes : NULL);
    if (hold(call))
        return;
    if (rpc_methods[call->rpc].kind != RPC_KIND_TALK || answer->code != RPC_CODE_OK)
        call_counted(call, answer->code); /* else it may have been hung up: who does looks as if he had no more to say */
    grpc_slice details = grpc_slice_from_copied_string(answer->message);
    send_last(call, answer->code, details);
    grpc_slice_unref(details);
}

void call_refuse(struct call *call, enum rpc_code code, const char *format, ...)
{
    struct answer answer = {.code = code};
    va_list list;

    va_start(list, format);
    vsnprintf(answer.message, sizeof(answer.message), format, list);
    va_end(list);
    call_reply(call, &answer);
}

void call_reject(struct call *call, enum rejection reason, enum rpc_code code, const char *text)
{
    fr_count(call->lane->serve->rejected[reason], 1);
    call_refuse(call, code, "%s", text);
}

void call_cut_off(struct call *call, const struct answer *answer)
{
    leave_end(call);
    call_counted(call, answer->code);
    grpc_call_cancel_with_status(call->call, (grpc_status_code)answer->code, answer->message, NULL);
}

static void watch(struct call *call)
{
    grpc_op op = op_watch(call);

    start(call, &op, 1, &call->closed);
}

void call_write(struct call *call, struct fr_bytes bytes)
{
    grpc_op ops[2] = {0};
    size_t len = 0;

    if (!call->greeted)
        ops[len++] = op_greet(call);
    set_message(call, &bytes);
    ops[len++] = op_message(call);
    call->writing = true;
    leave_message(call); /* before gRPC takes it */
    start(call, ops, len, &call->wrote);
}

void call_read(struct call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->received};

    start(call, &op, 1, &call->read);
}

bool call_take_received(struct call *call, grpc_slice *ret_slice)
{
    uint32_t bytes_max = call->lane->serve->options.max_message_bytes;
    enum received received = received_take(call->received, bytes_max, ret_slice);

    call->received = NULL;
    if (received == RECEIVED_LARGE)
        call_refuse(call, RPC_CODE_RESOURCE_EXHAUSTED, "the message, unpacked, is longer than limits.max_message_bytes, %u", bytes_max);
    else if (received != RECEIVED_WHOLE)
        call_refuse(call, RPC_CODE_INVALID_ARGUMENT, "the call brought no message, or one that cannot be unpacked");
    return received == RECEIVED_WHOLE;
}

bool call_keep(struct call *call, struct call_list *list, uint32_t max)
{
    if (!list_admit(list, call, max))
        return false;
    if (!call->watched)
        watch(call);
    return true;
}

/* ---- one question, one answer ---- */

static void answer_question(struct call *call, struct fr_bytes request)
{
    struct lane *lane = call->lane;
    struct answer answer;

    if (!question_read(lane->answerer, &lane->question, call->rpc, request, &answer)) {
        call_reply(call, &answer);
    } else if (question_begins(call->rpc)) {
        if (call_wait(call, request))
            call_begin(call);
    } else if (!question_ready(lane->answerer, &lane->question)) {
        call_wait(call, request);
    } else {
        question_answer(lane->answerer, &lane->question, &answer);
        call_reply(call, &answer);
    }
}

static void answer_health(struct call *call, struct fr_bytes request)
{
    struct fr_arena *scratch = &call->lane->scratch;
    enum health_service service;
    struct answer answer;

    fr_arena_reset(scratch);
    if (health_read(scratch, call->lane->listener->which, request, &service, &answer))
        health_check(scratch, service, &answer);
    call_reply(call, &answer);
}

static void answer_one(struct call *call)
{
    grpc_slice slice;
    struct fr_bytes request;

    if (!call_take_received(call, &slice))
        return;
    request = slice_bytes(&slice);
    if (call->rpc == RPC_HEALTH_CHECK)
        answer_health(call, request);
    else if (call->rpc == RPC_WATCH)
        watch_begin(call, request);
    else
        answer_question(call, request);
    grpc_slice_unref(slice);
}

/* ---- the queue of questions admitted ---- */

static void admit(struct call *call)
{
    struct lane *lane = call->lane;
    uint64_t now_ns = call_now(call);
    enum rejection expected = shed_expect(&lane->shed, call->deadline_ns, now_ns);

    call->admitted_ns = now_ns;
    if (expected != NOT_REJECTED) {
        call_reject(call, expected, RPC_CODE_RESOURCE_EXHAUSTED,
               expected == REJECTED_QUEUE ? "those before it take longer than limits.max_queue_ms"
                                          : "those before it take longer than the deadline leaves");
        return;
    }
    if (!list_admit(&lane->ready, call, lane->serve->options.max_inflight)) {
        call_reject(call, REJECTED_INFLIGHT, RPC_CODE_RESOURCE_EXHAUSTED,
               "limits.max_inflight calls are being answered already");
        return;
    }
    shed_enter(&lane->shed, call->rpc);
    if (lane->ready.first != call && !call->watched)
        watch(call); /* who hangs up before his turn costs no answer */
}

/* The oldest question that was admitted has its turn. */
static void answer_next(struct lane *lane)
{
    struct call *call = lane->ready.first;
    uint64_t begin_ns = fr_mono_ns();

    list_remove(call);
    switch (shed_judge(&lane->shed, call->rpc, call->admitted_ns, call->deadline_ns, begin_ns)) {
    case REJECTED_EXPIRED:
        call_reject(call, REJECTED_EXPIRED, RPC_CODE_DEADLINE_EXCEEDED, "the deadline had passed before work began");
        break;
    case REJECTED_QUEUE:
        call_reject(call, REJECTED_QUEUE, RPC_CODE_RESOURCE_EXHAUSTED,
               "the call has waited longer than limits.max_queue_ms");
        break;
    case REJECTED_DEADLINE:
        call_reject(call, REJECTED_DEADLINE, RPC_CODE_RESOURCE_EXHAUSTED, "an answer takes longer than the deadline leaves");
        break;
    default:
        answer_one(call);
        call->took_ns = fr_mono_ns() - begin_ns;
        if (!is_held(call) && (call->finished || call->watching)) /* else it is to be sent, or waits */
            shed_learn(&lane->shed, call->rpc, call->took_ns);
    }
}

static void send_held(struct lane *lane)
{
    uint64_t begin_ns = fr_mono_ns();

    for (size_t i = 0; i < lane->held_len; i++) {
        call_counted(lane->held[i], RPC_CODE_OK);
        send_last(lane->held[i], RPC_CODE_OK, grpc_empty_slice());
    }
    uint64_t took_ns = fr_mono_ns() - begin_ns;
    for (size_t i = 0; i < lane->held_len; i++)
        shed_learn(&lane->shed, lane->held[i]->rpc, lane->held[i]->took_ns + took_ns / lane->held_len);
    lane->held_len = 0;
}

/* May another question be answered before what is held is sent? Not one that takes long, as far as is known, or of which nothing is:
 * who has a quick answer does not wait for it. One that is slower than its like still holds the others up, once. */
static bool turn_goes_on(const struct lane *lane, uint64_t begin_ns)
{
    const struct call *next = lane->ready.first;
    uint64_t cost_ns;

    if (!next || lane->held_len == HELD_MAX)
        return false;
    cost_ns = lane->shed.cost_ns[next->rpc];
    if (lane->held_len && !cost_ns)
        return false;
    return fr_mono_ns() - begin_ns + (lane->held_len ? cost_ns : 0) < TURN_NS;
}

/*
 * A packet to a caller that sleeps costs five times its own price: the kernel wakes him. So what is answered in one turn is sent at
 * its end, one after another: the first packet wakes him, the others find him awake, and his next questions come together too.
 */
void lane_answer_some(struct lane *lane)
{
    uint64_t begin_ns = fr_mono_ns();

    lane->holds = true;
    do
        answer_next(lane);
    while (turn_goes_on(lane, begin_ns));
    lane->holds = false;
    send_held(lane);
}

/* ---- what happens to a call ---- */

static uint64_t deadline_ns(gpr_timespec deadline, uint64_t now_ns)
{
    gpr_timespec left;

    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
        return UINT64_MAX;
    left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
    return shed_deadline(now_ns, left.tv_sec, left.tv_nsec);
}

/* A path that no method is registered for: not served yet, not served here, or nothing of ours. */
static void turn_away(struct call *call)
{
    struct fr_bytes path = slice_bytes(&call->details.method);

    call->rpc = rpc_of(path);
    if (rpc_methods[call->rpc].kind != RPC_KIND_LATER ||
        !(rpc_methods[call->rpc].listeners & call->lane->listener->which))
        call->rpc = RPC_UNKNOWN;
    call_count_arrival(call);
    if (call->rpc == RPC_UNKNOWN)
        call_refuse(call, RPC_CODE_UNIMPLEMENTED, "there is no method %.*s on this listener",
               (int)(path.len < 200 ? path.len : 200), path.at);
    else
        call_refuse(call, RPC_CODE_UNIMPLEMENTED, "%s is not served by this version", rpc_methods[call->rpc].label);
}

/* Nothing stands against it. */
static void go_on(struct call *call)
{
    if (rpc_methods[call->rpc].listeners == RPC_PUBLIC)
        admit(call);
    else if (rpc_methods[call->rpc].kind == RPC_KIND_ONE)
        answer_one(call); /* health and the Admin's: never behind the Recommender's queue */
    else if (rpc_methods[call->rpc].kind == RPC_KIND_WATCH)
        stream_health(call);
    else
        stream_talk(call);
}

void call_ask_leave(struct call *call)
{
    struct answer answer;
    enum caller_may may = caller_may(call, &answer);

    if (may == CALLER_MAY_NOT) {
        call_reply(call, &answer);
    } else if (may == CALLER_MAY) {
        list_remove(call);
        go_on(call);
    }
}

static void arrive(struct call *call)
{
    call_arm(call->lane, call->rpc);
    call->since_ns = fr_mono_ns();
    if (call->rpc == RPC_UNKNOWN) {
        turn_away(call);
        return;
    }
    call_count_arrival(call);
    call->deadline_ns = deadline_ns(call->deadline, call->since_ns);
    if (!enter(call) && rpc_methods[call->rpc].listeners != RPC_BOTH) /* not one of the standard services */
        call_reject(call, REJECTED_DRAINING, RPC_CODE_UNAVAILABLE, "draining");
    else if (call->since_ns >= call->deadline_ns)
        call_reject(call, REJECTED_EXPIRED, RPC_CODE_DEADLINE_EXCEEDED, "the deadline had passed before work began");
    else
        call_ask_leave(call);
}

/* How a call ends whose caller is gone. */
static enum rpc_code gone_code(const struct call *call)
{
    return shed_was_deadline(call->since_ns, call->deadline_ns, fr_mono_ns()) ? RPC_CODE_DEADLINE_EXCEEDED : RPC_CODE_CANCELLED;
}

/* The caller has hung up, or its deadline is over, or all has been said. */
static void close_call(struct call *call)
{
    if (call->finished)
        return;
    list_remove(call);
    call_counted(call, gone_code(call));
    call->finished = true;
}

void call_happened(struct call *call, enum happening what, bool success)
{
    assert(!call->lane->held_len);
    if (what == CALL_ARRIVED) {
        if (success)
            arrive(call);
        else
            call_release(call); /* the server stops */
        return;
    }
    call->pending--;
    if (what == CALL_CLOSED) {
        close_call(call);
    } else if (what == CALL_WROTE) {
        bool wrote_message = call->writing;
        call->writing = false;
        leave_end(call);
        if (call->finished)
            call_counted(call, success ? RPC_CODE_OK : gone_code(call)); /* if it is not yet */
        if (wrote_message && !call->finished && success && rpc_methods[call->rpc].kind == RPC_KIND_TALK)
            call_read(call);
        else if (wrote_message && !call->finished && success && call->rpc == RPC_WATCH)
            watch_wrote(call);
    } else if (what == CALL_READ && !call->finished) {
        stream_read(call);
    }
    if (!call->pending && call->finished)
        call_release(call);
}
