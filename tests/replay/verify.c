/*
 * verify.c -- the engine's answers against the oracle's, all of them.
 *
 * Counts, positions and times must be equal. Sums of reals are compared to 1e-9 of the sum of their absolute terms, so lists are
 * compared by what they hold, and their order by their own scores.
 */
#include <math.h>

#include "freshet/feed.h"
#include "freshet/format.h"
#include "world.h"

enum { EVERYTHING = 100000 };

static bool near(double a, double b, double size)
{
    return fabs(a - b) <= 1e-9 * fmax(1, size) || isinf(size);
}

static bool named(struct fr_bytes id, const char *name)
{
    return fr_bytes_equal(id, fr_bytes_of(name));
}

/* ---- counts and positions ---- */

/* What it knows of the log: the record applied last, by its print, and how much was deleted unread. */
static bool memory_equals(struct world *world, const struct oracle *oracle, int p)
{
    const struct entry *wanted = oracle->last[p];
    uint32_t index = world->parts[p].index;
    uint64_t print;
    int64_t last;

    if (!world->parts[p].known)
        return true;
    const struct format_holes *holes = partition_at(world->engine, index)->holes;
    bool knows = engine_partition_print(world->engine, index, &last, &print);
    if (knows != (wanted != NULL) || (knows && (last != wanted->offset || print != world_print(wanted))))
        return world_fails(world, "partition %d: the last record is known as %lld, print %llx; should be %lld", p,
                           (long long)last, (unsigned long long)print, wanted ? (long long)wanted->offset : -1LL);
    uint64_t skipped = holes ? holes->skipped : 0;
    return skipped == oracle->skipped[p] ||
           world_fails(world, "partition %d: %llu offsets in holes, should be %llu", p, (unsigned long long)skipped,
                       (unsigned long long)oracle->skipped[p]);
}

static bool counts_equal(struct world *world, const struct oracle *oracle)
{
    static struct engine_status status;

    engine_status(world->engine, &status);
    for (size_t i = 0; i < status.partitions_len; i++) {
        const struct partition_status *partition = &status.partitions[i];
        if (partition->applied != oracle->next[partition->partition])
            return world_fails(world, "partition %d is applied to %lld, the log says %lld", partition->partition,
                               (long long)partition->applied, (long long)oracle->next[partition->partition]);
        if (partition->durable > partition->applied)
            return world_fails(world, "partition %d is durable beyond what is applied", partition->partition);
    }
    for (int p = 0; p < PARTITIONS_USED; p++)
        if (!memory_equals(world, oracle, p))
            return false;
    if (status.users != oracle->users_len || status.items != oracle->items_len)
        return world_fails(world, "%llu users and %llu items, the log has %zu and %zu",
                           (unsigned long long)status.users, (unsigned long long)status.items, oracle->users_len,
                           oracle->items_len);
    if (status.model_events != oracle->events)
        return world_fails(world, "%llu events applied, the log has %llu", (unsigned long long)status.model_events,
                           (unsigned long long)oracle->events);
    if (status.pairs != oracle_pairs(oracle))
        return world_fails(world, "%llu pairs, the log gives %llu", (unsigned long long)status.pairs,
                           (unsigned long long)oracle_pairs(oracle));
    when_ms now = reader_as_of(world->reader)->event_time, wanted = oracle->now < 0 ? 0 : oracle->now;
    return now == wanted || world_fails(world, "the newest event is of %lld, the log's of %lld", (long long)now,
                                        (long long)wanted);
}

/* ---- dead letters ---- */

static bool is_letter(const struct oracle *oracle, int partition, int64_t offset, struct fr_bytes reason)
{
    for (size_t i = 0; i < oracle->letters_len; i++)
        if (oracle->letters[i].partition == partition && oracle->letters[i].offset == offset &&
            named(reason, oracle->letters[i].reason)) /* after a reset there may be two of an offset */
            return true;
    return false;
}

