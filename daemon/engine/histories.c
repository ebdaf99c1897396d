/*
 * histories.c -- one bounded history per user: changed by one thread, copied by many.
 *
 *     affinity  a = sum over the slot's events of  w * 2^-((last - t) / half_life),  as of the slot's newest event
 *
 *     event (t, w), t >= last:    a = a * 2^-((t - last)/h) + w, last = t
 *     event (t, w), t <  last:    a = a + w * 2^-((last - t)/h)
 *     event (t, w) taken back:    a = a - w * 2^-((last - t)/h)
 *
 * Reading whole: a reader notes the version (even), loads all words with acquire, and looks at the version again;
 * if it has moved, what was copied may be of two moments and is thrown away. Before it follows the block it makes sure
 * in the same way that block, cap and len are of one moment, for they say how far it may read. The block it found
 * stays in place while it is inside the epoch, changed perhaps, but never freed or given to another user.
 */
#include "histories_private.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_UNIT = 16, GROWTH = 8, LINE = 64, PATIENCE = 1000 };

struct histories *histories_new(const struct histories_options *options, struct fr_epoch *epoch)
{
    struct histories *histories = fr_zalloc(1, sizeof *histories);

    histories->options = *options;
    histories->epoch = epoch;
    histories->slab = fr_slab_new(BLOCK_UNIT, FR_SLAB_FINE);
    fr_array_init(&histories->heads, sizeof(struct head), options->users_max);
    return histories;
}

void histories_free(struct histories *histories)
{
    if (!histories)
        return;
    fr_array_release(&histories->heads);
    fr_slab_free(histories->slab);
    free(histories);
}

void histories_extend(struct histories *histories, uint32_t users)
{
    if (users <= OWN(histories->users))
        return;
    fr_array_grow(&histories->heads, users);
    PUT(histories->users, users);
}

static struct history runs_view(const struct runs *runs, uint32_t len)
{
    return (struct history){
        .item = (const uint32_t *)runs->item,
        .step = (const uint16_t *)runs->step,
        .stamp = (const uint64_t *)runs->stamp,
        .affinity = (const double *)runs->affinity,
        .unit = (const double *)runs->unit,
        .len = len,
    };
}

/* ---- the writer's own reading: nobody else stores, so plain loads through the view are no race ---- */

void histories_prefetch(const struct histories *histories, uint32_t user, int stage)
{
    const struct head *head;
    struct runs runs;
    uint32_t len;

    if (user >= OWN(histories->users))
        return;
    head = head_of(histories, user);
    if (stage == 0) {
        __builtin_prefetch((const void *)&head->block, 1);
        __builtin_prefetch((const void *)&head->last, 1);
        return;
    }
    runs = head_runs(histories, head);
    len = OWN(head->len);
    if (len == 0)
        return;
    for (size_t i = 0; i < len && i < 16 * LINE / sizeof *runs.item; i += LINE / sizeof *runs.item)
        __builtin_prefetch((const void *)&runs.item[i]);
    __builtin_prefetch((const void *)&runs.step[len - 1]);
    __builtin_prefetch((const void *)&runs.stamp[len - 1]);
    __builtin_prefetch((const void *)&runs.affinity[len - 1], 1);
}

struct history histories_view(const struct histories *histories, uint32_t user)
{
    const struct head *head = head_of(histories, user);
    struct runs runs = head_runs(histories, head);

    return runs_view(&runs, OWN(head->len));
}

uint32_t histories_find(const struct histories *histories, uint32_t user, uint32_t item)
{
    struct history history = histories_view(histories, user);
    uint32_t at = 0;

    /* Eight at a time without a branch in between, which compilers turn into vector compares. */
    for (; at + 8 <= history.len; at += 8) {
        uint32_t found = 0;

        for (uint32_t i = 0; i < 8; i++)
            found |= history.item[at + i] == item;
        if (found)
            break;
    }
    for (; at < history.len; at++)
        if (history.item[at] == item)
            return at;
    return UINT32_MAX;
}

uint32_t histories_next_sequence(const struct histories *histories, uint32_t user)
{
    return OWN(head_of(histories, user)->next_sequence);
}

uint64_t histories_events(const struct histories *histories, uint32_t user)
{
    return OWN(head_of(histories, user)->events);
}

uint32_t histories_oldest(const struct histories *histories, uint32_t user)
{
    struct history history = histories_view(histories, user);
    uint32_t oldest = 0;

    assert(history.len > 0);
    /* Slots stand in order of arrival: among equal times the first one met is the oldest. */
    for (uint32_t i = 1; i < history.len; i++)
        if (stamp_last(history.stamp[i]) < stamp_last(history.stamp[oldest]))
            oldest = i;
    return oldest;
}

/* ---- changing ---- */

