/*
 * backups.c -- the thread that makes and verifies backups while the daemon runs, one thing at a time.
 *
 *     ask --- job, ticket ---> thread: snapshot, make | verify ... --- result, kept until taken (the last RESULTS of them)
 *     start -----------------> thread: frozen copy of one that was killed away | first look | what else it has left swept
 *
 * The thread runs at low priority: hashing and copying yield to answers and learning. It has no pulse, because a disk may be
 * slow for as long as it likes without anybody else waiting; what it does can be seen in the metrics.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backup_private.h"
#include "freshet/alloc.h"
#include "freshet/crash.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "freshet/metric.h"

enum { RESULTS = 16, NICE = 15, LOOK_S = 60, FIRST_LOOK_S = 1 };

struct backups {
    /* fixed */
    struct backups_options options;
    struct backup_place place;
    struct fr_thread *thread;
    struct fr_series *errors[BACKUPS_JOBS], *seconds[BACKUPS_JOBS];
    _Atomic bool stop;

    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool asked, busy; /* a job waits to be begun; one is under way, or waits */
    enum backups_job job;
    uint64_t id;          /* to verify; 0: all */
    uint64_t tickets, done; /* given; finished */
    struct backups_result results[RESULTS]; /* by ticket, modulo */
    uint64_t kept[RESULTS];                 /* whose result it is; 0: nobody's */
    bool tried, looked; /* the first look; at least one that told anything: until then there is nothing in `list` */
    struct backup_list list;
};

static const char *const names[BACKUPS_JOBS] = {[BACKUPS_MAKE] = "make", [BACKUPS_VERIFY] = "verify"};

void backups_result_release(struct backups_result *result)
{
    for (size_t i = 0; i < result->checks_len; i++)
        free(result->checks[i].problems);
    free(result->checks);
    *result = (struct backups_result){0};
}

/* ---- the list ---- */

static void show(const struct backup_list *list)
{
    double usable = 0, last = 0;

    for (size_t i = 0; i < list->len; i++) {
        if (*list->at[i].problem)
            continue;
        usable++;
        if (!last)
            last = (double)list->at[i].made / 1000;
    }
    fr_gauge(FR_SERIES(FR_M_BACKUPS), usable);
    fr_gauge(FR_SERIES(FR_M_BACKUP_LAST), last);
}

static struct backup *same(const struct backup_list *list, uint64_t id, when_ms made)
{
    for (size_t i = 0; i < list->len; i++)
        if (list->at[i].id == id && list->at[i].made == made)
            return &list->at[i];
    return NULL;
}

static void take_over(struct backup *backup, const struct backup *from)
{
    backup->found = from->found;
    memcpy(backup->problem, from->problem, sizeof(backup->problem));
    for (size_t i = 0; i < backup->files_len && i < from->files_len; i++)
        backup->files[i].bad = from->files[i].bad;
}

/* What a verification found holds until another one finds it good, or the files are placed anew; a glance does not see it. What a
 * glance saw holds until the next. */
static void keep_found(struct backup_list *list, const struct backup_list *old)
{
    for (size_t i = 0; i < list->len; i++) {
        const struct backup *before = same(old, list->at[i].id, list->at[i].made);
        if (before && before->found)
            take_over(&list->at[i], before);
    }
}

/* The files of a backup that was just made are good, in whichever backup they were found bad. */
static void heal(struct backup *backup, const struct backup *made)
{
    bool healed = false, left = false;

    for (size_t i = 0; i < backup->files_len; i++) {
        struct backup_file *file = &backup->files[i];
        if (!file->bad)
            continue;
        for (size_t m = 0; m < made->files_len && file->bad; m++)
            file->bad = !backup_file_same(file, &made->files[m]);
        healed = healed || !file->bad;
        left = left || file->bad;
    }
    if (healed && !left)
        backup->found = false;
}

