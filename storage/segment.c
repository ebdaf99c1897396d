/*
 * segment.c -- cells <-> bytes. The grammar is FORMAT.md's; every byte of a valid value is determined by its cells.
 *
 * Both directions run once per changed cell at every checkpoint and once per cell at every start, so the varints are
 * done here, inline, and with as few branches that nobody can predict as is simple.
 */
#include "freshet/segment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "freshet/alloc.h"

enum { VERSION = 1, CHECK_BYTES = 4, VARINT_MAX = 10, ROW_CLEARED = 1, ROW_HEAD = 2, ROW_FLAG_BITS = 2 };

static const struct {
    uint32_t rows;
    bool sums;
} tables[TABLES] = {
    [TABLE_USERS] = {1024, false}, [TABLE_ITEMS] = {1024, false}, [TABLE_HISTORY] = {256, false},
    [TABLE_PAIRS] = {64, true},    [TABLE_DEDUP] = {1, false},
    [TABLE_FM_ITEMS] = {256, false}, [TABLE_FM_HISTORY] = {256, false}, [TABLE_FM_FEATURES] = {256, false},
    [TABLE_FM_DENSE] = {1, false}, [TABLE_TRENDING] = {16, false}, [TABLE_QUALITY] = {16, false},
    [TABLE_NCF_GMF_ITEMS] = {256, false}, [TABLE_NCF_MLP_ITEMS] = {256, false}, [TABLE_NCF_GMF_HISTORY] = {256, false},
    [TABLE_NCF_MLP_HISTORY] = {256, false}, [TABLE_NCF_DENSE] = {1, false},
    [TABLE_CATALOGUE_ITEMS] = {256, false}, [TABLE_CATALOGUE_USERS] = {256, false},
};

uint32_t segment_rows(enum journal_table table)
{
    assert(table > 0 && table < TABLES);
    return tables[table].rows;
}

bool segment_sums(enum journal_table table)
{
    assert(table > 0 && table < TABLES);
    return tables[table].sums;
}

/* ---- keys ---- */

static void put_be(char *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (char)(value >> (8 * (bytes - 1 - i)));
}

