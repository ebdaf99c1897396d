/*
 * filter.c -- what a question may list.
 *
 *     marks    items named one by one: seen, seeds, exclude_items, include_items          set before retrieval, a byte each
 *     sieve    what the catalogue says: hidden, owner, availability, categories           asked for an item when it is a candidate
 *     caps     so many of a category at most                                              counted while the answer is chosen
 *
 * Why the sieve is asked and not marked: marking would cost a look at every record for each question; a candidate is looked at only
 * once it is good enough to be listed (fr_topk_wants), which few are. Where a filter lets so little through that nearly all candidates
 * would be looked at in vain, the members of its categories are taken for candidates instead, as if they had been named
 * (`include_items`). Models see marks and sieve alike (scores_excluded), so one that keeps only its best keeps the best that may be listed.
 * While no item is hidden, owned or dated and the question names no category, there is no sieve at all.
 *
 * Thread: each reader its own.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"

/* Members are taken for candidates up to so many, or this part of all items: beyond, scanning for the first that pass is cheaper than to
 * score all that might. */
enum { MEMBERS_FEW = 1024, MEMBERS_PART = 64 };

/* ---- marks ---- */

uint32_t reader_item_of(const struct reader *reader, struct fr_bytes id)
{
    uint32_t item = dict_find(reader->engine->items, id, dict_hash(id));

    return item < reader->items ? item : DICT_NONE; /* one born after reader_begin does not exist yet */
}

void reader_mark(struct reader *reader, uint32_t item, uint8_t bit)
{
    if (item >= reader->items)
        return;
    fr_reserve((void **)&reader->marked, &reader->marked_cap, reader->marked_len + 1, sizeof(*reader->marked));
    reader->marked[reader->marked_len++] = item;
    reader->scores.mark[item] |= bit;
}

void reader_unmark_all(struct reader *reader)
{
    while (reader->marked_len)
        reader->scores.mark[reader->marked[--reader->marked_len]] = 0;
    reader->scores.lets = NULL;
}

static bool include(struct reader *reader, uint32_t item, uint32_t *included, size_t *len)
{
    if (item >= reader->items || reader->scores.mark[item] & SCORES_INCLUDED)
        return false;
    reader_mark(reader, item, SCORES_INCLUDED);
    included[(*len)++] = item;
    return true;
}

/* ---- the sieve ---- */

static bool is_in(const struct catalogue_item *record, uint32_t category)
{
    for (uint32_t i = 0; i < record->categories_len && record->categories[i] <= category; i++)
        if (record->categories[i] == category)
            return true;
    return false;
}

static bool categories_let(const struct sieve *sieve, const struct catalogue_item *record)
{
    bool any = !sieve->any_asked;

    for (size_t i = 0; i < sieve->any.len && !any; i++)
        any = is_in(record, sieve->any.at[i]);
    for (size_t i = 0; i < sieve->all.len && any; i++)
        any = is_in(record, sieve->all.at[i]);
    for (size_t i = 0; i < sieve->none.len && any; i++)
        any = !is_in(record, sieve->none.at[i]);
    return any;
}

bool sieve_lets(const void *context, uint32_t item)
{
    const struct sieve *sieve = context;
    const struct catalogue_item *record = catalogue_item(sieve->catalogue, item);

    if (!record)
        return !sieve->required;
    if (sieve->nothing)
        return false;
    if (record->hidden || sieve->now < record->from || (record->until && sieve->now >= record->until))
        return false;
    if (record->owner.len && fr_bytes_equal(record->owner, sieve->asker))
        return false;
    return categories_let(sieve, record);
}

bool filter_lets(const struct reader *reader, const struct ask *ask, uint32_t item)
{
    const struct sieve *sieve = reader->scores.sieve;
    bool included = !ask->include_len;

    for (size_t i = 0; i < ask->exclude_len; i++)
        if (reader_item_of(reader, ask->exclude[i]) == item)
            return false;
    for (size_t i = 0; i < ask->include_len && !included; i++)
        included = reader_item_of(reader, ask->include[i]) == item;
    if (!included || !sieve || !(ask->any_len || ask->all_len || ask->none_len))
        return included;
    const struct catalogue_item *record = catalogue_item(sieve->catalogue, item);
    return record ? !sieve->nothing && categories_let(sieve, record) : !(ask->any_len || ask->all_len);
}