/* `made`: the backup that was made since the last look; 0: none. */
static void look_again(struct backups *backups, uint64_t made)
{
    struct backup_list list, old;
    struct fr_err err;

    if (backup_list(&backups->place, &list, &err)) {
        fr_log(FR_WARN, "backup", "backup.list", FR_FIELDS(FR_TEXT("error", err.text)), "the backups cannot be listed");
        return;
    }
    pthread_mutex_lock(&backups->lock);
    old = backups->list;
    for (size_t i = 0; made && list.len && list.at[0].id == made && i < old.len; i++)
        heal(&old.at[i], &list.at[0]);
    keep_found(&list, &old);
    show(&list);
    backups->list = list;
    backups->looked = true;
    pthread_mutex_unlock(&backups->lock);
    backup_list_release(&old);
}

/* Of each that was verified, what came of it. */
static void remember(struct backups *backups, const struct backup_list *verified, const struct backups_result *result)
{
    pthread_mutex_lock(&backups->lock);
    for (size_t i = 0; i < verified->len; i++) {
        struct backup *from = &verified->at[i], *backup = same(&backups->list, from->id, from->made);
        for (size_t c = 0; backup && c < result->checks_len; c++) {
            if (from->id != result->checks[c].id)
                continue;
            const char *problems = result->checks[c].problems;
            from->found = *problems != 0;
            snprintf(from->problem, sizeof(from->problem), "%.*s", (int)strcspn(problems, "\n"), problems);
            take_over(backup, from);
        }
    }
    show(&backups->list);
    pthread_mutex_unlock(&backups->lock);
}

static void first_look(struct backups *backups)
{
    look_again(backups, 0);
    pthread_mutex_lock(&backups->lock);
    backups->tried = true;
    pthread_cond_broadcast(&backups->changed);
    pthread_mutex_unlock(&backups->lock);
}

bool backups_look(struct backups *backups, void (*look)(void *context, const struct backup_list *list), void *context)
{
    pthread_mutex_lock(&backups->lock);
    bool looked = backups->looked;
    look(context, &backups->list);
    pthread_mutex_unlock(&backups->lock);
    return looked;
}

/* ---- the jobs; thread: backup ---- */

/* The frozen copy, and RocksDB's half of one. Its links hold the room of tables that the store has given up. */
static int thaw(const struct backups_options *options, struct fr_err *err)
{
    char half_made[PATH_BYTES_MAX];
    int status = directory_remove(path_of(half_made, "%s.tmp", options->frozen), err); /* RocksDB's own name for it */
    int whole = directory_remove(options->frozen, status ? NULL : err);

    return status ? status : whole;
}

static int make(struct backups *backups, struct backups_result *result)
{
    const struct backups_options *options = &backups->options;
    int status = thaw(options, &result->err);

    if (!status)
        status = options->snapshot(options->context, options->frozen, &backups->stop, &result->err);
    fr_crash_point("backup.frozen");
    if (!status)
        status = backup_make(&backups->place,
                             &(struct backup_request){.frozen = options->frozen,
                                                      .version = options->version,
                                                      .made = fr_wall_ms(),
                                                      .keep = options->keep,
                                                      .reserve = options->reserve},
                             &result->made, &result->err);
    else
        backup_sweep(&backups->place, NULL); /* what it would have done: it may be what fills the disk */
    thaw(options, NULL);
    return status == FR_NOT_FOUND ? FR_IO : status; /* a folder that is gone: of a verification alone it says that there is no backup */
}

/* One that could not be read back for a reason of its own says nothing of the backup: what was known of it stays. One that is gone by now
 * is none. */
static void check_one(struct backups *backups, const struct backup *backup, struct backups_result *result)
{
    struct fr_writer problems;
    struct fr_err err = {0};

    fr_writer_init(&problems, 0);
    int status = backup_verify(&backups->place, backup, &problems, &err);
    if (status && status != FR_CORRUPT) {
        fr_writer_release(&problems);
        if (status != FR_NOT_FOUND)
            result->err = err;
        return;
    }
    fr_put_u8(&problems, 0);
    result->checks[result->checks_len++] = (struct backups_check){backup->id, problems.at};
    if (status)
        fr_log(FR_ERROR, "backup", "backup.damaged", FR_FIELDS(FR_INT("id", (int64_t)backup->id)), "%s", err.text);
}