static uint64_t get_be(const char *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

struct fr_bytes segment_key_write(char room[SEGMENT_KEY_MAX], const struct segment_key *key)
{
    size_t number_bytes = key->delta ? 8 : 4;

    assert(key->table > 0 && key->table < TABLES && (key->delta || key->number <= UINT32_MAX));
    room[0] = 's';
    room[1] = (char)key->table;
    put_be(room + 2, key->segment, 4);
    room[6] = key->delta;
    put_be(room + 7, key->number, number_bytes);
    return (struct fr_bytes){room, 7 + number_bytes};
}

bool segment_key_read(struct fr_bytes bytes, struct segment_key *ret_key)
{
    if (bytes.len < 11 || bytes.at[0] != 's' || bytes.at[1] <= 0 || bytes.at[1] >= TABLES)
        return false;
    bool delta = bytes.at[6] == 1;
    if ((!delta && bytes.at[6] != 0) || bytes.len != (delta ? 15 : 11))
        return false;
    *ret_key = (struct segment_key){
        .table = (enum journal_table)bytes.at[1],
        .segment = (uint32_t)get_be(bytes.at + 2, 4),
        .delta = delta,
        .number = get_be(bytes.at + 7, bytes.len - 7),
    };
    return ret_key->segment <= UINT32_MAX / tables[ret_key->table].rows;
}

/* ---- writing ---- */

static inline unsigned char *room_for(struct segment_run *run, size_t bytes)
{
    if (run->cap - run->len < bytes) {
        run->cap = run->cap + run->cap / 2 + bytes + 256;
        run->at = fr_realloc(run->at, run->cap);
    }
    return run->at + run->len;
}

static inline unsigned char *put_varint(unsigned char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (unsigned char)value;
    return at;
}

static void put_run(struct segment_run *run, const void *bytes, size_t len)
{
    if (!len)
        return;
    memcpy(room_for(run, len), bytes, len);
    run->len += len;
}

void segment_writer_init(struct segment_writer *writer)
{
    *writer = (struct segment_writer){0};
}

void segment_writer_release(struct segment_writer *writer)
{
    free(writer->out.at);
    free(writer->cells.at);
    *writer = (struct segment_writer){0};
}

void segment_begin(struct segment_writer *writer, enum journal_table table, uint32_t segment)
{
    writer->sums = segment_sums(table);
    writer->open = false;
    writer->next_row = (uint64_t)segment * tables[table].rows;
    writer->rows = 0;
    writer->out.len = 0;
    writer->cells.len = 0;
    *room_for(&writer->out, 1) = VERSION;
    writer->out.len = 1;
}

static void close_row(struct segment_writer *writer)
{
    if (writer->open && (writer->cells_len || writer->cleared)) {
        unsigned char *begin = room_for(&writer->out, 2 * VARINT_MAX), *at = begin;
        at = put_varint(at, writer->row - writer->next_row);
        at = put_varint(at, (uint64_t)writer->cells_len << ROW_FLAG_BITS | (writer->head ? ROW_HEAD : 0) |
                                (writer->cleared ? ROW_CLEARED : 0));
        writer->out.len += (size_t)(at - begin);
        put_run(&writer->out, writer->cells.at, writer->cells.len);
        writer->next_row = (uint64_t)writer->row + 1;
        writer->rows++;
    }
    writer->open = false;
    writer->cells.len = 0;
}

void segment_row(struct segment_writer *writer, uint32_t row, bool cleared)
{
    close_row(writer);
    assert(row >= writer->next_row);
    writer->open = true;
    writer->row = row;
    writer->cleared = cleared;
    writer->head = false;
    writer->cells_len = 0;
    writer->next_column = 0;
}

/* The gap before a cell, or the head flag instead; `at` has room for a varint. */
static inline unsigned char *put_column(struct segment_writer *writer, unsigned char *at, uint32_t column)
{
    assert(writer->open && column >= writer->next_column);
    if (column == COLUMN_HEAD)
        writer->head = true;
    else
        at = put_varint(at, column - writer->next_column);
    writer->next_column = (uint64_t)column + 1;
    writer->cells_len++;
    return at;
}

void segment_sum(struct segment_writer *writer, uint32_t column, int64_t sum)
{
    unsigned char *begin = room_for(&writer->cells, 2 * VARINT_MAX), *at = begin;

    assert(writer->sums && sum != 0);
    at = put_column(writer, at, column);
    at = put_varint(at, (uint64_t)sum << 1 ^ (uint64_t)(sum >> 63));
    writer->cells.len += (size_t)(at - begin);
}

void segment_cell(struct segment_writer *writer, uint32_t column, struct fr_bytes bytes)
{
    unsigned char *begin = room_for(&writer->cells, 2 * VARINT_MAX + bytes.len), *at = begin;

    assert(!writer->sums);
    at = put_column(writer, at, column);
    at = put_varint(at, (uint64_t)bytes.len + 1);
    writer->cells.len += (size_t)(at - begin);
    put_run(&writer->cells, bytes.at, bytes.len);
}

void segment_deleted(struct segment_writer *writer, uint32_t column)
{
    unsigned char *begin = room_for(&writer->cells, 2 * VARINT_MAX), *at = begin;

    assert(!writer->sums);
    at = put_column(writer, at, column);
    *at++ = 0;
    writer->cells.len += (size_t)(at - begin);
}

size_t segment_length(const struct segment_writer *writer)
{
    return writer->out.len + writer->cells.len;
}

static uint32_t check_of(const void *bytes, size_t len)
{
    return (uint32_t)XXH3_64bits(bytes, len);
}

struct fr_bytes segment_end(struct segment_writer *writer)
{
    close_row(writer);
    if (!writer->rows)
        return (struct fr_bytes){NULL, 0};
    uint32_t check = check_of(writer->out.at, writer->out.len);
    unsigned char bytes[CHECK_BYTES];
    for (int i = 0; i < CHECK_BYTES; i++)
        bytes[i] = (unsigned char)(check >> (8 * i));
    put_run(&writer->out, bytes, sizeof(bytes));
    return (struct fr_bytes){(const char *)writer->out.at, writer->out.len};
}

/* ---- reading ---- */

void segment_cells_release(struct segment_cells *cells)
{
    free(cells->columns);
    free(cells->sums);
    free(cells->cells);
    *cells = (struct segment_cells){0};
}

void segment_cells_reserve(struct segment_cells *cells, bool sums, size_t len)
{
    if (cells->cap >= len && (sums ? cells->sums != NULL : cells->cells != NULL))
        return;
    if (cells->cap < len)
        cells->cap = len + cells->cap / 2 + 64;
    cells->columns = fr_realloc(cells->columns, cells->cap * sizeof(*cells->columns));
    if (sums || cells->sums)
        cells->sums = fr_realloc(cells->sums, cells->cap * sizeof(*cells->sums));
    if (!sums || cells->cells)
        cells->cells = fr_realloc(cells->cells, cells->cap * sizeof(*cells->cells));
}

static bool fail(struct segment_reader *reader, const char *problem)
{
    reader->problem = problem;
    return false;
}

bool segment_open(struct segment_reader *reader, const struct segment_key *key, struct fr_bytes value)
{
    const unsigned char *at = (const unsigned char *)value.at;

    assert(key->table > 0 && key->table < TABLES);
    *reader = (struct segment_reader){.sums = tables[key->table].sums, .delta = key->delta};
    if (value.len < 1 + CHECK_BYTES)
        return fail(reader, "is too short");
    size_t len = value.len - CHECK_BYTES;
    uint32_t check = 0;
    for (int i = 0; i < CHECK_BYTES; i++)
        check |= (uint32_t)at[len + (size_t)i] << (8 * i);
    if (check != check_of(at, len))
        return fail(reader, "has a wrong checksum");
    if (at[0] != VERSION)
        return fail(reader, "has an unknown version");
    if (len == 1)
        return fail(reader, "has no rows");
    reader->at = at + 1;
    reader->end = at + len;
    reader->next_row = (uint64_t)key->segment * tables[key->table].rows;
    reader->end_row = reader->next_row + tables[key->table].rows;
    if (reader->end_row > (uint64_t)UINT32_MAX + 1)
        return fail(reader, "is beyond the last row");
    return true;
}

/* A varint in its shortest form. NULL: there is none. */
static const unsigned char *get_long_varint(const unsigned char *at, const unsigned char *end, uint64_t *ret)
{
    uint64_t value = 0;

    for (int shift = 0; at < end && shift < 64; shift += 7) {
        unsigned char byte = *at++;
        if (shift == 63 && byte > 1)
            return NULL;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = value;
            return byte || shift == 0 ? at : NULL;
        }
    }
    return NULL;
}

