/*
 * codec.c -- bounded bytes out and in (codec.h).
 */
#include "freshet/codec.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"

void fr_writer_init(struct fr_writer *writer, size_t max)
{
    *writer = (struct fr_writer){.max = max};
}

void fr_writer_release(struct fr_writer *writer)
{
    free(writer->at);
    *writer = (struct fr_writer){.max = writer->max};
}

/* Room for `len` more bytes, or NULL (and overflow) past the ceiling. Counts them as written. */
static char *extend(struct fr_writer *writer, size_t len)
{
    if (writer->overflow || (writer->max && len > writer->max - writer->len)) {
        writer->overflow = true;
        return NULL;
    }
    fr_reserve((void **)&writer->at, &writer->cap, writer->len + len + 1, 1);
    char *at = writer->at + writer->len;
    writer->len += len;
    return at;
}

void fr_put_bytes(struct fr_writer *writer, const void *bytes, size_t len)
{
    char *at = extend(writer, len);

    if (at && len)
        memcpy(at, bytes, len);
}

static void put_little(struct fr_writer *writer, uint64_t value, size_t len)
{
    char *at = extend(writer, len);

    for (size_t i = 0; at && i < len; i++)
        at[i] = (char)(value >> (8 * i));
}

static void put_big(struct fr_writer *writer, uint64_t value, size_t len)
{
    char *at = extend(writer, len);

    for (size_t i = 0; at && i < len; i++)
        at[i] = (char)(value >> (8 * (len - 1 - i)));
}

void fr_put_u8(struct fr_writer *writer, uint8_t value)
{
    put_little(writer, value, 1);
}

void fr_put_u32(struct fr_writer *writer, uint32_t value)
{
    put_little(writer, value, 4);
}

void fr_put_u64(struct fr_writer *writer, uint64_t value)
{
    put_little(writer, value, 8);
}

void fr_put_u32_be(struct fr_writer *writer, uint32_t value)
{
    put_big(writer, value, 4);
}

void fr_put_u64_be(struct fr_writer *writer, uint64_t value)
{
    put_big(writer, value, 8);
}

void fr_put_varint(struct fr_writer *writer, uint64_t value)
{
    unsigned char bytes[10];
    size_t len = 0;

    while (value >= 0x80) {
        bytes[len++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    bytes[len++] = (unsigned char)value;
    fr_put_bytes(writer, bytes, len);
}

void fr_put_zigzag(struct fr_writer *writer, int64_t value)
{
    fr_put_varint(writer, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

void fr_put_real(struct fr_writer *writer, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    fr_put_u64(writer, bits);
}

void fr_put_blob(struct fr_writer *writer, const void *bytes, size_t len)
{
    fr_put_varint(writer, len);
    fr_put_bytes(writer, bytes, len);
}

void fr_put_text(struct fr_writer *writer, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0); /* all our formats are literals that work */
    char *at = extend(writer, (size_t)len);
    if (at)
        vsnprintf(at, (size_t)len + 1, format, again); /* extend leaves one byte for the NUL */
    va_end(again);
}

/* ---- in ---- */

static const unsigned char *take(struct fr_reader *reader, size_t len)
{
    if (reader->failed || (size_t)(reader->end - reader->at) < len) {
        reader->failed = true;
        return NULL;
    }
    const unsigned char *at = reader->at;
    if (len) /* an empty reader may stand at NULL, to which nothing can be added */
        reader->at += len;
    return at;
}

static uint64_t get_little(struct fr_reader *reader, size_t len)
{
    const unsigned char *at = take(reader, len);
    uint64_t value = 0;

    for (size_t i = 0; at && i < len; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static uint64_t get_big(struct fr_reader *reader, size_t len)
{
    const unsigned char *at = take(reader, len);
    uint64_t value = 0;

    for (size_t i = 0; at && i < len; i++)
        value = value << 8 | at[i];
    return value;
}

uint8_t fr_get_u8(struct fr_reader *reader)
{
    return (uint8_t)get_little(reader, 1);
}

uint32_t fr_get_u32(struct fr_reader *reader)
{
    return (uint32_t)get_little(reader, 4);
}

uint64_t fr_get_u64(struct fr_reader *reader)
{
    return get_little(reader, 8);
}

uint32_t fr_get_u32_be(struct fr_reader *reader)
{
    return (uint32_t)get_big(reader, 4);
}

uint64_t fr_get_u64_be(struct fr_reader *reader)
{
    return get_big(reader, 8);
}

uint64_t fr_get_varint(struct fr_reader *reader)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70 && !reader->failed; shift += 7) {
        if (reader->at == reader->end)
            break;
        unsigned char byte = *reader->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return value;
    }
    reader->failed = true;
    return 0;
}

int64_t fr_get_zigzag(struct fr_reader *reader)
{
    uint64_t value = fr_get_varint(reader);

    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

double fr_get_real(struct fr_reader *reader)
{
    uint64_t bits = fr_get_u64(reader);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

struct fr_bytes fr_get_bytes(struct fr_reader *reader, size_t len)
{
    const unsigned char *at = take(reader, len);

    return (struct fr_bytes){(const char *)at, at ? len : 0};
}

struct fr_bytes fr_get_blob(struct fr_reader *reader)
{
    uint64_t len = fr_get_varint(reader);

    if (len > fr_left(reader)) {
        reader->failed = true;
        return (struct fr_bytes){0};
    }
    return fr_get_bytes(reader, (size_t)len);
}
