/*
 * grpc_client.h -- unary calls, many of them, as raw bytes: what a benchmark needs of a gRPC client.
 *
 * One channel, one completion queue, one thread. client_run keeps `at_once` calls in flight until `count` are done:
 *
 *     begin ── send ──> server ── answer ──> one event on the queue ── sample, look, begin the next in its slot
 */
#ifndef FR_BENCH_GRPC_CLIENT_H
#define FR_BENCH_GRPC_CLIENT_H

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#include <string.h>

#include "freshet/bytes.h"
#include "freshet/clock.h"
#include "measure.h"

enum { CLIENT_SLOTS_MAX = 64, CLIENT_PATIENCE_S = 30 };

struct client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
};

struct client_kind {
    const char *method; /* "/freshet.v1.Recommender/Recommend" */
    grpc_status_code wanted;
    struct fr_bytes (*request)(void *context);             /* valid until the next; NULL: empty */
    void (*answer)(void *context, struct fr_bytes answer); /* NULL: not looked at */
    void *context;
};

struct client_slot {
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *answer;
    grpc_status_code status;
    grpc_slice details;
    uint64_t begin_ns;
};

static inline void client_open(struct client *client, const char *address)
{
    grpc_arg limit = {
        .type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value.integer = 64 << 20};
    grpc_channel_args args = {1, &limit};
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();

    client->channel = grpc_channel_create(address, plain, &args);
    client->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_channel_credentials_release(plain);
}

static inline void client_close(struct client *client)
{
    grpc_channel_destroy(client->channel);
    grpc_completion_queue_shutdown(client->queue);
    while (grpc_completion_queue_next(client->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(client->queue);
}

static inline void client_begin(struct client *client, const struct client_kind *kind, void *handle,
                                struct client_slot *slot)
{
    struct fr_bytes bytes = kind->request ? kind->request(kind->context) : (struct fr_bytes){"", 0};
    grpc_slice slice = grpc_slice_from_copied_buffer(bytes.at, bytes.len);
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(CLIENT_PATIENCE_S, GPR_TIMESPAN));
    grpc_op ops[6];

    *slot = (struct client_slot){.details = grpc_empty_slice(), .begin_ns = fr_mono_ns()};
    slot->request = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    grpc_metadata_array_init(&slot->initial);
    grpc_metadata_array_init(&slot->trailing);
    slot->call = grpc_channel_create_registered_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                                     handle, deadline, NULL);
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = slot->request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &slot->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &slot->answer;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &slot->trailing;
    ops[5].data.recv_status_on_client.status = &slot->status;
    ops[5].data.recv_status_on_client.status_details = &slot->details;
    if (grpc_call_start_batch(slot->call, ops, 6, slot, NULL) != GRPC_CALL_OK)
        die("%s cannot be called", kind->method);
}

static inline void client_finish(const struct client_kind *kind, struct client_slot *slot)
{
    if (slot->status != kind->wanted)
        die("%s: status %d: %.*s", kind->method, (int)slot->status, (int)GRPC_SLICE_LENGTH(slot->details),
            (const char *)GRPC_SLICE_START_PTR(slot->details));
    if (kind->answer && slot->answer) {
        grpc_byte_buffer_reader reader;
        if (!grpc_byte_buffer_reader_init(&reader, slot->answer))
            die("%s: the answer cannot be read", kind->method);
        grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
        kind->answer(kind->context, (struct fr_bytes){(const char *)GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)});
        grpc_slice_unref(all);
    }
    if (slot->answer)
        grpc_byte_buffer_destroy(slot->answer);
    grpc_byte_buffer_destroy(slot->request);
    grpc_metadata_array_destroy(&slot->initial);
    grpc_metadata_array_destroy(&slot->trailing);
    grpc_slice_unref(slot->details);
    grpc_call_unref(slot->call);
}

/* Latencies in us go to `samples`, if not NULL. */
static inline void client_run(struct client *client, const struct client_kind *kind, size_t count, size_t at_once,
                              struct samples *samples)
{
    struct client_slot slots[CLIENT_SLOTS_MAX];
    void *handle = grpc_channel_register_call(client->channel, kind->method, NULL, NULL);
    size_t begun = 0, done = 0;

    for (; begun < at_once && begun < count && begun < CLIENT_SLOTS_MAX; begun++)
        client_begin(client, kind, handle, &slots[begun]);
    while (done < count) {
        grpc_event event = grpc_completion_queue_next(client->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        struct client_slot *slot = event.tag;
        if (event.type != GRPC_OP_COMPLETE)
            die("%s: the queue has ended", kind->method);
        if (samples)
            samples_add(samples, (double)(fr_mono_ns() - slot->begin_ns) / 1e3);
        client_finish(kind, slot);
        done++;
        if (begun++ < count)
            client_begin(client, kind, handle, slot);
    }
}

#endif