/* Numbers of the names that are known. */
static struct categories resolve(struct reader *reader, const struct fr_bytes *names, size_t len)
{
    uint32_t *at = fr_arena_take(&reader->arena, (len + 1) * sizeof(*at));
    size_t known = 0;

    for (size_t i = 0; i < len; i++)
        if ((at[known] = catalogue_category(reader->engine->catalogue, names[i])) != DICT_NONE)
            known++;
    return (struct categories){at, known};
}

static struct sieve *sieve_new(struct reader *reader, const struct ask *ask)
{
    const struct engine *engine = reader->engine;
    bool asked = ask->any_len || ask->all_len, required = asked || engine->options.require_catalogue;

    if (!required && !ask->none_len && !catalogue_bound_items(engine->catalogue))
        return NULL;
    struct sieve *sieve = fr_arena_take(&reader->arena, sizeof(*sieve));
    *sieve = (struct sieve){.catalogue = engine->catalogue,
                            .now = engine->options.clock ? engine->options.clock() : fr_wall_ms(),
                            .asker = ask->user,
                            .required = required,
                            .any_asked = ask->any_len > 0,
                            .any = resolve(reader, ask->any, ask->any_len),
                            .all = resolve(reader, ask->all, ask->all_len),
                            .none = resolve(reader, ask->none, ask->none_len)};
    sieve->nothing = (sieve->any_asked && !sieve->any.len) || sieve->all.len < ask->all_len;
    return sieve;
}

/* ---- members ---- */

static size_t members_of(const struct sieve *sieve, struct categories of)
{
    size_t len = 0;

    for (size_t i = 0; i < of.len; i++)
        len += rows_len(catalogue_members(sieve->catalogue), of.at[i]);
    return len;
}

/* The lists in which every item that may pass stands, the shorter if there are two kinds; SIZE_MAX items: there is none. */
static size_t shortest(const struct sieve *sieve, struct categories *ret_of)
{
    size_t least = SIZE_MAX;

    if (sieve->any_asked) {
        *ret_of = sieve->any;
        least = members_of(sieve, sieve->any);
    }
    for (size_t i = 0; i < sieve->all.len; i++) {
        struct categories one = {sieve->all.at + i, 1};
        size_t len = members_of(sieve, one);
        if (len >= least)
            continue;
        *ret_of = one;
        least = len;
    }
    return least;
}

static const uint32_t *copy_members(struct reader *reader, const struct rows *members, uint32_t category, size_t *ret_len)
{
    uint32_t *items, *counts;

    do {
        size_t room = rows_room(members, category);
        items = fr_arena_take(&reader->arena, (room + 1) * sizeof(*items));
        counts = fr_arena_take(&reader->arena, (room + 1) * sizeof(*counts));
        *ret_len = rows_copy(members, category, items, counts, room);
    } while (*ret_len == SIZE_MAX);
    return items;
}

/* Few may pass: they are the candidates. */
static void include_members(struct reader *reader, const struct sieve *sieve, struct choice *choice)
{
    const struct rows *members = catalogue_members(sieve->catalogue);
    struct categories of = {NULL, 0};
    size_t most = shortest(sieve, &of), room = 0, cap = 0;
    uint32_t *included = NULL;

    if (sieve->nothing)
        of.len = most = 0;
    if (most > MEMBERS_FEW && most > reader->items / MEMBERS_PART)
        return;
    choice->only_included = true;
    for (size_t c = 0; c < of.len; c++) {
        size_t len;
        const uint32_t *items = copy_members(reader, members, of.at[c], &len);
        fr_reserve((void **)&included, &cap, room + len, sizeof(*included)); /* lists may have grown since they were measured */
        for (size_t i = 0; i < len; i++)
            if (sieve_lets(sieve, items[i]))
                include(reader, items[i], included, &room);
    }
    uint32_t *kept = fr_arena_take(&reader->arena, (room + 1) * sizeof(*kept));
    if (room)
        memcpy(kept, included, room * sizeof(*kept));
    choice->included = kept;
    choice->included_len = room;
    free(included);
}

/* ---- all of it ---- */

struct choice reader_filter(struct reader *reader, const struct ask *ask)
{
    struct choice choice = {.only_included = ask->include_len > 0};
    uint32_t *included = fr_arena_take(&reader->arena, (ask->include_len + 1) * sizeof(*included));

