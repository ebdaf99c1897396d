/*
 * caller.c -- who makes a call, whether he may, and whether it is not too much of him.
 *
 *     authorization: Bearer TOKEN ── tokens.h ──> name, role ──> UNAUTHENTICATED: none, or not known
 *                                                                PERMISSION_DENIED: the role does not reach
 *     name, or without tokens the address ── clients.h ──> RESOURCE_EXHAUSTED: too many a second
 *                                                  ├─────> early.c, or RESOURCE_EXHAUSTED: too many in flight
 *                                                  '─────> RESOURCE_EXHAUSTED: no place in the table, which is nobody's excess
 *
 * A call that goes on has its token looked at again when the file has been read again: what was taken back gets nothing more. An answer that
 * is only awaited (not_before) is still given.
 *
 * Only the Recommender's listener has limits for each client: an operator must get through when they bite. Health is open to
 * anybody (rpc.h). What a call brings has been read by then: limits.max_message_bytes, and limits.rpc_memory for all of
 * them, bound what strangers can make us hold; mTLS keeps them out before. Thread: the lane's.
 */
#include <grpc/support/alloc.h>
#include <stdio.h>

#include "call.h"
#include "freshet/clock.h"
#include "freshet/log.h"

/* The one header of this name; empty if there is none, or more than one. */
static struct fr_bytes header(const struct call *call, struct fr_bytes name)
{
    struct fr_bytes found = {"", 0};
    size_t count = 0;

    for (size_t i = 0; i < call->metadata.count; i++)
        if (fr_bytes_equal(slice_bytes(&call->metadata.metadata[i].key), name)) {
            found = slice_bytes(&call->metadata.metadata[i].value);
            count++;
        }
    return count == 1 ? found : (struct fr_bytes){"", 0};
}

/* What is wrong is logged, but for the token. */
static bool deny(struct call *call, struct answer *answer)
{
    char *peer = grpc_call_get_peer(call->call);

    fr_log(FR_WARN, "serve", "caller.denied",
           FR_FIELDS(FR_TEXT("peer", peer), FR_TEXT("method", rpc_methods[call->rpc].label),
                     FR_TEXT("code", rpc_code_name(answer->code))),
           "%s", answer->message);
    gpr_free(peer);
    return false;
}

/* His role reaches: true, and *ret_name is the name of his token, which is the view's. */
static bool has_role(struct call *call, const char **ret_name, struct answer *answer)
{
    const struct rpc_method *method = &rpc_methods[call->rpc];
    struct fr_bytes token;
    enum role role;

    if (!tokens_bearer(header(call, FR_BYTES("authorization")), &token)) {
        answer_refuse(answer, RPC_CODE_UNAUTHENTICATED, "%s wants a token: authorization: Bearer ...", method->label);
        return deny(call, answer);
    }
    role = tokens_find(call->lane->tokens, token, ret_name);
    if (role == ROLE_NONE) {
        answer_refuse(answer, RPC_CODE_UNAUTHENTICATED, "the token is not known");
        return deny(call, answer);
    }
    if (role < method->role) {
        answer_refuse(answer, RPC_CODE_PERMISSION_DENIED, "the token '%s' has the role %s; %s wants %s", *ret_name,
                      role_name(role), method->label, role_name(method->role));
        return deny(call, answer);
    }
    return true;
}

bool caller_may_still(struct call *call, struct answer *ret_answer)
{
    const char *name;

    return !call->lane->tokens || rpc_methods[call->rpc].role == ROLE_NONE || has_role(call, &name, ret_answer);
}

static void end_denied(const struct call_list *list)
{
    struct answer answer;

    for (struct call *call = list->first, *next; call; call = next) {
        next = call->after;
        if (call->counted || caller_may_still(call, &answer))
            continue;
        if (call->writing)
            call_cut_off(call, &answer); /* else who does not take what was sent would stay */
        else
            call_reply(call, &answer);
    }
}

void lane_look_at_tokens(struct lane *lane)
{
    uint64_t number = lane->tokens ? tokens_number(lane->tokens) : 0;

    if (number == lane->tokens_number)
        return;
    lane->tokens_number = number; /* first: what comes later is looked at later */
    end_denied(&lane->watched);
    end_denied(&lane->due);
    end_denied(&lane->streams);
}

static enum caller_may within_limits(struct call *call, const char *name, struct answer *answer)
{
    struct serve *serve = call->lane->serve;
    enum rejection rejection = clients_enter(serve->clients, fr_bytes_of(name), call_now(call), &call->client);

    if (rejection == REJECTED_CLIENT_INFLIGHT && early_wait(call, fr_bytes_of(name)))
        return CALLER_EARLY;
    early_end(call);
    if (rejection == NOT_REJECTED)
        return CALLER_MAY;
    fr_count(serve->rejected[rejection], 1);
    if (rejection == REJECTED_CLIENT_RATE)
        answer_refuse(answer, RPC_CODE_RESOURCE_EXHAUSTED, "%s asks more than limits.client_rate = %g a second", name,
                      serve->options.client_rate);
    else if (rejection == REJECTED_CLIENTS)
        answer_refuse(answer, RPC_CODE_RESOURCE_EXHAUSTED,
                      "the table of clients has no place for %s: all that it could take are of clients with calls in flight", name);
    else
        answer_refuse(answer, RPC_CODE_RESOURCE_EXHAUSTED, "%s has limits.client_inflight = %u calls in flight already", name,
                      serve->options.client_inflight);
    return CALLER_MAY_NOT;
}

/* "ipv4:10.1.2.3:4711" without its port: one client may have any number of connections. */
static enum caller_may address_within_limits(struct call *call, struct answer *answer)
{
    char *peer = grpc_call_get_peer(call->call), *colon = strrchr(peer, ':');
    enum caller_may may;

    if (colon && colon != strchr(peer, ':'))
        *colon = 0;
    may = within_limits(call, peer, answer);
    gpr_free(peer);
    return may;
}

enum caller_may caller_may(struct call *call, struct answer *ret_answer)
{
    const char *name = NULL;

    if (rpc_methods[call->rpc].role == ROLE_NONE)
        return CALLER_MAY;
    if (call->lane->tokens && !has_role(call, &name, ret_answer))
        return CALLER_MAY_NOT;
    if (!call->lane->serve->clients || call->lane->listener->which != RPC_PUBLIC)
        return CALLER_MAY;
    return name ? within_limits(call, name, ret_answer) : address_within_limits(call, ret_answer);
}

void caller_leave(struct call *call)
{
    if (call->client)
        clients_leave(call->lane->serve->clients, call->client);
    call->client = NULL;
    early_end(call);
}
