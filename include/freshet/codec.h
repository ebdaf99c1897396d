/*
 * codec.h -- bytes out and bytes in, bounded.
 *
 * A writer grows to its ceiling and then remembers that it overflowed; a reader never passes its end and
 * remembers that it failed. So code checks once, at the end, not after each field. Integers are little
 * endian or LEB128 varints; *_be are for keys, whose byte order is their sort order. Thread: the owner's.
 */
#ifndef FR_CODEC_H
#define FR_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"

struct fr_writer {
    char *at;
    size_t len, cap, max; /* max 0: no ceiling */
    bool overflow;
};

void fr_writer_init(struct fr_writer *writer, size_t max);
void fr_writer_release(struct fr_writer *writer);
static inline void fr_writer_reset(struct fr_writer *writer)
{
    writer->len = 0;
    writer->overflow = false;
}
static inline struct fr_bytes fr_written(const struct fr_writer *writer)
{
    return (struct fr_bytes){writer->at, writer->len};
}
void fr_put_bytes(struct fr_writer *writer, const void *bytes, size_t len);
void fr_put_u8(struct fr_writer *writer, uint8_t value);
void fr_put_u32(struct fr_writer *writer, uint32_t value);
void fr_put_u64(struct fr_writer *writer, uint64_t value);
void fr_put_u32_be(struct fr_writer *writer, uint32_t value);
void fr_put_u64_be(struct fr_writer *writer, uint64_t value);
void fr_put_varint(struct fr_writer *writer, uint64_t value);
void fr_put_zigzag(struct fr_writer *writer, int64_t value);
void fr_put_real(struct fr_writer *writer, double value); /* IEEE 754 bits, little endian */
void fr_put_blob(struct fr_writer *writer, const void *bytes, size_t len); /* varint length, then the bytes */
__attribute__((format(printf, 2, 3))) void fr_put_text(struct fr_writer *writer, const char *format, ...);

/* The shortest decimal that reads back as the same double; whole numbers below 2^63 without an exponent;
 * "NaN", "+Inf", "-Inf". Into room of at least FR_REAL_TEXT_ROOM bytes; returns room. */
enum { FR_REAL_TEXT_ROOM = 32 };
char *fr_real_text(double value, char *room);

struct fr_reader {
    const unsigned char *at, *end;
    bool failed;
};

static inline struct fr_reader fr_reader_of(const void *bytes, size_t len)
{
    return (struct fr_reader){bytes, len ? (const unsigned char *)bytes + len : bytes, false}; /* NULL, 0 is empty */
}
static inline size_t fr_left(const struct fr_reader *reader)
{
    return reader->failed ? 0 : (size_t)(reader->end - reader->at);
}
/* Each returns 0 (or an empty run) once the reader has failed. */
uint8_t fr_get_u8(struct fr_reader *reader);
uint32_t fr_get_u32(struct fr_reader *reader);
uint64_t fr_get_u64(struct fr_reader *reader);
uint32_t fr_get_u32_be(struct fr_reader *reader);
uint64_t fr_get_u64_be(struct fr_reader *reader);
uint64_t fr_get_varint(struct fr_reader *reader); /* more than 10 bytes, or more than 64 bits: failed */
int64_t fr_get_zigzag(struct fr_reader *reader);
double fr_get_real(struct fr_reader *reader);
struct fr_bytes fr_get_bytes(struct fr_reader *reader, size_t len); /* borrowed */
struct fr_bytes fr_get_blob(struct fr_reader *reader);              /* borrowed */

#endif
