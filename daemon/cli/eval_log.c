/*
 * eval_log.c -- a file as events in memory, ids as numbers; and in which order they are replayed.
 *
 *     sequences    user item item item ...     with blanks between, one line per user, the oldest first, no times
 *     the others   formats.h
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "formats.h"

#include "freshet/alloc.h"

/* ---- names ---- */

static size_t slot_of(const struct names *names, struct fr_bytes id)
{
    size_t at = XXH3_64bits(id.at, id.len) & names->mask;

    while (names->slots[at] && !fr_bytes_equal(names->ids[names->slots[at] - 1], id))
        at = (at + 1) & names->mask;
    return at;
}

static void grow(struct names *names)
{
    free(names->slots);
    names->mask = names->mask ? names->mask * 2 + 1 : 1023;
    names->slots = fr_zalloc(names->mask + 1, sizeof(*names->slots));
    for (size_t i = 0; i < names->len; i++)
        names->slots[slot_of(names, names->ids[i])] = (uint32_t)i + 1;
}

uint32_t names_put(struct names *names, struct fr_bytes id)
{
    if (names->len * 2 >= names->mask)
        grow(names);
    size_t at = slot_of(names, id);
    if (names->slots[at])
        return names->slots[at] - 1;
    fr_reserve((void **)&names->ids, &names->cap, names->len + 1, sizeof(*names->ids));
    names->ids[names->len] = (struct fr_bytes){memcpy(fr_arena_take(&names->arena, id.len), id.at, id.len), id.len};
    names->slots[at] = (uint32_t)++names->len;
    return (uint32_t)names->len - 1;
}

uint32_t names_find(const struct names *names, struct fr_bytes id)
{
    size_t at = names->len ? slot_of(names, id) : 0;

    return names->len && names->slots[at] ? names->slots[at] - 1 : NAME_NONE;
}

void names_release(struct names *names)
{
    fr_arena_release(&names->arena);
    free(names->ids);
    free(names->slots);
    *names = (struct names){0};
}

/* ---- reading ---- */

#define BEYOND "has a time before 1970 or after 2527, or weighs more than a million"

struct load {
    struct eval_log *log;
    struct names *users, *items;
    const struct settings *settings;
    when_ms last;
};

static void mark_repeat(struct eval_event *event, struct fr_bytes id)
{
    XXH128_hash_t hash;

    if (!id.len)
        return;
    hash = XXH3_128bits_withSeed(id.at, id.len, event->user);
    event->repeat_high = hash.high64;
    event->repeat_low = (uint32_t)hash.low64 | 1; /* all zero means that there is no event_id */
}

static void take_context(struct eval_log *log, const struct line_event *line, struct eval_event *event)
{
    uint64_t keys[FEATURES_MAX];
    size_t len = 0;

    for (size_t i = 0; i < line->context_len; i++)
        fr_feature_add(keys, &len, line->context[i].name, line->context[i].value);
    if (len)
        event->context = memcpy(fr_arena_take(&log->arena, len * sizeof(*keys)), keys, len * sizeof(*keys));
    event->context_len = (uint16_t)len;
}

/* False: it could not be applied, and the daemon would make a dead letter of it. */
static bool take(struct load *load, const struct line_event *line)
{
    struct eval_event event = {.when = line->time_ms ? line->time_ms : load->last, .value = line->has_value ? line->value : 1};

    if (event.when < 0 || event.when > EVENT_WHEN_MAX ||
        !settings_weigh(load->settings, line->type, line->has_value, line->value, &event.weight, &event.type))
        return false;
    load->last = event.when;
    event.positive = event.weight > 0;
    event.user = names_put(load->users, line->user);
    event.item = names_put(load->items, line->item);
    event.type_said = names_put(&load->log->types, line->type.len ? line->type : FR_BYTES(""));
    take_context(load->log, line, &event);
    mark_repeat(&event, line->event_id);
    fr_reserve((void **)&load->log->events, &load->log->cap, load->log->len + 1, sizeof(event));
    load->log->events[load->log->len++] = event;
    return true;
}

/* The whole line or none of it: a history with a hole is another one. */
static enum line_result sequence(struct load *load, char *line, const char **ret_problem)
{
    static const char blanks[] = " \t";
    char *at = NULL, *user, *item;

