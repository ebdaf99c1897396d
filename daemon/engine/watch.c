/*
 * watch.c -- whose lists somebody wants to hear of.
 *
 *     hash of the user's id --its lowest bits--> bucket     whose   0: nobody's | a hash | SEVERAL: of more than one
 *                                                           moves   goes up when an answer for whose it is may have changed
 *
 *     engine:   events and users' records applied, positions shown ── turn ── for each: whose is it? moves + 1; a semaphore, once
 *     watcher:  whose = hash ── turn ── asks ... moves is another? asks again
 *
 * Both add to `turn`. Whoever does so second sees what the first has done before: so an event that is being applied while somebody begins
 * to watch is in his first answer, or is told to him. While nobody watches that is all a batch pays, unless a model shows later what it has
 * learned (below): then each event of a user is hashed and noted, watched or not.
 *
 * Two users of one hash, or any of those in a bucket of SEVERAL, are told of one another's events: that costs an answer that turns out to
 * be the same as before. A bucket of SEVERAL is so until the last watcher has left it.
 *
 * What changes the items that may be listed (one that is hidden, or forgotten) may change anybody's list, and looking costs an answer for each
 * who watches. So that is owed to everyone, and told with one number for all: at once if it was not told for EVERYONE_MS, else when
 * that is over. However fast a catalogue is published, each watcher asks once in that time.
 *
 * Models that show later what they have learned (publish) change answers once more when they do: those whose events came since the last time
 * are then told again. They are noted whether somebody watches or not, for he may begin between the event and its being shown, and get his
 * first answer from what was shown before; showing adds to `turn` as well, so who begins after it sees it. While a model shows a part only,
 * they are told of each part, but not more often than everyone is, and stay noted.
 *
 * Threads: telling is the engine's; watching anybody's, waiting one thread's.
 */
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"

enum { BUCKETS = 1 << 16, WORD = 64, EVERYONE_MS = 1000 };
#define SEVERAL UINT64_MAX

struct board {
    _Atomic uint64_t turn;
    _Atomic uint32_t watchers;
    _Atomic uint32_t everyones; /* goes up when any answer may have changed */
    struct bucket {
        _Atomic uint64_t whose;
        _Atomic uint32_t moves;
        uint32_t watchers; /* under lock */
    } *buckets;
    pthread_mutex_t lock; /* among watchers that come and go */
    sem_t tidings;
    _Atomic bool told; /* tidings are up, or about to be */
    /* engine's thread */
    bool shows_later;
    uint64_t again[BUCKETS / WORD]; /* a bit per bucket: something of whose it may be was learned since the models have last shown all */
    bool any_again;
    bool owed, owed_again; /* to everyone: now, or as soon as it may be; once more when the models have shown all */
    uint64_t told_ns;      /* when everyone was told; 0: never */
    uint64_t part_ns;      /* likewise those of `again`, of a part */
};

struct board *board_new(void)
{
    struct board *board = fr_zalloc(1, sizeof(*board));

    board->buckets = fr_zalloc(BUCKETS, sizeof(*board->buckets));
    pthread_mutex_init(&board->lock, NULL);
    sem_init(&board->tidings, 0, 0);
    return board;
}

void board_free(struct board *board)
{
    sem_destroy(&board->tidings);
    pthread_mutex_destroy(&board->lock);
    free(board->buckets);
    free(board);
}

/* 0 and SEVERAL mean something else. */
static uint64_t hash_of(struct fr_bytes user)
{
    uint64_t hash = dict_hash(user);

    return hash == 0 || hash == SEVERAL ? 1 : hash;
}

static struct bucket *bucket_of(const struct board *board, uint64_t hash)
{
    return &board->buckets[hash % BUCKETS];
}

/* ---- telling; thread: engine ---- */

static void ring(struct board *board)
{
    if (!atomic_exchange(&board->told, true))
        sem_post(&board->tidings);
}

static void note_again(struct board *board, uint64_t hash)
{
    board->again[hash % BUCKETS / WORD] |= UINT64_C(1) << hash % WORD;
    board->any_again = true;
}

static bool tell(struct board *board, uint64_t hash)
{
    struct bucket *bucket = bucket_of(board, hash);
    uint64_t whose = atomic_load_explicit(&bucket->whose, memory_order_relaxed);

    if (board->shows_later)
        note_again(board, hash);
    if (whose != hash && whose != SEVERAL)
        return false;
    atomic_fetch_add_explicit(&bucket->moves, 1, memory_order_release);
    return true;
}

static bool anybody(struct board *board)
{
    atomic_fetch_add_explicit(&board->turn, 1, memory_order_acq_rel);
    return atomic_load_explicit(&board->watchers, memory_order_relaxed) > 0;
}

/* Is there anything to do about a user's event? */
static bool matters(struct board *board)
{
    bool watched = anybody(board);

    return watched || board->shows_later;
}

