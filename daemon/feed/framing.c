/*
 * framing.c -- protobuf or JSON, bare or in Confluent's frame?
 *
 *     bare      payload
 *     framed    00 | schema id, 4 bytes | message indexes | protobuf
 *               00 | schema id, 4 bytes | JSON
 *
 * A first byte of 00 is always the frame: no protobuf message begins with field number 0, and no JSON with NUL. With
 * format = auto the encoding is what the header content-type says, else what the first byte of the (unframed) payload
 * says: '{' is JSON. That cannot be mistaken: as protobuf '{' would open a group as field 15, which an Event never
 * has, and after the frame's header it would count -62 message indexes.
 *
 * The indexes are zigzag varints, a count and then the path to the message in its file; a lone 0 stands for the path
 * [0], the file's first message. Event is the first message of events.proto, so any other path names something else. Item and User may
 * be the first of a file of their own, or stand where events.proto has them.
 */
#include <stdio.h>
#include <strings.h>

#include "decode.h"

enum { FRAME_HEADER = 5 };

static bool content_type_is(struct fr_bytes header, const char *name)
{
    size_t len = strlen(name), at = 0, end;

    while (at < header.len && (header.at[at] == ' ' || header.at[at] == '\t'))
        at++;
    for (end = at; end < header.len && header.at[end] != ';';)
        end++;
    while (end > at && (header.at[end - 1] == ' ' || header.at[end - 1] == '\t'))
        end--;
    return end - at == len && strncasecmp(header.at + at, name, len) == 0;
}

/* False: neither the setting nor the header says. */
static bool encoding_said(enum feed_format format, struct fr_bytes content_type, enum encoding *ret_encoding)
{
    *ret_encoding = format == FEED_JSON ? ENCODING_JSON : ENCODING_PROTOBUF;
    if (format != FEED_AUTO)
        return true;
    if (content_type.len && content_type_is(content_type, "application/json"))
        *ret_encoding = ENCODING_JSON;
    else if (!content_type.len || !content_type_is(content_type, "application/x-protobuf"))
        return false;
    return true;
}

static bool is_framed(struct fr_bytes value)
{
    return value.len > 0 && value.at[0] == 0;
}

/* What the frame is around; the value itself if there is none. */
static struct fr_bytes unframed(struct fr_bytes value)
{
    return is_framed(value) ? (struct fr_bytes){value.at + FRAME_HEADER, value.len - FRAME_HEADER} : value;
}

/* A zigzag varint of at most 32 bits, which is what Confluent's serializers write. */
static bool take_index(struct fr_bytes *payload, int32_t *ret_index)
{
    uint64_t raw = 0;

    for (unsigned i = 0; i < 5 && i < payload->len; i++) {
        unsigned char byte = (unsigned char)payload->at[i];

        raw |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            payload->at += i + 1;
            payload->len -= i + 1;
            *ret_index = (int32_t)((uint32_t)(raw >> 1) ^ -(uint32_t)(raw & 1));
            return raw <= UINT32_MAX;
        }
    }
    return false;
}

static bool skip_indexes(struct fr_bytes *payload, int32_t place, struct problem *problem)
{
    int32_t count, index;

    if (!take_index(payload, &count))
        return problem_say(problem, "undecodable", "the frame's message indexes are cut short or too long");
    if (count == 0)
        return true;
    if (count < 0)
        return problem_say(problem, "undecodable", "the frame counts %d message indexes", (int)count);
    if (!take_index(payload, &index))
        return problem_say(problem, "undecodable", "the frame's message indexes are cut short or too long");
    if (count != 1 || (index != 0 && index != place))
        return problem_say(problem, "undecodable", "the frame names message %d at depth %d, not the first of its file",
                           (int)index, (int)count);
    return true;
}

bool framing_open(enum feed_format format, struct fr_bytes content_type, struct fr_bytes value, int32_t place,
                  enum encoding *ret_encoding, struct fr_bytes *ret_payload, struct problem *problem)
{
    bool framed = is_framed(value);

    if (framed && value.len < FRAME_HEADER)
        return problem_say(problem, "undecodable", "the frame has %zu bytes; its header alone has 5", value.len);
    value = unframed(value);
    if (!encoding_said(format, content_type, ret_encoding))
        *ret_encoding = value.len && value.at[0] == '{' ? ENCODING_JSON : ENCODING_PROTOBUF;
    if (framed && *ret_encoding == ENCODING_PROTOBUF && !skip_indexes(&value, place, problem))
        return false;
    *ret_payload = value;
    return true;
}

bool framing_blame(enum feed_format format, struct fr_bytes content_type, struct fr_bytes value, struct problem *problem)
{
    size_t said = strlen(problem->text);
    struct fr_bytes payload = unframed(value);
    enum encoding encoding;

    if (payload.len && !encoding_said(format, content_type, &encoding))
        snprintf(problem->text + said, sizeof(problem->text) - said,
                 "; taken for protobuf, as %s and the first byte%s is 0x%02x, not '{'",
                 content_type.len ? "its content-type is another" : "it has no header content-type",
                 is_framed(value) ? " in the frame" : "", (unsigned char)payload.at[0]);
    return false;
}
