/*
 * parts.c -- how each part of the daemon is started and stopped. The order is main.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fallback.h"
#include "freshetd.h"
#include "lock.h"
#include "rebuild.h"
#include "signals.h"
#include "vitals.h"
#include "window.h"

#include "freshet/crash.h"
#include "freshet/blackbox.h"
#include "freshet/log.h"

enum { DEV_PARTITIONS = 32 };

int start_lock(struct freshetd *d, struct fr_err *err)
{
    return lock_take(&d->lock, d->cfg->store.path, err);
}

void stop_lock(struct freshetd *d)
{
    lock_release(d->lock);
}

int start_box(struct freshetd *d, struct fr_err *err)
{
    char path[4100];

    snprintf(path, sizeof path, "%s/blackbox", d->cfg->store.path);
    return fr_box_open(path, d->options.dev || d->options.rebuild, err);
}

void stop_box(struct freshetd *d)
{
    fr_box_close(d->exit_code == EXIT_DONE);
}

int start_admin(struct freshetd *d, struct fr_err *err)
{
    struct admin_options options = {.listen = d->cfg->admin.listen, .history_step = d->cfg->admin.history_step_ms,
                                    .tokens = d->cfg->admin.http_auth ? d->security.tokens : NULL};
    int status;

    vitals_start(d->cfg->store.path, FRESHET_VERSION, FRESHET_REVISION, feed_library_version(), store_rocks_version(),
                 serve_library_version());
    status = admin_start(&d->admin, &options, err);
    if (status != FR_OK)
        vitals_stop();
    return status;
}

void stop_admin(struct freshetd *d)
{
    admin_stop(d->admin);
    vitals_stop();
}

int start_broker(struct freshetd *d, struct fr_err *err)
{
    int status;

    if (!d->options.dev)
        return FR_OK;
    status = feed_broker_start(&d->broker, d->cfg->feed.topic, d->cfg->feed.dead_letter_topic, DEV_PARTITIONS, err);
    if (status != FR_OK)
        return status;
    use_own_broker(d, d->cfg);
    printf("broker %s\n", feed_broker_address(d->broker));
    fflush(stdout);
    fr_log(FR_WARN, "main", "dev.broker", FR_FIELDS(FR_TEXT("brokers", feed_broker_address(d->broker))),
           "the embedded broker keeps nothing when it stops and holds at most 5 MiB a partition, of which there are "
           "%d; for real data use a "
           "real Kafka",
           DEV_PARTITIONS);
    return FR_OK;
}

void stop_broker(struct freshetd *d)
{
    if (d->broker)
        feed_broker_stop(d->broker);
}

/* ---- the store, and the state in it; either may turn out to be damaged ----------------------------------------- */

static int open_store(struct freshetd *d, struct fr_err *err)
{
    char path[PATH_ROOM];
    struct store_rocks_options options = {.path = path};
    int status;

    snprintf(path, sizeof path, "%s/store", d->cfg->store.path);
    status = disk_start(&d->disk, d->cfg->store.path, (uint64_t)d->cfg->store.disk_reserve, err);
    if (status == FR_OK)
        status = store_rocks_open(&d->store, &options, err);
    if (status == FR_OK)
        vitals_store_start(d->store);
    return status;
}

static int open_again(struct freshetd *d, int status, struct fr_err *err)
{
    while (status == FR_CORRUPT && (status = fall_back(d, err)) == FR_OK)
        status = open_store(d, err);
    return status;
}

/* The new store may be damaged as well, where the start that made it was killed: there is nothing in it yet, and no backup is wanted. */
static int open_new(struct freshetd *d, struct fr_err *err)
{
    int status = open_store(d, err);

    if (status != FR_CORRUPT)
        return status;
    fr_log(FR_ERROR, "main", "store.damaged", FR_NO_FIELDS, "%s; it is that of a rebuild: another takes its place", err->text);
    status = backup_set_aside(d->cfg->store.path, err);
    return status == FR_OK ? open_store(d, err) : status;
}

