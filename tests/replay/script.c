/*
 * script.c -- lines into deeds.
 */
#include "script.h"

#include <errno.h>
#include <math.h>

/* ---- words ---- */

static bool split(struct world *world, const char *line, struct words *words)
{
    words->len = 0;
    if (strlen(line) >= sizeof(words->room))
        return world_fails(world, "the line is longer than %zu bytes", sizeof(words->room) - 1);
    strcpy(words->room, line);
    words->room[strcspn(words->room, "#")] = '\0';
    for (char *rest = words->room, *word; (word = strtok_r(rest, " \t\r", &rest));) {
        if (words->len == WORDS_MAX)
            return world_fails(world, "the line has more than %d words", WORDS_MAX);
        words->at[words->len++] = word;
    }
    return true;
}

bool read_time(struct world *world, const char *text, when_ms *ret_time)
{
    static const struct {
        const char *name;
        when_ms ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    const char *at = text + (*text == '-');
    when_ms sum = 0;

    while (*at) {
        char *end;
        size_t unit = 0;
        errno = 0;
        long long number = strtoll(at, &end, 10);
        size_t len = strspn(end, "smhd");
        while (unit < 5 && (strlen(units[unit].name) != len || strncmp(units[unit].name, end, len) != 0))
            unit++;
        if (end == at || errno || number < 0 || number > 1000000000 || (unit == 5 && !(number == 0 && !*end)))
            return world_fails(world, "'%s' is no time; times look like 2d3h, 90m, -1s, 1500ms, 0", text);
        sum += unit < 5 ? number * units[unit].ms : 0;
        at = end + len;
    }
    *ret_time = *text == '-' ? -sum : sum;
    return at > text || world_fails(world, "a time is missing");
}

bool read_count(struct world *world, const char *text, long long *ret_count)
{
    char *end;

    errno = 0;
    *ret_count = strtoll(text, &end, 10);
    return (end != text && !*end && !errno) || world_fails(world, "'%s' is no whole number", text);
}

static bool read_real(struct world *world, const char *text, double *ret_real)
{
    char *end;

    *ret_real = strtod(text, &end);
    return (end != text && !*end && isfinite(*ret_real)) || world_fails(world, "'%s' is no number", text);
}

bool read_partition(struct world *world, const char *text, int *ret_partition)
{
    long long number;

    if (!read_count(world, text, &number))
        return false;
    *ret_partition = (int)number;
    return (number >= 0 && number < PARTITIONS_USED) ||
           world_fails(world, "partition %lld is not 0..%d", number, PARTITIONS_USED - 1);
}

static bool read_name(struct world *world, const char *text, char *ret_name)
{
    if (strlen(text) >= NAME_MAX_BYTES || strpbrk(text, "\"\\"))
        return world_fails(world, "'%s' is no name for a script", text);
    strcpy(ret_name, text);
    return true;
}

/* ---- events ---- */

/* value= time= id= weight= on=, each at most once in effect. */
static bool read_details(struct world *world, const struct words *words, size_t from, struct entry *entry, int *on)
{
    for (size_t i = from; i < words->len; i++) {
        const char *word = words->at[i], *value = strchr(word, '=');
        size_t len = value ? (size_t)(value - word) : 0;
        bool good;
        if (value && ((len == 5 && strncmp(word, "value", 5) == 0) || (len == 6 && strncmp(word, "weight", 6) == 0))) {
            good = entry->has_value = read_real(world, value + 1, &entry->value);
        } else if (len == 4 && strncmp(word, "time", 4) == 0) {
            good = read_time(world, value + 1, &entry->when);
            entry->when += WORLD_ZERO;
        } else if (len == 2 && strncmp(word, "id", 2) == 0) {
            good = read_name(world, value + 1, entry->id);
        } else if (len == 2 && strncmp(word, "on", 2) == 0) {
            good = read_partition(world, value + 1, on);
        } else {
            good = world_fails(world, "'%s' is not understood; there are value= time= id= on=", word);
        }
        if (!good)
            return false;
    }
    return true;
}

static bool append(struct world *world, const struct entry *entry, int on)
{
    int before = world->partition;

    world->partition = on;
    world_append(world, entry);
    world->partition = before;
    return true;
}

static bool do_event(struct world *world, const struct words *words)
{
    struct entry entry = {.kind = ENTRY_EVENT};
    int on = world->partition;

    return read_name(world, words->at[1], entry.user) && read_name(world, words->at[2], entry.item) &&
           read_name(world, words->at[3], entry.type) && read_details(world, words, 4, &entry, &on) &&
           append(world, &entry, on);
}

static bool do_poison(struct world *world, const struct words *words)
{
    static const char *const reasons[] = {"undecodable", "null", "user_id", "item_id", "value", "time"};
    struct entry entry = {.kind = ENTRY_POISON, .user = "key"};
    int on = world->partition;

    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (strcmp(words->at[1], reasons[i]) == 0)
            entry.reason = reasons[i];
    if (!entry.reason)
        return world_fails(world, "there is no poison '%s'", words->at[1]);
    return read_details(world, words, 2, &entry, &on) && append(world, &entry, on);
}

static bool do_forget(struct world *world, const struct words *words)
{
    bool event = strcmp(words->at[1], "event") == 0;
    struct entry entry = {.kind = event ? ENTRY_FORGET_EVENT : ENTRY_FORGET_USER, .when = world->clock, .value = 1};
    int on = 0;

    if (!event && strcmp(words->at[1], "user") != 0)
        return world_fails(world, "forget what? 'event' or 'user', not '%s'", words->at[1]);
    if (event && words->len < 4)
        return world_fails(world, "forget event USER ITEM [time=] [weight=]");
    if (!read_name(world, words->at[2], entry.user) || (event && !read_name(world, words->at[3], entry.item)) ||
        !read_details(world, words, event ? 4 : 3, &entry, &on))
        return false;
    world_forget(world, &entry);
    return world_checkpoint(world); /* a request like this is answered once it is durable */
}

/* ---- time, processes, the disk ---- */

static bool do_at(struct world *world, const struct words *words)
{
    when_ms time;

    if (!read_time(world, words->at[1], &time))
        return false;
    world->clock = WORLD_ZERO + time;
    sim_set_wall(world->clock);
    return true;
}

static bool do_wait(struct world *world, const struct words *words)
{
    when_ms span;

    if (!read_time(world, words->at[1], &span) || span < 0)
        return false;
    sim_sleep(span);
    world->clock += span;
    sim_set_wall(world->clock);
    return true;
}

static bool do_start(struct world *world, const struct words *words)
{
    (void)words;
    if (world->engine && !world_stop(world))
        return false;
    return world_start(world);
}

static bool do_stop(struct world *world, const struct words *words)
{
    (void)words;
    return world_stop(world);
}

static bool do_crash(struct world *world, const struct words *words)
{
    return world_crash(world, strcmp(words->at[0], "power-cut") == 0);
}

static bool do_fail(struct world *world, const struct words *words)
{
    static const struct {
        const char *name;
        enum fr_status code;
    } codes[] = {{"full", FR_FULL}, {"io", FR_IO}, {"corrupt", FR_CORRUPT}};
    bool write = strcmp(words->at[1], "write") == 0, takes = false;
    enum fr_status code = FR_OK;
    long long nth, times = 1;

    if (!write && strcmp(words->at[1], "sync") != 0)
        return world_fails(world, "fail what? 'write' or 'sync', not '%s'", words->at[1]);
    if (!read_count(world, words->at[2], &nth))
        return false;
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
        if (strcmp(words->at[3], codes[i].name) == 0)
            code = codes[i].code;
    for (size_t i = 4; i < words->len; i++) {
        if (strcmp(words->at[i], "yet-done") == 0)
            takes = true;
        else if (strncmp(words->at[i], "times=", 6) != 0 || !read_count(world, words->at[i] + 6, &times))
            return world_fails(world, "'%s' is not understood; there are times= and yet-done", words->at[i]);
    }
    if (!code || nth < 1 || nth > 1000 || times < 1 || times > 1000)
        return world_fails(world, "fail write|sync N full|io|corrupt [times=N] [yet-done]");
    disk_fail(world->disk, write ? DISK_WRITE : DISK_SYNC, (int)nth, (int)times, code, takes);
    return true;
}

/* ---- the log and the feed ---- */

static bool do_partition(struct world *world, const struct words *words)
{
    return read_partition(world, words->at[1], &world->partition);
}

static bool do_redeliver(struct world *world, const struct words *words)
{
    long long from;
    int partition;

    return read_partition(world, words->at[1], &partition) && read_count(world, words->at[2], &from) &&
           world_feed_again(world, partition, from);
}

static bool do_trim(struct world *world, const struct words *words)
{
    long long first;
    int partition;

    if (!read_partition(world, words->at[1], &partition) || !read_count(world, words->at[2], &first))
        return false;
    struct log_part *part = &world->parts[partition];
    first = first > part->end ? part->end : first; /* no further than there are records */
    part->first = first > part->first ? first : part->first;
    return true;
}

static bool do_recreate(struct world *world, const struct words *words)
{
    int partition;

    if (!read_partition(world, words->at[1], &partition))
        return false;
    world_recreate(world, partition);
    return true;
}

/* reset P N|earliest|end [new-log] */
static bool do_reset(struct world *world, const struct words *words)
{
    const char *to = words->at[2];
    bool new_log = words->len > 3;
    long long offset;
    int partition;

    if (!read_partition(world, words->at[1], &partition))
        return false;
    if (strcmp(to, "earliest") == 0)
        offset = world->parts[partition].first;
    else if (strcmp(to, "end") == 0)
        offset = world->parts[partition].end;
    else if (!read_count(world, to, &offset))
        return false;
    if (new_log && strcmp(words->at[3], "new-log") != 0)
        return world_fails(world, "'%s' is not understood; there is new-log", words->at[3]);
    return world_reset(world, partition, offset, new_log);
}

static bool do_feed(struct world *world, const struct words *words)
{
    long long most;

    if (strcmp(words->at[1], "stop") == 0 || strcmp(words->at[1], "go") == 0) {
        world->feed_stopped = strcmp(words->at[1], "stop") == 0;
        return true;
    }
    if (!world->engine || !read_count(world, words->at[1], &most) || most < 1)
        return world_fails(world, "feed stop|go, or feed N to a running engine");
    world_feed(world, (size_t)most);
    return true;
}

static bool do_turns(struct world *world, const struct words *words)
{
    long long turns;

    if (!read_count(world, words->at[1], &turns) || turns < 0 || turns > 1000000)
        return false;
    sim_turns((unsigned)turns);
    return true;
}

static bool do_deliver(struct world *world, const struct words *words)
{
    const char *how = words->len > 1 ? words->at[1] : "";

    if (*how && strcmp(how, "refused") != 0 && strcmp(how, "unknown") != 0)
        return world_fails(world, "deliver [refused|unknown], not '%s'", how);
    return world_deliver(world, *how == 'r' ? DELIVERY_REFUSED : *how == 'u' ? DELIVERY_UNKNOWN : DELIVERED);
}

static bool do_hold(struct world *world, const struct words *words)
{
    engine_hold(world->engine, HOLD_DISK, strcmp(words->at[0], "hold") == 0);
    return true;
}

static bool do_checkpoint(struct world *world, const struct words *words)
{
    const char *what = words->at[0];

    if (strcmp(what, "write") == 0)
        return world_write(world);
    return strcmp(what, "sync") == 0 ? world_sync(world) : world_checkpoint(world);
}

/* ---- settings ---- */

static bool choose_mode(struct world *world, const char *mode)
{
    struct oracle_rules *rules = &world->rules;

    rules->parity = strcmp(mode, "parity") == 0;
    if (!rules->parity && strcmp(mode, "product") != 0)
        return world_fails(world, "the modes are parity and product, not '%s'", mode);
    rules->similarity = rules->parity ? SAR_JACCARD : SAR_SHRUNK_COSINE;
    rules->recency = rules->parity ? 1 : 0.8;
    rules->window = rules->parity ? 0 : 10;
    rules->score_last = rules->parity ? 0 : 20;
    rules->history_max = rules->parity ? 0 : 200;
    rules->half_life = rules->parity ? 0 : (span_ms)30 * 86400000;
    return true;
}

static bool choose_similarity(struct world *world, const char *name)
{
    static const char *const names[] = {"shrunk_cosine", "jaccard",   "cosine",             "cooccurrence",
                                        "lift",          "inclusion", "mutual_information", "lexicographers_mi"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(names[i], name) == 0) {
            world->rules.similarity = (enum sar_similarity)i;
            return true;
        }
    return world_fails(world, "there is no similarity '%s'", name);
}

static bool do_option(struct world *world, const struct words *words)
{
    struct oracle_rules *rules = &world->rules;
    const char *name = words->at[1], *value = words->at[2];
    const struct {
        const char *name;
        uint32_t *to;
    } counts[] = {{"history_max", &rules->history_max}, {"window", &rules->window},
                  {"score_last", &rules->score_last},   {"threshold", &rules->threshold},
                  {"users_max", &rules->users_max},     {"items_max", &rules->items_max},
                  {"dedup_max", &rules->dedup_max},     {"outbox_mb_max", &world->outbox_mb_max},
                  {"evaluate_every", &world->evaluate_every}};
    long long count;

    if (strcmp(name, "mode") == 0)
        return choose_mode(world, value);
    if (strcmp(name, "similarity") == 0)
        return choose_similarity(world, value);
    if (strcmp(name, "half_life") == 0)
        return read_time(world, value, &rules->half_life);
    if (strcmp(name, "dedup_window") == 0)
        return read_time(world, value, &rules->dedup_window);
    if (strcmp(name, "recency") == 0)
        return read_real(world, value, &rules->recency);
    if (strcmp(name, "normalize") == 0)
        rules->normalize = strcmp(value, "yes") == 0;
    else if (strcmp(name, "on_gap") == 0)
        world->skip_gaps = strcmp(value, "skip") == 0;
    else if (strcmp(name, "checkpoints") == 0)
        world->automatic = strcmp(value, "automatic") == 0;
    else if (strcmp(name, "feed") == 0)
        world->by_hand = strcmp(value, "by-hand") == 0;
    else {
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
            if (strcmp(counts[i].name, name) == 0) {
                bool good = read_count(world, value, &count);
                *counts[i].to = (uint32_t)count;
                return good;
            }
        return world_fails(world, "there is no option '%s'", name);
    }
    return true;
}

/* ---- verbs ---- */

static bool do_expect(struct world *world, const struct words *words)
{
    struct words rest = {.len = 0};

    for (size_t i = 1; i < words->len; i++)
        rest.at[rest.len++] = words->at[i];
    return expect(world, &rest);
}

enum needs { ANY, RUNNING, STOPPED };

static const struct verb {
    const char *name;
    bool (*run)(struct world *world, const struct words *words);
    size_t words_min, words_max;
    enum needs needs;
    bool catches_up; /* what has arrived before is applied first, unless the feed is by hand */
} verbs[] = {
    {"option", do_option, 3, 3, ANY, false},
    {"at", do_at, 2, 2, ANY, false},
    {"wait", do_wait, 2, 2, RUNNING, true},
    {"partition", do_partition, 2, 2, ANY, false},
    {"event", do_event, 4, WORDS_MAX, ANY, false},
    {"poison", do_poison, 2, WORDS_MAX, ANY, false},
    {"forget", do_forget, 3, WORDS_MAX, RUNNING, true},
    {"start", do_start, 1, 1, STOPPED, false},
    {"restart", do_start, 1, 1, ANY, true},
    {"stop", do_stop, 1, 1, RUNNING, true},
    {"crash", do_crash, 1, 1, RUNNING, true},
    {"power-cut", do_crash, 1, 1, ANY, true},
    {"checkpoint", do_checkpoint, 1, 1, RUNNING, true},
    {"write", do_checkpoint, 1, 1, RUNNING, true},
    {"sync", do_checkpoint, 1, 1, RUNNING, true},
    {"fail", do_fail, 4, 6, ANY, true},
    {"redeliver", do_redeliver, 3, 3, RUNNING, true},
    {"trim", do_trim, 3, 3, ANY, false},
    {"recreate", do_recreate, 2, 2, ANY, true},
    {"reset", do_reset, 3, 4, RUNNING, true},
    {"feed", do_feed, 2, 2, ANY, true},
    {"turns", do_turns, 2, 2, RUNNING, false},
    {"deliver", do_deliver, 1, 2, RUNNING, true},
    {"hold", do_hold, 1, 1, RUNNING, true},
    {"release", do_hold, 1, 1, RUNNING, false},
    {"expect", do_expect, 2, WORDS_MAX, ANY, true},
};

static bool run_verb(struct world *world, const struct verb *verb, const struct words *words)
{
    if (words->len < verb->words_min || words->len > verb->words_max)
        return world_fails(world, "'%s' has too %s words", verb->name, words->len < verb->words_min ? "few" : "many");
    if (verb->needs == RUNNING && !world->engine)
        return world_fails(world, "'%s' needs a running engine%s%s", verb->name,
                           world->refused.code ? "; the start was refused: " : "", world->refused.text);
    if (verb->needs == STOPPED && world->engine)
        return world_fails(world, "the engine runs already");
    if (verb->catches_up && world->engine && !world->by_hand && !world_catch_up(world))
        return false;
    return verb->run(world, words);
}

/* A command of a repetition, `len` bytes, with the turn's number in the place of each %. */
static void one_turn(const char *command, size_t len, long long turn, char *room, size_t room_len)
{
    size_t at = 0;

    room[0] = '\0';
    for (size_t i = 0; i < len && at + 24 < room_len; i++)
        at += (size_t)(command[i] == '%' ? snprintf(room + at, room_len - at, "%lld", turn)
                                         : snprintf(room + at, room_len - at, "%c", command[i]));
}

/* repeat N COMMAND ... ; COMMAND ... */
static bool repeat(struct world *world, const char *line, const struct words *words)
{
    const char *from = strstr(line, words->len > 2 ? words->at[2] : "repeat");
    char one[sizeof(words->room)];
    long long times;

    if (words->len < 3 || strcmp(words->at[2], "repeat") == 0)
        return world_fails(world, "repeat N COMMAND ... ; COMMAND ...");
    if (!read_count(world, words->at[1], &times))
        return false;
    for (long long turn = 1; turn <= times; turn++)
        for (const char *rest = from; *rest;) {
            size_t len = strcspn(rest, ";");
            one_turn(rest, len, turn, one, sizeof(one));
            rest += len + (rest[len] == ';');
            if (!script_line(world, one))
                return false;
        }
    return true;
}

bool script_line(struct world *world, const char *line)
{
    struct words words;

    if (!split(world, line, &words))
        return false;
    if (!words.len)
        return true;
    if (strcmp(words.at[0], "repeat") == 0)
        return repeat(world, line, &words);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
        if (strcmp(verbs[i].name, words.at[0]) == 0)
            return run_verb(world, &verbs[i], &words);
    return world_fails(world, "there is no command '%s'", words.at[0]);
}

bool script_run(struct world *world, const char *name, const char *text)
{
    char line[1200], problem[sizeof(world->problem)];
    int number = 0;
    bool good = true;

    while (good && *text) {
        size_t len = strcspn(text, "\n");
        snprintf(line, sizeof(line), "%.*s", (int)len, text);
        text += len + (text[len] == '\n');
        number++;
        good = script_line(world, line);
    }
    if (good && world->engine)
        good = world_catch_up(world) && world_equals_oracle(world);
    if (good)
        return true;
    snprintf(problem, sizeof(problem), "%s", world->problem);
    return world_fails(world, "%s:%d: %.1800s", name, number, problem);
}
