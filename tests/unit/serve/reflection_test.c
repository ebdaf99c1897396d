/* What reflection says of the published .proto files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <grpc/reflection/v1/reflection.pb-c.h>

#include "reflection.h"
#include "wire.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_message;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_message;
#define ASKS(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define SAYS(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

static struct reflection *reflection;
static struct fr_arena arena;

static int set_up(void **state)
{
    (void)state;
    reflection = reflection_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reflection_free(reflection);
    fr_arena_release(&arena);
    return 0;
}

static response_message *unpack(struct fr_bytes bytes)
{
    bool large;

    return wire_unpack(&arena, &grpc__reflection__v1__server_reflection_response__descriptor, bytes, 1 << 20, &large);
}

static response_message *ask(enum rpc_listener listener, int what, const char *text)
{
    request_message request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    struct answer answer;
    response_message *response;

    request.host = wire_text("here");
    request.message_request_case = what;
    request.file_by_filename = wire_text(text); /* all the texts of the oneof lie in the same place */
    reflection_answer(reflection, &arena, listener, wire_pack(&arena, &request.base), &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
    response = unpack(answer.bytes);
    assert_non_null(response);
    assert_string_equal(response->valid_host, "here");
    assert_int_equal(response->original_request->message_request_case, what);
    assert_string_equal(response->original_request->file_by_filename, text);
    return response;
}

/* A FileDescriptorProto begins with its name: field 1, a length below 128, the name. */
static void assert_file(const response_message *response, size_t index, const char *name)
{
    const Grpc__Reflection__V1__FileDescriptorResponse *list = response->file_descriptor_response;

    assert_int_equal(response->message_response_case, SAYS(FILE_DESCRIPTOR_RESPONSE));
    assert_true(index < list->n_file_descriptor_proto);
    assert_int_equal(list->file_descriptor_proto[index].data[0], 0x0a);
    assert_int_equal(list->file_descriptor_proto[index].data[1], strlen(name));
    assert_memory_equal(list->file_descriptor_proto[index].data + 2, name, strlen(name));
}

static void assert_not_found(const response_message *response)
{
    assert_int_equal(response->message_response_case, SAYS(ERROR_RESPONSE));
    assert_int_equal(response->error_response->error_code, RPC_CODE_NOT_FOUND);
}

static void each_listener_lists_its_services(void **state)
{
    static const char *const names[2][4] = {
        {"freshet.v1.Recommender", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
         "grpc.reflection.v1alpha.ServerReflection"},
        {"freshet.v1.Admin", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
         "grpc.reflection.v1alpha.ServerReflection"},
    };

    (void)state;
    for (int i = 0; i < 2; i++) {
        const response_message *response = ask(i ? RPC_ADMIN : RPC_PUBLIC, ASKS(LIST_SERVICES), "*");
        assert_int_equal(response->message_response_case, SAYS(LIST_SERVICES_RESPONSE));
        assert_int_equal(response->list_services_response->n_service, 4);
        for (int j = 0; j < 4; j++)
            assert_string_equal(response->list_services_response->service[j]->name, names[i][j]);
    }
}

static void a_file_brings_all_it_imports_once(void **state)
{
    const response_message *response = ask(RPC_PUBLIC, ASKS(FILE_BY_FILENAME), "freshet/v1/admin.proto");

    (void)state;
    assert_file(response, 0, "freshet/v1/admin.proto");
    assert_file(response, 1, "freshet/v1/recommender.proto");
    assert_file(response, 2, "freshet/v1/events.proto");
    assert_int_equal(response->file_descriptor_response->n_file_descriptor_proto, 3);
    assert_not_found(ask(RPC_PUBLIC, ASKS(FILE_BY_FILENAME), "freshet/v1/other.proto"));
    assert_not_found(ask(RPC_PUBLIC, ASKS(FILE_BY_FILENAME), ""));
}

static void every_kind_of_symbol_leads_to_its_file(void **state)
{
    static const struct {
        const char *symbol, *file;
    } cases[] = {
        {"freshet.v1.Recommender", "freshet/v1/recommender.proto"},            /* service */
        {"freshet.v1.Recommender.Watch", "freshet/v1/recommender.proto"},      /* method */
        {"freshet.v1.RecommendRequest", "freshet/v1/recommender.proto"},       /* message */
        {"freshet.v1.RecommendRequest.user_id", "freshet/v1/recommender.proto"}, /* field */
        {"freshet.v1.Event.ContextEntry", "freshet/v1/events.proto"},          /* nested message */
        {"freshet.v1.Event.ContextEntry.key", "freshet/v1/events.proto"},
        {"freshet.v1.Event._value", "freshet/v1/events.proto"},                /* the oneof of an optional */
        {"freshet.v1.Admin.Checkpoint", "freshet/v1/admin.proto"},
        {"freshet.v1.Admin.VerifyBackup", "freshet/v1/admin.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"},   /* nested enum */
        {"grpc.health.v1.HealthCheckResponse.SERVICE_UNKNOWN", "grpc/health/v1/health.proto"}, /* beside its enum */
        {"grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"},
        {"grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_file(ask(RPC_PUBLIC, ASKS(FILE_CONTAINING_SYMBOL), cases[i].symbol), 0, cases[i].file);
    assert_not_found(ask(RPC_PUBLIC, ASKS(FILE_CONTAINING_SYMBOL), "freshet.v1"));
    assert_not_found(ask(RPC_PUBLIC, ASKS(FILE_CONTAINING_SYMBOL), "freshet.v1.Recommend"));
    assert_not_found(ask(RPC_PUBLIC, ASKS(FILE_CONTAINING_SYMBOL), ""));
}

static void there_are_no_extensions(void **state)
{
    /* file_containing_extension { "freshet.v1.Item", 7 } */
    static const char bytes[] = "\x2a\x13\x0a\x0f" "freshet.v1.Item\x10\x07";
    const response_message *response;
    struct answer answer;

    (void)state;
    assert_not_found(ask(RPC_PUBLIC, ASKS(ALL_EXTENSION_NUMBERS_OF_TYPE), "freshet.v1.Item"));
    reflection_answer(reflection, &arena, RPC_PUBLIC, FR_BYTES(bytes), &answer);
    response = unpack(answer.bytes);
    assert_not_found(response);
    assert_int_equal(response->original_request->file_containing_extension->extension_number, 7);
}

static void a_request_that_asks_nothing_is_told_so_and_garbage_ends_the_stream(void **state)
{
    const response_message *response;
    struct answer answer;

    (void)state;
    reflection_answer(reflection, &arena, RPC_PUBLIC, FR_BYTES(""), &answer);
    assert_int_equal(answer.code, RPC_CODE_OK);
    response = unpack(answer.bytes);
    assert_int_equal(response->error_response->error_code, RPC_CODE_INVALID_ARGUMENT);
    reflection_answer(reflection, &arena, RPC_PUBLIC, FR_BYTES("\x1a\x7f"), &answer);
    assert_int_equal(answer.code, RPC_CODE_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_listener_lists_its_services),
        cmocka_unit_test(a_file_brings_all_it_imports_once),
        cmocka_unit_test(every_kind_of_symbol_leads_to_its_file),
        cmocka_unit_test(there_are_no_extensions),
        cmocka_unit_test(a_request_that_asks_nothing_is_told_so_and_garbage_ends_the_stream),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
