/*
 * clients.h -- what each client has taken of late, so that one of them cannot take what is there for all. No gRPC, no
 * clock: times come in.
 *
 *     name of the token, or address ── hash ──> set ──> ┌ client: tokens, when they were counted, calls in flight and waiting ┐ 16 of them
 *
 * A bucket of `burst` tokens fills by `rate` a second; a call takes one, or is turned away when there is none. The table
 * has a fixed size. A client that is not in its set takes the place of one that has nothing in flight or waiting: of one whose bucket is full
 * again if there is any, so that forgetting it loses nothing, else of the one longest unheard of. The hash is seeded, so that
 * nobody can choose whose place that is. When all sixteen have calls in flight, or that wait, one more is turned away.
 *
 * Thread: any; each set has a lock of its own, held for some instructions.
 */
#ifndef FR_CLIENTS_H
#define FR_CLIENTS_H

#include "freshet/bytes.h"
#include "shed.h"

struct clients_options {
    double rate;       /* calls a second; 0: any number */
    uint32_t burst;    /* calls at once after a pause; 0: a second's worth, at least one */
    uint32_t inflight; /* calls in flight; 0: any number */
    uint64_t seed;     /* not to be guessed */
};

struct clients;
struct client;
struct clients *clients_new(const struct clients_options *options); /* NULL when nothing is limited */
void clients_free(struct clients *clients);                         /* NULL is nothing */

/* NOT_REJECTED: *ret_client is to be given back by clients_leave. Else REJECTED_CLIENT_RATE or REJECTED_CLIENT_INFLIGHT, or
 * REJECTED_CLIENTS: the table has no place for it, which is no excess of its own. */
enum rejection clients_enter(struct clients *clients, struct fr_bytes name, uint64_t now_ns, struct client **ret_client);
void clients_leave(struct clients *clients, struct client *client);
/* One call more that waits for a place of its client's, who has as many in flight as it may. NULL: so many wait already, or as many as may be
 * in flight, or the client is not known. Else to be given back by clients_wait_over. */
struct client *clients_wait(struct clients *clients, struct fr_bytes name, uint32_t most);
void clients_wait_over(struct clients *clients, struct client *client);

#endif
