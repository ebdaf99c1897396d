/*
 * oracle.c -- see oracle.h: plain loops over everything.
 */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"

#define APPEND(list, len, cap) (fr_reserve((void **)&(list), &(cap), (len) + 1, sizeof(*(list))), &(list)[(len)++])

/* ---- finding ---- */

const struct oracle_user *oracle_user(const struct oracle *oracle, const char *name)
{
    for (size_t u = 0; u < oracle->users_len; u++)
        if (strcmp(oracle->users[u].name, name) == 0)
            return &oracle->users[u];
    return NULL;
}

const struct oracle_item *oracle_item(const struct oracle *oracle, const char *name)
{
    for (size_t i = 0; i < oracle->items_len; i++)
        if (strcmp(oracle->items[i].name, name) == 0)
            return &oracle->items[i];
    return NULL;
}

const struct oracle_slot *oracle_slot(const struct oracle_user *user, size_t item)
{
    for (size_t s = 0; s < user->slots_len; s++)
        if (user->slots[s].item == item)
            return &user->slots[s];
    return NULL;
}

/* ---- the log, one entry after the other ---- */

static double weight_of(const struct entry *entry)
{
    static const struct {
        const char *type;
        double weight;
    } weights[] = {{"purchase", 4}, {"return", -4}, {"like", 2}, {"dislike", -2}};

    if (strcmp(entry->type, "rating") == 0)
        return entry->has_value ? entry->value : 1;
    for (size_t i = 0; i < sizeof(weights) / sizeof(*weights); i++)
        if (strcmp(entry->type, weights[i].type) == 0)
            return weights[i].weight;
    return 1;
}

static void reject(struct oracle *oracle, const struct entry *entry, const char *reason)
{
    *APPEND(oracle->letters, oracle->letters_len, oracle->letters_cap) =
        (struct oracle_letter){entry->partition, entry->offset, reason};
}

/* Remembered ids of one partition, the newest dedup_max of them, are looked through from first to last. */
static bool repeats(struct oracle *oracle, const struct entry *entry)
{
    uint32_t held = 0;

    if (!entry->id[0] || !oracle->rules.dedup_window)
        return false;
    for (size_t i = oracle->seen_len; i-- > 0 && held < oracle->rules.dedup_max;) {
        const struct oracle_seen *seen = &oracle->seen[i];
        if (seen->partition != entry->partition)
            continue;
        held++;
        if (strcmp(seen->user, entry->user) == 0 && strcmp(seen->id, entry->id) == 0 &&
            llabs(seen->logged - entry->logged) <= oracle->rules.dedup_window)
            return true;
    }
    *APPEND(oracle->seen, oracle->seen_len, oracle->seen_cap) =
        (struct oracle_seen){entry->partition, entry->user, entry->id, entry->logged};
    return false;
}

static void slot_remove(struct oracle_user *user, size_t at)
{
    free(user->slots[at].marks);
    memmove(user->slots + at, user->slots + at + 1, (--user->slots_len - at) * sizeof(*user->slots));
}

static void evict(struct oracle_user *user)
{
    size_t oldest = 0;

    for (size_t s = 1; s < user->slots_len; s++) {
        const struct oracle_slot *slot = &user->slots[s], *old = &user->slots[oldest];
        if (slot->last < old->last || (slot->last == old->last && slot->sequence < old->sequence))
            oldest = s;
    }
    slot_remove(user, oldest);
}

static struct oracle_user *user_made(struct oracle *oracle, const char *name)
{
    struct oracle_user *user = (struct oracle_user *)oracle_user(oracle, name);

    if (!user) {
        user = APPEND(oracle->users, oracle->users_len, oracle->users_cap);
        *user = (struct oracle_user){.name = name};
    }
    return user;
}

static size_t item_made(struct oracle *oracle, const char *name, when_ms when)
{
    struct oracle_item *item = (struct oracle_item *)oracle_item(oracle, name);

    if (!item) {
        item = APPEND(oracle->items, oracle->items_len, oracle->items_cap);
        *item = (struct oracle_item){name, when};
    }
    if (when < item->first_seen)
        item->first_seen = when;
    return (size_t)(item - oracle->items);
}

static void happen(struct oracle *oracle, const struct entry *entry, when_ms when)
{
    struct oracle_user *user = user_made(oracle, entry->user);
    size_t item = item_made(oracle, entry->item, when);
    struct oracle_slot *slot = (struct oracle_slot *)oracle_slot(user, item);

    if (!slot) {
        slot = APPEND(user->slots, user->slots_len, user->slots_cap);
        *slot = (struct oracle_slot){.item = item, .sequence = user->next_sequence++, .last = when};
    }
    *APPEND(slot->marks, slot->marks_len, slot->marks_cap) = (struct oracle_mark){when, weight_of(entry), 1};
    slot->events++;
    slot->last = when > slot->last ? when : slot->last;
    oracle->now = when > oracle->now ? when : oracle->now;
    oracle->events++;
    if (oracle->rules.history_max && user->slots_len > oracle->rules.history_max)
        evict(user);
}