    for (const char *id = line + strspn(line, blanks); *id; id += strspn(id, blanks)) {
        size_t len = strcspn(id, blanks);
        if (fr_id_problem(id, len)) {
            *ret_problem = "has an id that is too long or not UTF-8";
            return LINE_BAD;
        }
        id += len;
    }
    if (!(user = strtok_r(line, blanks, &at)))
        return LINE_SKIP;
    while ((item = strtok_r(NULL, blanks, &at)))
        if (!take(load, &(struct line_event){.user = fr_bytes_of(user), .item = fr_bytes_of(item)})) {
            *ret_problem = BEYOND; /* and so is the first: all of a line weigh the same, at the same time */
            return LINE_BAD;
        }
    return LINE_EVENT;
}

static void complain(const struct eval_log *log, const char *path, uint64_t number, const char *problem)
{
    enum { SHOWN_MAX = 10 };

    if (log->bad <= SHOWN_MAX)
        cli_fail("%s:%llu %s", path, (unsigned long long)number, problem);
    if (log->bad == SHOWN_MAX)
        cli_fail("more such lines are counted, not shown");
}

/* False: it has said why. */
static bool read_lines(struct load *load, FILE *file, const char *path, struct format *format)
{
    struct lines lines = {.file = file, .name = path, .most = format ? LINE_MOST : LINE_MOST_LONG};

    while (lines_next(&lines)) {
        const char *problem = LINE_NOT_WHOLE;
        struct line_event event;
        enum line_result result = format                ? format_line(format, lines.at, lines.len, &event, &problem)
                                  : lines_whole(&lines) ? sequence(load, lines.at, &problem)
                                                        : LINE_BAD;
        if (result == LINE_EVENT && format && !take(load, &event)) {
            result = LINE_BAD;
            problem = BEYOND;
        }
        load->log->bad += result == LINE_BAD;
        if (result == LINE_HEADER && format_note(format))
            cli_fail("%s: %s", path, format_note(format));
        if (result == LINE_BAD)
            complain(load->log, path, lines.number, problem);
    }
    lines_release(&lines);
    return !lines.failed;
}

bool eval_load(struct eval_log *log, struct names *users, struct names *items, const char *path, const char *format_name,
               const struct settings *settings)
{
    struct load load = {.log = log, .users = users, .items = items, .settings = settings};
    bool sequences = !strcmp(format_name, "sequences");
    struct format *format = sequences ? NULL : format_new(format_name);
    FILE *file;
    bool good;

    if (format && format_of(format) != FORMAT_OF_EVENTS) {
        format_free(format);
        format = NULL;
    }
    if (!format && !sequences) {
        cli_fail("--format is '%s'; it may be movielens, csv, tsv, jsonl, online-retail, libfm or sequences", format_name);
        return false;
    }
    file = strcmp(path, "-") ? fopen(path, "r") : stdin;
    if (!file)
        cli_fail("cannot read '%s': %s", path, strerror(errno));
    good = file && read_lines(&load, file, path, format);
    if (file && file != stdin)
        fclose(file);
    format_free(format);
    if (good && !log->len)
        cli_fail("'%s' holds no events", path);
    return good && log->len;
}

bool eval_weigh(struct eval_log *log, const struct settings *settings)
{
    bool good = true;

    for (size_t i = 0; good && i < log->len; i++) {
        struct eval_event *event = &log->events[i];
        good = settings_weigh(settings, log->types.ids[event->type_said], true, event->value, &event->weight, &event->type);
    }
    return good;
}

void eval_log_release(struct eval_log *log)
{
    free(log->events);
    names_release(&log->types);
    fr_arena_release(&log->arena);
    *log = (struct eval_log){0};
}

/* ---- order ---- */

uint64_t eval_random(uint64_t seed, uint64_t stream, uint64_t at)
{
    const uint64_t key[3] = {seed, stream, at};

    return XXH3_64bits(key, sizeof(key));
}

struct keyed {
    uint64_t key;
    size_t at;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *left = a, *right = b;

    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return (left->at > right->at) - (left->at < right->at);
}