static bool is_pending(const struct engine *engine, const struct oracle_letter *letter)
{
    for (int stage = 0; stage < OUTBOX_STAGES; stage++)
        for (const struct outbox_entry *entry = engine->outbox[stage].first; entry; entry = entry->after)
            if (entry->letter.partition == letter->partition && entry->letter.offset == letter->offset)
                return true;
    return false;
}

static bool letters_equal(struct world *world, const struct oracle *oracle)
{
    for (int stage = 0; stage < OUTBOX_STAGES; stage++)
        for (const struct outbox_entry *entry = world->engine->outbox[stage].first; entry; entry = entry->after)
            if (!is_letter(oracle, entry->letter.partition, entry->letter.offset, entry->letter.reason))
                return world_fails(world, "%d:%lld is in the outbox as '%.*s', and should not be",
                                   entry->letter.partition, (long long)entry->letter.offset,
                                   (int)entry->letter.reason.len, entry->letter.reason.at);
    for (size_t i = 0; i < world->received_len; i++) {
        const struct received *received = &world->received[i];
        if (!is_letter(oracle, received->partition, received->offset, fr_bytes_of(received->reason)))
            return world_fails(world, "%d:%lld was dead-lettered as '%s', and should not be", received->partition,
                               (long long)received->offset, received->reason);
    }
    for (size_t i = 0; i < oracle->letters_len; i++) {
        const struct oracle_letter *letter = &oracle->letters[i];
        bool found = is_pending(world->engine, letter);
        for (size_t r = 0; r < world->received_len && !found; r++)
            found = world->received[r].partition == letter->partition && world->received[r].offset == letter->offset;
        if (!found)
            return world_fails(world, "the dead letter of %d:%lld ('%s') is lost", letter->partition,
                               (long long)letter->offset, letter->reason);
    }
    return true;
}

/* ---- users and items ---- */

static bool user_equals(struct world *world, const struct oracle *oracle, const struct oracle_user *user)
{
    struct user_facts facts;
    uint64_t events = 0;
    when_ms last = 0;

    for (size_t s = 0; s < user->slots_len; s++) {
        events += (uint64_t)user->slots[s].events;
        last = user->slots[s].last > last ? user->slots[s].last : last;
    }
    if (reader_user(world->reader, fr_bytes_of(user->name), &facts, NULL))
        return world_fails(world, "user %s is not known", user->name);
    if (facts.affinities_len != user->slots_len || facts.events != events || facts.last_event != last)
        return world_fails(world, "user %s: %zu items of %llu events to %lld; the log has %zu of %llu to %lld",
                           user->name, facts.affinities_len, (unsigned long long)facts.events,
                           (long long)facts.last_event, user->slots_len, (unsigned long long)events, (long long)last);
    for (size_t i = 0; i < facts.affinities_len; i++) {
        const struct user_affinity *got = &facts.affinities[i];
        size_t s = 0;
        while (s < user->slots_len && !named(got->item, oracle->items[user->slots[s].item].name))
            s++;
        if (s == user->slots_len)
            return world_fails(world, "user %s holds %.*s, and should not", user->name, (int)got->item.len,
                               got->item.at);
        double wanted = oracle_affinity(oracle, &user->slots[s], false), size = 0;
        for (size_t m = 0; m < user->slots[s].marks_len; m++)
            size += fabs(user->slots[s].marks[m].weight);
        if (!near(got->affinity, wanted, size) || got->last != user->slots[s].last)
            return world_fails(world, "user %s, item %.*s: affinity %.12g of %lld, should be %.12g of %lld",
                               user->name, (int)got->item.len, got->item.at, got->affinity, (long long)got->last,
                               wanted, (long long)user->slots[s].last);
    }
    return true;
}