    forgetting_mark(reader);
    const struct sieve *sieve = sieve_new(reader, ask);
    for (size_t i = 0; i < ask->exclude_len; i++)
        reader_mark(reader, reader_item_of(reader, ask->exclude[i]), SCORES_EXCLUDED);
    for (size_t i = 0; i < ask->include_len; i++)
        include(reader, reader_item_of(reader, ask->include[i]), included, &choice.included_len);
    choice.included = included;
    if (sieve) {
        reader->scores.lets = sieve_lets;
        reader->scores.sieve = sieve;
    }
    if (sieve && !ask->include_len && (sieve->any_asked || sieve->all.len || sieve->nothing))
        include_members(reader, sieve, &choice);
    return choice;
}

bool reader_allows(const struct reader *reader, const struct choice *choice, uint32_t item)
{
    return (!choice->only_included || reader->scores.mark[item] & SCORES_INCLUDED) && !scores_excluded(&reader->scores, item);
}

/* ---- features ---- */

const uint64_t *features_joined(const struct catalogue *catalogue, uint32_t user, const uint64_t *context, size_t len,
                                uint64_t room[FEATURES_MAX], size_t *ret_len)
{
    const struct catalogue_user *said = user == DICT_NONE ? NULL : catalogue_user(catalogue, user);

    *ret_len = said && !len ? said->features_len : len;
    if (!said || !said->features_len || !len)
        return said && !len ? said->features : context;
    memcpy(room, context, len * sizeof(*room));
    for (uint32_t i = 0; i < said->features_len && *ret_len < FEATURES_MAX; i++) {
        size_t at = 0;
        while (at < len && room[at] != said->features[i])
            at++;
        if (at == len)
            room[(*ret_len)++] = said->features[i];
    }
    return room;
}

/* ---- caps ---- */

void caps_init(struct caps *caps, struct reader *reader, uint32_t most)
{
    *caps = (struct caps){.catalogue = reader->engine->catalogue, .most = most};
    if (!most)
        return;
    caps->categories = catalogue_categories(caps->catalogue);
    caps->counts = fr_arena_take(&reader->arena, (caps->categories + (size_t)1) * sizeof(*caps->counts));
    memset(caps->counts, 0, caps->categories * sizeof(*caps->counts));
}

/* A category younger than the question is not counted. */
bool caps_let(const struct caps *caps, const struct catalogue_item *record)
{
    for (uint32_t i = 0; record && i < record->categories_len; i++)
        if (record->categories[i] < caps->categories && caps->counts[record->categories[i]] >= caps->most)
            return false;
    return true;
}

void caps_count(struct caps *caps, const struct catalogue_item *record, int by)
{
    for (uint32_t i = 0; record && i < record->categories_len; i++)
        if (record->categories[i] < caps->categories)
            caps->counts[record->categories[i]] += (uint32_t)by;
}

/* Keeps the first `k` that the caps let in, in order. records[] remembers what they were counted by. */
size_t caps_take(struct caps *caps, struct picks *picks, size_t k, const struct catalogue_item **records)
{
    size_t kept = 0;

    for (size_t i = 0; i < picks->len && kept < k; i++) {
        const struct catalogue_item *record = catalogue_item(caps->catalogue, picks->at[i].id);
        if (!caps_let(caps, record))
            continue;
        caps_count(caps, record, 1);
        records[kept] = record;
        picks->at[kept] = picks->at[i];
        if (picks->sources)
            picks->sources[kept] = picks->sources[i];
        kept++;
    }
    return kept;
}

struct picks reader_pick(struct reader *reader, struct caps *caps, size_t k, picker *pick, const void *context)
{
    if (!caps->most)
        return pick(reader, context, k);
    const struct catalogue_item **records = fr_arena_take(&reader->arena, (k + 1) * sizeof(*records));
    for (size_t want = k;; want *= 4) { /* until there are enough, or no more */
        struct picks picks = pick(reader, context, want < reader->items ? want : reader->items);
        bool all = picks.len < want || want >= reader->items;
        size_t kept = caps_take(caps, &picks, k, records);
        if (kept == k || all) {
            picks.len = kept;
            return picks;
        }
        while (kept)
            caps_count(caps, records[--kept], -1);
    }
}
