/*
 * asking.h -- reading requests and asking them, in the small world of fake_reader.h. For tests of one thread.
 */
#ifndef FR_ASKING_H
#define FR_ASKING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <freshet/v1/admin.pb-c.h>

#include "answer.h"
#include "fake_reader.h"
#include "wire.h"

static const struct serve_options options = {
    .default_k = 2,
    .max_k = 5,
    .max_seeds = 2,
    .max_filter_items = 3,
    .version = "0.1.0",
    .brokers = "one:9092,two:9092",
};
static struct engine engine;
static struct answerer *answerer;
static struct question question;
static struct answer answer;

static inline int set_up(void **state)
{
    (void)state;
    memset(&engine, 0, sizeof(engine));
    engine.next = 40;
    engine.notes = true;
    answerer = answerer_new(&options, &engine);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    question_release(&question);
    question = (struct question){0};
    answerer_free(answerer);
    return engine.open;
}

static inline ProtobufCBinaryData id(const char *text)
{
    return wire_data(fr_bytes_of(text));
}

/* Reads a request, and begins what it asks for; true if it may be asked. */
static inline bool read_bytes(enum rpc rpc, struct fr_bytes bytes)
{
    answer = (struct answer){.code = RPC_CODES};
    return question_read(answerer, &question, rpc, bytes, &answer) && question_begin(answerer, &question, &answer);
}

static inline bool read_message(enum rpc rpc, const ProtobufCMessage *message)
{
    static uint8_t bytes[70000];
    size_t len = protobuf_c_message_get_packed_size(message);

    assert_true(len <= sizeof(bytes));
    protobuf_c_message_pack(message, bytes);
    return read_bytes(rpc, (struct fr_bytes){(char *)bytes, len});
}

/* Asks, and unpacks the answer with protobuf-c's own memory. */
static inline void *ask_for(enum rpc rpc, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type)
{
    void *message;

    if (!read_message(rpc, request))
        fail_msg("refused: %s", answer.message);
    assert_true(question_ready(answerer, &question));
    question_answer(answerer, &question, &answer);
    assert_string_equal(answer.message, "");
    assert_int_equal(answer.code, RPC_CODE_OK);
    message = protobuf_c_message_unpack(type, NULL, answer.bytes.len, (const uint8_t *)answer.bytes.at);
    assert_non_null(message);
    return message;
}
#define ASK(rpc, request, response) ask_for((rpc), &(request).base, &response##__descriptor)
#define FREE(message) protobuf_c_message_free_unpacked(&(message)->base, NULL)

static inline void assert_id(ProtobufCBinaryData data, const char *text)
{
    assert_int_equal(data.len, strlen(text));
    assert_memory_equal(data.data, text, data.len);
}

static inline void assert_refused(enum rpc rpc, const ProtobufCMessage *request, enum rpc_code code, const char *text)
{
    if (read_message(rpc, request)) {
        assert_true(question_ready(answerer, &question));
        question_answer(answerer, &question, &answer);
    }
    assert_string_equal(answer.message, text);
    assert_int_equal(answer.code, code);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
