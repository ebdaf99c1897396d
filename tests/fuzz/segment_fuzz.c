/*
 * segment_fuzz.c -- any bytes as a value of a segment: never a crash, and what is accepted is exactly what encoding its
 * cells gives again.
 *
 * The second byte chooses which table, base or delta, first or last segment. The checksum is put right, so that the
 * fuzzer gets past it; if the first byte is odd, the bytes are also tried as they are.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

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
    try_segment((struct fr_bytes){copy, len + 5}, data[1]);
    if (data[0] & 1)
        try_segment((struct fr_bytes){(const char *)data, size}, data[1]);
    free(copy);
    return 0;
}
