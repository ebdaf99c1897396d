/*
 * decode.h -- bytes in, event or reason out. No Kafka here: what a record is made of comes as plain runs.
 *
 *     value ── framing ──> payload ── decode_protobuf | decode_json ──> fields ── the contract's rules ──> event
 *                 \______________________\_______________________________________\_______________________> problem
 *
 * Items and users take the same way by said.h.
 *
 * Nothing is copied: ids point into the record or, for JSON, into the parsed document, which the decoder keeps until
 * its next record. Thread: the owner's.
 */
#ifndef FR_DECODE_H
#define FR_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "freshet/event.h"
#include "freshet/feature.h"
#include "freshet/feed.h"

struct record {
    struct fr_bytes key, value;
    bool has_key, has_value;      /* a null is not an empty run */
    struct fr_bytes content_type; /* of the header; empty: none */
    when_ms logged;               /* Kafka's timestamp; negative: none */
};

struct decoder;
/* Copies what it needs of the options. */
struct decoder *decoder_new(const struct feed_options *options);
void decoder_free(struct decoder *decoder);

/*
 * True: *ret_event is an EVENT_APPLY, or of a compacted topic one of EVENT_ITEM .. EVENT_USER_GONE. False: it is an EVENT_REJECT, and *ret_reject says why. Either way partition and
 * offset are left to the caller, runs are valid until the next call, and event.reject is NULL.
 */
bool decoder_decode(struct decoder *decoder, const struct record *record, struct event *ret_event,
                    struct reject *ret_reject);
/* By it a record is known again, FORMAT.md. */
uint64_t record_print(const struct record *record);
/* Is the record's key something else than the user id? Then the producer does not partition by user. */
bool record_misrouted(const struct record *record, const struct event *event);

/* ---- the parts ------------------------------------------------------------------------------------------- */

struct problem {
    const char *reason; /* a metric label, as in struct reject */
    char text[256];
};
/* Fills the problem; always false, so that a decoder can return it. */
__attribute__((format(printf, 3, 4))) bool problem_say(struct problem *problem, const char *reason, const char *format,
                                                       ...);

/* An Event as it came, before the rules. What is absent is empty or zero, as in proto3. */
struct fields {
    struct fr_bytes user, item, type, event_id;
    double value;
    bool has_value;
    int64_t time; /* 0: none */
    uint32_t context_len, context_more; /* more: that found no room */
    struct {
        struct fr_bytes name, value;
    } context[FEATURES_MAX]; /* the first names, each once, with its last value; set up to context_len */
};
static inline void fields_reset(struct fields *fields)
{
    memset(fields, 0, offsetof(struct fields, context));
}

/* A pair as the record has it. */
void fields_context(struct fields *fields, struct fr_bytes name, struct fr_bytes value);

enum encoding { ENCODING_PROTOBUF, ENCODING_JSON };
enum { PLACE_EVENT, PLACE_ITEM, PLACE_USER }; /* of a message in events.proto */
/* `place`: of the message that is wanted. */
bool framing_open(enum feed_format format, struct fr_bytes content_type, struct fr_bytes value, int32_t place,
                  enum encoding *ret_encoding, struct fr_bytes *ret_payload, struct problem *problem);
/* After framing_open, of a payload that is no protobuf: adds to the problem by what it was taken for that, if only its first byte told, for
 * then it may be JSON behind a space. Always false. */
bool framing_blame(enum feed_format format, struct fr_bytes content_type, struct fr_bytes value, struct problem *problem);

bool decode_protobuf(struct fr_bytes payload, struct fields *ret_fields, struct problem *problem);

struct json_t;
/* *ret_document owns the runs of *ret_fields; give it back with decode_json_release. NULL on failure. */
bool decode_json(struct fr_bytes payload, struct json_t **ret_document, struct fields *ret_fields,
                 struct problem *problem);
void decode_json_release(struct json_t *document);

#endif
