/*
 * grpc.c -- the servers, their completion queues and threads, from binding to the last call.
 *
 * Stopping, in this order, because each step relies on the one before:
 *
 *     stopping = true            new calls are UNAVAILABLE, streams are told and ended
 *     ... grace ...              calls in flight finish
 *     connections end            which is UNAVAILABLE, too, to whoever has just asked (connections.h)
 *     shutdown_and_notify        armed calls come back unused; then cancel_all_calls, for what outlasted the grace
 *     SERVER_DOWN comes          no call is left: the server can be destroyed
 *     `watch` ends               nobody rings a lane any more
 *     queues shut down           each lane drains its own and its thread ends
 *
 * No call is armed after its server is down: a call arms its successor before it is answered, and an unanswered call
 * keeps its server up.
 */
#include <assert.h>
#include <errno.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "connections.h"
#include "freshet/abseil.h"
#include "freshet/log.h"
#include "freshet/serve.h"
#include "tls.h"

enum { LOOK_MS = 1, STREAMS_MS = 100, IDLE_MS = 1000, HAPPENINGS_A_TURN = 32 };

const char *serve_library_version(void)
{
    return grpc_version_string();
}

static void log_line(gpr_log_func_args *args)
{
    const char *file = strrchr(args->file, '/');

    fr_log(args->severity == GPR_LOG_SEVERITY_ERROR ? FR_WARN : FR_DEBUG, "grpc", "grpc.says",
           FR_FIELDS(FR_TEXT("file", file ? file + 1 : args->file), FR_INT("line", args->line)), "%s", args->message);
}

/* ---- a lane ---- */

static gpr_timespec in_ms(int64_t ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static void server_down(struct listener *listener)
{
    struct serve *serve = listener->serve;

    pthread_mutex_lock(&serve->lock);
    listener->down = true;
    pthread_cond_signal(&serve->changed);
    pthread_mutex_unlock(&serve->lock);
}

static void handle(const struct tag *tag, bool success)
{
    if (tag->what == SERVER_DOWN)
        server_down(tag->whom);
    else if (tag->what == LANE_RUNG)
        lane_rung(tag->whom);
    else
        call_happened(tag->whom, tag->what, success);
}

/* The server stops. */
static void end_what_stays(struct lane *lane)
{
    if (!lane->draining_ns)
        lane->draining_ns = fr_mono_ns();
    lane_end_watches(lane);
    lane_end_leaving(lane);
}

/* With questions to answer the queue is only looked into. */
static gpr_timespec next_look(const struct lane *lane)
{
    bool streams = lane->streams.first || lane->leaving.first || (lane->watched.first && atomic_load(&lane->serve->stopping));

    if (lane->ready.first || lane->due.first)
        return gpr_inf_past(GPR_CLOCK_MONOTONIC);
    return in_ms(lane->waiting.first || lane->early.first ? LOOK_MS : streams ? STREAMS_MS : IDLE_MS);
}

/* What has arrived is looked at before the next questions are answered: so excess is turned away at once, by us, instead
 * of piling up unbounded within gRPC. But not for ever: each HAPPENINGS_A_TURN some questions have their turn. */
static void lane_run(void *lane_pointer)
{
    struct lane *lane = lane_pointer;
    struct fr_pulse *pulse = fr_pulse_start(lane->listener->which == RPC_ADMIN ? "serve.admin" : "serve");
    uint64_t look_ns = 0, streams_ns = 0;
    unsigned happened = 0;
    grpc_event event;

    do {
        uint64_t now = fr_mono_ns();
        fr_pulse_beat(pulse);
        if ((lane->waiting.first || lane->early.first) && now >= look_ns) {
            lane_look_at_early(lane);
            lane_look_at_waiting(lane);
            look_ns = fr_mono_ns() + LOOK_MS * 1000000U;
        }
        if (lane->streams.first && (now >= streams_ns || atomic_load(&lane->serve->stopping))) {
            lane_look_at_streams(lane);
            streams_ns = now + STREAMS_MS * 1000000U;
        }
        if (atomic_load(&lane->serve->stopping))
            end_what_stays(lane);
        lane_look_at_tokens(lane);
        if (lane->due.first)
            lane_push_next(lane);
        event = grpc_completion_queue_next(lane->queue, next_look(lane), NULL);
        connections_turn();
        happened++;
        if (event.type == GRPC_OP_COMPLETE)
            handle(event.tag, event.success);
        if (lane->ready.first && (event.type == GRPC_QUEUE_TIMEOUT || happened >= HAPPENINGS_A_TURN)) {
            lane_answer_some(lane);
            happened = 0;
        }
    } while (event.type != GRPC_QUEUE_SHUTDOWN);
    fr_pulse_stop(pulse);
}

/* ---- starting ---- */

static grpc_arg number(const char *key, int64_t value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER,
                      .key = (char *)(uintptr_t)key,
                      .value.integer = (int)(value < INT_MAX ? value : INT_MAX)};
}

