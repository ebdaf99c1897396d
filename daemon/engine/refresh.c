/*
 * refresh.c -- the thread that solves EASE from the histories while everything else goes on.
 *
 *     refresh    due?  count everybody's history, solve, offer --nudge-->           sweep what askers have left
 *     engine                                                       show (publish)
 *     asker      engine_refresh: now, and wait ........................... done
 *
 * Due is a refresh when much of what the solution stands for has changed, or when something has and it is old; the first at once,
 * since nothing of it is stored. Then it rests nine times as long as the last one took: a tenth of a core at most. The thread has the
 * lowest priority of ours, and so gets what answers and learning leave. It has no pulse: nobody waits for it but who asks to.
 *
 * Histories are copied one after the other, some inside each epoch, so that no memory waits for the whole pass.
 */
#include <semaphore.h>
#include <stdlib.h>

#include "engine_private.h"
#include "freshet/log.h"

enum { NICE = 15, LOOK_MS = 1000, REST = 9, USERS_AT_A_TIME = 64 };

struct refresh {
    /* fixed */
    struct engine *engine;
    struct model *model; /* EASE's */
    struct fr_thread *thread; /* only for who starts and stops it */
    struct fr_series *age_series, *changed_series, *items_series, *seconds_series, *good_series, *bad_series;
    _Atomic bool stop;

    /* between the thread and the engine's, which waits for no lock that a thread of low priority may hold */
    _Atomic bool offered;      /* and not shown yet */
    sem_t shown;               /* posted when it is */
    _Atomic uint64_t offer_ns; /* when the histories were begun to be read that the offer stands for */
    _Atomic uint64_t shown_ns; /* and what is shown; 0: nothing is */
    _Atomic uint64_t offer_changes, shown_changes; /* all there had been by then */

    /* the thread's own */
    struct fr_epoch_reader *presence;
    struct history_copy copy;
    struct refresh_facts facts;
    uint64_t changes, ended_ns; /* as of the last one's begin; of its end */

    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t asked, done; /* tickets: given; covered by what has ended */
    bool good;            /* the last one was */
};

bool refresh_due(const struct ease_options *options, const struct refresh_facts *facts)
{
    if (!options->refresh_interval)
        return false;
    if (!facts->ever)
        return true;
    if (!facts->changed || facts->since < LOOK_MS || facts->since < REST * facts->took)
        return false;
    return facts->since >= options->refresh_interval || facts->changed * 100 >= facts->slots * options->refresh_percent;
}

/* ---- one refresh; thread: refresh ---- */

static bool read_histories(struct refresh *refresh, struct ease_build *build)
{
    struct engine *engine = refresh->engine;
    uint32_t users = dict_len(engine->users);

    for (uint32_t user = 0; user < users && !atomic_load_explicit(&refresh->stop, memory_order_relaxed);) {
        fr_epoch_enter(refresh->presence);
        for (int i = 0; i < USERS_AT_A_TIME && user < users; i++, user++) {
            histories_copy(engine->histories, user, &refresh->copy);
            ease_build_add(build, &refresh->copy.view);
        }
        fr_epoch_leave(refresh->presence);
    }
    return !atomic_load_explicit(&refresh->stop, memory_order_relaxed);
}

/* FR_OK, and it is shown, or nothing is held that could be; else what was shown before still is. */
static int refresh_once(struct refresh *refresh, struct fr_err *err)
{
    uint64_t begun = fr_mono_ns();
    struct ease_build *build = ease_build_new(refresh->model, dict_len(refresh->engine->items));
    int status;

    if (!build)
        return FR_OK;
    if (!read_histories(refresh, build))
        status = fr_fail(err, FR_CLOSED, "stopped");
    else
        status = ease_build_solve(build, &refresh->stop, err);
    if (status) {
        ease_build_free(build);
        return status;
    }
    ease_build_offer(build);
    atomic_store(&refresh->offer_ns, begun);
    atomic_store(&refresh->offered, true);
    engine_nudge(refresh->engine);
    while (atomic_load(&refresh->offered) && !atomic_load(&refresh->stop))
        sem_wait(&refresh->shown);
    return atomic_load(&refresh->offered) ? fr_fail(err, FR_CLOSED, "stopped") : FR_OK;
}

static void tell(struct refresh *refresh, int status, const struct fr_err *err, double seconds)
{
    struct ease_shown shown;

    fr_gauge(refresh->seconds_series, seconds);
    fr_count(status ? refresh->bad_series : refresh->good_series, 1);
    if (status) {
        fr_log(FR_WARN, "refresh", "refresh.failed", FR_FIELDS(FR_TEXT("model", "ease"), FR_TEXT("error", err->text)),
               "what was solved before stays");
        return;
    }
    ease_shown(refresh->model, &shown);
    fr_log(FR_DEBUG, "refresh", "refresh.done",
           FR_FIELDS(FR_TEXT("model", "ease"), FR_INT("items", (int64_t)shown.items), FR_INT("users", (int64_t)shown.users),
                     FR_REAL("seconds", seconds)),
           "solved from the histories");
}

/* True: what is asked is there. */
static bool work(struct refresh *refresh)
{
    struct fr_err err = {0};
    uint64_t begun = fr_mono_ns();

    refresh->changes = ease_changes(refresh->model);
    atomic_store(&refresh->offer_changes, refresh->changes);
    refresh->facts.slots = histories_slots(refresh->engine->histories);
    int status = refresh_once(refresh, &err);
    refresh->ended_ns = fr_mono_ns();
    refresh->facts.ever = true;
    refresh->facts.took = (span_ms)((refresh->ended_ns - begun) / 1000000);
    if (status != FR_CLOSED)
        tell(refresh, status, &err, (double)(refresh->ended_ns - begun) / 1e9);
    return !status;
}

