/*
 * expect.c -- what must be so: lists of names and numbers, compared word by word.
 *
 *     expect similar apple: bread 0.5 cheese 0.333333          the whole list, in order; numbers to 1e-6
 */
#include <math.h>
#include <stdarg.h>

#include "freshet/format.h"
#include "script.h"

/* ---- what there is, as words ---- */

struct told {
    char room[4000];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void tell(struct told *told, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(told->room + told->len, sizeof(told->room) - told->len, format, args);
    va_end(args);
    told->len += len > 0 ? (size_t)len : 0;
    if (told->len >= sizeof(told->room))
        told->len = sizeof(told->room) - 1;
}

static void tell_pair(struct told *told, struct fr_bytes id, double number)
{
    tell(told, "%s%.*s %.6g", told->len ? " " : "", (int)id.len, id.at, number);
}

static bool same_word(const char *wanted, const char *got)
{
    char *wanted_end, *got_end;
    double a = strtod(wanted, &wanted_end), b = strtod(got, &got_end);

    if (wanted_end != wanted && !*wanted_end && got_end != got && !*got_end)
        return fabs(a - b) <= 2e-6 * fmax(1, fabs(a));
    return strcmp(wanted, got) == 0;
}

/* The words from `from` on must be what is told. */
static bool told_is(struct world *world, const struct words *words, size_t from, const struct told *told)
{
    struct told copy = *told;
    size_t at = from;
    bool same = true;

    for (char *rest = copy.room, *word; (word = strtok_r(rest, " ", &rest)); at++)
        same = same && at < words->len && same_word(words->at[at], word);
    return (same && at == words->len) || world_fails(world, "it is: %s", told->len ? told->room : "(nothing)");
}

/* A name that ends in a colon loses it; the list follows. */
static struct fr_bytes name_of(const char *word)
{
    size_t len = strlen(word);

    return (struct fr_bytes){word, len - (len > 0 && word[len - 1] == ':')};
}

/* ---- answers ---- */

static void tell_list(struct told *told, const struct recommendation_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        tell_pair(told, list->items[i].item, list->items[i].score);
    if (list->fallback)
        tell(told, "%sfallback", told->len ? " " : "");
}

/* recommend USER [k=N] [seen] [seed=ITEM]...: LIST */
static bool expect_recommend(struct world *world, const struct words *words, struct told *told)
{
    struct ask_seed seeds[WORDS_MAX];
    struct ask ask = {.user = name_of(words->at[1]), .k = 100, .seeds = seeds};
    struct recommendation_list list;
    size_t at = 1;

    while (words->at[at][strlen(words->at[at]) - 1] != ':') {
        if (++at == words->len)
            return world_fails(world, "the colon before the list is missing");
        struct fr_bytes word = name_of(words->at[at]);
        if (fr_bytes_equal(word, FR_BYTES("seen")))
            ask.include_seen = true;
        else if (word.len > 2 && strncmp(word.at, "k=", 2) == 0)
            ask.k = (uint32_t)strtoul(word.at + 2, NULL, 10);
        else if (word.len > 5 && strncmp(word.at, "seed=", 5) == 0)
            seeds[ask.seeds_len++] = (struct ask_seed){.item = {word.at + 5, word.len - 5}};
        else
            return world_fails(world, "'%s' is not understood; there are k= seen seed=", words->at[at]);
    }
    reader_recommend(world->reader, &ask, &list);
    tell_list(told, &list);
    return told_is(world, words, at + 1, told);
}

static bool expect_similar(struct world *world, const struct words *words, struct told *told)
{
    struct neighbour_list list;
    struct fr_err err;
    int status = strcmp(words->at[0], "similar") == 0
                     ? reader_similar_items(world->reader, name_of(words->at[1]), &(struct ask){.k = 100}, &list, &err)
                     : reader_similar_users(world->reader, name_of(words->at[1]), 100, &list, &err);

    if (status)
        return world_fails(world, "%s", err.text);
    for (size_t i = 0; i < list.len; i++)
        tell_pair(told, list.neighbours[i].id, list.neighbours[i].similarity);
    return told_is(world, words, 2, told);
}

static bool expect_popular(struct world *world, const struct words *words, struct told *told)
{
    struct recommendation_list list;

    reader_popular(world->reader, &(struct ask){.k = 100}, &list);
    tell_list(told, &list);
    return told_is(world, words, 1, told);
}

/* user USER: ITEM AFFINITY ... events N */
static bool expect_user(struct world *world, const struct words *words, struct told *told)
{
    struct user_facts facts;
    struct fr_err err;

    if (reader_user(world->reader, name_of(words->at[1]), &facts, &err))
        return world_fails(world, "%s", err.text);
    for (size_t i = 0; i < facts.affinities_len; i++)
        tell_pair(told, facts.affinities[i].item, facts.affinities[i].affinity);
    tell(told, "%sevents %llu", told->len ? " " : "", (unsigned long long)facts.events);
    return told_is(world, words, 2, told);
}

/* item ITEM: users N first SECONDS */
static bool expect_item(struct world *world, const struct words *words, struct told *told)
{
    struct item_facts facts;
    struct fr_err err;

    if (reader_item(world->reader, name_of(words->at[1]), &facts, &err))
        return world_fails(world, "%s", err.text);
    tell(told, "users %llu first %gs", (unsigned long long)facts.users, (double)(facts.first_seen - WORLD_ZERO) / 1000);
    return told_is(world, words, 2, told);
}

/* unknown user|item NAME */
static bool expect_unknown(struct world *world, const struct words *words, struct told *told)
{
    struct user_facts user;
    struct item_facts item;
    bool known = strcmp(words->at[1], "user") == 0
                     ? reader_user(world->reader, fr_bytes_of(words->at[2]), &user, NULL) == FR_OK
                     : reader_item(world->reader, fr_bytes_of(words->at[2]), &item, NULL) == FR_OK;

    (void)told;
    return !known || world_fails(world, "it is known");
}

/* ---- positions and counts ---- */

static struct engine_status *status_of(struct world *world)
{
    static struct engine_status status;