static inline const unsigned char *get_varint(const unsigned char *at, const unsigned char *end, uint64_t *ret)
{
    if (at < end && *at < 0x80) {
        *ret = *at;
        return at + 1;
    }
    return get_long_varint(at, end, ret);
}

/* A gap is of one byte or two, as if by a coin: so no branch decides, which would be mispredicted every other cell. */
static inline const unsigned char *get_gap(const unsigned char *at, const unsigned char *end, uint64_t *ret)
{
    if (end - at >= 2) {
        uint64_t first = at[0], second = at[1], two = first >> 7;
        if (!two | (second - 1 < 0x7f)) {
            *ret = (first & 0x7f) | (second & (0 - two)) << 7;
            return at + 1 + two;
        }
    }
    return get_long_varint(at, end, ret);
}

static inline int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static const unsigned char *read_sums(struct segment_reader *reader, struct segment_cells *row, size_t plain)
{
    const unsigned char *at = reader->at, *end = reader->end;
    uint64_t column = 0, gap, value;

    for (size_t i = 0; i < row->len; i++) {
        if (i < plain) {
            if (!(at = get_gap(at, end, &gap)) || gap >= COLUMN_HEAD - column)
                return NULL;
            column += gap;
            row->columns[i] = (uint32_t)column++;
        } else {
            row->columns[i] = COLUMN_HEAD;
        }
        if (!(at = get_varint(at, end, &value)) || !value)
            return NULL;
        row->sums[i] = unzigzag(value);
    }
    return at;
}

static const unsigned char *read_cells(struct segment_reader *reader, struct segment_cells *row, size_t plain)
{
    const unsigned char *at = reader->at, *end = reader->end;
    uint64_t column = 0, gap, value;

    for (size_t i = 0; i < row->len; i++) {
        if (i < plain) {
            if (!(at = get_gap(at, end, &gap)) || gap >= COLUMN_HEAD - column)
                return NULL;
            column += gap;
            row->columns[i] = (uint32_t)column++;
        } else {
            row->columns[i] = COLUMN_HEAD;
        }
        if (!(at = get_varint(at, end, &value)))
            return NULL;
        if (!value) {
            if (!reader->delta)
                return NULL;
            row->cells[i] = (struct fr_bytes){NULL, 0};
            continue;
        }
        if (value - 1 > (uint64_t)(end - at))
            return NULL;
        row->cells[i] = (struct fr_bytes){(const char *)at, (size_t)(value - 1)};
        at += value - 1;
    }
    return at;
}

bool segment_next(struct segment_reader *reader, struct segment_cells *row)
{
    const unsigned char *at = reader->at, *end = reader->end;
    uint64_t gap, header;

    if (reader->problem || at == end)
        return false;
    if (!(at = get_varint(at, end, &gap)) || gap >= reader->end_row - reader->next_row)
        return fail(reader, "names a row outside the segment");
    if (!(at = get_varint(at, end, &header)))
        return fail(reader, "is cut short");
    uint64_t len = header >> ROW_FLAG_BITS;
    bool head = header & ROW_HEAD, cleared = header & ROW_CLEARED;
    if (len > (uint64_t)(end - at) || (head && !len)) /* a cell takes a byte at least */
        return fail(reader, "claims more cells than it holds");
    if ((cleared && !reader->delta) || (!cleared && !len))
        return fail(reader, "has a row that says nothing");
    row->row = (uint32_t)(reader->next_row + gap);
    row->cleared = cleared;
    row->len = (size_t)len;
    segment_cells_reserve(row, reader->sums, row->len);
    reader->at = at;
    at = reader->sums ? read_sums(reader, row, row->len - head) : read_cells(reader, row, row->len - head);
    if (!at)
        return fail(reader, "has a broken cell");
    reader->at = at;
    reader->next_row = (uint64_t)row->row + 1;
    reader->rows++;
    return true;
}