static bool item_equals(struct world *world, const struct oracle *oracle, size_t i)
{
    const struct oracle_item *item = &oracle->items[i];
    struct item_facts facts;
    struct neighbour_list list;
    size_t wanted_len = 0;

    if (reader_item(world->reader, fr_bytes_of(item->name), &facts, NULL))
        return world_fails(world, "item %s is not known", item->name);
    if (facts.users != oracle_holders(oracle, i) || facts.first_seen != item->first_seen)
        return world_fails(world, "item %s: %llu users, first seen %lld; should be %u, %lld", item->name,
                           (unsigned long long)facts.users, (long long)facts.first_seen, oracle_holders(oracle, i),
                           (long long)item->first_seen);
    reader_similar_items(world->reader, fr_bytes_of(item->name), &(struct ask){.k = EVERYTHING}, &list, NULL);
    for (size_t j = 0; j < oracle->items_len; j++) {
        bool evidence;
        double likeness = oracle_similarity(oracle, i, j, &evidence);
        if (i == j || !evidence)
            continue;
        size_t at = 0;
        wanted_len++;
        while (at < list.len && !named(list.neighbours[at].id, oracle->items[j].name))
            at++;
        if (at == list.len || !near(list.neighbours[at].similarity, likeness, fabs(likeness)))
            return world_fails(world, "items %s and %s: similarity %.12g, should be %.12g", item->name,
                               oracle->items[j].name, at < list.len ? list.neighbours[at].similarity : 0, likeness);
    }
    return list.len == wanted_len || world_fails(world, "item %s has %zu neighbours, should have %zu", item->name,
                                                 list.len, wanted_len);
}

/* ---- lists ---- */

static bool in_order(const struct recommended *a, const struct recommended *b)
{
    return a->score > b->score || (a->score == b->score && fr_bytes_order(a->item, b->item) < 0);
}

/* `normalize` maps scores after the ranking; where affinities are below 0, its map may fall (models.md names the reference's
 * formula): then what it gives rises along the list. */
static bool falls(const struct recommendation_list *list)
{
    size_t last = list->len;

    while (last > 0 && strcmp(list->items[last - 1].source, "sar") != 0)
        last--;
    return last > 1 && list->items[0].score < list->items[last - 1].score;
}

static bool list_equals(struct world *world, const struct oracle *oracle, const struct oracle_user *user,
                        bool include_seen)
{
    const struct oracle_rules *rules = &oracle->rules;
    struct ask ask = {.user = fr_bytes_of(user->name), .k = EVERYTHING, .include_seen = include_seen};
    struct recommendation_list list;
    size_t wanted_len = 0;
    bool known = user->slots_len > 0;

    reader_recommend(world->reader, &ask, &list);
    for (size_t j = 0; j < oracle->items_len; j++) {
        bool evidence, held = oracle_holders(oracle, j) > 0;
        double size, score = oracle_score(oracle, user, j, &evidence, &size);
        bool scored = known && (evidence || (rules->parity && held));
        if ((!scored && !held) || (!include_seen && oracle_slot(user, j)))
            continue;
        size_t at = 0;
        wanted_len++;
        while (at < list.len && !named(list.items[at].item, oracle->items[j].name))
            at++;
        if (at == list.len)
            return world_fails(world, "%s is not recommended to user %s, and should be", oracle->items[j].name,
                               user->name);
        if (strcmp(list.items[at].source, scored ? "sar" : "popular") != 0 ||
            !near(list.items[at].score, scored ? score : 0, size))
            return world_fails(world, "user %s, item %s: score %.12g by %s, should be %.12g by %s", user->name,
                               oracle->items[j].name, list.items[at].score, list.items[at].source, score,
                               scored ? "sar" : "popular");
    }
    if (list.len != wanted_len)
        return world_fails(world, "user %s is recommended %zu items, should be %zu", user->name, list.len, wanted_len);
    double sign = rules->normalize && falls(&list) ? -1 : 1, slack = rules->normalize ? 1e-9 : 0;
    for (size_t i = 0; i + 1 < list.len; i++)
        if (strcmp(list.items[i + 1].source, "sar") == 0 && !in_order(&list.items[i], &list.items[i + 1]) &&
            !(rules->normalize && sign * list.items[i].score >= sign * list.items[i + 1].score - slack))
            return world_fails(world, "the list of user %s is out of order at %.*s", user->name,
                               (int)list.items[i].item.len, list.items[i].item.at);
    return true;
}