static int verify(struct backups *backups, uint64_t id, struct backup_list *list, struct backups_result *result)
{
    int status = backup_list(&backups->place, list, &result->err);

    if (status)
        return status;
    result->err = (struct fr_err){0}; /* that there is no directory yet is no failure, but was written there */
    result->checks = fr_zalloc(list->len + 1, sizeof(*result->checks));
    for (size_t i = 0; i < list->len && !result->err.code; i++)
        if (!id || list->at[i].id == id)
            check_one(backups, &list->at[i], result);
    if (!result->err.code && !result->checks_len)
        fr_fail(&result->err, FR_NOT_FOUND, id ? "there is no backup %" PRIu64 : "there are no backups", id);
    return result->err.code;
}

static void tell(struct backups *backups, const struct backups_result *result)
{
    size_t bad = 0;

    fr_observe(backups->seconds[result->job], result->seconds);
    for (size_t i = 0; i < result->checks_len; i++)
        bad += *result->checks[i].problems != 0;
    if (result->err.code == FR_NOT_FOUND) /* the asker's mistake */
        return;
    if (result->err.code || bad)
        fr_count(backups->errors[result->job], 1);
    if (result->err.code)
        fr_log(FR_ERROR, "backup", "backup.failed", FR_FIELDS(FR_TEXT("job", names[result->job])), "%s", result->err.text);
    else if (result->job == BACKUPS_MAKE)
        fr_log(FR_INFO, "backup", "backup.made",
               FR_FIELDS(FR_INT("id", (int64_t)result->made.id), FR_INT("written", (int64_t)result->made.written),
                         FR_REAL("seconds", result->seconds)),
               "backup %" PRIu64 " is made", result->made.id);
    else if (!bad) {
        fr_gauge(FR_SERIES(FR_M_BACKUP_VERIFIED), (double)fr_wall_ms() / 1000);
        fr_log(FR_INFO, "backup", "backup.verified", FR_FIELDS(FR_INT("backups", (int64_t)result->checks_len)),
               "everything was read back");
    }
}

static void do_job(struct backups *backups, enum backups_job job, uint64_t id, struct backups_result *result)
{
    struct backup_list verified = {0};
    uint64_t begin = fr_mono_ns();

    *result = (struct backups_result){.job = job};
    int status = job == BACKUPS_MAKE ? make(backups, result) : verify(backups, id, &verified, result);
    result->err.code = (enum fr_status)status;
    result->seconds = (double)(fr_mono_ns() - begin) / 1e9;
    tell(backups, result);
    look_again(backups, result->made.id);
    remember(backups, &verified, result);
    backup_list_release(&verified);
}

/* Under lock. True after `seconds` in which nothing has changed. */
static bool wait_a_while(struct backups *backups, int seconds)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    return pthread_cond_timedwait(&backups->changed, &backups->lock, &until) == ETIMEDOUT;
}

static void run(void *arg)
{
    struct backups *backups = arg;

    /* What one that was killed has left holds room. On a disk that is too full none would be begun, and learning would wait for room. */
    thaw(&backups->options, NULL);
    first_look(backups);
    backup_sweep(&backups->place, NULL); /* or the next does, which says what is wrong */
    pthread_mutex_lock(&backups->lock);
    for (;;) {
        bool idle = false;
        while (!backups->asked && !idle && !atomic_load(&backups->stop))
            idle = wait_a_while(backups, LOOK_S);
        if (idle && !backups->asked) { /* files may have gone meanwhile */
            pthread_mutex_unlock(&backups->lock);
            look_again(backups, 0);
            pthread_mutex_lock(&backups->lock);
            continue;
        }
        if (!backups->asked)
            break;
        struct backups_result result;
        backups->asked = false;
        pthread_mutex_unlock(&backups->lock);
        do_job(backups, backups->job, backups->id, &result); /* neither changes while busy */
        pthread_mutex_lock(&backups->lock);
        uint64_t ticket = ++backups->done;
        backups_result_release(&backups->results[ticket % RESULTS]);
        backups->results[ticket % RESULTS] = result;
        backups->kept[ticket % RESULTS] = ticket;
        backups->busy = false;
    }
    pthread_mutex_unlock(&backups->lock);
}

