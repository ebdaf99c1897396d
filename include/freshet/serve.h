/*
 * serve.h -- gRPC: the Recommender service on one listener, Admin on another, health and reflection on both.
 *
 * A request's life: a completion queue yields a registered call with its payload; its caller is looked at (caller.c), it is
 * admitted, or turned away at once (shed.h); at its turn call.c looks at its deadline and hands the bytes to answer.c, which knows no gRPC: unpack, check every field against its limit, ask the reader,
 * pack. What must wait for a position (not_before) or a checkpoint is parked and looked at again every millisecond until its
 * deadline; nothing else waits.
 */
#ifndef FR_SERVE_H
#define FR_SERVE_H

#include "freshet/backup.h"
#include "freshet/certificate.h"
#include "freshet/engine.h"
#include "freshet/err.h"
#include "freshet/tokens.h"

/* What an operator may ask of the daemon as a whole. Thread: the one that serves the Admin's calls. */
struct serve_control {
    void *context;
    void (*drain)(void *context); /* begins what SIGTERM begins; returns at once */
    /* Reads the configuration again and calls say() for each key that differs (NULL: not set), `applied` if the new value is in effect. Not
     * FR_OK, and nothing has changed: it has problems, which err names. */
    int (*reload)(void *context, void (*say)(void *to, const char *key, bool applied, const char *before, const char *after),
                  void *to, struct fr_err *err);
    /* Has a tombstone written for a user, or an item; feed_forget and feed_forget_done. */
    int (*forget)(void *context, bool item, struct fr_bytes id, uint64_t *ret_ticket, struct fr_err *err);
    bool (*forgotten)(void *context, uint64_t ticket, struct tombstone *ret, int *ret_status, struct fr_err *ret_err);
    /* Has a halted partition read on; feed_reset and feed_reset_done. */
    int (*reset)(void *context, const struct reset *reset, uint64_t *ret_ticket, struct fr_err *err);
    bool (*reset_done)(void *context, uint64_t ticket, struct reset_outcome *ret, int *ret_status, struct fr_err *ret_err);
};

struct serve_options {
    const char *listen;       /* "127.0.0.1:50051"; port 0 picks one */
    const char *admin_listen; /* "127.0.0.1:50052" */
    int threads;              /* completion queues, one thread each; 1 is best on 2 cores */
    uint32_t default_k, max_k;
    uint32_t max_seeds, max_filter_items;  /* per request */
    uint64_t exploration_seed; /* what is drawn for RecommendRequest.exploration depends on it */
    uint32_t max_message_bytes;
    uint32_t max_inflight;    /* questions admitted and not yet answered; beyond: RESOURCE_EXHAUSTED, at once */
    span_ms max_queue;        /* a question that has waited longer for its turn is not answered: RESOURCE_EXHAUSTED */
    uint32_t max_watches;     /* streams of Watch at most; beyond: RESOURCE_EXHAUSTED */
    uint32_t max_waiting;     /* parked calls of each listener at most; beyond: RESOURCE_EXHAUSTED */
    uint64_t memory;          /* bytes gRPC may hold for each listener's connections and calls; near it, it turns them away */
    uint32_t max_concurrent_streams;
    span_ms slow;             /* a question that takes longer is logged; 0: none */
    span_ms drain_grace;      /* calls in flight may take this long while draining */
    double client_rate;       /* questions a second of one client, by its token's name or else by its address; 0: any number */
    uint32_t client_burst;    /* of them at once after a pause; 0: a second's worth */
    uint32_t client_inflight; /* of them in flight; 0: any number */
    uint32_t early_looks;     /* so often is one more looked at, a millisecond apart or more, before it is refused */
    /* Borrowed until serve_stop. */
    struct certificate *certificate, *admin_certificate; /* NULL: plain HTTP/2 */
    struct tokens *tokens;                               /* NULL: anybody may ask anything */
    const char *version, *brokers; /* for GetStatus */
    struct backups *backups;       /* borrowed until serve_stop; NULL: there are none to be asked for */
    struct serve_control control;
};

struct serve;
/* Binds and begins to serve. FR_IO when an address cannot be bound (the text names it). */
int serve_start(struct serve **ret_serve, const struct serve_options *options, struct engine *engine, struct fr_err *err);
/* No more records will be applied: who waits for a position that was not reached, or for a tombstone to be applied, gets UNAVAILABLE from
 * here on. Thread: any. */
void serve_ingest_over(struct serve *serve);
/* New calls get UNAVAILABLE, calls in flight finish within the grace; when there are none it returns at once. Frees. Health said
 * NOT_SERVING before (it follows fr_state_now): between the two, calls are still answered. */
void serve_stop(struct serve *serve);
int serve_port(const struct serve *serve);       /* as bound */
int serve_admin_port(const struct serve *serve);
const char *serve_library_version(void);         /* gRPC-core's */

#endif