static bool popular_equals(struct world *world, const struct oracle *oracle)
{
    struct recommendation_list list;
    size_t held = 0;

    reader_popular(world->reader, &(struct ask){.k = EVERYTHING}, &list);
    for (size_t i = 0; i < oracle->items_len; i++)
        held += oracle_holders(oracle, i) > 0;
    if (list.len != held)
        return world_fails(world, "%zu items are popular, should be %zu", list.len, held);
    for (size_t i = 0; i < list.len; i++) {
        size_t j = 0;
        while (j < oracle->items_len && !named(list.items[i].item, oracle->items[j].name))
            j++;
        if (j == oracle->items_len || list.items[i].score != oracle_holders(oracle, j) ||
            (i > 0 && !in_order(&list.items[i - 1], &list.items[i])))
            return world_fails(world, "popular item %zu is %.*s with %g users, and should not be", i,
                               (int)list.items[i].item.len, list.items[i].item.at, list.items[i].score);
    }
    return true;
}

/* The dot product of two users' affinities, if they have an item in common. */
static bool likes_equal(struct world *world, const struct oracle *oracle, const struct oracle_user *user)
{
    struct neighbour_list list;
    size_t wanted_len = 0;

    if (reader_similar_users(world->reader, fr_bytes_of(user->name), EVERYTHING, &list, NULL))
        return world_fails(world, "users like %s cannot be asked for", user->name);
    for (size_t v = 0; v < oracle->users_len; v++) {
        const struct oracle_user *other = &oracle->users[v];
        double dot = 0, size = 0;
        bool shared = false;
        for (size_t s = 0; s < other->slots_len && other != user; s++) {
            const struct oracle_slot *mine = oracle_slot(user, other->slots[s].item);
            if (!mine)
                continue;
            double term = oracle_affinity(oracle, mine, false) * oracle_affinity(oracle, &other->slots[s], false);
            shared = true;
            dot += term;
            size += fabs(term);
        }
        if (!shared)
            continue;
        size_t at = 0;
        wanted_len++;
        while (at < list.len && !named(list.neighbours[at].id, other->name))
            at++;
        if (at == list.len || !near(list.neighbours[at].similarity, dot, size))
            return world_fails(world, "users %s and %s: %.12g alike, should be %.12g", user->name, other->name,
                               at < list.len ? list.neighbours[at].similarity : 0, dot);
    }
    return list.len == wanted_len ||
           world_fails(world, "user %s has %zu like him, should have %zu", user->name, list.len, wanted_len);
}

static bool answers_equal(struct world *world, const struct oracle *oracle)
{
    for (size_t u = 0; u < oracle->users_len; u++) {
        const struct oracle_user *user = &oracle->users[u];
        if (!user_equals(world, oracle, user) || !list_equals(world, oracle, user, false) ||
            !list_equals(world, oracle, user, true) || (oracle->rules.parity && !likes_equal(world, oracle, user)))
            return false;
    }
    for (size_t i = 0; i < oracle->items_len; i++)
        if (!item_equals(world, oracle, i))
            return false;
    return popular_equals(world, oracle) &&
           list_equals(world, oracle, &(struct oracle_user){.name = "nobody"}, false);
}

bool world_equals_oracle(struct world *world)
{
    struct oracle *oracle = oracle_new(&world->rules, world->given, world->given_len);

    reader_begin(world->reader);
    bool equal = counts_equal(world, oracle) && letters_equal(world, oracle) && answers_equal(world, oracle);
    reader_end(world->reader);
    oracle_free(oracle);
    return equal;
}
