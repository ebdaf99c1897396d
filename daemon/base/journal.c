/*
 * journal.c -- for each table a lane: operations one after another in chunks of 32-bit words; nothing is ever moved.
 *
 *     history   chunk -> chunk -> chunk        whoever writes them to the store takes them table by table, and reads
 *     pairs     chunk -> chunk -> ... chunk    a table more than once: of the others it need not see anything
 *     keys      chunk
 *
 *     star   [kind] [center] [by] [n] [other] * n
 *     add    [kind] [row] [column] [by]
 *     adds   [kind] [row] [n] [column] * n [by] * n
 *     put    [kind] [row] [column] [length] [bytes, padded to whole words]
 *     delete [kind] [row] [column]
 *     clear  [kind] [row]
 *     key    [kind] [key length] [value length] [key, padded] [value, padded]
 *
 * An operation lies whole within a chunk, so that reading borrows. One that is longer than a chunk gets its own.
 */
#include "freshet/journal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"

enum { CHUNK_WORDS = 8192 - 8, CHUNKS_KEPT = 512 };

struct chunk {
    struct chunk *after;
    size_t len, cap; /* words */
    uint32_t words[];
};

struct lane {
    struct chunk *first, *last;
};

struct journal {
    struct lane lanes[TABLES];
    struct chunk *spare; /* emptied ones of the usual size */
    size_t spares;
    size_t bytes; /* of what was appended, and of what was left over at the end of chunks */
};

struct journal *journal_new(void)
{
    return fr_zalloc(1, sizeof(struct journal));
}

static void free_chunks(struct chunk *chunk)
{
    while (chunk) {
        struct chunk *after = chunk->after;
        free(chunk);
        chunk = after;
    }
}

void journal_free(struct journal *journal)
{
    if (!journal)
        return;
    for (int table = 0; table < TABLES; table++)
        free_chunks(journal->lanes[table].first);
    free_chunks(journal->spare);
    free(journal);
}

static void lane_empty(struct journal *journal, struct lane *lane)
{
    while (lane->first) {
        struct chunk *chunk = lane->first;
        lane->first = chunk->after;
        if (chunk->cap == CHUNK_WORDS && journal->spares < CHUNKS_KEPT) {
            chunk->after = journal->spare;
            journal->spare = chunk;
            journal->spares++;
        } else {
            free(chunk);
        }
    }
    lane->last = NULL;
}

void journal_reset(struct journal *journal)
{
    for (int table = 0; table < TABLES; table++)
        lane_empty(journal, &journal->lanes[table]);
    journal->bytes = 0;
}

size_t journal_bytes(const struct journal *journal)
{
    return journal->bytes;
}

bool journal_empty(const struct journal *journal)
{
    return !journal->bytes;
}

static struct chunk *take_chunk(struct journal *journal, size_t words)
{
    struct chunk *chunk = journal->spare;

    if (words <= CHUNK_WORDS && chunk) {
        journal->spare = chunk->after;
        journal->spares--;
    } else {
        size_t cap = words <= CHUNK_WORDS ? CHUNK_WORDS : words;
        chunk = fr_alloc(sizeof(*chunk) + cap * sizeof(uint32_t));
        chunk->cap = cap;
    }
    chunk->after = NULL;
    chunk->len = 0;
    return chunk;
}

/* Room for an operation of `words` words. */
static uint32_t *append(struct journal *journal, enum journal_table table, size_t words)
{
    struct lane *lane = &journal->lanes[table];
    struct chunk *last = lane->last;

    if (!last || last->cap - last->len < words) {
        struct chunk *chunk = take_chunk(journal, words);
        if (last) {
            journal->bytes += (last->cap - last->len) * sizeof(uint32_t);
            last->after = chunk;
        } else {
            lane->first = chunk;
        }
        lane->last = last = chunk;
    }
    uint32_t *at = last->words + last->len;
    last->len += words;
    journal->bytes += words * sizeof(uint32_t);
    return at;
}

static size_t words_of(size_t bytes)
{
    return (bytes + sizeof(uint32_t) - 1) / sizeof(uint32_t);
}

static void copy_bytes(uint32_t *to, const void *bytes, size_t len)
{
    if (!len)
        return;
    to[words_of(len) - 1] = 0; /* the padding */
    memcpy(to, bytes, len);
}

static bool sums(enum journal_table table)
{
    assert(table > 0 && table < TABLES);
    return table == TABLE_PAIRS;
}

void journal_star(struct journal *journal, enum journal_table table, uint32_t center, const uint32_t *others,
                  size_t others_len, int32_t by)
{
    assert(sums(table) && others_len < UINT32_MAX);
    if (!others_len)
        return;
    uint32_t *at = append(journal, table, 4 + others_len);
    at[0] = JOURNAL_STAR;
    at[1] = center;
    at[2] = (uint32_t)by;
    at[3] = (uint32_t)others_len;
    memcpy(at + 4, others, others_len * sizeof(*others));
}