/*
 * Whose turn it is comes from a shuffle of all turns, which event it is from the file; so the same seed gives the same order
 * whatever the order was before, as long as each user's own was the file's.
 */
static void mix(struct keyed *keys, const struct eval_log *log, size_t users)
{
    size_t *next = fr_zalloc(users + 2, sizeof(*next)), *mine = fr_alloc((log->len + 1) * sizeof(*mine));
    uint32_t *owner = fr_alloc((log->len + 1) * sizeof(*owner));

    for (size_t i = 0; i < log->len; i++)
        next[log->events[i].user + 2]++;
    for (size_t u = 0; u < users; u++)
        next[u + 2] += next[u + 1];
    for (size_t i = 0; i < log->len; i++) {
        uint32_t user = log->events[i].user;
        owner[next[user + 1]] = user;
        mine[next[user + 1]++] = i;
    } /* now next[u] is where the events of u begin */
    for (size_t i = 0; i < log->len; i++)
        keys[i].at = mine[next[owner[keys[i].at]]++];
    free(next);
    free(mine);
    free(owner);
}

void eval_sort(struct eval_log *log, size_t users, enum eval_order order, uint64_t seed)
{
    struct keyed *keys = fr_alloc((log->len + 1) * sizeof(*keys));
    struct eval_event *sorted = fr_alloc((log->len + 1) * sizeof(*sorted));

    for (size_t i = 0; i < log->len; i++)
        keys[i] = (struct keyed){order == ORDER_TIME    ? (uint64_t)log->events[i].when
                                 : order == ORDER_MIXED ? eval_random(seed, 0, i)
                                                        : 0,
                                 i};
    qsort(keys, log->len, sizeof(*keys), by_key);
    if (order == ORDER_MIXED)
        mix(keys, log, users);
    for (size_t i = 0; i < log->len; i++)
        sorted[i] = log->events[keys[i].at];
    free(keys);
    free(log->events);
    log->events = sorted;
    log->cap = log->len + 1;
}

struct eval_event *eval_pass(const struct eval_log *log, uint64_t seed, uint64_t pass)
{
    struct keyed *keys = fr_alloc((log->len + 1) * sizeof(*keys));
    struct eval_event *events = fr_alloc((log->len + 1) * sizeof(*events));

    for (size_t i = 0; i < log->len; i++)
        keys[i] = (struct keyed){eval_random(seed, UINT64_MAX - pass, i), i};
    qsort(keys, log->len, sizeof(*keys), by_key);
    for (size_t i = 0; i < log->len; i++) {
        events[i] = log->events[keys[i].at];
        events[i].repeat_high = events[i].repeat_low = 0;
    }
    free(keys);
    return events;
}

/* ---- who has what ---- */

void eval_seen_init(struct eval_seen *seen, const struct eval_log *log, size_t users)
{
    struct keyed *keys = fr_alloc((log->len + 1) * sizeof(*keys));
    size_t len = 0, user = 0;

    seen->begin = fr_zalloc(users + 1, sizeof(*seen->begin));
    seen->items = fr_alloc((log->len + 1) * sizeof(*seen->items));
    seen->first = fr_zalloc(log->len + 1, sizeof(*seen->first));
    for (size_t i = 0; i < log->len; i++)
        keys[i] = (struct keyed){(uint64_t)log->events[i].user << 32 | log->events[i].item, i};
    qsort(keys, log->len, sizeof(*keys), by_key);
    for (size_t i = 0; i < log->len; i++) {
        if (i && keys[i].key == keys[i - 1].key)
            continue;
        while (user < keys[i].key >> 32)
            seen->begin[++user] = len;
        seen->first[keys[i].at] = true;
        seen->items[len++] = (uint32_t)keys[i].key;
    }
    while (user < users)
        seen->begin[++user] = len;
    free(keys);
}

bool eval_seen_has(const struct eval_seen *seen, uint32_t user, uint32_t item)
{
    size_t low = seen->begin[user], high = seen->begin[user + 1];

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (seen->items[middle] < item)
            low = middle + 1;
        else
            high = middle;
    }
    return low < seen->begin[user + 1] && seen->items[low] == item;
}

void eval_seen_release(struct eval_seen *seen)
{
    free(seen->begin);
    free(seen->items);
    free(seen->first);
}