static void forget_event(struct oracle *oracle, const struct entry *entry)
{
    struct oracle_user *user = (struct oracle_user *)oracle_user(oracle, entry->user);
    const struct oracle_item *item = oracle_item(oracle, entry->item);
    struct oracle_slot *slot =
        user && item ? (struct oracle_slot *)oracle_slot(user, (size_t)(item - oracle->items)) : NULL;

    if (!slot)
        return;
    when_ms when = entry->when < slot->last ? entry->when : slot->last; /* none was later */
    *APPEND(slot->marks, slot->marks_len, slot->marks_cap) = (struct oracle_mark){when, -entry->value, -1};
    if (--slot->events == 0)
        slot_remove(user, (size_t)(slot - user->slots));
}

static void forget_user(struct oracle *oracle, const struct entry *entry)
{
    struct oracle_user *user = (struct oracle_user *)oracle_user(oracle, entry->user);

    if (!user)
        return;
    while (user->slots_len)
        slot_remove(user, user->slots_len - 1);
}

static void take_event(struct oracle *oracle, const struct entry *entry)
{
    when_ms when = entry->when ? entry->when : entry->logged;

    if (when < 0 || when - entry->logged > oracle->rules.max_future) {
        reject(oracle, entry, "time");
        return;
    }
    if ((!oracle_user(oracle, entry->user) && oracle->users_len >= oracle->rules.users_max) ||
        (!oracle_item(oracle, entry->item) && oracle->items_len >= oracle->rules.items_max)) {
        reject(oracle, entry, "capacity");
        return;
    }
    if (!repeats(oracle, entry))
        happen(oracle, entry, when);
}

static void take(struct oracle *oracle, const struct entry *entry)
{
    int64_t *next = &oracle->next[entry->partition];

    if (entry->kind == ENTRY_FORGET_EVENT) {
        forget_event(oracle, entry);
        return;
    }
    if (entry->kind == ENTRY_FORGET_USER) {
        forget_user(oracle, entry);
        return;
    }
    if (entry->kind == ENTRY_OTHER_LOG) {
        *next = entry->offset;
        oracle->last[entry->partition] = NULL;
        return;
    }
    if (entry->kind == ENTRY_SKIP) {
        if (entry->offset <= *next)
            return;
        if (*next >= 0) /* else that is where it begins */
            oracle->skipped[entry->partition] += (uint64_t)(entry->offset - *next);
        *next = entry->offset;
        return;
    }
    if (entry->offset < *next)
        return; /* given again */
    *next = entry->offset + 1;
    oracle->last[entry->partition] = entry;
    if (entry->kind == ENTRY_POISON)
        reject(oracle, entry, entry->reason);
    else
        take_event(oracle, entry);
}

struct oracle *oracle_new(const struct oracle_rules *rules, const struct entry *const *entries, size_t len)
{
    struct oracle *oracle = fr_zalloc(1, sizeof(*oracle));

    oracle->rules = *rules;
    oracle->now = -1;
    for (int p = 0; p < ORACLE_PARTITIONS; p++)
        oracle->next[p] = -1;
    for (size_t i = 0; i < len; i++)
        take(oracle, entries[i]);
    return oracle;
}

void oracle_free(struct oracle *oracle)
{
    for (size_t u = 0; u < oracle->users_len; u++) {
        while (oracle->users[u].slots_len)
            slot_remove(&oracle->users[u], 0);
        free(oracle->users[u].slots);
    }
    free(oracle->users);
    free(oracle->items);
    free(oracle->letters);
    free(oracle->seen);
    free(oracle);
}

/* ---- counts ---- */

double oracle_affinity(const struct oracle *oracle, const struct oracle_slot *slot, bool unit)
{
    double sum = 0, half_life = (double)oracle->rules.half_life;

    for (size_t m = 0; m < slot->marks_len; m++) {
        const struct oracle_mark *mark = &slot->marks[m];
        double keeps = half_life > 0 ? exp2(-(double)(oracle->now - mark->when) / half_life) : 1;
        sum += (unit ? mark->unit : mark->weight) * keeps;
    }
    return sum;
}

uint32_t oracle_holders(const struct oracle *oracle, size_t item)
{
    uint32_t count = 0;

    for (size_t u = 0; u < oracle->users_len; u++)
        count += oracle_slot(&oracle->users[u], item) != NULL;
    return count;
}

uint32_t oracle_together(const struct oracle *oracle, size_t a, size_t b)
{
    uint32_t count = 0;

    for (size_t u = 0; u < oracle->users_len && a != b; u++) {
        const struct oracle_slot *x = oracle_slot(&oracle->users[u], a), *y = oracle_slot(&oracle->users[u], b);
        if (x && y &&
            (!oracle->rules.window || llabs((long long)x->sequence - (long long)y->sequence) <= oracle->rules.window))
            count++;
    }
    return count;
}