int start_store(struct freshetd *d, struct fr_err *err)
{
    char path[PATH_ROOM];
    bool finished, rebuilds = false;
    int status = backup_restore_finish(d->cfg->store.path, &finished, err);

    snprintf(path, sizeof path, "%s/store", d->cfg->store.path);
    if (status == FR_OK && finished)
        status = rebuild_end(d->cfg->store.path, err); /* a restore was asked for after it */
    if (status == FR_OK)
        status = rebuild_look(d->cfg->store.path, &rebuilds, err);
    rebuilds = rebuilds || d->options.rebuild;
    if (status == FR_OK && rebuilds)
        status = disk_start(&d->disk, d->cfg->store.path, (uint64_t)d->cfg->store.disk_reserve, err); /* before anything is renamed */
    if (status == FR_OK)
        status = rebuilds ? rebuild_begin(d->cfg->store.path, err) : restore_missing(d, path, err);
    if (status == FR_OK)
        status = rebuilds ? open_new(d, err) : open_again(d, open_store(d, err), err);
    if (status == FR_OK && rebuilds && (status = rebuild_end(d->cfg->store.path, err)) != FR_OK)
        stop_store(d);
    return status;
}

void stop_store(struct freshetd *d)
{
    if (!d->store) /* it was damaged, and nothing came in its place */
        return;
    vitals_store_stop(d->store);
    d->store->ops->close(d->store);
    d->store = NULL;
    fr_crash_point("stop.closed");
}

static uint64_t engine_asks_disk(void *context)
{
    struct freshetd *d = context;
    uint64_t free_bytes = disk_free(&d->disk);

    vitals_disk(free_bytes);
    return free_bytes;
}

static void store_is_broken(void *context)
{
    (void)context;
    signals_stop();
}

static int open_engine(struct freshetd *d, struct fr_err *err)
{
    struct engine_options options;

    config_engine_options(d->cfg, &options);
    options.forget_positions = d->options.dev;
    options.memory_held = vitals_resident;
    options.disk_reserve = d->disk.reserve;
    options.disk_free = engine_asks_disk;
    options.broken = store_is_broken;
    options.context = d;
    vitals_limits(options.memory_soft, options.memory_hard, options.disk_reserve);
    return engine_open(&d->engine, &options, d->store, err);
}

/* Before the first answer: feed, which hears of them, begins after serve. */
static void await_topics(const struct freshetd *d)
{
    const char *const topics[] = {d->cfg->feed.topic, d->cfg->feed.items_topic, d->cfg->feed.users_topic};

    for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++)
        if (topics[i] && *topics[i])
            engine_topic_awaited(d->engine, topics[i]);
}

int start_engine(struct freshetd *d, struct fr_err *err)
{
    int status;

    while ((status = open_engine(d, err)) == FR_CORRUPT) {
        stop_store(d);
        status = open_again(d, FR_CORRUPT, err);
        if (status != FR_OK)
            break;
    }
    if (status != FR_OK)
        return status;
    await_topics(d);
    status = backup_restore_loaded(d->cfg->store.path, err);
    if (status == FR_OK)
        status = engine_start(d->engine, err);
    if (status != FR_OK)
        engine_free(d->engine);
    return status;
}

void stop_engine(struct freshetd *d)
{
    struct fr_err err = {0};

    if (!engine_stop(d->engine, &err)) {
        fr_log(FR_ERROR, "main", "stop.checkpoint", FR_FIELDS(FR_TEXT("error", err.text)),
               "the last checkpoint could not be written; what it would have held is read from Kafka again");
        d->exit_code = EXIT_DISK;
    }
    engine_free(d->engine);
}

/* ---- around it ------------------------------------------------------------------------------------------------- */

/* The status page may ask the engine. */
int start_page(struct freshetd *d, struct fr_err *err)
{
    const struct admin_about about = {.version = FRESHET_VERSION, .brokers = config_brokers(d->cfg), .topic = d->cfg->feed.topic};

    (void)err;
    admin_attach(d->admin, d->engine, &about);
    return FR_OK;
}

void stop_page(struct freshetd *d)
{
    admin_detach(d->admin);
}

static int snapshot(void *context, const char *path, const _Atomic bool *stop, struct fr_err *err)
{
    return engine_snapshot(context, path, stop, err);
}

int start_backups(struct freshetd *d, struct fr_err *err)
{
    char room[PATH_ROOM], frozen[PATH_ROOM];
    struct backups_options options = {
        .path = config_backup_path(d->cfg, room, sizeof room),
        .version = FRESHET_VERSION,
        .keep = (uint32_t)d->cfg->store.backups_keep,
        .reserve = d->disk.reserve,
        .frozen = frozen,
        .snapshot = snapshot,
        .context = d->engine,
    };

    (void)err;
    snprintf(frozen, sizeof frozen, "%s/store.frozen", d->cfg->store.path);
    d->backups = backups_start(&options);
    d->window = window_start(d->backups, d->engine);
    return FR_OK;
}

