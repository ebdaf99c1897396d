/* unary.c -- one gRPC call with one request and one answer: a channel, a call, one batch of six operations, one event. */
#include "unary.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>

static grpc_byte_buffer *pack(const ProtobufCMessage *message)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(message));

    protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

static ProtobufCMessage *unpack(grpc_byte_buffer *buffer, const ProtobufCMessageDescriptor *kind)
{
    grpc_byte_buffer_reader reader;
    ProtobufCMessage *message = NULL;

    if (buffer && grpc_byte_buffer_reader_init(&reader, buffer)) {
        grpc_slice bytes = grpc_byte_buffer_reader_readall(&reader);
        message = protobuf_c_message_unpack(kind, NULL, GRPC_SLICE_LENGTH(bytes), GRPC_SLICE_START_PTR(bytes));
        grpc_slice_unref(bytes);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    return message;
}

ProtobufCMessage *unary_call(const char *server, const char *method, const ProtobufCMessage *request,
                             const ProtobufCMessageDescriptor *answer, int timeout_ms)
{
    grpc_init();
    grpc_channel_credentials *plain = grpc_insecure_credentials_create(); /* grpc_ssl_credentials_create for TLS */
    grpc_channel *channel = grpc_channel_create(server, plain, NULL);
    grpc_completion_queue *queue = grpc_completion_queue_create_for_pluck(NULL);
    gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    grpc_call *call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, grpc_slice_from_copied_string(method), NULL,
                                               deadline, NULL);
    grpc_byte_buffer *sent = pack(request), *received = NULL;
    grpc_metadata_array initial, trailing;
    grpc_status_code status = GRPC_STATUS_UNKNOWN;
    grpc_slice details = grpc_empty_slice();

    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    grpc_op batch[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = sent},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &received},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT, .data.recv_status_on_client = {&trailing, &status, &details, NULL}},
    };
    grpc_call_start_batch(call, batch, sizeof(batch) / sizeof(*batch), call, NULL);
    grpc_completion_queue_pluck(queue, call, gpr_inf_future(GPR_CLOCK_REALTIME), NULL); /* the call's deadline ends it */

    ProtobufCMessage *message = status == GRPC_STATUS_OK ? unpack(received, answer) : NULL;
    if (!message)
        fprintf(stderr, "%s%s: status %d %.*s\n", server, method, (int)status, (int)GRPC_SLICE_LENGTH(details),
                (const char *)GRPC_SLICE_START_PTR(details));

    grpc_slice_unref(details);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_byte_buffer_destroy(received);
    grpc_byte_buffer_destroy(sent);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(queue);
    grpc_completion_queue_destroy(queue);
    grpc_channel_destroy(channel);
    grpc_channel_credentials_release(plain);
    grpc_shutdown();
    return message;
}