uint64_t oracle_pairs(const struct oracle *oracle)
{
    uint64_t pairs = 0;

    for (size_t a = 0; a < oracle->items_len; a++)
        for (size_t b = 0; b < oracle->items_len; b++)
            pairs += oracle_together(oracle, a, b) > 0;
    return pairs;
}

static uint32_t held_items(const struct oracle *oracle)
{
    uint32_t held = 0;

    for (size_t i = 0; i < oracle->items_len; i++)
        held += oracle_holders(oracle, i) > 0;
    return held;
}

double oracle_similarity(const struct oracle *oracle, size_t a, size_t b, bool *ret_evidence)
{
    double na = oracle_holders(oracle, a), nb = oracle_holders(oracle, b);
    double c = a == b ? na : oracle_together(oracle, a, b);

    *ret_evidence = c > 0 && c >= oracle->rules.threshold;
    if (!*ret_evidence)
        return 0;
    switch (oracle->rules.similarity) {
    case SAR_JACCARD:
        return c / (na + nb - c);
    case SAR_COSINE:
        return c / sqrt(na * nb);
    case SAR_SHRUNK_COSINE:
        return c / sqrt(na * nb + 400);
    case SAR_INCLUSION:
        return c / fmin(na, nb);
    case SAR_LIFT:
        return c / na / nb;
    case SAR_MUTUAL_INFORMATION:
        return log2(held_items(oracle) * c / na / nb);
    case SAR_LEXICOGRAPHERS_MI:
        return c * log2(held_items(oracle) * c / na / nb);
    case SAR_COOCCURRENCE:
        break;
    }
    return c;
}

/* ---- scores ---- */

/* How many of the user's items are newer than this one. */
static uint32_t age_of(const struct oracle_user *user, const struct oracle_slot *slot)
{
    uint32_t age = 0;

    for (size_t s = 0; s < user->slots_len; s++) {
        const struct oracle_slot *other = &user->slots[s];
        age += other->last > slot->last || (other->last == slot->last && other->sequence > slot->sequence);
    }
    return age;
}

static double raw_score(const struct oracle *oracle, const struct oracle_user *user, size_t item, bool unit,
                        bool *ret_evidence, double *ret_size)
{
    const struct oracle_rules *rules = &oracle->rules;
    double score = 0;

    *ret_evidence = false;
    *ret_size = 0;
    for (size_t s = 0; s < user->slots_len; s++) {
        const struct oracle_slot *slot = &user->slots[s];
        uint32_t age = age_of(user, slot);
        bool evidence;
        if ((rules->score_last && age >= rules->score_last) || (slot->item == item && !rules->parity))
            continue;
        double likeness = oracle_similarity(oracle, slot->item, item, &evidence);
        double term = oracle_affinity(oracle, slot, unit) * pow(rules->recency, age) * likeness;
        *ret_evidence = *ret_evidence || evidence;
        *ret_size += evidence ? fabs(term) : 0;
        score += evidence ? term : 0;
    }
    return score;
}

/* Microsoft's SAR with normalize: from the range of what unit affinities give to the range of affinities. */
static double normalized(const struct oracle *oracle, const struct oracle_user *user, double score, double *size)
{
    double rmin = INFINITY, rmax = -INFINITY, cmin = INFINITY, cmax = -INFINITY;

    for (size_t u = 0; u < oracle->users_len; u++)
        for (size_t s = 0; s < oracle->users[u].slots_len; s++) {
            double affinity = oracle_affinity(oracle, &oracle->users[u].slots[s], false);
            rmin = fmin(rmin, affinity);
            rmax = fmax(rmax, affinity);
        }
    for (size_t i = 0; i < oracle->items_len; i++) {
        bool evidence;
        double ignored;
        if (!oracle_holders(oracle, i))
            continue;
        double unit = raw_score(oracle, user, i, true, &evidence, &ignored);
        cmin = fmin(cmin, unit);
        cmax = fmax(cmax, unit);
    }
    double span = cmax * rmax - cmin * rmin;
    if (cmax * rmax == 0 && cmin * rmin == 0)
        return score; /* nothing to stretch */
    if (fabs(span) < 1e-6 * (fabs(cmax * rmax) + fabs(cmin * rmin))) {
        *size = INFINITY; /* a division by nearly nothing: no digit of it means anything */
        return score;
    }
    if (span < 0)
        return score; /* it would turn the list round */
    double scale = (rmax - rmin) / span;
    *size = (*size + fabs(cmin * rmin)) * fabs(scale) + fabs(rmin) + fabs(rmax);
    return (score - cmin * rmin) * scale + rmin;
}

double oracle_score(const struct oracle *oracle, const struct oracle_user *user, size_t item, bool *ret_evidence,
                    double *ret_size)
{
    double score = raw_score(oracle, user, item, false, ret_evidence, ret_size);

    return oracle->rules.normalize && user->slots_len ? normalized(oracle, user, score, ret_size) : score;
}
