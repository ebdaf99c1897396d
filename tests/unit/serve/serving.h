/*
 * serving.h -- a real server on free ports, asked by a real client, in front of the small world of fake_reader.h.
 *
 * Where a test must know that a call waits, it watches how often the fake engine has been asked for a position.
 */
#ifndef FR_SERVING_H
#define FR_SERVING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <grpc/health/v1/health.pb-c.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "fake_reader.h"
#include "freshet/life.h"
#include "freshet/metric.h"
#include "freshet/serve.h"
#include "grpc_client.h"

#define RECOMMENDER "/freshet.v1.Recommender/"
#define ANN FR_BYTES("\x0a\x03" "ann")
/* user_id "ann", not_before { "events", partition 2, offset 41 }; the fake engine stands at 40 */
#define ANN_AFTER_41 FR_BYTES("\x0a\x03" "ann\x4a\x0c\x0a\x06" "events\x10\x02\x18\x29")
#define LIVENESS FR_BYTES("\x0a\x08" "liveness")
#define NOBODY FR_BYTES("\x0a\x06" "nobody")

static struct engine engine;
static struct serve_options options;
static struct serve *serve;
static struct client client, admin;

static inline int set_up(void **state)
{
    struct fr_err err = {0};

    (void)state;
    memset(&engine, 0, sizeof(engine));
    engine.next = 40;
    options = (struct serve_options){
        .listen = "127.0.0.1:0",
        .admin_listen = "127.0.0.1:0",
        .threads = 1,
        .default_k = 10,
        .max_k = 100,
        .max_seeds = 10,
        .max_filter_items = 10,
        .max_message_bytes = 65536,
        .max_inflight = 1000,
        .max_queue = 120000, /* longer than any test holds a question up, */
        .max_waiting = 2,
        .max_watches = 40,
        .memory = 256 << 20,
        .max_concurrent_streams = 1000,
        .early_looks = 50,
        .drain_grace = 120000, /* or a call */
        .version = "0.1.0",
        .brokers = "",
    };
    fr_state_set(FR_RUNNING);
    if (serve_start(&serve, &options, &engine, &err) != FR_OK)
        fail_msg("%s", err.text);
    client_open(&client, serve_port(serve));
    client_open(&admin, serve_admin_port(serve));
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    serve_stop(serve);
    serve = NULL;
    client_close(&client);
    client_close(&admin);
    return engine.open;
}

static inline void assert_ask(struct client *whom, const char *path, struct fr_bytes request, int code, const char *text)
{
    char message[600];

    assert_int_equal(client_ask(whom, path, request, message), code);
    assert_string_equal(message, text);
}

static inline double series(enum fr_metric family, const char *first, const char *second)
{
    return fr_series_value(fr_series(family, first, second, ""));
}

/* Until the server has looked whether a waiting call's position is reached. */
static inline void wait_for_a_look(void)
{
    uint64_t before = engine.looks;

    while (engine.looks < before + 2)
        sched_yield();
}

static inline int health_in(struct fr_bytes body)
{
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, body.len, (const uint8_t *)body.at);
    int status = response ? (int)response->status : -1;

    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    return status;
}

static inline int check_health(struct client *whom, struct fr_bytes request)
{
    struct client_call call;
    int status;

    client_begin(&call, whom, "/grpc.health.v1.Health/Check", request, CLIENT_PATIENCE_MS);
    status = health_in(client_end(&call));
    assert_int_equal(call.code, GRPC_STATUS_OK);
    client_release(&call);
    return status;
}

/* With the options as they are by now. */
static inline void start_again(void **state)
{
    tear_down(state);
    assert_int_equal(serve_start(&serve, &options, &engine, NULL), FR_OK);
    client_open(&client, serve_port(serve));
    client_open(&admin, serve_admin_port(serve));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