void journal_add(struct journal *journal, enum journal_table table, uint32_t row, uint32_t column, int32_t by)
{
    assert(sums(table));
    uint32_t *at = append(journal, table, 4);
    at[0] = JOURNAL_ADD;
    at[1] = row;
    at[2] = column;
    at[3] = (uint32_t)by;
}

void journal_adds(struct journal *journal, enum journal_table table, uint32_t row, const uint32_t *columns, const int32_t *by, size_t len)
{
    assert(sums(table) && len < UINT32_MAX / 2);
    if (!len)
        return;
    uint32_t *at = append(journal, table, 3 + 2 * len);
    at[0] = JOURNAL_ADDS;
    at[1] = row;
    at[2] = (uint32_t)len;
    memcpy(at + 3, columns, len * sizeof(*columns));
    memcpy(at + 3 + len, by, len * sizeof(*by));
}

void journal_put(struct journal *journal, enum journal_table table, uint32_t row, uint32_t column, const void *bytes,
                 size_t len)
{
    assert(!sums(table) && len < UINT32_MAX);
    uint32_t *at = append(journal, table, 4 + words_of(len));
    at[0] = JOURNAL_PUT;
    at[1] = row;
    at[2] = column;
    at[3] = (uint32_t)len;
    copy_bytes(at + 4, bytes, len);
}

void journal_delete(struct journal *journal, enum journal_table table, uint32_t row, uint32_t column)
{
    assert(!sums(table));
    uint32_t *at = append(journal, table, 3);
    at[0] = JOURNAL_DELETE;
    at[1] = row;
    at[2] = column;
}

void journal_clear(struct journal *journal, enum journal_table table, uint32_t row)
{
    assert(table > 0 && table < TABLES);
    uint32_t *at = append(journal, table, 2);
    at[0] = JOURNAL_CLEAR;
    at[1] = row;
}

static void append_key(struct journal *journal, enum journal_op_kind kind, struct fr_bytes key, struct fr_bytes value)
{
    assert(key.len > 0 && key.len < UINT32_MAX && value.len < UINT32_MAX);
    uint32_t *at = append(journal, TABLE_KEYS, 3 + words_of(key.len) + words_of(value.len));
    at[0] = (uint32_t)kind;
    at[1] = (uint32_t)key.len;
    at[2] = (uint32_t)value.len;
    copy_bytes(at + 3, key.at, key.len);
    copy_bytes(at + 3 + words_of(key.len), value.at, value.len);
}

void journal_key_put(struct journal *journal, struct fr_bytes key, struct fr_bytes value)
{
    append_key(journal, JOURNAL_KEY_PUT, key, value);
}

void journal_key_delete(struct journal *journal, struct fr_bytes key)
{
    append_key(journal, JOURNAL_KEY_DELETE, key, (struct fr_bytes){NULL, 0});
}

void journal_begin(const struct journal *journal, enum journal_table table, struct journal_cursor *ret_cursor)
{
    *ret_cursor = (struct journal_cursor){table, journal->lanes[table].first, 0};
}

/* Returns its words. Field by field: this is most of what reading costs. */
static size_t read_operation(const uint32_t *at, struct journal_op *ret_op)
{
    ret_op->kind = (enum journal_op_kind)at[0];
    ret_op->row = at[1];
    ret_op->others_len = 0;
    switch (ret_op->kind) {
    case JOURNAL_STAR:
        ret_op->by = (int32_t)at[2];
        ret_op->others_len = at[3];
        ret_op->others = at + 4;
        return 4 + ret_op->others_len;
    case JOURNAL_ADD:
        ret_op->column = at[2];
        ret_op->by = (int32_t)at[3];
        return 4;
    case JOURNAL_ADDS:
        ret_op->others_len = at[2];
        ret_op->others = at + 3;
        ret_op->each = (const int32_t *)at + 3 + ret_op->others_len;
        return 3 + 2 * ret_op->others_len;
    case JOURNAL_PUT:
        ret_op->column = at[2];
        ret_op->bytes = (struct fr_bytes){(const char *)(at + 4), at[3]};
        return 4 + words_of(ret_op->bytes.len);
    case JOURNAL_DELETE:
        ret_op->column = at[2];
        return 3;
    case JOURNAL_CLEAR:
        return 2;
    case JOURNAL_KEY_PUT:
    case JOURNAL_KEY_DELETE:
        ret_op->key = (struct fr_bytes){(const char *)(at + 3), at[1]};
        ret_op->bytes = (struct fr_bytes){(const char *)(at + 3 + words_of(ret_op->key.len)), at[2]};
        return 3 + words_of(ret_op->key.len) + words_of(ret_op->bytes.len);
    }
    assert(false);
    return 0;
}

bool journal_next(struct journal_cursor *cursor, struct journal_op *ret_op)
{
    const struct chunk *chunk = cursor->chunk;

    if (chunk && cursor->at == chunk->len) { /* a chunk is never empty */
        cursor->chunk = chunk = chunk->after;
        cursor->at = 0;
    }
    if (!chunk)
        return false;
    cursor->at += read_operation(chunk->words + cursor->at, ret_op);
    ret_op->table = cursor->table;
    return true;
}