    engine_status(world->engine, &status);
    return &status;
}

/* position|durable|lag|state PARTITION VALUE */
static bool expect_partition(struct world *world, const struct words *words, struct told *told)
{
    const struct engine_status *status = status_of(world);
    int number;

    if (!read_partition(world, words->at[1], &number))
        return false;
    for (size_t i = 0; i < status->partitions_len; i++) {
        const struct partition_status *partition = &status->partitions[i];
        if (partition->partition != number)
            continue;
        if (strcmp(words->at[0], "state") == 0)
            tell(told, "%s", partition_state_name(partition->state));
        else
            tell(told, "%lld",
                 (long long)(strcmp(words->at[0], "position") == 0 ? partition->applied : partition->durable));
    }
    return told_is(world, words, 2, told);
}

/* holes PARTITION: FROM-TO ... */
static bool expect_holes(struct world *world, const struct words *words, struct told *told)
{
    char number[2] = {words->at[1][0], '\0'};
    int p;

    if (!read_partition(world, number, &p) || !world->parts[p].known)
        return world_fails(world, "holes of which partition?");
    const struct format_holes *holes = partition_at(world->engine, world->parts[p].index)->holes;
    for (uint32_t i = 0; holes && i < holes->len; i++)
        tell(told, "%s%lld-%lld", i ? " " : "", (long long)holes->holes[i].from, (long long)holes->holes[i].to);
    return told_is(world, words, 2, told);
}

/* counts: users N items N pairs N events N */
static bool expect_counts(struct world *world, const struct words *words, struct told *told)
{
    const struct engine_status *status = status_of(world);

    tell(told, "users %llu items %llu pairs %llu events %llu", (unsigned long long)status->users,
         (unsigned long long)status->items, (unsigned long long)status->pairs,
         (unsigned long long)status->model_events);
    return told_is(world, words, 1, told);
}

/* dead-letters: PARTITION:OFFSET REASON ...      what Kafka was given, in order, twice if twice */
static bool expect_letters(struct world *world, const struct words *words, struct told *told)
{
    for (size_t i = 0; i < world->received_len; i++)
        tell(told, "%s%d:%lld %s", i ? " " : "", world->received[i].partition, (long long)world->received[i].offset,
             world->received[i].reason);
    return told_is(world, words, 1, told);
}

/* outbox N      dead letters that Kafka has not acknowledged */
static bool expect_outbox(struct world *world, const struct words *words, struct told *told)
{
    tell(told, "%zu", atomic_load(&world->engine->outbox_len));
    return told_is(world, words, 1, told);
}

/* now TIME      the newest event time */
static bool expect_now(struct world *world, const struct words *words, struct told *told)
{
    when_ms wanted, now = reader_as_of(world->reader)->event_time - WORLD_ZERO;

    (void)told;
    return read_time(world, words->at[1], &wanted) &&
           (wanted == now || world_fails(world, "it is %lld ms", (long long)now));
}

/* held yes|no */
static bool expect_held(struct world *world, const struct words *words, struct told *told)
{
    tell(told, "%s", engine_held(world->engine) ? "yes" : "no");
    return told_is(world, words, 1, told);
}

/* ---- without an engine ---- */

/* refused WORD...      the last start was refused, and its text holds these words one after another */
static bool expect_refused(struct world *world, const struct words *words, struct told *told)
{
    char text[1024] = "";

    (void)told;
    for (size_t i = 1; i < words->len; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 1 ? " " : "", words->at[i]);
    return (world->refused.code && strstr(world->refused.text, text)) ||
           world_fails(world, "the start was %s%s", world->refused.code ? "refused: " : "not refused",
                       world->refused.text);
}

/* saved yes|no      did the last stop say that all is saved? */
static bool expect_saved(struct world *world, const struct words *words, struct told *told)
{
    tell(told, "%s", world->saved ? "yes" : "no");
    return told_is(world, words, 1, told);
}

/* logged EVENT      since the last start */
static bool expect_logged(struct world *world, const struct words *words, struct told *told)
{
    (void)told;
    return sim_logged(words->at[1]) || world_fails(world, "it was not logged");
}

static bool expect_oracle(struct world *world, const struct words *words, struct told *told)
{
    (void)words, (void)told;
    reader_end(world->reader); /* it asks for itself */
    bool equal = world_catch_up(world) && world_equals_oracle(world);
    reader_begin(world->reader);
    return equal;
}

static const struct kind {
    const char *name;
    bool (*check)(struct world *world, const struct words *words, struct told *told);
    size_t words_min;
    bool asks; /* needs a running engine and a reader's view */
} kinds[] = {
    {"recommend", expect_recommend, 2, true},
    {"similar", expect_similar, 2, true},
    {"similar-users", expect_similar, 2, true},
    {"popular:", expect_popular, 1, true},
    {"user", expect_user, 2, true},
    {"item", expect_item, 2, true},
    {"unknown", expect_unknown, 3, true},
    {"position", expect_partition, 3, true},
    {"durable", expect_partition, 3, true},
    {"state", expect_partition, 3, true},
    {"holes", expect_holes, 2, true},
    {"counts:", expect_counts, 1, true},
    {"outbox", expect_outbox, 2, true},
    {"now", expect_now, 2, true},
    {"held", expect_held, 2, true},
    {"oracle", expect_oracle, 1, true},
    {"dead-letters:", expect_letters, 1, false},
    {"refused", expect_refused, 2, false},
    {"saved", expect_saved, 2, false},
    {"logged", expect_logged, 2, false},
};

bool expect(struct world *world, const struct words *words)
{
    struct told told = {.len = 0};
    size_t k = 0;

    while (k < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[k].name, words->at[0]) != 0)
        k++;
    if (k == sizeof(kinds) / sizeof(*kinds))
        return world_fails(world, "there is no expectation '%s'", words->at[0]);
    if (words->len < kinds[k].words_min)
        return world_fails(world, "'expect %s' has too few words", kinds[k].name);
    if (!kinds[k].asks)
        return kinds[k].check(world, words, &told);
    if (!world->engine)
        return world_fails(world, "'expect %s' needs a running engine", kinds[k].name);
    reader_begin(world->reader);
    bool good = kinds[k].check(world, words, &told);
    reader_end(world->reader);
    return good;
}
