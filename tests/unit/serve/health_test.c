/* What is said of a service's health. Over the wire: grpc_test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "freshet/life.h"
#include "health.h"

static struct fr_arena arena;

static enum health_service asked(enum rpc_listener listener, struct fr_bytes request)
{
    enum health_service service;
    struct answer answer;

    assert_true(health_read(&arena, listener, request, &service, &answer));
    return service;
}

static void each_listener_knows_its_own_service(void **state)
{
    static const struct fr_bytes recommender = {"\x0a\x16" "freshet.v1.Recommender", 24};
    static const struct fr_bytes admin = {"\x0a\x10" "freshet.v1.Admin", 18};

    (void)state;
    assert_int_equal(asked(RPC_PUBLIC, FR_BYTES("")), HEALTH_ALL);
    assert_int_equal(asked(RPC_PUBLIC, FR_BYTES("\x0a\x08" "liveness")), HEALTH_LIVENESS);
    assert_int_equal(asked(RPC_PUBLIC, recommender), HEALTH_PUBLIC);
    assert_int_equal(asked(RPC_PUBLIC, admin), HEALTH_NO_SERVICE);
    assert_int_equal(asked(RPC_ADMIN, admin), HEALTH_ADMIN);
    assert_int_equal(asked(RPC_ADMIN, recommender), HEALTH_NO_SERVICE);
}

static void a_service_is_served_while_the_daemon_runs(void **state)
{
    (void)state;
    fr_state_set(FR_STARTING);
    assert_int_equal(health_of(HEALTH_ALL), HEALTH_NOT_SERVING);
    assert_int_equal(health_of(HEALTH_LIVENESS), HEALTH_SERVING);
    fr_state_set(FR_RUNNING);
    assert_int_equal(health_of(HEALTH_PUBLIC), HEALTH_SERVING);
    assert_int_equal(health_of(HEALTH_NO_SERVICE), HEALTH_SERVICE_UNKNOWN);
    fr_state_set(FR_DRAINING);
    assert_int_equal(health_of(HEALTH_ADMIN), HEALTH_NOT_SERVING);
}

static void the_answer_is_two_bytes_and_an_unknown_service_is_not_found(void **state)
{
    struct answer answer;

    (void)state;
    fr_state_set(FR_RUNNING);
    health_check(&arena, HEALTH_ALL, &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
    assert_int_equal(answer.bytes.len, 2);
    assert_memory_equal(answer.bytes.at, "\x08\x01", 2); /* status = SERVING */
    health_check(&arena, HEALTH_NO_SERVICE, &answer);
    assert_int_equal(answer.code, RPC_CODE_NOT_FOUND);
}

static void bytes_that_are_no_request_are_refused(void **state)
{
    enum health_service service;
    struct answer answer;

    (void)state;
    assert_false(health_read(&arena, RPC_PUBLIC, FR_BYTES("\x0a\x08live"), &service, &answer));
    assert_int_equal(answer.code, RPC_CODE_INVALID_ARGUMENT);
    assert_string_equal(answer.message, "the request is not a grpc.health.v1.HealthCheckRequest");
}

static int release(void **state)
{
    (void)state;
    fr_arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_listener_knows_its_own_service),
        cmocka_unit_test(a_service_is_served_while_the_daemon_runs),
        cmocka_unit_test(the_answer_is_two_bytes_and_an_unknown_service_is_not_found),
        cmocka_unit_test(bytes_that_are_no_request_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