static bool is_of_user(enum event_kind kind)
{
    return kind == EVENT_APPLY || kind == EVENT_USER || kind == EVENT_USER_GONE;
}

void watch_tell_events(struct engine *engine, const struct event *events, uint32_t len)
{
    bool told = false;

    if (!len || !matters(engine->board))
        return;
    for (uint32_t i = 0; i < len; i++)
        if (is_of_user(events[i].kind) && tell(engine->board, hash_of(events[i].user)))
            told = true;
    if (told)
        ring(engine->board);
}

void watch_tell_user(struct engine *engine, uint32_t user)
{
    if (matters(engine->board) && tell(engine->board, hash_of(dict_id(engine->users, user))))
        ring(engine->board);
}

void watch_owe_everyone(struct engine *engine)
{
    engine->board->owed = true;
    engine->board->owed_again = engine->board->shows_later;
}

bool watch_owes(const struct engine *engine)
{
    return engine->board->owed;
}

void watch_tell_everyone(struct engine *engine)
{
    struct board *board = engine->board;

    if (!board->owed || (board->told_ns && fr_mono_ns() - board->told_ns < EVERYONE_MS * UINT64_C(1000000)))
        return;
    board->owed = false;
    if (!anybody(board))
        return;
    board->told_ns = fr_mono_ns();
    atomic_fetch_add_explicit(&board->everyones, 1, memory_order_release);
    ring(board);
}

/* True: somebody is watched of those who are noted. */
static bool tell_again(struct board *board)
{
    bool told = false;

    for (size_t w = 0; w < BUCKETS / WORD; w++)
        for (uint64_t bits = board->again[w]; bits; bits &= bits - 1) {
            struct bucket *bucket = &board->buckets[w * WORD + (size_t)__builtin_ctzll(bits)];
            if (!atomic_load_explicit(&bucket->whose, memory_order_relaxed))
                continue;
            atomic_fetch_add_explicit(&bucket->moves, 1, memory_order_release);
            told = true;
        }
    return told;
}

void watch_tell_shown(struct engine *engine, bool all)
{
    struct board *board = engine->board;
    uint64_t now = fr_mono_ns();

    if (!all && board->part_ns && now - board->part_ns < EVERYONE_MS * UINT64_C(1000000))
        return;
    board->part_ns = all ? 0 : now;
    board->owed = board->owed || board->owed_again;
    if (board->any_again && anybody(board) && tell_again(board))
        ring(board);
    if (!all)
        return;
    board->owed_again = false;
    if (board->any_again)
        memset(board->again, 0, sizeof(board->again));
    board->any_again = false;
}

void watch_expect_more(struct engine *engine)
{
    engine->board->shows_later = true;
}

/* ---- watching; thread: any ---- */

struct watched engine_watch(struct engine *engine, struct fr_bytes user)
{
    struct board *board = engine->board;
    struct watched watched = {.hash = hash_of(user)};
    struct bucket *bucket = bucket_of(board, watched.hash);

    pthread_mutex_lock(&board->lock);
    uint64_t whose = atomic_load_explicit(&bucket->whose, memory_order_relaxed);
    atomic_store_explicit(&bucket->whose, !bucket->watchers || whose == watched.hash ? watched.hash : SEVERAL, memory_order_relaxed);
    bucket->watchers++;
    atomic_fetch_add_explicit(&board->watchers, 1, memory_order_relaxed);
    pthread_mutex_unlock(&board->lock);
    watched.moves = atomic_load_explicit(&bucket->moves, memory_order_acquire);
    watched.everyones = atomic_load_explicit(&board->everyones, memory_order_acquire);
    atomic_fetch_add_explicit(&board->turn, 1, memory_order_acq_rel);
    return watched;
}

void engine_unwatch(struct engine *engine, const struct watched *watched)
{
    struct board *board = engine->board;
    struct bucket *bucket = bucket_of(board, watched->hash);

    pthread_mutex_lock(&board->lock);
    if (--bucket->watchers == 0)
        atomic_store_explicit(&bucket->whose, 0, memory_order_relaxed);
    atomic_fetch_sub_explicit(&board->watchers, 1, memory_order_relaxed);
    pthread_mutex_unlock(&board->lock);
}

bool engine_moved(const struct engine *engine, struct watched *watched)
{
    uint32_t moves = atomic_load_explicit(&bucket_of(engine->board, watched->hash)->moves, memory_order_acquire);
    uint32_t everyones = atomic_load_explicit(&engine->board->everyones, memory_order_acquire);
    bool moved = moves != watched->moves || everyones != watched->everyones;

    watched->moves = moves;
    watched->everyones = everyones;
    return moved;
}

void engine_watch_wait(struct engine *engine)
{
    struct board *board = engine->board;

    while (sem_wait(&board->tidings))
        ; /* a signal */
    atomic_exchange(&board->told, false); /* sees what was told until here: who is told later finds it down, and posts */
}

void engine_watch_wake(struct engine *engine)
{
    ring(engine->board);
}
