/*
 * freshetd.h -- all parts of one running daemon, in the order they start. Private to main.c and its helpers.
 */
#ifndef FRESHETD_H
#define FRESHETD_H

#include <pthread.h>

#include "config.h"
#include "disk.h"
#include "notify.h"
#include "options.h"
#include "security.h"

#include "freshet/admin.h"
#include "freshet/backup.h"
#include "freshet/engine.h"
#include "freshet/err.h"
#include "freshet/feed.h"
#include "freshet/serve.h"
#include "freshet/store.h"

enum exit_code { EXIT_DONE = 0, EXIT_USAGE = 2, EXIT_INTERNAL = 70, EXIT_DISK = 74, EXIT_HELD = 75, EXIT_CONFIG = 78 };

struct window;

struct freshetd {
    struct options options;
    struct config *cfg;
    bool has_default_file; /* it was there once; under reload's lock */
    struct notify notify;
    struct security security;
    int lock;
    struct admin *admin;
    struct feed_broker *broker;
    struct disk disk;
    struct store *store;
    uint64_t tried; /* number of the last backup that was fallen back to; 0: none */
    struct engine *engine;
    struct backups *backups;
    struct window *window;
    struct serve *serve;
    struct feed *feed;
    pthread_mutex_t feed_lock;
    struct feed *asked_feed; /* under feed_lock; NULL unless it may be asked to forget or to reset: calls come before it starts, and while it stops */
    int exit_code;
};

/* ---- reload.c -------------------------------------------------------------------------------------------------- */

/* As the options and the environment say; the caller looks for problems. */
struct config *read_config(struct freshetd *d);
void use_own_broker(const struct freshetd *d, struct config *cfg); /* --dev: [kafka] names the embedded broker */
/* Reads it again: `say` (NULL is fine) hears of each key that differs. FR_CONFIG, and nothing has changed: it has problems. Thread: any. */
int reload(struct freshetd *d, config_say *say, void *to, struct fr_err *err);

/* ---- parts.c: each start undoes what it did when it fails ------------------------------------------------------ */

int start_lock(struct freshetd *d, struct fr_err *err);
void stop_lock(struct freshetd *d);
int start_box(struct freshetd *d, struct fr_err *err);
void stop_box(struct freshetd *d);
int start_admin(struct freshetd *d, struct fr_err *err);
void stop_admin(struct freshetd *d);
int start_broker(struct freshetd *d, struct fr_err *err);
void stop_broker(struct freshetd *d);
int start_store(struct freshetd *d, struct fr_err *err);
void stop_store(struct freshetd *d);
int start_engine(struct freshetd *d, struct fr_err *err);
void stop_engine(struct freshetd *d);
int start_page(struct freshetd *d, struct fr_err *err);
void stop_page(struct freshetd *d);
int start_backups(struct freshetd *d, struct fr_err *err);
void stop_backups(struct freshetd *d);
int start_serve(struct freshetd *d, struct fr_err *err);
void stop_serve(struct freshetd *d);
int start_feed(struct freshetd *d, struct fr_err *err);
void stop_feed(struct freshetd *d);

/* ---- drain.c: each step takes a bounded time ------------------------------------------------------------------- */

/* Tells the service manager what the daemon does, and that it moves, if it does. */
void beat(const struct freshetd *d, const char *doing);

void drain_begin(struct freshetd *d);
void drain_delay(struct freshetd *d);
void drain_polling(struct freshetd *d);
void drain_state(struct freshetd *d);
void drain_outbox(struct freshetd *d);

#endif