static grpc_server *server_new(const struct serve_options *options, grpc_resource_quota *quota)
{
    grpc_arg args[] = {
        number(GRPC_ARG_ALLOW_REUSEPORT, 0), /* else a second daemon on the port would share its connections */
        number(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, options->max_message_bytes),
        number(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0), /* received.c unpacks, as far as may be */
        number(GRPC_ARG_MAX_METADATA_SIZE, 8192),
        number(GRPC_ARG_MAX_CONCURRENT_STREAMS, options->max_concurrent_streams),
        number(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 5000), /* gRPC's own is two minutes */
        number(GRPC_ARG_HTTP2_BDP_PROBE, 0),                /* it grows windows, and with them memory per call */
        number(GRPC_ARG_ENABLE_CHANNELZ, 0),
        number(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000),
        number(GRPC_ARG_KEEPALIVE_TIME_MS, 60000), /* so that a caller that vanished does not wait for ever */
        number(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000),
        number(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        number(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 600000), /* a client that has no call may come again */
        {.type = GRPC_ARG_POINTER,
         .key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA,
         .value.pointer = {quota, grpc_resource_quota_arg_vtable()}},
    };
    grpc_channel_args all = {sizeof(args) / sizeof(args[0]), args};

    return grpc_server_create(&all, NULL);
}

/*
 * Every polling queue is a thread that gRPC may wake for any connection's bytes: with one of the Admin's own, half of a
 * Recommend's packets were read by that thread and handed across (and 15 us of each call spent on it). So the Admin's
 * queue does not poll; the first of the Recommender's reads for it, and its own thread only answers.
 */
static grpc_completion_queue *queue_new(bool polls)
{
    const grpc_completion_queue_attributes attributes = {
        .version = GRPC_CQ_CURRENT_VERSION,
        .cq_completion_type = GRPC_CQ_NEXT,
        .cq_polling_type = polls ? GRPC_CQ_DEFAULT_POLLING : GRPC_CQ_NON_POLLING,
    };

    return grpc_completion_queue_create(grpc_completion_queue_factory_lookup(&attributes), &attributes, NULL);
}

static void listener_init(struct listener *listener, struct serve *serve, enum rpc_listener which, int lanes,
                          struct engine *engine)
{
    grpc_resource_quota *quota;

    listener->serve = serve;
    listener->which = which;
    /* One each: what callers of the Recommender take, the Admin's do not lack. */
    quota = grpc_resource_quota_create(which == RPC_ADMIN ? "admin" : "public");
    grpc_resource_quota_resize(quota, (size_t)serve->options.memory);
    listener->server = server_new(&serve->options, quota);
    grpc_resource_quota_unref(quota);
    listener->down_tag = (struct tag){SERVER_DOWN, listener};
    listener->lanes_len = (size_t)lanes;
    if (which == RPC_ADMIN)
        grpc_server_register_completion_queue(listener->server, serve->listeners[0].lanes[0].queue, NULL);
    for (int i = 0; i < lanes; i++) {
        struct lane *lane = &listener->lanes[i];
        lane->serve = serve;
        lane->listener = listener;
        lane->queue = queue_new(which == RPC_PUBLIC);
        lane->answerer = answerer_new(&serve->options, engine);
        lane->tokens = tokens_view_new(serve->options.tokens);
        lane->shed.queue_ns_max = (uint64_t)serve->options.max_queue * 1000000U;
        lane->early.count = &lane->early_count;
        lane->ready.count = &serve->ready;
        lane->waiting.count = &listener->waiting;
        lane->streams.count = &listener->streams;
        lane->leaving.count = &serve->leaving;
        lane->watched.count = lane->due.count = &serve->watches;
        lane->rung_tag = (struct tag){LANE_RUNG, lane};
        grpc_server_register_completion_queue(listener->server, lane->queue, NULL);
    }
    for (int rpc = 0; rpc < RPC_UNKNOWN; rpc++) {
        const struct rpc_method *method = &rpc_methods[rpc];
        bool talks = method->kind == RPC_KIND_TALK; /* nothing is read before we ask */
        if (method->listeners & which && method->kind != RPC_KIND_LATER)
            listener->registered[rpc] = grpc_server_register_method(
                listener->server, method->path, NULL,
                talks ? GRPC_SRM_PAYLOAD_NONE : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    }
}

static int listener_bind(struct listener *listener, const char *address, struct certificate *certificate, struct fr_err *err)
{
    grpc_server_credentials *credentials;

    listener->tls = certificate ? tls_new(certificate) : NULL;
    credentials = listener->tls ? tls_credentials(listener->tls) : grpc_insecure_server_credentials_create();

    listener->port = grpc_server_add_http2_port(listener->server, address, credentials);
    grpc_server_credentials_release(credentials);
    if (listener->port > 0)
        connections_guard(listener->port);
    else
        return fr_fail(err, FR_IO, "cannot listen on '%s': it is taken, or not an address of this machine", address);
    return FR_OK;
}

static void listener_start(struct listener *listener)
{
    grpc_server_start(listener->server);
    for (size_t i = 0; i < listener->lanes_len; i++) {
        struct lane *lane = &listener->lanes[i];
        for (int rpc = 0; rpc < RPCS; rpc++)
            for (unsigned n = 0; (listener->registered[rpc] || rpc == RPC_UNKNOWN) && n < rpc_methods[rpc].armed; n++)
                call_arm(lane, (enum rpc)rpc);
        lane->thread = fr_thread_start(listener->which == RPC_ADMIN ? "serve-admin" : "serve", lane_run, lane);
    }
}

/* Every series there can be, from the start. */
static void make_series(struct serve *serve)
{
    static const char *const reasons[REJECTIONS] = {"draining", "expired", "waiting", "streams",
                                                    "inflight", "queue",   "deadline", "client_rate",
                                                    "client_inflight", "clients", "untaken"};

    for (int rpc = 0; rpc < RPCS; rpc++) {
        const char *label = rpc_methods[rpc].label;
        serve->seconds[rpc] = fr_series(FR_M_RPC_SECONDS, label, "", "");
        serve->inflight[rpc] = fr_series(FR_M_RPC_INFLIGHT, label, "", "");
        for (int code = 0; code < RPC_CODES; code++)
            if (rpc_code_name((enum rpc_code)code))
                serve->handled[rpc][code] = fr_series(FR_M_RPC_HANDLED, label, rpc_code_name((enum rpc_code)code), "");
    }
    for (int i = 0; i < REJECTIONS; i++)
        serve->rejected[i] = fr_series(FR_M_RPC_REJECTED, reasons[i], "", "");
}

static void copy_options(struct serve *serve, const struct serve_options *options)
{
    serve->options = *options;
    serve->options.version = fr_strdup(options->version ? options->version : "");
    serve->options.brokers = fr_strdup(options->brokers ? options->brokers : "");
    if (serve->options.threads < 1)
        serve->options.threads = 1;
    if (serve->options.threads > LANES_MAX)
        serve->options.threads = LANES_MAX;
    if (serve->options.default_k > options->max_k)
        serve->options.default_k = options->max_k;
}

/* A seed that nobody else knows, so that nobody can choose whose place in the table he takes. */
static struct clients *clients_of(const struct serve_options *options)
{
    struct clients_options limits = {
        .rate = options->client_rate, .burst = options->client_burst, .inflight = options->client_inflight};

    (void)!getentropy(&limits.seed, sizeof limits.seed);
    return clients_new(&limits);
}

int serve_start(struct serve **ret_serve, const struct serve_options *options, struct engine *engine,
                struct fr_err *err)
{
    struct serve *serve = fr_zalloc(1, sizeof(*serve));
    pthread_condattr_t monotonic;
    int status;

    connections_begin();
    gpr_set_log_function(log_line);
    fr_abseil_trust_locks();
    grpc_init();
    copy_options(serve, options);
    make_series(serve);
    serve->reflection = reflection_new();
    serve->clients = clients_of(options);
    pthread_mutex_init(&serve->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&serve->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    listener_init(&serve->listeners[0], serve, RPC_PUBLIC, serve->options.threads, engine);
    listener_init(&serve->listeners[1], serve, RPC_ADMIN, 1, engine);
    status = listener_bind(&serve->listeners[0], options->listen, options->certificate, err);
    if (status == FR_OK)
        status = listener_bind(&serve->listeners[1], options->admin_listen, options->admin_certificate, err);
    if (status != FR_OK)
        serve->options.drain_grace = 0;
    serve->engine = engine;
    if (status == FR_OK) /* else somebody else may listen to this engine */
        watch_start(serve);
    /* A server that could not bind is started all the same: what has begun is ended in one way only. */
    listener_start(&serve->listeners[0]);
    listener_start(&serve->listeners[1]);
    if (status != FR_OK) {
        serve_stop(serve);
        return status;
    }
    *ret_serve = serve;
    return FR_OK;
}

int serve_port(const struct serve *serve)
{
    return serve->listeners[0].port;
}

int serve_admin_port(const struct serve *serve)
{
    return serve->listeners[1].port;
}

/* ---- stopping ---- */

static bool is_down(const struct serve *serve)
{
    return serve->listeners[0].down && serve->listeners[1].down;
}

/* Until those in flight have ended, or have had their time. */
static void wait_for_calls(struct serve *serve)
{
    const uint64_t end_ns = fr_mono_ns() + (uint64_t)serve->options.drain_grace * 1000000U;
    const struct timespec end = {.tv_sec = (time_t)(end_ns / 1000000000), .tv_nsec = (long)(end_ns % 1000000000)};

    pthread_mutex_lock(&serve->lock);
    while (atomic_load(&serve->calls))
        if (pthread_cond_timedwait(&serve->changed, &serve->lock, &end))
            break;
    pthread_mutex_unlock(&serve->lock);
}

static void wait_down(struct serve *serve)
{
    pthread_mutex_lock(&serve->lock);
    while (!is_down(serve))
        pthread_cond_wait(&serve->changed, &serve->lock);
    pthread_mutex_unlock(&serve->lock);
}

static void listener_release(struct listener *listener)
{
    for (size_t i = 0; i < listener->lanes_len; i++) {
        struct lane *lane = &listener->lanes[i];
        grpc_completion_queue_shutdown(lane->queue);
        fr_thread_join(lane->thread);
        grpc_completion_queue_destroy(lane->queue);
        assert(!lane->early.first && !lane->ready.first && !lane->waiting.first && !lane->streams.first && !lane->watched.first &&
               !lane->due.first && !lane->leaving.first);
        lane_free_calls(lane);
        question_release(&lane->question);
        fr_arena_release(&lane->scratch);
        answerer_free(lane->answerer);
        tokens_view_free(lane->tokens);
    }
    tls_free(listener->tls);
}

void serve_ingest_over(struct serve *serve)
{
    atomic_store(&serve->ingest_over, true);
}

void serve_stop(struct serve *serve)
{
    if (!serve)
        return;
    atomic_store(&serve->stopping, true);
    engine_watch_wake(serve->engine);
    wait_for_calls(serve);
    connections_end(serve->listeners[0].port, serve->listeners[1].port);
    for (int i = 0; i < LISTENERS; i++) {
        struct listener *listener = &serve->listeners[i];
        grpc_server_shutdown_and_notify(listener->server, listener->lanes[0].queue, &listener->down_tag);
    }
    for (int i = 0; i < LISTENERS; i++)
        grpc_server_cancel_all_calls(serve->listeners[i].server);
    wait_down(serve);
    watch_stop(serve);
    for (int i = 0; i < LISTENERS; i++)
        grpc_server_destroy(serve->listeners[i].server); /* all of them first: they share a queue */
    for (int i = 0; i < LISTENERS; i++)
        listener_release(&serve->listeners[i]);
    clients_free(serve->clients);
    reflection_free(serve->reflection);
    free((char *)(uintptr_t)serve->options.version);
    free((char *)(uintptr_t)serve->options.brokers);
    pthread_cond_destroy(&serve->changed);
    pthread_mutex_destroy(&serve->lock);
    free(serve);
    grpc_shutdown_blocking();
}