/* ---- from outside ---- */

struct backups *backups_start(const struct backups_options *options)
{
    struct backups *backups = fr_zalloc(1, sizeof(*backups));

    backups->options = *options;
    backups->options.path = fr_strdup(options->path);
    backups->options.version = fr_strdup(options->version);
    backups->options.frozen = fr_strdup(options->frozen);
    backups->place = (struct backup_place){backups->options.path, &backups->stop};
    for (int job = 0; job < BACKUPS_JOBS; job++) {
        backups->errors[job] = fr_series(FR_M_BACKUP_ERRORS, names[job], "", "");
        backups->seconds[job] = fr_series(FR_M_BACKUP_SECONDS, names[job], "", "");
    }
    pthread_mutex_init(&backups->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&backups->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    show(&backups->list); /* so that the series are there */
    backups->thread = fr_thread_start_nice("backup", NICE, run, backups);
    /* On a disk that answers the list is there from the start; one that hangs is the thread's to wait for. */
    pthread_mutex_lock(&backups->lock);
    for (bool hangs = false; !backups->tried && !hangs;)
        hangs = wait_a_while(backups, FIRST_LOOK_S);
    pthread_mutex_unlock(&backups->lock);
    return backups;
}

void backups_end(struct backups *backups)
{
    if (!backups)
        return;
    pthread_mutex_lock(&backups->lock);
    atomic_store(&backups->stop, true);
    pthread_cond_broadcast(&backups->changed);
    pthread_mutex_unlock(&backups->lock);
}

void backups_stop(struct backups *backups)
{
    if (!backups)
        return;
    backups_end(backups);
    fr_thread_join(backups->thread);
    for (int i = 0; i < RESULTS; i++)
        backups_result_release(&backups->results[i]);
    backup_list_release(&backups->list);
    pthread_cond_destroy(&backups->changed);
    pthread_mutex_destroy(&backups->lock);
    free((char *)(uintptr_t)backups->options.path);
    free((char *)(uintptr_t)backups->options.version);
    free((char *)(uintptr_t)backups->options.frozen);
    free(backups);
}

int backups_ask(struct backups *backups, enum backups_job job, uint64_t id, uint64_t *ret_ticket, struct fr_err *err)
{
    int status = FR_OK;

    pthread_mutex_lock(&backups->lock);
    if (atomic_load(&backups->stop)) {
        status = fr_fail(err, FR_CLOSED, "the daemon is stopping");
    } else if (backups->busy) {
        status = fr_fail(err, FR_BUSY, "a backup is being %s; one thing is done at a time",
                         backups->job == BACKUPS_MAKE ? "made" : "verified");
    } else {
        backups->asked = backups->busy = true;
        backups->job = job;
        backups->id = id;
        *ret_ticket = ++backups->tickets;
        pthread_cond_broadcast(&backups->changed);
    }
    pthread_mutex_unlock(&backups->lock);
    return status;
}

bool backups_done(struct backups *backups, uint64_t ticket)
{
    pthread_mutex_lock(&backups->lock);
    bool done = backups->done >= ticket;
    pthread_mutex_unlock(&backups->lock);
    return done;
}

bool backups_take(struct backups *backups, uint64_t ticket, struct backups_result *ret_result)
{
    pthread_mutex_lock(&backups->lock);
    bool there = backups->kept[ticket % RESULTS] == ticket;
    if (there) {
        *ret_result = backups->results[ticket % RESULTS];
        backups->results[ticket % RESULTS] = (struct backups_result){0};
        backups->kept[ticket % RESULTS] = 0;
    }
    pthread_mutex_unlock(&backups->lock);
    return there;
}
