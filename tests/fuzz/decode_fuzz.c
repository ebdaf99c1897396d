/*
 * decode_fuzz.c -- any bytes become an event, or what is said of an item or a user, within the contract's bounds, or a reason with a
 * printable sentence; never anything else.
 *
 *     input   selector | value          selector: format (mod 3), content-type (mod 4), Kafka timestamp (mod 4), topic (mod 3)
 *
 * The key of what is said is "k", so that is the id that fits.
 *
 * The value lies in memory of its own, so that AddressSanitizer sees a read beyond its end.
 */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "decode.h"
#include "freshet/catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct feed_weight weights[] = {{"click", 1, false}, {"rating", 1, true}, {"huge", 1e6, true}};
static const char *const content_types[] = {NULL, "application/json", "application/x-protobuf; a=b", "text/plain"};
static const when_ms times[] = {1700000000000, -1, 0, INT64_MAX};
static const char *const reasons[] = {"undecodable", "user_id", "item_id", "key", "bounds", "value", "time", "null"};

static void check_event(const struct event *event, const struct record *record)
{
    assert(event->kind == EVENT_APPLY);
    assert(!fr_id_problem(event->user.at, event->user.len) && !fr_id_problem(event->item.at, event->item.len));
    assert(isfinite(event->weight) && fabs(event->weight) <= 1e6);
    assert(event->when >= 0 && event->when <= EVENT_WHEN_MAX);
    assert(event->context_len <= FEATURES_MAX && !event->context == !event->context_len);
    for (uint32_t i = 0; i < event->context_len; i++)
        assert(event->context[i]);
    assert(event->type <= sizeof(weights) / sizeof(*weights));
    assert(event->logged == (record->logged < 0 ? -1 : record->logged));
    assert(record->logged < 0 || event->when <= record->logged + 300000);
}

/* The engine and the store take the bytes at their word. */
static void check_said(const struct event *event)
{
    struct item_said item;
    struct features_said user;

    if (event->kind == EVENT_ITEM) {
        assert(fr_bytes_equal(event->item, FR_BYTES("k")) && catalogue_item_read(event->said, &item));
    } else if (event->kind == EVENT_USER) {
        assert(fr_bytes_equal(event->user, FR_BYTES("k")) && catalogue_user_read(event->said, &user));
    } else {
        assert(event->kind == EVENT_ITEM_GONE || event->kind == EVENT_USER_GONE);
    }
}

static void check_reject(const struct event *event, const struct reject *reject, const struct record *record)
{
    bool known = false;

    assert(event->kind == EVENT_REJECT && event->logged >= -1 && event->logged <= EVENT_WHEN_MAX);
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        known = known || strcmp(reasons[i], reject->reason) == 0;
    assert(known && reject->message.len > 0);
    for (size_t i = 0; i < reject->message.len; i++)
        assert(reject->message.at[i] >= ' ' && reject->message.at[i] <= '~');
    assert(reject->value.at == record->value.at && reject->value.len == record->value.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoder *decoders[3][3];
    struct record record = {.has_value = size > 0, .key = FR_BYTES("k"), .has_key = true};
    size_t kind = size ? data[0] / 48 % 3 : 0;
    struct event event;
    struct reject reject;
    char *value = NULL;

    for (int i = 0; i < 9 && !decoders[i / 3][i % 3]; i++)
        decoders[i / 3][i % 3] = decoder_new(&(struct feed_options){.kind = (enum feed_kind)(i / 3),
                                                                    .format = (enum feed_format)(i % 3),
                                                                    .max_future = 300000,
                                                                    .weights = weights,
                                                                    .weights_len = 3});
    if (size > 0) {
        value = malloc(size);
        memcpy(value, data + 1, size - 1);
        record.value = (struct fr_bytes){realloc(value, size > 1 ? size - 1 : 1), size - 1};
        value = (char *)record.value.at;
        record.content_type = fr_bytes_of(content_types[data[0] / 3 % 4]);
        record.logged = times[data[0] / 12 % 4];
    }
    bool good = decoder_decode(decoders[kind][size ? data[0] % 3 : 0], &record, &event, &reject);
    if (good && kind != FEED_EVENTS)
        check_said(&event);
    else if (good)
        check_event(&event, &record);
    else
        check_reject(&event, &reject, &record);
    free(value);
    return 0;
}
