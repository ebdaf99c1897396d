/*
 * call.h -- what grpc.c (servers, queues, threads), call.c (the life of one call), early.c (of one before its time), waiting.c (of one that waits), leaving.c (of its answer), watch.c and streams.c (of one that
 * goes on), lists.c (of calls), caller.c (who makes it) and figures.c (what is counted of it) share. Included by nobody else: these, and tls.c, are the only files that know gRPC-core.
 *
 *     struct serve
 *       listeners[2]   a grpc_server each: the Recommender's with `threads` lanes, the Admin's with one
 *         lanes[]      a completion queue, its thread, and the calls that live on it
 */
#ifndef FR_CALL_H
#define FR_CALL_H

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <pthread.h>
#include <stdatomic.h>

#include "answer.h"
#include "clients.h"
#include "freshet/clock.h"
#include "freshet/life.h"
#include "freshet/metric.h"
#include "health.h"
#include "reflection.h"
#include "shed.h"

enum { LISTENERS = 2, LANES_MAX = 64, STREAMS_MAX = 1024, HELD_MAX = 4 };

/* What a completion queue hands back: which thing has happened to whom. */
struct tag {
    enum happening { CALL_ARRIVED, CALL_READ, CALL_WROTE, CALL_CLOSED, SERVER_DOWN, LANE_RUNG } what;
    void *whom; /* a struct call, or for SERVER_DOWN a struct listener, for LANE_RUNG a lane */
};

struct call {
    struct lane *lane;
    enum rpc rpc;
    struct tag arrived, read, wrote, closed;
    /* gRPC's */
    grpc_call *call;
    grpc_call_details details; /* of a path no method is registered for */
    grpc_metadata_array metadata;
    gpr_timespec deadline;
    grpc_byte_buffer *received, *sent;
    int cancelled;
    /* ours */
    unsigned pending; /* batches that have not come back; the call is released after the last */
    bool watched;     /* its end will be heard of: CALL_CLOSED comes, or has come */
    bool greeted;     /* initial metadata is sent */
    bool writing;     /* of a stream: a message is on its way */
    bool finished;    /* its status is sent, or it is gone */
    bool counted;
    bool waited; /* for a position, or for what it asked for: how long it took says nothing */
    bool in_flight;                 /* counted in serve's calls */
    struct client *client;          /* counted among its calls; NULL: nobody counts */
    struct client *early;           /* counted among its calls that wait for a place; */
    unsigned looks;                 /* and looked at so often. 0: it never was early */
    uint64_t since_ns, deadline_ns; /* UINT64_MAX: none */
    uint64_t admitted_ns;           /* to the queue of questions */
    uint64_t took_ns; /* to answer, without sending */
    struct question question;       /* while it waits, */
    size_t question_bytes;          /* and what it takes of its listener's waiting_bytes */
    enum health_service service;    /* Health.Watch */
    enum health said;
    struct fr_bytes request; /* Watch: kept, to be asked again */
    struct watched of;       /* whose list it is, */
    bool watching;           /* once this is true */
    bool listed;             /* a list was sent, */
    uint64_t digest, draw;   /* and what was in it, and drawn by if it explores */
    uint64_t sent_ns;  /* its last batch, or a stream's message; */
    size_t sent_bytes; /* the answer that is on its way with that; 0: none, or it is cut off */
    struct call_list *list; /* the lane's list it is in, or NULL */
    struct call *before, *after;
};

struct call_list {
    struct call *first, *last;
    _Atomic uint32_t *count; /* of these lists over several lanes */
};

struct lane {
    struct serve *serve;
    struct listener *listener;
    grpc_completion_queue *queue;
    struct fr_thread *thread;
    struct answerer *answerer;
    struct tokens_view *tokens; /* NULL: anybody may ask anything */
    uint64_t tokens_number;     /* of the table that all who go on have been looked up in */
    struct question question; /* the one being answered */
    struct fr_arena scratch;  /* health and reflection */
    struct shed shed;
    struct call_list early;   /* their client had no place for them yet: looked at each millisecond */
    _Atomic uint32_t early_count;
    struct call_list ready;   /* questions admitted, not yet read; first in, first out */
    struct call_list waiting; /* for a position or a checkpoint: looked at each millisecond */
    struct call_list streams; /* Health.Watch and reflection */
    struct call_list watched, due; /* Watch: those whose lists stand, or are on their way; those to be asked anew */
    struct call_list leaving; /* those whose last batch is on its way, oldest first */
    uint64_t leaving_bytes;   /* their answers', and of messages of streams that are on their way */
    _Atomic bool rung;        /* LANE_RUNG is on its way */
    struct tag rung_tag;
    uint64_t draining_ns;     /* since when the lane knows that the server stops; 0: it does not */
    struct call *spare;       /* calls to use again; by `after` */
    bool streams_ended;
    struct call *held[HELD_MAX]; /* answered in this turn, not yet sent */
    size_t held_len;
    bool holds; /* a turn goes on */
};

struct listener {
    struct serve *serve;
    enum rpc_listener which;
    grpc_server *server;
    void *registered[RPCS]; /* NULL: not on this listener */
    int port;
    struct tls *tls; /* NULL: plain */
    struct lane lanes[LANES_MAX];
    size_t lanes_len;
    _Atomic uint32_t waiting, streams; /* over its lanes: what callers of the Recommender take, the Admin's do not lack */
    _Atomic uint64_t waiting_bytes;    /* questions that wait */
    struct tag down_tag;
    bool down; /* under serve's lock */
};

