/*
 * walk.c -- a small town with much trouble: a few users and items, so that everything meets everything.
 */
#include "walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { USERS = 7, ITEMS = 9, LENGTH_MIN = 20, LENGTH_MAX = 120 };

struct dice {
    uint64_t state;
    long long hours; /* the clock */
    int partitions;
};

static uint64_t roll(struct dice *dice, uint64_t sides) /* splitmix64 */
{
    uint64_t z = dice->state += 0x9E3779B97F4A7C15U;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return (z ^ z >> 31) % sides;
}

static bool chance(struct dice *dice, unsigned percent)
{
    return roll(dice, 100) < percent;
}

__attribute__((format(printf, 2, 3))) static void step(struct walk *walk, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(walk->steps[walk->len++], STEP_BYTES, format, args);
    va_end(args);
}

static const char *one_of(struct dice *dice, const char *const *names, size_t len)
{
    return names[roll(dice, len)];
}
#define ONE_OF(dice, ...)                                                                                              \
    one_of(dice, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* ---- settings ---- */

static void settle_options(struct walk *walk, struct dice *dice)
{
    bool parity = chance(dice, 50);

    step(walk, "option mode %s", parity ? "parity" : "product");
    step(walk, "option similarity %s",
         ONE_OF(dice, "shrunk_cosine", "jaccard", "cosine", "cooccurrence", "lift", "inclusion", "mutual_information",
                "lexicographers_mi"));
    step(walk, "option half_life %s", ONE_OF(dice, "0", "2d", "30d"));
    if (parity) {
        if (chance(dice, 25))
            step(walk, "option normalize yes");
    } else {
        step(walk, "option history_max %d", 2 + (int)roll(dice, 5));
        step(walk, "option window %d", 1 + (int)roll(dice, 4));
        step(walk, "option score_last %d", 1 + (int)roll(dice, 5));
    }
    if (chance(dice, 25))
        step(walk, "option threshold 2");
    if (chance(dice, 20))
        step(walk, "option dedup_max 16");
    if (chance(dice, 15))
        step(walk, "option users_max 4");
    if (chance(dice, 15))
        step(walk, "option items_max 5");
    if (chance(dice, 30))
        step(walk, "option evaluate_every 3");
    if (chance(dice, 80))
        step(walk, "option on_gap skip");
    if (chance(dice, 50))
        step(walk, "option checkpoints automatic");
    step(walk, "option feed by-hand\nat %lldh\nstart", dice->hours);
}

/* ---- what happens ---- */

static void an_event(struct walk *walk, struct dice *dice)
{
    char details[64] = "";
    int user = (int)roll(dice, USERS);
    size_t at = 0;

    if (chance(dice, 30))
        at += (size_t)snprintf(details + at, sizeof(details) - at, " value=%d", (int)roll(dice, 11) - 5);
    if (chance(dice, 60))
        at += (size_t)snprintf(details + at, sizeof(details) - at, " time=%lldh",
                               dice->hours - (long long)roll(dice, 96));
    else if (chance(dice, 4)) /* a clock that is wrong: dead-lettered */
        at += (size_t)snprintf(details + at, sizeof(details) - at, " time=%lldh",
                               dice->hours + 1 + (long long)roll(dice, 1000));
    if (chance(dice, 35))
        snprintf(details + at, sizeof(details) - at, " id=e%d", (int)roll(dice, 8));
    step(walk, "event u%d i%d %s%s on=%d", user, (int)roll(dice, ITEMS),
         ONE_OF(dice, "click", "click", "rating", "purchase", "return", "like", "dislike", "view"), details,
         user % dice->partitions);
}

static void a_forgetting(struct walk *walk, struct dice *dice)
{
    if (chance(dice, 50))
        step(walk, "forget user u%d", (int)roll(dice, USERS));
    else
        step(walk, "forget event u%d i%d time=%lldh weight=%d", (int)roll(dice, USERS), (int)roll(dice, ITEMS),
             dice->hours - (long long)roll(dice, (uint64_t)dice->hours + 1), 1 + (int)roll(dice, 4));
}

/* What an operator may do to a partition, halted or not, after something that halts it or without. */
static void a_reset(struct walk *walk, struct dice *dice, int partition)
{
    char to[24];

    if (chance(dice, 50))
        step(walk, "recreate %d", partition);
    if (chance(dice, 50))
        step(walk, "event u%d i%d click on=%d\nfeed 9", (int)roll(dice, USERS), (int)roll(dice, ITEMS), partition);
    snprintf(to, sizeof(to), "%d", (int)roll(dice, 12));
    step(walk, "feed 1\nreset %d %s%s", partition, ONE_OF(dice, "earliest", "end", to), ONE_OF(dice, "", " new-log"));
}

/* So many small changes that the checkpoint folds them into their base. */
static void a_stir(struct walk *walk, struct dice *dice)
{
    int user = (int)roll(dice, USERS);

    step(walk, "repeat %d event u%d i%d click on=%d ; feed 9 ; write", 30 + (int)roll(dice, 30), user,
         (int)roll(dice, ITEMS), user % dice->partitions);
}

static void an_end(struct walk *walk, struct dice *dice)
{
    step(walk, "%s\nrestart\nexpect oracle", ONE_OF(dice, "crash", "crash", "power-cut", "power-cut", "stop"));
}

static void something(struct walk *walk, struct dice *dice)
{
    int partition = (int)roll(dice, (uint64_t)dice->partitions);
    unsigned what = (unsigned)roll(dice, 100);

    if (what < 56)
        an_event(walk, dice);
    else if (what < 59)
        step(walk, "poison %s on=%d",
             ONE_OF(dice, "undecodable", "null", "user_id", "item_id", "value", "time"), partition);
    else if (what < 64)
        step(walk, "at %lldh", dice->hours += 1 + (long long)roll(dice, chance(dice, 50) ? 2 : 60)); /* it rises */
    else if (what < 74)
        step(walk, "feed %d", 1 + (int)roll(dice, 6));
    else if (what < 81)
        step(walk, "turns %d", 1 + (int)roll(dice, 6));
    else if (what < 83)
        step(walk, "wait %dms", 1 + (int)roll(dice, 30));
    else if (what < 85)
        step(walk, "redeliver %d %d", partition, (int)roll(dice, 10));
    else if (what < 87)
        step(walk, "%s", ONE_OF(dice, "checkpoint", "write", "sync"));
    else if (what < 89)
        step(walk, "fail %s %d %s times=%d%s", ONE_OF(dice, "write", "sync"), 1 + (int)roll(dice, 3),
             ONE_OF(dice, "full", "io", "corrupt"), 1 + (int)roll(dice, 3), chance(dice, 30) ? " yet-done" : "");
    else if (what < 91)
        step(walk, "deliver %s", ONE_OF(dice, "", "refused", "unknown"));
    else if (what < 92)
        step(walk, "trim %d %d", partition, (int)roll(dice, 12));
    else if (what < 94)
        a_forgetting(walk, dice);
    else if (what < 95)
        a_reset(walk, dice, partition);
    else if (what < 96 && chance(dice, 20))
        a_stir(walk, dice);
    else
        an_end(walk, dice);
}

void walk_make(struct walk *walk, uint64_t seed)
{
    struct dice dice = {.state = seed, .hours = 10};
    size_t length;

    walk->seed = seed;
    walk->len = 0;
    roll(&dice, 1);
    dice.partitions = 1 + (int)roll(&dice, 3);
    length = LENGTH_MIN + roll(&dice, LENGTH_MAX - LENGTH_MIN + 1);
    settle_options(walk, &dice);
    while (length--)
        something(walk, &dice);
    step(walk, "expect oracle\nrestart\ncheckpoint\ndeliver\ncheckpoint\nexpect outbox 0");
}

void walk_text(const struct walk *walk, char *room)
{
    size_t at = 0;

    for (size_t i = 0; i < walk->len; i++)
        at += (size_t)sprintf(room + at, "%s\n", walk->steps[i]);
}