static void block_give(void *context, void *block, size_t size)
{
    fr_slab_give(context, block, size);
}

static void block_retire(struct histories *histories, void *block, uint32_t cap)
{
    if (block)
        fr_epoch_retire(histories->epoch, block_give, histories->slab, block,
                        cap * slot_size(histories->options.units));
}

/* Into a block that no reader has seen yet, so these are no stores to mind. */
static void slots_copy(const struct runs *to, const struct runs *from, uint32_t len)
{
    if (!len)
        return;
    memcpy((void *)to->stamp, (const void *)from->stamp, len * sizeof *from->stamp);
    memcpy((void *)to->affinity, (const void *)from->affinity, len * sizeof *from->affinity);
    if (to->unit)
        memcpy((void *)to->unit, (const void *)from->unit, len * sizeof *from->unit);
    memcpy((void *)to->item, (const void *)from->item, len * sizeof *from->item);
    memcpy((void *)to->step, (const void *)from->step, len * sizeof *from->step);
}

/* Slot `at` is overwritten by the one after it, and so on; `len` is that of before. */
static void slots_close(const struct runs *runs, uint32_t at, uint32_t len)
{
    for (; at + 1 < len; at++) {
        PUT(runs->item[at], OWN(runs->item[at + 1]));
        PUT(runs->step[at], OWN(runs->step[at + 1]));
        PUT(runs->stamp[at], OWN(runs->stamp[at + 1]));
        PUT(runs->affinity[at], OWN(runs->affinity[at + 1]));
        if (runs->unit)
            PUT(runs->unit[at], OWN(runs->unit[at + 1]));
    }
}

void head_grow(struct histories *histories, struct head *head, uint32_t want)
{
    size_t size = slot_size(histories->options.units);
    uint32_t old_cap = OWN(head->cap), cap;
    struct runs from, to;
    void *block, *old;

    if (want <= old_cap)
        return;
    /* An eighth more: what is free is a twentieth of the whole on average, and an arrival copies eight slots. */
    if (want < old_cap + old_cap / GROWTH)
        want = old_cap + old_cap / GROWTH;
    cap = (uint32_t)(fr_slab_room(histories->slab, want * size) / size);
    block = fr_slab_take(histories->slab, cap * size);
    old = OWN(head->block);
    from = runs_of(old, old_cap, histories->options.units);
    to = runs_of(block, cap, histories->options.units);
    slots_copy(&to, &from, OWN(head->len));
    atomic_store_explicit(&head->block, block, memory_order_seq_cst);
    PUT(head->cap, cap);
    block_retire(histories, old, old_cap);
}

/* A new slot at the end, with no event in it yet. */
static uint32_t head_append(struct histories *histories, struct head *head, uint32_t item)
{
    uint32_t at = OWN(head->len), sequence = OWN(head->next_sequence);
    struct runs runs;

    assert(sequence != UINT32_MAX); /* four billion arrivals of one user: the caller refuses them before */
    head_grow(histories, head, at + 1);
    runs = head_runs(histories, head);
    PUT(runs.item[at], item);
    PUT(runs.step[at], 1);
    PUT(runs.stamp[at], stamp_of(0, 0));
    PUT(runs.affinity[at], 0.0);
    if (runs.unit)
        PUT(runs.unit[at], 0.0);
    PUT(head->next_sequence, sequence + 1);
    PUT(head->len, at + 1);
    PUT(histories->slots, OWN(histories->slots) + 1);
    return at;
}

uint32_t histories_touch(struct histories *histories, uint32_t user, uint32_t at, uint32_t item, when_ms when,
                         double weight)
{
    struct head *head = head_of(histories, user);
    span_ms half_life = histories->options.half_life;
    double keep, add; /* what the past, and what this event is worth as of the newer of the two */
    struct runs runs;
    uint64_t stamp;
    uint32_t repeats;
    when_ms last;

    head_begin(head);
    if (at == UINT32_MAX)
        at = head_append(histories, head, item);
    assert(at < OWN(head->len));
    runs = head_runs(histories, head);
    assert(OWN(runs.item[at]) == item);
    stamp = OWN(runs.stamp[at]);
    repeats = stamp_repeats(stamp);
    last = repeats ? stamp_last(stamp) : when;
    keep = decay_factor(when - last, half_life);
    add = decay_factor(last - when, half_life);
    PUT(runs.affinity[at], OWN(runs.affinity[at]) * keep + weight * add);
    if (runs.unit)
        PUT(runs.unit[at], OWN(runs.unit[at]) * keep + add);
    PUT(runs.stamp[at], stamp_of(when > last ? when : last, repeats < STAMP_REPEATS_MAX ? repeats + 1 : repeats));
    PUT(head->events, OWN(head->events) + 1);
    if (when > OWN(head->last))
        PUT(head->last, when);
    head_end(head);
    return at;
}

