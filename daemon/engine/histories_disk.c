/*
 * histories_disk.c -- a history as cells of TABLE_HISTORY, and back. Little endian, as storage/FORMAT.md says.
 *
 *     slot (user, item)         [ sequence u32 | stamp u64 | affinity f64 | unit f64, 0 when not kept ]
 *     head (user, COLUMN_HEAD)  [ next sequence u32 | events u64 | last event time u64 ]
 *
 * What is loaded is checked as if a stranger had written it; a user that fails stays empty. Loading is most of a start,
 * and most histories are short: so nothing is allocated for them, and they are sorted by small keys, not as cells.
 */
#include "histories_private.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/event.h"

enum { FEW = 32, NEAR = 256 }; /* slots: sorted by hand; sorted on the stack */

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
    end = put_u32(room, histories_next_sequence(histories, user) - history_apart(&history, at, history.len));
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

/* ---- loading ---- */

/* What is loaded, and its order: sequence << 32 | place among the cells. */
struct cells {
    const uint32_t *items;
    const struct fr_bytes *slots;
    uint64_t *order;
    size_t len;
};

/* Can the cell be a slot of ours, under a head that says so? */
static bool cell_good(struct fr_bytes cell, uint32_t next_sequence, uint64_t last, bool units)
{
    if (cell.len != HISTORY_SLOT_BYTES)
        return false;
    uint64_t stamp = get_u64(cell.at + 4);
    double affinity = get_f64(cell.at + 12), unit = get_f64(cell.at + 20);

    return get_u32(cell.at) < next_sequence && stamp_repeats(stamp) > 0 && (uint64_t)stamp_last(stamp) <= last &&
           isfinite(affinity) && isfinite(unit) && (units || unit == 0.0);
}

static void sort_few(uint64_t *order, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        uint64_t one = order[i];
        size_t at = i;

        for (; at > 0 && order[at - 1] > one; at--)
            order[at] = order[at - 1];
        order[at] = one;
    }
}

/* By sequence, a byte at a time from the lowest; bytes in which no two differ are passed over. `spare` as long. */
static void sort_many(uint64_t *order, uint64_t *spare, size_t len)
{
    uint64_t *from = order, *to = spare, differ = 0;

    for (size_t i = 1; i < len; i++)
        differ |= order[i] ^ order[0];
    for (unsigned shift = 32; shift < 64; shift += 8) {
        size_t ends[256] = {0}, sum = 0;
        uint64_t *swap = from;

        if (!(differ >> shift & 255))
            continue;
        for (size_t i = 0; i < len; i++)
            ends[from[i] >> shift & 255]++;
        for (int byte = 0; byte < 256; byte++)
            ends[byte] = sum += ends[byte];
        for (size_t i = len; i-- > 0;)
            to[--ends[from[i] >> shift & 255]] = from[i];
        from = to;
        to = swap;
    }
    if (from != order)
        memcpy(order, from, len * sizeof *order);
}

/* Can these cells be one user's history? Leaves their order by sequence. `order` has room for twice as many. */
static bool cells_sort(const struct cells *cells, uint32_t next_sequence, uint64_t last, bool units)
{
    for (size_t i = 0; i < cells->len; i++) {
        if (!cell_good(cells->slots[i], next_sequence, last, units) || (i && cells->items[i] <= cells->items[i - 1]))
            return false;
        cells->order[i] = (uint64_t)get_u32(cells->slots[i].at) << 32 | i;
    }
    if (cells->len <= FEW)
        sort_few(cells->order, cells->len);
    else
        sort_many(cells->order, cells->order + cells->len, cells->len);
    for (size_t i = 1; i < cells->len; i++)
        if (cells->order[i] >> 32 == cells->order[i - 1] >> 32)
            return false;
    return true;
}

/*
 * Before any reader, so the version need not move; it does all the same, to keep to one way of storing. True if slots
 * were renumbered; when only the last step was too long, next_sequence alone is another, and it is saved with any change.
 */
static bool head_fill(struct histories *histories, struct head *head, const struct cells *cells, uint32_t next_sequence)
{
    uint32_t next = next_sequence, left_out = 0;
    bool renumbered = false;
    struct runs runs;

    head_begin(head);
    head_grow(histories, head, (uint32_t)cells->len);
    runs = head_runs(histories, head);
    for (size_t i = cells->len; i-- > 0;) {
        uint32_t place = (uint32_t)cells->order[i];
        const char *at = cells->slots[place].at;

        PUT(runs.item[i], cells->items[place]);
        PUT(runs.stamp[i], get_u64(at + 4));
        PUT(runs.affinity[i], get_f64(at + 12));
        if (runs.unit)
            PUT(runs.unit[i], get_f64(at + 20));
        uint32_t apart = next - get_u32(at);

        next -= apart;
        PUT(runs.step[i], step_of(apart));
        left_out += apart - step_of(apart);
        renumbered |= i + 1 < cells->len && apart > HISTORY_STEP_MAX;
    }
    PUT(head->len, (uint32_t)cells->len);
    PUT(head->next_sequence, next_sequence - left_out);
    head_end(head);
    PUT(histories->slots, OWN(histories->slots) + cells->len);
    return renumbered;
}

enum history_loaded histories_load(struct histories *histories, uint32_t user, struct fr_bytes head_cell,
                                   const uint32_t *items, const struct fr_bytes *slots, size_t len)
{
    uint64_t near[2 * NEAR];
    struct cells cells = {items, slots, near, len};
    enum history_loaded loaded = HISTORY_BAD;
    struct head *head;

    if (user >= OWN(histories->users) || head_cell.len != HISTORY_HEAD_BYTES || len > UINT32_MAX - 1)
        return HISTORY_BAD;
    uint32_t next_sequence = get_u32(head_cell.at);
    uint64_t last = get_u64(head_cell.at + 12);
    head = head_of(histories, user);
    if (last > (uint64_t)EVENT_WHEN_MAX || OWN(head->next_sequence) || OWN(head->events))
        return HISTORY_BAD; /* not a time, or loaded before */

    if (len > NEAR)
        cells.order = fr_alloc(2 * len * sizeof *cells.order);
    if (cells_sort(&cells, next_sequence, last, histories->options.units)) {
        loaded = head_fill(histories, head, &cells, next_sequence) ? HISTORY_RENUMBERED : HISTORY_LOADED;
        PUT(head->events, get_u64(head_cell.at + 4));
        PUT(head->last, (when_ms)last);
    }
    if (cells.order != near)
        free(cells.order);
    return loaded;
}
