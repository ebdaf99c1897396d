/*
 * waiting.c -- calls that wait: for a position (not_before), or for what they have begun (a checkpoint, say) to be done.
 *
 *     read ──> place in the list ──> what it asks for is begun ──> looked at each ms ──> reply          Checkpoint, ForgetUser ...
 *          ──> not reached yet? ──> place in the list ───────────> looked at each ms ──> reply          not_before
 *
 * What is refused for want of a place has not been begun. A place is one of limits.max_waiting, and memory: what the request, read, takes, of
 * an eighth of limits.rpc_memory for all that wait. Each listener has places of its own: callers of the Recommender cannot keep an
 * operator's call out. Thread: the lane's; the counts are shared.
 */
#include "call.h"

enum {
    ANSWERS_A_LOOK = 16, /* of calls that waited: more would hold up the others, */
    LOOK_NS = 100000,    /* and so would looking for longer, with many partitions */
    MEMORY_SHARE = 8,    /* which part of limits.rpc_memory their questions may take */
};

static bool afford(struct call *call)
{
    struct listener *listener = call->lane->listener;
    size_t bytes = fr_arena_bytes(&call->question.arena);

    if (atomic_fetch_add(&listener->waiting_bytes, bytes) + bytes > call->lane->serve->options.memory / MEMORY_SHARE) {
        atomic_fetch_sub(&listener->waiting_bytes, bytes);
        return false;
    }
    call->question_bytes = bytes;
    return true;
}

void wait_forget(struct call *call)
{
    atomic_fetch_sub(&call->lane->listener->waiting_bytes, call->question_bytes);
    call->question_bytes = 0;
    question_release(&call->question);
    call->question = (struct question){0};
}

/* The lane's question is read once more, into an arena no larger than it needs: the lane's may have been another's, of a megabyte. */
bool call_wait(struct call *call, struct fr_bytes request)
{
    struct lane *lane = call->lane;
    struct answer refusal;

    if (!question_read(lane->answerer, &call->question, call->rpc, request, &refusal)) {
        call_reply(call, &refusal);
    } else if (!afford(call)) {
        call_reject(call, REJECTED_WAITING, RPC_CODE_RESOURCE_EXHAUSTED,
                    "requests of calls that wait take an eighth of limits.rpc_memory already");
    } else if (!call_keep(call, &lane->waiting, lane->serve->options.max_waiting)) {
        call_reject(call, REJECTED_WAITING, RPC_CODE_RESOURCE_EXHAUSTED, "limits.max_waiting calls are waiting already");
    } else {
        call->waited = true;
        return true;
    }
    wait_forget(call);
    return false;
}

/* What it waited for is there. */
static void answer(struct call *call)
{
    struct answer answer;

    question_answer(call->lane->answerer, &call->question, &answer);
    call_reply(call, &answer);
    wait_forget(call);
}

void call_begin(struct call *call)
{
    struct answerer *answerer = call->lane->answerer;
    struct answer refusal;

    if (!question_begin(answerer, &call->question, &refusal))
        call_reply(call, &refusal);
    else if (question_ready(answerer, &call->question))
        answer(call);
}

/* Is it over with it? */
static bool look_at(struct call *call, bool ingest_over, uint64_t now_ns, int *answered)
{
    struct answerer *answerer = call->lane->answerer;

    if (question_ready(answerer, &call->question)) { /* asked once: between two looks it may become so */
        if (call->rpc == RPC_WATCH) {
            list_remove(call);
            watch_open(call);
        } else {
            answer(call);
        }
        ++*answered;
    } else if (now_ns >= call->deadline_ns) {
        call_refuse(call, RPC_CODE_DEADLINE_EXCEEDED, "%s within the deadline", question_unready(&call->question));
    } else if (ingest_over && question_waits_for_records(&call->question)) {
        call_refuse(call, RPC_CODE_UNAVAILABLE, "%s", question_begins(call->rpc) ? question_unready(&call->question) : "draining");
    } else {
        return false;
    }
    return true;
}

/* Each once at most, and who was looked at goes to the end: what there is no time for comes first the next time. */
void lane_look_at_waiting(struct lane *lane)
{
    bool over = atomic_load(&lane->serve->ingest_over); /* first: what was applied until then is reached */
    const struct call *last = lane->waiting.last;
    uint64_t begin = fr_mono_ns(), now = begin;
    int answered = 0;

    for (struct call *call = lane->waiting.first, *next; call; call = next) {
        bool was_last = call == last;
        next = call->after; /* an answer takes it off the list */
        if (!look_at(call, over, now, &answered))
            call_move(call, &lane->waiting);
        now = fr_mono_ns();
        if (was_last || answered == ANSWERS_A_LOOK || now > begin + LOOK_NS)
            return;
    }
}
