/*
 * records.h -- the decoder's tests share an encoder of their own, which knows nothing of the decoder, and one decoder
 * per format.
 *
 * The functions are inline so that a test need not use them all.
 */
#ifndef FR_TEST_RECORDS_H
#define FR_TEST_RECORDS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "decode.h"

/* Two ids as JSON members. */
#define IDS "\"user_id\":\"u1\",\"item_id\":\"i1\""
#define LENGTH(table) (sizeof(table) / sizeof(*(table)))

static const when_ms LOGGED = 1700000000000; /* the Kafka timestamp of all records here, unless said */
static const span_ms MAX_FUTURE = 300000;

enum { CLICK, RATING, LIKE, RETURN, HUGE_TYPE, OTHER };
static const struct feed_weight weights[] = {
    {"click", 1, false}, {"rating", 1, true}, {"like", 2, false}, {"return", -4, false}, {"huge", 1e6, true},
};

/* ---- the test's own encoder ----------------------------------------------------------------------------------- */

struct buffer {
    char at[4096];
    size_t len;
};

static inline void put(struct buffer *out, const void *bytes, size_t len)
{
    assert_true(out->len + len <= sizeof(out->at));
    memcpy(out->at + out->len, bytes, len);
    out->len += len;
}

static inline void put_varint(struct buffer *out, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)(value % 128 + (value >= 128 ? 128 : 0));
        put(out, &byte, 1);
        value /= 128;
    } while (value);
}

static inline void put_int(struct buffer *out, unsigned field, uint64_t value)
{
    put_varint(out, field * 8);
    put_varint(out, value);
}

static inline void put_run(struct buffer *out, unsigned field, const void *bytes, size_t len)
{
    put_varint(out, field * 8 + 2);
    put_varint(out, len);
    put(out, bytes, len);
}

static inline void put_string(struct buffer *out, unsigned field, const char *text)
{
    put_run(out, field, text, strlen(text));
}

static inline void put_double(struct buffer *out, unsigned field, double value)
{
    put_varint(out, field * 8 + 1);
    put(out, &value, sizeof(value)); /* the tests run on little endian, as protobuf writes */
}

static inline void put_context(struct buffer *out, const char *key, const char *value)
{
    struct buffer entry = {.len = 0};

    put_string(&entry, 1, key);
    put_string(&entry, 2, value);
    put_run(out, 7, entry.at, entry.len);
}

/* user u1, item i1, type click, at LOGGED - 1000 */
static inline void put_plain(struct buffer *out)
{
    put_string(out, 1, "u1");
    put_string(out, 2, "i1");
    put_string(out, 3, "click");
    put_int(out, 5, (uint64_t)LOGGED - 1000);
}

/* ---- one record ------------------------------------------------------------------------------------------------ */

static struct decoder *decoders[3];
static struct event event;
static struct reject reject;

static inline bool decode_as(enum feed_format format, const char *content_type, const void *bytes, size_t len,
                             when_ms logged)
{
    struct record record = {
        .value = {bytes, len}, .has_value = true, .content_type = fr_bytes_of(content_type), .logged = logged};

    return decoder_decode(decoders[format], &record, &event, &reject);
}

static inline bool decode_auto(const void *bytes, size_t len)
{
    return decode_as(FEED_AUTO, NULL, bytes, len, LOGGED);
}

static inline bool decode_buffer(const struct buffer *buffer)
{
    return decode_auto(buffer->at, buffer->len);
}

static inline void assert_bytes(struct fr_bytes bytes, const char *want)
{
    if (!fr_bytes_equal(bytes, fr_bytes_of(want)))
        fail_msg("'%.*s' is not '%s'", (int)bytes.len, bytes.at, want);
}

static inline void assert_rejected(bool decoded, const char *reason, const char *words, const char *what)
{
    char message[300];

    if (decoded)
        fail_msg("%s: was accepted", what);
    assert_int_equal(event.kind, EVENT_REJECT);
    snprintf(message, sizeof(message), "%.*s", (int)reject.message.len, reject.message.at);
    if (strcmp(reject.reason, reason) != 0 || (words && !strstr(message, words)))
        fail_msg("%s: got '%s' (%s), want '%s' (...%s...)", what, reject.reason, message, reason, words ? words : "");
}

static inline void assert_accepted(bool decoded, const char *what)
{
    if (!decoded)
        fail_msg("%s: %s: %.*s", what, reject.reason, (int)reject.message.len, reject.message.at);
    assert_int_equal(event.kind, EVENT_APPLY);
}

static inline int make_decoders(void **state)
{
    (void)state;
    for (int format = FEED_AUTO; format <= FEED_JSON; format++)
        decoders[format] = decoder_new(&(struct feed_options){.format = (enum feed_format)format,
                                                              .max_future = MAX_FUTURE,
                                                              .weights = weights,
                                                              .weights_len = LENGTH(weights)});
    return 0;
}

static inline int free_decoders(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(decoders); i++)
        decoder_free(decoders[i]);
    return 0;
}

#endif
