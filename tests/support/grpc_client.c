/*
 * grpc_client.c -- a small gRPC client for tests.
 */
#include "grpc_client.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>

void client_open_packing(struct client *client, int port, grpc_compression_algorithm how)
{
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0},
        /* Windows stay at 64 KiB, so that who does not read is soon full. */
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_HTTP2_BDP_PROBE, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM, .value.integer = (int)how},
    };
    grpc_channel_args all = {4, args};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    char target[40];

    grpc_init();
    snprintf(target, sizeof(target), "127.0.0.1:%d", port);
    client->channel = grpc_channel_create(target, credentials, &all);
    grpc_channel_credentials_release(credentials);
    client->queue = grpc_completion_queue_create_for_pluck(NULL);
    client->authorization = NULL;
}

void client_open(struct client *client, int port)
{
    client_open_packing(client, port, GRPC_COMPRESS_NONE);
}

void client_close(struct client *client)
{
    grpc_channel_destroy(client->channel);
    grpc_completion_queue_shutdown(client->queue);
    grpc_completion_queue_destroy(client->queue);
    grpc_shutdown_blocking();
}

static gpr_timespec in_ms(int ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static void wait_for(struct client_call *call, void *tag)
{
    grpc_event event = grpc_completion_queue_pluck(call->client->queue, tag, in_ms(CLIENT_PATIENCE_MS), NULL);

    assert(event.type == GRPC_OP_COMPLETE);
    (void)event;
}

static void start(struct client_call *call, const grpc_op *ops, size_t len, void *tag)
{
    grpc_call_error error = grpc_call_start_batch(call->call, ops, len, tag, NULL);

    assert(error == GRPC_CALL_OK);
    (void)error;
}

static void create(struct client_call *call, struct client *client, const char *path, int timeout_ms)
{
    *call = (struct client_call){.client = client};
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    call->body = grpc_empty_slice();
    call->call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                          grpc_slice_from_static_string(path), NULL, in_ms(timeout_ms), NULL);
}

static grpc_op op_greet(struct client_call *call)
{
    grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};

    if (!call->client->authorization)
        return op;
    call->authorization = (grpc_metadata){.key = grpc_slice_from_static_string("authorization"),
                                          .value = grpc_slice_from_static_string(call->client->authorization)};
    op.data.send_initial_metadata.count = 1;
    op.data.send_initial_metadata.metadata = &call->authorization;
    return op;
}

static grpc_op op_send(struct client_call *call, struct fr_bytes request)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(request.at, request.len);

    call->sent = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->sent};
}

static grpc_op op_greeting(struct client_call *call)
{
    call->greeted = true;
    return (grpc_op){.op = GRPC_OP_RECV_INITIAL_METADATA,
                     .data.recv_initial_metadata.recv_initial_metadata = &call->initial};
}

static grpc_op op_receive(struct client_call *call)
{
    return (grpc_op){.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->received};
}

static grpc_op op_status(struct client_call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};

    op.data.recv_status_on_client.trailing_metadata = &call->trailing;
    op.data.recv_status_on_client.status = &call->code;
    op.data.recv_status_on_client.status_details = &call->details;
    return op;
}

static struct fr_bytes take_body(struct client_call *call)
{
    grpc_byte_buffer_reader reader;

    grpc_slice_unref(call->body);
    call->body = grpc_empty_slice();
    if (call->received && grpc_byte_buffer_reader_init(&reader, call->received)) {
        call->body = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    grpc_byte_buffer_destroy(call->received);
    call->received = NULL;
    return (struct fr_bytes){(const char *)GRPC_SLICE_START_PTR(call->body), GRPC_SLICE_LENGTH(call->body)};
}

static void take_details(struct client_call *call)
{
    snprintf(call->message, sizeof(call->message), "%.*s", (int)GRPC_SLICE_LENGTH(call->details),
             (const char *)GRPC_SLICE_START_PTR(call->details));
}

void client_begin(struct client_call *call, struct client *client, const char *path, struct fr_bytes request,
                  int timeout_ms)
{
    grpc_op ops[6] = {{.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}};
    size_t len = 1;

    create(call, client, path, timeout_ms);
    ops[len++] = op_greet(call);
    if (request.at)
        ops[len++] = op_send(call, request);
    ops[len++] = op_greeting(call);
    ops[len++] = op_receive(call);
    ops[len++] = op_status(call);
    start(call, ops, len, &call->ends);
}

struct fr_bytes client_end(struct client_call *call)
{
    wait_for(call, &call->ends);
    take_details(call);
    return take_body(call);
}

void client_release(struct client_call *call)
{
    grpc_byte_buffer_destroy(call->sent);
    grpc_byte_buffer_destroy(call->received);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->details);
    grpc_slice_unref(call->body);
    grpc_call_unref(call->call);
}

grpc_status_code client_ask(struct client *client, const char *path, struct fr_bytes request, char message[600])
{
    struct client_call call;

    client_begin(&call, client, path, request, CLIENT_PATIENCE_MS);
    client_end(&call);
    memcpy(message, call.message, sizeof(call.message));
    client_release(&call);
    return call.code;
}

/* ---- streams ---- */

void stream_begin(struct client_call *call, struct client *client, const char *path)
{
    stream_begin_within(call, client, path, CLIENT_PATIENCE_MS);
}

void stream_begin_within(struct client_call *call, struct client *client, const char *path, int timeout_ms)
{
    grpc_op greet, status;

    create(call, client, path, timeout_ms);
    greet = op_greet(call);
    status = op_status(call);
    start(call, &status, 1, &call->ends);
    start(call, &greet, 1, &call->sends);
    wait_for(call, &call->sends);
}

void stream_send(struct client_call *call, struct fr_bytes request, bool last)
{
    grpc_op ops[2] = {op_send(call, request), {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}};

    start(call, ops, last ? 2 : 1, &call->sends);
    wait_for(call, &call->sends);
    grpc_byte_buffer_destroy(call->sent);
    call->sent = NULL;
}

bool stream_next(struct client_call *call, struct fr_bytes *ret_body)
{
    grpc_op ops[2];
    size_t len = 0;
    bool there;

    if (!call->greeted)
        ops[len++] = op_greeting(call);
    ops[len++] = op_receive(call);
    start(call, ops, len, &call->reads);
    wait_for(call, &call->reads);
    there = call->received != NULL;
    *ret_body = take_body(call);
    return there;
}

void stream_end(struct client_call *call)
{
    wait_for(call, &call->ends);
    take_details(call);
}