struct serve {
    struct serve_options options;
    struct reflection *reflection;
    struct clients *clients; /* NULL: none is limited */
    struct listener listeners[LISTENERS];
    _Atomic bool stopping, ingest_over;
    _Atomic uint32_t ready, watches, leaving; /* over all lanes */
    _Atomic uint64_t watch_bytes; /* requests kept */
    struct engine *engine;
    struct fr_thread *watcher;
    grpc_channel *bell; /* to ring lanes with */
    _Atomic bool watcher_ends;
    _Atomic uint32_t calls; /* in flight, from arrival to release; the last one of a stopping server says so */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fr_series *handled[RPCS][RPC_CODES], *seconds[RPCS], *inflight[RPCS], *rejected[REJECTIONS];
};

/* Asks for the next call of a method (RPC_UNKNOWN: of any other path). */
void call_arm(struct lane *lane, enum rpc rpc);
void call_happened(struct call *call, enum happening what, bool success);
/* figures.c */
void call_count_arrival(const struct call *call);
void call_counted(struct call *call, enum rpc_code code); /* it ends like this, if it is not counted yet */
/* The oldest questions that were admitted have their turn: one at least, HELD_MAX that bring an answer at most, and no slow one beside others. */
void lane_answer_some(struct lane *lane);
/* Pushes health that has changed; ends streams when the server stops. */
void lane_look_at_streams(struct lane *lane);
void lane_free_calls(struct lane *lane);

/* ---- what a call can have done to it ---- */

/* The last words: one batch for the whole answer of a call that nothing has been said in yet, or for the end of a stream. */
void call_reply(struct call *call, const struct answer *answer);
__attribute__((format(printf, 3, 4))) void call_refuse(struct call *call, enum rpc_code code, const char *format, ...);
void call_reject(struct call *call, enum rejection reason, enum rpc_code code, const char *text); /* and counted */
void call_cut_off(struct call *call, const struct answer *answer); /* while a message is on its way, which may never be taken */
void call_write(struct call *call, struct fr_bytes bytes); /* a message of a stream; none is on its way */
/* Keeps the call in a list until its end, of which we want to hear. False: the list is full. */
bool call_keep(struct call *call, struct call_list *list, uint32_t max);
/* The message received, unpacked, in one piece. False: there is none that can be read, and the call has been refused. */
bool call_take_received(struct call *call, grpc_slice *ret_slice);
void call_read(struct call *call); /* asks for the next message: CALL_READ */

static inline struct fr_bytes slice_bytes(const grpc_slice *slice)
{
    return (struct fr_bytes){(const char *)GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice)};
}

/* ---- lists.c ---- */

bool list_admit(struct call_list *list, struct call *call, uint32_t max); /* at its end. False: there are `max` already */
void list_remove(struct call *call);                                      /* from the list it is in, if it is in one */
void call_move(struct call *call, struct call_list *list); /* from another list with the same count, to the end of this one */

/* ---- early.c ---- */

/* No place for it yet: it is looked at again. False: it has been often enough, or may not wait. */
bool early_wait(struct call *call, struct fr_bytes client);
void early_end(struct call *call); /* it waits for no place any more, if it did */
void lane_look_at_early(struct lane *lane); /* once more */
/* May it go on? Then it does, or is refused, or is early. */
void call_ask_leave(struct call *call);

/* When it is judged: on arrival, but for an early one. */
static inline uint64_t call_now(const struct call *call)
{
    return call->looks ? fr_mono_ns() : call->since_ns;
}

/* ---- waiting.c ---- */

/* Until the lane's question, read from this request, is ready: in a copy that is the call's. False: there is no room, and the call has been
 * refused. */
bool call_wait(struct call *call, struct fr_bytes request);
void wait_forget(struct call *call); /* what was kept for it to wait with */
void call_begin(struct call *call); /* begins what its question asks for; it has its place to wait for that */
void lane_look_at_waiting(struct lane *lane); /* answers what has waited long enough */

/* ---- leaving.c ---- */

void leave_begin(struct call *call);   /* its last batch is on its way */
void leave_message(struct call *call); /* a message of a stream is */
void leave_end(struct call *call);     /* that has come back */
void lane_end_leaving(struct lane *lane); /* the server stops */

/* ---- streams.c ---- */

void stream_health(struct call *call); /* a Health.Watch has arrived */
void stream_talk(struct call *call);   /* a call for reflection has arrived */
void stream_read(struct call *call);   /* it has said something, or that it has no more to say */

/* ---- watch.c ---- */

void watch_begin(struct call *call, struct fr_bytes request); /* its turn has come */
void watch_open(struct call *call);                           /* it need not wait any more, and is in no list */
void watch_wrote(struct call *call);                          /* its last list has left */
void watch_forget(struct call *call);                         /* before a call of any kind is used again */
void lane_rung(struct lane *lane);       /* somebody has moved */
void lane_push_next(struct lane *lane);  /* the first of those that are due */
void lane_end_watches(struct lane *lane); /* the server stops */
void watch_start(struct serve *serve);
void watch_stop(struct serve *serve); /* when no call is left */
/* ---- caller.c ---- */

/* May he, and is it not too much? CALLER_MAY: caller_leave when the answer has left, or will not; of a stream, its first. CALLER_MAY_NOT: *ret_answer says why not,
 * and it has been counted. CALLER_EARLY: its client has no place for it yet; it is kept in lane->early, to be asked for again. */
enum caller_may { CALLER_MAY, CALLER_MAY_NOT, CALLER_EARLY };
enum caller_may caller_may(struct call *call, struct answer *ret_answer);
void caller_leave(struct call *call);
/* Is his token still known, and does its role reach? Else *ret_answer says so, and it is logged. */
bool caller_may_still(struct call *call, struct answer *ret_answer);
void lane_look_at_tokens(struct lane *lane); /* when there are others: ends calls that go on and may not any more */

#endif
