/*
 * rpc.c -- one unary call with gRPC-core, and wait for it.
 *
 * channel, call, one batch of six operations, one event. A client that asks one thing at a time needs no more.
 */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "credentials.h"
#include "freshet/alloc.h"

struct rpc {
    const char *server;
    char *authorization; /* "Bearer TOKEN"; NULL: none is shown */
    grpc_channel *channel;
};

struct answer {
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *payload;
    grpc_status_code status;
    grpc_slice details;
};

static const char *status_name(grpc_status_code status)
{
    static const char *const names[] = {
        "OK",           "CANCELLED",         "UNKNOWN",        "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
        "NOT_FOUND",    "ALREADY_EXISTS",    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",      "OUT_OF_RANGE",      "UNIMPLEMENTED",  "INTERNAL",         "UNAVAILABLE",
        "DATA_LOSS",    "UNAUTHENTICATED",
    };

    return (size_t)status < sizeof(names) / sizeof(*names) ? names[status] : "an unknown status";
}

static grpc_byte_buffer *pack(const ProtobufCMessage *request)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(request));

    protobuf_c_message_pack(request, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

static void call_and_wait(struct rpc *rpc, grpc_completion_queue *queue, grpc_call *call, grpc_byte_buffer *request,
                          struct answer *answer)
{
    grpc_metadata shown = {.key = grpc_slice_from_static_string("authorization")};
    grpc_op ops[6];

    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (rpc->authorization) {
        shown.value = grpc_slice_from_static_string(rpc->authorization);
        ops[0].data.send_initial_metadata.metadata = &shown;
        ops[0].data.send_initial_metadata.count = 1;
    }
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &answer->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &answer->payload;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &answer->trailing;
    ops[5].data.recv_status_on_client.status = &answer->status;
    ops[5].data.recv_status_on_client.status_details = &answer->details;
    answer->status = GRPC_STATUS_INTERNAL;
    if (grpc_call_start_batch(call, ops, 6, call, NULL) == GRPC_CALL_OK)
        grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
}

static int unpack(const char *server, struct answer *answer, const ProtobufCMessageDescriptor *response,
                  ProtobufCMessage **ret, struct fr_err *err)
{
    grpc_byte_buffer_reader reader;

    if (answer->status != GRPC_STATUS_OK) {
        char *details = grpc_slice_to_c_string(answer->details);
        fr_fail(err, FR_IO, "%s: %s: %s", server, status_name(answer->status), details);
        gpr_free(details);
        return FR_IO;
    }
    if (!answer->payload || !grpc_byte_buffer_reader_init(&reader, answer->payload))
        return fr_fail(err, FR_IO, "%s: the answer is empty", server);
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    *ret = protobuf_c_message_unpack(response, NULL, GRPC_SLICE_LENGTH(all), GRPC_SLICE_START_PTR(all));
    grpc_slice_unref(all);
    return *ret ? FR_OK : fr_fail(err, FR_CORRUPT, "%s: the answer cannot be read", server);
}

/* What it has to say is in the status of the call; who wants more of it sets GRPC_VERBOSITY. */
static void say_nothing(gpr_log_func_args *args)
{
    (void)args;
}

int rpc_open(struct rpc **ret, const char *server, struct fr_err *err)
{
    grpc_arg limit = {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value.integer = 64 << 20};
    grpc_channel_args args = {1, &limit};
    grpc_channel_credentials *credentials;
    struct rpc *rpc = fr_zalloc(1, sizeof(*rpc));
    int status;

    if (!getenv("GRPC_VERBOSITY"))
        gpr_set_log_function(say_nothing);
    grpc_init();
    rpc->server = server;
    status = credentials_authorization(&rpc->authorization, err);
    if (status == FR_OK)
        status = credentials_channel(&credentials, err);
    if (status != FR_OK) {
        rpc_close(rpc);
        return status;
    }
    rpc->channel = grpc_channel_create(server, credentials, &args);
    grpc_channel_credentials_release(credentials);
    *ret = rpc;
    return FR_OK;
}

void rpc_close(struct rpc *rpc)
{
    if (rpc->channel)
        grpc_channel_destroy(rpc->channel);
    grpc_shutdown();
    free(rpc->authorization);
    free(rpc);
}

int rpc_ask(struct rpc *rpc, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
            ProtobufCMessage **ret, uint64_t timeout_ms, struct fr_err *err)
{
    struct answer answer = {.details = grpc_empty_slice()};
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis((int64_t)timeout_ms, GPR_TIMESPAN));
    grpc_call *call = grpc_channel_create_call(rpc->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
                                               grpc_slice_from_static_string(method), NULL, deadline, NULL);
    grpc_byte_buffer *bytes = pack(request);

    grpc_metadata_array_init(&answer.initial);
    grpc_metadata_array_init(&answer.trailing);
    call_and_wait(rpc, queue, call, bytes, &answer);
    int status = unpack(rpc->server, &answer, response, ret, err);
    grpc_byte_buffer_destroy(bytes);
    if (answer.payload)
        grpc_byte_buffer_destroy(answer.payload);
    grpc_metadata_array_destroy(&answer.initial);
    grpc_metadata_array_destroy(&answer.trailing);
    grpc_slice_unref(answer.details);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(queue);
    return status;
}

int rpc_call(const char *server, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response, ProtobufCMessage **ret, uint64_t timeout_ms, struct fr_err *err)
{
    struct rpc *rpc;
    int status = rpc_open(&rpc, server, err);

    if (status != FR_OK)
        return status;
    status = rpc_ask(rpc, method, request, response, ret, timeout_ms, err);
    rpc_close(rpc);
    return status;
}