bool histories_drop(struct histories *histories, uint32_t user, uint32_t at)
{
    struct head *head = head_of(histories, user);
    struct runs runs = head_runs(histories, head);
    uint32_t len = OWN(head->len), left_out = 0;

    assert(at < len);
    head_begin(head);
    if (at) {
        uint32_t apart = (uint32_t)OWN(runs.step[at - 1]) + OWN(runs.step[at]);

        PUT(runs.step[at - 1], step_of(apart));
        left_out = apart - step_of(apart);
        PUT(head->next_sequence, OWN(head->next_sequence) - left_out);
    }
    slots_close(&runs, at, len);
    PUT(head->len, len - 1);
    head_end(head);
    PUT(histories->slots, OWN(histories->slots) - 1);
    return left_out > 0;
}

bool histories_untouch(struct histories *histories, uint32_t user, uint32_t at, when_ms when, double weight)
{
    struct head *head = head_of(histories, user);
    struct runs runs = head_runs(histories, head);
    uint64_t stamp, events = OWN(head->events);
    uint32_t repeats;
    double worth;

    assert(at < OWN(head->len));
    stamp = OWN(runs.stamp[at]);
    repeats = stamp_repeats(stamp);
    assert(repeats > 0);
    worth = decay_factor(stamp_last(stamp) - when, histories->options.half_life);
    if (repeats < STAMP_REPEATS_MAX)
        repeats--;
    head_begin(head);
    PUT(runs.affinity[at], OWN(runs.affinity[at]) - weight * worth);
    if (runs.unit)
        PUT(runs.unit[at], OWN(runs.unit[at]) - worth);
    PUT(runs.stamp[at], stamp_of(stamp_last(stamp), repeats));
    PUT(head->events, events ? events - 1 : 0);
    head_end(head);
    return repeats == 0;
}

void histories_wipe(struct histories *histories, uint32_t user)
{
    struct head *head = head_of(histories, user);
    uint32_t len = OWN(head->len), cap = OWN(head->cap);
    void *block = OWN(head->block);

    head_begin(head);
    PUT(head->len, 0);
    PUT(head->cap, 0);
    atomic_store_explicit(&head->block, NULL, memory_order_seq_cst);
    PUT(head->events, 0);
    PUT(head->last, 0);
    head_end(head);
    block_retire(histories, block, cap);
    PUT(histories->slots, OWN(histories->slots) - len);
}

/* ---- any thread ---- */

void history_copy_release(struct history_copy *copy)
{
    free(copy->room);
    *copy = (struct history_copy){0};
}

/* One try; false if the writer came in between. */
static bool head_copy(const struct histories *histories, const struct head *head, struct history_copy *copy)
{
    bool units = histories->options.units;
    uint32_t version = SEE(head->version), len, cap;
    struct runs from, to;
    void *block;

    if (version % 2)
        return false;
    /* Sequentially consistent: the second half of the argument in epoch.h. */
    block = atomic_load_explicit(&head->block, memory_order_seq_cst);
    len = SEE(head->len);
    cap = SEE(head->cap);
    if (SEE(head->version) != version)
        return false;

    if (copy->room_bytes < cap * slot_size(units)) {
        free(copy->room);
        copy->room_bytes = cap * slot_size(units);
        copy->room = fr_alloc(copy->room_bytes);
    }
    from = runs_of(block, cap, units);
    to = runs_of(len ? copy->room : NULL, cap, units);
    copy->view = runs_view(&to, len);
    for (uint32_t i = 0; i < len; i++) {
        ((uint32_t *)to.item)[i] = SEE(from.item[i]);
        ((uint16_t *)to.step)[i] = SEE(from.step[i]);
        ((uint64_t *)to.stamp)[i] = SEE(from.stamp[i]);
        ((double *)to.affinity)[i] = SEE(from.affinity[i]);
        if (units)
            ((double *)to.unit)[i] = SEE(from.unit[i]);
    }
    return SEE(head->version) == version;
}

void histories_copy(const struct histories *histories, uint32_t user, struct history_copy *copy)
{
    copy->view = (struct history){0};
    if (user >= SEE(histories->users))
        return; /* its id is published, its history not yet */
    for (unsigned tries = 1; !head_copy(histories, fr_array_at(&histories->heads, user), copy); tries++)
        if (tries % PATIENCE == 0)
            sched_yield(); /* the writer was stopped in the middle: let it run */
}

uint64_t histories_slots(const struct histories *histories)
{
    return SEE(histories->slots);
}

size_t histories_bytes(const struct histories *histories)
{
    return sizeof *histories + SEE(histories->users) * sizeof(struct head) + fr_slab_bytes(histories->slab);
}