static bool due(struct refresh *refresh)
{
    if (refresh->engine->options.publish_at_once)
        return false; /* only when it is asked for: the clock has no say */
    refresh->facts.changed = ease_changes(refresh->model) - refresh->changes;
    refresh->facts.since = (span_ms)((fr_mono_ns() - refresh->ended_ns) / 1000000);
    return refresh_due(ease_options_of(refresh->model), &refresh->facts);
}

/* Under lock. */
static void wait_until(struct refresh *refresh, uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};

    pthread_cond_timedwait(&refresh->changed, &refresh->lock, &until);
}

static void run(void *arg)
{
    struct refresh *refresh = arg;

    pthread_mutex_lock(&refresh->lock);
    while (!atomic_load(&refresh->stop)) {
        uint64_t ticket = refresh->asked;
        if (ticket > refresh->done || due(refresh)) {
            pthread_mutex_unlock(&refresh->lock);
            bool good = work(refresh);
            pthread_mutex_lock(&refresh->lock);
            refresh->good = good;
            refresh->done = ticket;
            pthread_cond_broadcast(&refresh->changed);
            continue;
        }
        ease_sweep(refresh->model);
        wait_until(refresh, fr_mono_ns() + (uint64_t)LOOK_MS * 1000000);
    }
    pthread_mutex_unlock(&refresh->lock);
}

/* ---- the engine's side ---- */

struct refresh *refresh_new(struct engine *engine)
{
    struct refresh *refresh = fr_zalloc(1, sizeof(*refresh));
    pthread_condattr_t monotonic;

    *refresh = (struct refresh){
        .engine = engine,
        .age_series = fr_series(FR_M_REFRESH_AGE, "ease", "", ""),
        .changed_series = fr_series(FR_M_REFRESH_CHANGED, "ease", "", ""),
        .items_series = fr_series(FR_M_REFRESH_ITEMS, "ease", "", ""),
        .seconds_series = fr_series(FR_M_REFRESH_SECONDS, "ease", "", ""),
        .good_series = fr_series(FR_M_REFRESHES, "ease", "good", ""),
        .bad_series = fr_series(FR_M_REFRESHES, "ease", "failed", ""),
    };
    for (size_t m = 0; m < engine->learners_len; m++)
        if (engine->learners[m].ops == &ease_ops)
            refresh->model = engine->learners[m].model;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&refresh->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&refresh->lock, NULL);
    sem_init(&refresh->shown, 0, 0);
    return refresh;
}

void refresh_start(struct refresh *refresh)
{
    if (!refresh->model)
        return;
    refresh->presence = fr_epoch_join(refresh->engine->epoch);
    refresh->thread = fr_thread_start_nice("refresh", NICE, run, refresh);
}

void refresh_stop(struct refresh *refresh)
{
    if (!refresh->thread)
        return;
    pthread_mutex_lock(&refresh->lock);
    atomic_store(&refresh->stop, true);
    pthread_cond_broadcast(&refresh->changed);
    pthread_mutex_unlock(&refresh->lock);
    sem_post(&refresh->shown);
    fr_thread_join(refresh->thread);
    refresh->thread = NULL;
    fr_epoch_part(refresh->presence);
}

void refresh_free(struct refresh *refresh)
{
    if (!refresh)
        return;
    history_copy_release(&refresh->copy);
    pthread_cond_destroy(&refresh->changed);
    pthread_mutex_destroy(&refresh->lock);
    sem_destroy(&refresh->shown);
    free(refresh);
}

void refresh_show(struct refresh *refresh)
{
    if (!atomic_load_explicit(&refresh->offered, memory_order_acquire))
        return;
    ease_ops.publish(refresh->model);
    atomic_store(&refresh->shown_ns, atomic_load(&refresh->offer_ns));
    atomic_store(&refresh->shown_changes, atomic_load(&refresh->offer_changes));
    atomic_store(&refresh->offered, false);
    sem_post(&refresh->shown);
}

void refresh_figures(struct refresh *refresh)
{
    uint64_t shown_ns = atomic_load(&refresh->shown_ns);
    struct ease_shown shown = {0};

    if (refresh->model)
        ease_shown(refresh->model, &shown);
    fr_gauge(refresh->age_series, shown_ns ? (double)(fr_mono_ns() - shown_ns) / 1e9 : 0);
    fr_gauge(refresh->changed_series,
             refresh->model ? (double)(ease_changes(refresh->model) - atomic_load(&refresh->shown_changes)) : 0);
    fr_gauge(refresh->items_series, shown.items);
}

bool engine_refresh(struct engine *engine, int timeout_ms)
{
    struct refresh *refresh = engine->refresh;
    uint64_t until = fr_mono_ns() + (uint64_t)timeout_ms * 1000000;

    if (!refresh->model)
        return true;
    pthread_mutex_lock(&refresh->lock);
    uint64_t ticket = ++refresh->asked;
    pthread_cond_broadcast(&refresh->changed);
    while (refresh->done < ticket && !atomic_load(&refresh->stop) && fr_mono_ns() < until)
        wait_until(refresh, until);
    bool good = refresh->done >= ticket && refresh->good;
    pthread_mutex_unlock(&refresh->lock);
    return good;
}
