/*
 * histories_disk.c -- a history as cells of TABLE_HISTORY, and back. Little endian, as storage/FORMAT.md says.
 *
 *     slot (user, item)         [ sequence u32 | stamp u64 | affinity f64 | unit f64, 0 when not kept ]
 *     head (user, COLUMN_HEAD)  [ next sequence u32 | events u64 | last event time u64 ]
 *
 * What is loaded is checked as if a stranger had written it; a user that fails stays empty.
 */
#include "histories_private.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/event.h"

struct cell {
    uint32_t item, sequence;
    uint64_t stamp;
    double affinity, unit;
};

static char *put_u32(char *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static char *put_u64(char *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static char *put_f64(char *at, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return put_u64(at, bits);
}

static uint32_t get_u32(const char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static uint64_t get_u64(const char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static double get_f64(const char *at)
{
    uint64_t bits = get_u64(at);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

void histories_slot_bytes(const struct histories *histories, uint32_t user, uint32_t at, char *room, size_t *ret_len)
{
    struct history history = histories_view(histories, user);
    char *end;

    assert(at < history.len);
    end = put_u32(room, history.sequence[at]);
    end = put_u64(end, history.stamp[at]);
    end = put_f64(end, history.affinity[at]);
    end = put_f64(end, history.unit ? history.unit[at] : 0.0);
    assert(end - room == HISTORY_SLOT_BYTES);
    *ret_len = HISTORY_SLOT_BYTES;
}

void histories_head_bytes(const struct histories *histories, uint32_t user, char *room, size_t *ret_len)
{
    const struct head *head = head_of(histories, user);
    char *end;

    end = put_u32(room, OWN(head->next_sequence));
    end = put_u64(end, OWN(head->events));
    end = put_u64(end, (uint64_t)OWN(head->last));
    assert(end - room == HISTORY_HEAD_BYTES);
    *ret_len = HISTORY_HEAD_BYTES;
}

static int order_by_item(const void *one, const void *other)
{
    const struct cell *a = one, *b = other;

    return (a->item > b->item) - (a->item < b->item);
}

static int order_by_sequence(const void *one, const void *other)
{
    const struct cell *a = one, *b = other;

    return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

/* Can these cells be one user's history? Leaves them in order of sequence. */
static bool cells_good(struct cell *cells, size_t len, uint32_t next_sequence, uint64_t last, bool units)
{
    for (size_t i = 0; i < len; i++) {
        const struct cell *cell = &cells[i];

        if (cell->sequence >= next_sequence || stamp_repeats(cell->stamp) == 0 ||
            (uint64_t)stamp_last(cell->stamp) > last || !isfinite(cell->affinity) || !isfinite(cell->unit) ||
            (!units && cell->unit != 0.0))
            return false;
    }
    if (len)
        qsort(cells, len, sizeof *cells, order_by_item);
    for (size_t i = 1; i < len; i++)
        if (cells[i].item == cells[i - 1].item)
            return false;
    if (len)
        qsort(cells, len, sizeof *cells, order_by_sequence);
    for (size_t i = 1; i < len; i++)
        if (cells[i].sequence == cells[i - 1].sequence)
            return false;
    return true;
}

static bool cells_read(struct cell *cells, const uint32_t *items, const struct fr_bytes *slots, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char *at = slots[i].at;

        if (slots[i].len != HISTORY_SLOT_BYTES)
            return false;
        cells[i] = (struct cell){items[i], get_u32(at), get_u64(at + 4), get_f64(at + 12), get_f64(at + 20)};
    }
    return true;
}

/* Before any reader, so the version need not move; it does all the same, to keep to one way of storing. */
static void head_fill(struct histories *histories, struct head *head, const struct cell *cells, size_t len)
{
    struct runs runs;

    head_begin(head);
    head_grow(histories, head, (uint32_t)len);
    runs = head_runs(histories, head);
    for (size_t i = 0; i < len; i++) {
        PUT(runs.item[i], cells[i].item);
        PUT(runs.sequence[i], cells[i].sequence);
        PUT(runs.stamp[i], cells[i].stamp);
        PUT(runs.affinity[i], cells[i].affinity);
        if (runs.unit)
            PUT(runs.unit[i], cells[i].unit);
    }
    PUT(head->len, (uint32_t)len);
    head_end(head);
    PUT(histories->slots, OWN(histories->slots) + len);
}

bool histories_load(struct histories *histories, uint32_t user, struct fr_bytes head_cell, const uint32_t *items,
                    const struct fr_bytes *slots, size_t len)
{
    struct head *head;
    struct cell *cells;
    uint32_t next_sequence;
    uint64_t events, last;
    bool good;

    if (user >= OWN(histories->users) || head_cell.len != HISTORY_HEAD_BYTES || len > UINT32_MAX - 1)
        return false;
    next_sequence = get_u32(head_cell.at);
    events = get_u64(head_cell.at + 4);
    last = get_u64(head_cell.at + 12);
    head = head_of(histories, user);
    if (last > (uint64_t)EVENT_WHEN_MAX || OWN(head->next_sequence) || OWN(head->events))
        return false; /* not a time, or loaded before */

    cells = fr_alloc(len * sizeof *cells + 1);
    good = cells_read(cells, items, slots, len) &&
           cells_good(cells, len, next_sequence, last, histories->options.units);
    if (good) {
        head_fill(histories, head, cells, len);
        PUT(head->next_sequence, next_sequence);
        PUT(head->events, events);
        PUT(head->last, (when_ms)last);
    }
    free(cells);
    return good;
}
