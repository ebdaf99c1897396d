/*
 * rpc.c -- one call with gRPC-core, and wait for it; or for its answers one after another.
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
#include "freshet/abseil.h"
#include "freshet/address.h"
#include "freshet/alloc.h"

/* The daemon takes a ping each ten seconds from a connection on which nothing else is said (daemon/serve/grpc.c). */
enum { KEEPALIVE_MS = 20000, KEEPALIVE_TIMEOUT_MS = 10000 };

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

/* Initial metadata with who asks; `shown` must live until the batch has begun. */
static void put_metadata(const struct rpc *rpc, grpc_op *op, grpc_metadata *shown)
{
    op->op = GRPC_OP_SEND_INITIAL_METADATA;
    if (!rpc->authorization)
        return;
    *shown = (grpc_metadata){.key = grpc_slice_from_static_string("authorization"),
                             .value = grpc_slice_from_static_string(rpc->authorization)};
    op->data.send_initial_metadata.metadata = shown;
    op->data.send_initial_metadata.count = 1;
}

static void call_and_wait(struct rpc *rpc, grpc_completion_queue *queue, grpc_call *call, grpc_byte_buffer *request,
                          struct answer *answer)
{
    grpc_metadata shown;
    grpc_op ops[6];

    memset(ops, 0, sizeof(ops));
    put_metadata(rpc, &ops[0], &shown);
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

static int unpack_payload(const char *server, struct answer *answer, const ProtobufCMessageDescriptor *response,
                          ProtobufCMessage **ret, struct fr_err *err)
{
    grpc_byte_buffer_reader reader;

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

/* Not: whoever asks, or what is asked, is refused, and will be. */
static bool passes(grpc_status_code status)
{
    return status != GRPC_STATUS_INVALID_ARGUMENT && status != GRPC_STATUS_PERMISSION_DENIED &&
           status != GRPC_STATUS_UNAUTHENTICATED && status != GRPC_STATUS_UNIMPLEMENTED;
}

static int check_status(const char *server, const struct answer *answer, struct fr_err *err)
{
    if (answer->status == GRPC_STATUS_OK)
        return FR_OK;
    char *details = grpc_slice_to_c_string(answer->details);
    fr_fail(err, FR_IO, "%s: %s: %s", server, status_name(answer->status), details);
    if (err)
        err->retriable = passes(answer->status);
    gpr_free(details);
    return FR_IO;
}

static grpc_arg number(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

int rpc_open(struct rpc **ret, const char *server, struct fr_err *err)
{
    grpc_arg some[] = {
        number(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 64 << 20),
        /* http_proxy is for other machines: no proxy comes to this one's loopback. */
        number(GRPC_ARG_ENABLE_HTTP_PROXY, !fr_address_local(server)),
        /* A watch has no deadline: one whose daemon has vanished without a word would never know. */
        number(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
        number(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        number(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0), /* as many as it takes; the standard is two */
        /* Else all channels of a process to one address are one connection. */
        number(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
    };
    grpc_channel_args args = {sizeof(some) / sizeof(*some), some};
    grpc_channel_credentials *credentials;
    struct rpc *rpc;
    int status;

    if (!*server)
        return fr_fail(err, FR_INVALID, "the daemon's address is empty; it is HOST:PORT");
    if (!getenv("GRPC_VERBOSITY"))
        gpr_set_log_function(say_nothing);
    fr_abseil_trust_locks();
    grpc_init();
    rpc = fr_zalloc(1, sizeof(*rpc));
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

static void release(grpc_completion_queue *queue, grpc_call *call, struct answer *answer)
{
    grpc_byte_buffer_destroy(answer->payload);
    grpc_metadata_array_destroy(&answer->initial);
    grpc_metadata_array_destroy(&answer->trailing);
    grpc_slice_unref(answer->details);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(queue);
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
    int status = check_status(rpc->server, &answer, err);
    if (!status)
        status = unpack_payload(rpc->server, &answer, response, ret, err);
    grpc_byte_buffer_destroy(bytes);
    release(queue, call, &answer);
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

/* ---- answers one after another ---- */

enum { TAG_SENT, TAG_NEXT, TAG_ENDED };

static void start(grpc_call *call, const grpc_op *ops, size_t len, intptr_t tag)
{
    grpc_call_start_batch(call, ops, len, (void *)tag, NULL); /* refused: a broken program */
}

static void begin(const struct rpc *rpc, grpc_call *call, grpc_byte_buffer *request, struct answer *answer)
{
    grpc_op ops[3] = {{.flags = 0}, {.op = GRPC_OP_SEND_MESSAGE}, {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}};
    grpc_op end = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    grpc_metadata shown;

    put_metadata(rpc, &ops[0], &shown);
    ops[1].data.send_message.send_message = request;
    end.data.recv_status_on_client.trailing_metadata = &answer->trailing;
    end.data.recv_status_on_client.status = &answer->status;
    end.data.recv_status_on_client.status_details = &answer->details;
    start(call, ops, 3, TAG_SENT);
    start(call, &end, 1, TAG_ENDED);
}

/* The next message into answer->payload; NULL: there are no more. */
static void read_next(grpc_call *call, struct answer *answer, bool first)
{
    grpc_op ops[2] = {{.op = GRPC_OP_RECV_MESSAGE}, {.op = GRPC_OP_RECV_INITIAL_METADATA}};

    ops[0].data.recv_message.recv_message = &answer->payload;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &answer->initial;
    start(call, ops, first ? 2 : 1, TAG_NEXT);
}

/* True: go on. */
static bool hand_over(struct rpc *rpc, struct answer *answer, const ProtobufCMessageDescriptor *response,
                      bool (*take)(void *context, ProtobufCMessage *message), void *context, int *status, struct fr_err *err)
{
    ProtobufCMessage *message;

    *status = unpack_payload(rpc->server, answer, response, &message, err);
    grpc_byte_buffer_destroy(answer->payload);
    answer->payload = NULL;
    if (*status)
        return false;
    bool more = take(context, message);
    protobuf_c_message_free_unpacked(message, NULL);
    return more;
}

int rpc_stream(struct rpc *rpc, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
               bool (*take)(void *context, ProtobufCMessage *message), void *context, uint64_t timeout_ms, struct fr_err *err)
{
    struct answer answer = {.details = grpc_empty_slice()};
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    gpr_timespec end = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis((int64_t)timeout_ms, GPR_TIMESPAN));
    grpc_call *call = grpc_channel_create_call(rpc->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, grpc_slice_from_static_string(method),
                                               NULL, timeout_ms ? end : gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_byte_buffer *bytes = pack(request);
    bool stopped = false, came = false;
    int status = FR_OK;

    grpc_metadata_array_init(&answer.initial);
    grpc_metadata_array_init(&answer.trailing);
    begin(rpc, call, bytes, &answer);
    read_next(call, &answer, true);
    for (int left = 3; left;) {
        grpc_event event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        left--;
        if (event.tag != (void *)TAG_NEXT || !answer.payload || stopped)
            continue;
        came = true;
        stopped = !hand_over(rpc, &answer, response, take, context, &status, err);
        if (stopped)
            grpc_call_cancel(call, NULL);
        else
            read_next(call, &answer, false), left++;
    }
    if (!stopped && !(came && timeout_ms && answer.status == GRPC_STATUS_DEADLINE_EXCEEDED))
        status = check_status(rpc->server, &answer, err);
    grpc_byte_buffer_destroy(bytes);
    release(queue, call, &answer);
    return status;
}