void stop_backups(struct freshetd *d)
{
    window_stop(d->window);
    backups_stop(d->backups);
}

static void ask_drain(void *context)
{
    (void)context;
    signals_stop();
}

static int ask_reload(void *context, config_say *say, void *to, struct fr_err *err)
{
    return reload(context, say, to, err);
}

/* The feed starts after those who serve and stops before them: calls may come earlier and later. */
static int no_feed(struct fr_err *err)
{
    return fr_fail(err, FR_CLOSED, "the daemon is not reading Kafka yet, or not any more");
}

static int ask_forget(void *context, bool item, struct fr_bytes id, uint64_t *ret_ticket, struct fr_err *err)
{
    struct freshetd *d = context;
    int status;

    pthread_mutex_lock(&d->feed_lock);
    status = d->asked_feed ? feed_forget(d->asked_feed, item ? FEED_ITEMS : FEED_USERS, id, ret_ticket, err) : no_feed(err);
    pthread_mutex_unlock(&d->feed_lock);
    return status;
}

static bool ask_forgotten(void *context, uint64_t ticket, struct tombstone *ret, int *ret_status, struct fr_err *ret_err)
{
    struct freshetd *d = context;
    bool done = true;

    pthread_mutex_lock(&d->feed_lock);
    if (d->asked_feed)
        done = feed_forget_done(d->asked_feed, ticket, ret, ret_status, ret_err);
    else
        *ret_status = no_feed(ret_err);
    pthread_mutex_unlock(&d->feed_lock);
    return done;
}

static int ask_reset(void *context, const struct reset *reset, uint64_t *ret_ticket, struct fr_err *err)
{
    struct freshetd *d = context;
    int status;

    pthread_mutex_lock(&d->feed_lock);
    status = d->asked_feed ? feed_reset(d->asked_feed, reset, ret_ticket, err) : no_feed(err);
    pthread_mutex_unlock(&d->feed_lock);
    return status;
}

static bool ask_reset_done(void *context, uint64_t ticket, struct reset_outcome *ret, int *ret_status, struct fr_err *ret_err)
{
    struct freshetd *d = context;
    bool done = true;

    pthread_mutex_lock(&d->feed_lock);
    if (d->asked_feed)
        done = feed_reset_done(d->asked_feed, ticket, ret, ret_status, ret_err);
    else
        *ret_status = no_feed(ret_err);
    pthread_mutex_unlock(&d->feed_lock);
    return done;
}

static void let_ask(struct freshetd *d, struct feed *feed)
{
    pthread_mutex_lock(&d->feed_lock);
    d->asked_feed = feed;
    pthread_mutex_unlock(&d->feed_lock);
}

int start_serve(struct freshetd *d, struct fr_err *err)
{
    struct serve_options options;

    config_serve_options(d->cfg, &options);
    if (!options.exploration_seed && getrandom(&options.exploration_seed, sizeof(options.exploration_seed), 0) < 0)
        return fr_fail(err, FR_IO, "no random number for recommend.exploration_seed: %s", strerror(errno));
    options.version = FRESHET_VERSION;
    options.brokers = config_brokers(d->cfg);
    options.backups = d->backups;
    options.control = (struct serve_control){d, ask_drain, ask_reload, ask_forget, ask_forgotten, ask_reset, ask_reset_done};
    options.certificate = d->security.serve;
    options.admin_certificate = d->security.admin;
    options.tokens = d->security.tokens;
    return serve_start(&d->serve, &options, d->engine, err);
}

void stop_serve(struct freshetd *d)
{
    serve_stop(d->serve);
}

int start_feed(struct freshetd *d, struct fr_err *err)
{
    struct feed_options options;

    config_feed_options(d->cfg, &options);
    options.cluster_any = options.cluster_any || d->options.dev; /* its broker is a new one each time */
    options.version = FRESHET_VERSION;
    int status = feed_start(&d->feed, &options, d->engine, err);
    if (status == FR_OK)
        let_ask(d, d->feed);
    return status;
}

void stop_feed(struct freshetd *d)
{
    let_ask(d, NULL);
    feed_stop(d->feed);
}
