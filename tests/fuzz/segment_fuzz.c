/*
 * segment_fuzz.c -- any bytes as a value of a segment, or as one of the plain values: never a crash, and what is
 * accepted as a segment is exactly what encoding its cells gives again.
 *
 * The first byte chooses what the rest is; the second, for segments, which one. The checksum is put right, so that the
 * fuzzer gets past it.
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

static void encode_again(struct segment_writer *writer, const struct segment_reader *reader,
                         const struct segment_cells *row)
{
    segment_row(writer, row->row, row->cleared);
    for (size_t i = 0; i < row->len; i++)
        if (reader->sums)
            segment_sum(writer, row->columns[i], row->sums[i]);
        else if (row->cells[i].at)
            segment_cell(writer, row->columns[i], row->cells[i]);
        else
            segment_deleted(writer, row->columns[i]);
}

static void try_segment(struct fr_bytes value, uint8_t choice)
{
    struct segment_key key = {.table = (enum journal_table)(1 + choice % (TABLES - 1)), .delta = choice & 0x40};
    struct segment_reader reader;
    struct segment_cells row = {0};
    struct segment_writer writer;

    key.segment = choice & 0x80 ? UINT32_MAX / segment_rows(key.table) : 0;
    segment_writer_init(&writer);
    segment_begin(&writer, key.table, key.segment);
    if (segment_open(&reader, &key, value)) {
        while (segment_next(&reader, &row))
            encode_again(&writer, &reader, &row);
        if (!reader.problem)
            assert(fr_bytes_equal(segment_end(&writer), value));
    }
    segment_cells_release(&row);
    segment_writer_release(&writer);
}

static void try_plain(struct fr_bytes value)
{
    static const struct fr_bytes letter_key = {"x\0\0\0\0\0\0\0\1", 9}, position_key = {"ot\0\0\0\0\1", 7};
    struct format_version version;
    struct format_clock clock;
    struct format_position position;
    struct format_letter letter, again;
    struct segment_key key;
    struct fr_bytes text;
    struct fr_writer out;
    uint64_t number;

    fr_writer_init(&out, 0);
    format_version_read(value, &version);
    format_clock_read(value, &clock);
    format_journals_read(value, &number);
    if (format_shape_read(value, &text)) {
        format_shape_value(&out, text);
        assert(fr_bytes_equal(fr_written(&out), value));
        fr_writer_reset(&out);
    }
    if (format_position_read(position_key, value, &position)) {
        format_position_value(&out, &position);
        assert(fr_bytes_equal(fr_written(&out), value));
        fr_writer_reset(&out);
    }
    if (format_letter_read(letter_key, value, &letter)) {
        format_letter_value(&out, &letter);
        assert(format_letter_read(letter_key, fr_written(&out), &again));
        assert(fr_bytes_equal(letter.value, again.value) && fr_bytes_equal(letter.message, again.message));
    }
    segment_key_read(value, &key);
    format_position_read(value, fr_written(&out), &position);
    format_letter_read(value, fr_written(&out), &letter);
    fr_writer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t len = size - 2;
    char *copy = malloc(len + 5); /* of its own, so that a read past it is seen */
    copy[0] = 1;
    memcpy(copy + 1, data + 2, len);
    uint64_t check = XXH3_64bits(copy, len + 1);
    for (size_t i = 0; i < 4; i++)
        copy[1 + len + i] = (char)(check >> (8 * i));
    if (data[0] & 1)
        try_segment((struct fr_bytes){copy, len + 5}, data[1]);
    else
        try_plain((struct fr_bytes){copy, len + 5});
    if (data[0] & 2) { /* as it is */
        try_segment((struct fr_bytes){(const char *)data, size}, data[1]);
        try_plain((struct fr_bytes){(const char *)data, size});
    }
    free(copy);
    return 0;
}
