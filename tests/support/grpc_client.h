/*
 * grpc_client.h -- a small gRPC client for tests, over gRPC-core: calls that can be begun now and waited for later, and
 * streams. Thread: each client its own.
 */
#ifndef FR_GRPC_CLIENT_H
#define FR_GRPC_CLIENT_H

#include <grpc/grpc.h>
#include <stdbool.h>

#include "freshet/bytes.h"

/* Met only by failing; and the deadline of calls that are to have time enough. */
enum { CLIENT_PATIENCE_MS = 120000 };

struct client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    const char *authorization; /* sent with each call; NULL: none */
};
void client_open(struct client *client, int port); /* a connection of its own to 127.0.0.1:port */
void client_open_packing(struct client *client, int port, grpc_compression_algorithm how); /* what it sends */
void client_close(struct client *client);

struct client_call {
    struct client *client;
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_metadata authorization;
    grpc_byte_buffer *sent, *received;
    grpc_slice details, body;
    grpc_status_code code;
    char message[600];
    bool greeted;
    char sends, reads, ends; /* their addresses are tags */
};

/* A call with one request; request.at NULL: it brings none. */
void client_begin(struct client_call *call, struct client *client, const char *path, struct fr_bytes request,
                  int timeout_ms);
/* Waits for its end: fills code, message; returns the body. */
struct fr_bytes client_end(struct client_call *call);
void client_release(struct client_call *call);
/* All three at once; the body is not kept. */
grpc_status_code client_ask(struct client *client, const char *path, struct fr_bytes request, char message[600]);

/* A stream. */
void stream_begin(struct client_call *call, struct client *client, const char *path);
void stream_begin_within(struct client_call *call, struct client *client, const char *path, int timeout_ms);
void stream_send(struct client_call *call, struct fr_bytes request, bool last);
bool stream_next(struct client_call *call, struct fr_bytes *ret_body); /* false: the stream has ended */
void stream_end(struct client_call *call);                             /* waits for its status */

#endif
