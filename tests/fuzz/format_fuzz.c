/*
 * format_fuzz.c -- any bytes as the keys and plain values of the store: never a crash, and what is accepted is what writing it
 * gives again.
 *
 *     input   selector | bytes          selector: which value, and whether the bytes are a key
 *
 * Values are sealed (version first, checksum last): both are put right, so that the fuzzer gets past them. The selector's top
 * bit chooses between the versions 1 and 2.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/format.h"
#include "freshet/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_texts(struct fr_bytes value, struct fr_writer *out)
{
    struct fr_bytes text;

    if (format_shape_read(value, &text)) {
        format_shape_value(out, text);
        assert(fr_bytes_equal(fr_written(out), value));
        fr_writer_reset(out);
    }
    if (format_cluster_read(value, &text)) {
        format_cluster_value(out, text);
        assert(fr_bytes_equal(fr_written(out), value));
    }
}

static void try_holes(struct fr_bytes key, struct fr_bytes value, struct fr_writer *out)
{
    struct format_holes holes;

    if (!format_holes_read(key, value, &holes))
        return;
    assert(holes.len <= FORMAT_HOLES_MAX);
    format_holes_value(out, &holes);
    assert(fr_bytes_equal(fr_written(out), value));
    fr_writer_reset(out);
    format_holes_key(out, holes.topic, holes.partition);
    assert(fr_bytes_equal(fr_written(out), key));
}

static void try_cutoffs(struct fr_bytes key, struct fr_bytes value, struct fr_writer *out)
{
    struct format_cutoff cutoff;

    if (format_cutoff_record_read(value, &cutoff)) {
        format_cutoff_record(out, &cutoff);
        assert(fr_bytes_equal(fr_written(out), value));
        fr_writer_reset(out);
    }
    if (!format_cutoff_read(key, value, &cutoff))
        return;
    format_cutoff_value(out, &cutoff);
    assert(fr_bytes_equal(fr_written(out), value));
    fr_writer_reset(out);
    format_cutoff_key(out, &cutoff);
    assert(fr_bytes_equal(fr_written(out), key));
}

static void try_numbers(struct fr_bytes value, struct fr_writer *out)
{
    struct format_version version;
    struct format_clock clock;
    uint64_t number;

    if (format_journals_read(value, &number)) {
        format_journals_value(out, number);
        assert(fr_bytes_equal(fr_written(out), value));
        fr_writer_reset(out);
    }
    if (format_version_read(value, &version)) {
        format_version_value(out, &version);
        assert(fr_bytes_equal(fr_written(out), value));
        fr_writer_reset(out);
    }
    if (format_clock_read(value, &clock)) { /* a later version's may be longer */
        struct format_clock again;
        format_clock_value(out, &clock);
        assert(format_clock_read(fr_written(out), &again));
        assert(again.now == clock.now && again.events == clock.events && again.number == clock.number);
    }
}

static void try_position(struct fr_bytes key, struct fr_bytes value, struct fr_writer *out)
{
    struct format_position position, again;

    if (!format_position_read(key, value, &position))
        return;
    format_position_value(out, &position); /* as version 2, also what was version 1 */
    assert(format_position_read(key, fr_written(out), &again));
    assert(again.index == position.index && again.next == position.next && again.newest == position.newest &&
           again.last == position.last && again.print == position.print);
    fr_writer_reset(out);
    format_position_key(out, position.topic, position.partition);
    assert(fr_bytes_equal(fr_written(out), key));
}

static void try_letter(struct fr_bytes key, struct fr_bytes value, struct fr_writer *out)
{
    struct format_letter letter, again;

    if (!format_letter_read(key, value, &letter))
        return;
    format_letter_value(out, &letter); /* shorter, where a length was written long */
    assert(format_letter_read(key, fr_written(out), &again));
    assert(again.id == letter.id && again.offset == letter.offset && again.logged == letter.logged &&
           again.partition == letter.partition && again.has_key == letter.has_key &&
           again.has_value == letter.has_value && fr_bytes_equal(again.topic, letter.topic) &&
           fr_bytes_equal(again.reason, letter.reason) && fr_bytes_equal(again.message, letter.message) &&
           fr_bytes_equal(again.key, letter.key) && fr_bytes_equal(again.value, letter.value));
    fr_writer_reset(out);
    format_letter_key(out, letter.id);
    assert(fr_bytes_equal(fr_written(out), key));
}

static void try_keys(struct fr_bytes key, struct fr_writer *out)
{
    struct segment_key segment;
    char room[SEGMENT_KEY_MAX];

    format_position_value(out, &(struct format_position){.next = 1, .newest = -1, .last = -1});
    struct fr_writer again;
    fr_writer_init(&again, 0);
    try_position(key, fr_written(out), &again);
    fr_writer_reset(out);
    format_letter_value(out, &(struct format_letter){.logged = -1});
    fr_writer_reset(&again);
    try_letter(key, fr_written(out), &again);
    fr_writer_release(&again);
    if (segment_key_read(key, &segment))
        assert(fr_bytes_equal(segment_key_write(room, &segment), key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fr_bytes letter_key = {"x\0\0\0\0\0\0\0\1", 9}, position_key = {"ot\0\0\0\0\1", 7},
                                 holes_key = {"ht\0\0\0\0\1", 7},
                                 cutoff_key = {"c\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18};
    struct fr_writer out;

    if (size < 1)
        return 0;
    size_t len = size - 1;
    char *copy = malloc(len + 5); /* of its own, so that a read past it is seen */
    copy[0] = data[0] & 0x80 ? 2 : 1;
    memcpy(copy + 1, data + 1, len);
    uint64_t check = XXH3_64bits(copy, len + 1);
    for (size_t i = 0; i < 4; i++)
        copy[1 + len + i] = (char)(check >> (8 * i));
    struct fr_bytes value = {copy, len + 5};
    fr_writer_init(&out, 0);
    if (data[0] % 0x80 % 7 == 0)
        try_texts(value, &out);
    else if (data[0] % 0x80 % 7 == 1)
        try_numbers(value, &out);
    else if (data[0] % 0x80 % 7 == 2)
        try_position(position_key, value, &out);
    else if (data[0] % 0x80 % 7 == 3)
        try_letter(letter_key, value, &out);
    else if (data[0] % 0x80 % 7 == 4)
        try_holes(holes_key, value, &out);
    else if (data[0] % 0x80 % 7 == 5)
        try_cutoffs(cutoff_key, value, &out);
    else
        try_keys((struct fr_bytes){(const char *)data + 1, len}, &out);
    fr_writer_release(&out);
    free(copy);
    return 0;
}
