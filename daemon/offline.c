/*
 * offline.c -- freshetd --restore and --verify.
 *
 * A restore holds the lock of the data directory, so that no daemon can start meanwhile; it may be killed and asked for again. What
 * it makes must be the daemon's: root does it in no directory of another user. A verification needs no lock of it: it reads the
 * backups alone.
 */
#include "offline.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fallback.h"
#include "lock.h"
#include "rebuild.h"

static int complain(enum exit_code code, const char *text)
{
    fprintf(stderr, "freshetd: %s\n", text);
    return code;
}

static int code_of(int status)
{
    switch (status) {
    case FR_OK:
        return EXIT_DONE;
    case FR_BUSY:
        return EXIT_HELD;
    case FR_NOT_FOUND:
    case FR_INVALID:
    case FR_CONFIG:
        return EXIT_CONFIG;
    default:
        return EXIT_DISK;
    }
}

/* 0: not said, or all. False: it is no number. */
static bool read_id(const char *text, uint64_t *ret_id)
{
    char *end;

    *ret_id = 0;
    if (!text || strcmp(text, "all") == 0)
        return true;
    *ret_id = strtoull(text, &end, 10);
    return *ret_id > 0 && !*end && text[0] != '-';
}

static void put_json(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

/* ---- verify ---- */

/* The lines of a verification, as an array or indented below the backup they are about. */
static void print_problems(char *problems, bool json)
{
    bool first = true;

    for (char *line; (line = strsep(&problems, "\n")) && *line; first = false) {
        if (!json) {
            printf("        %s\n", line);
            continue;
        }
        fputs(first ? "" : ",", stdout);
        put_json(line);
    }
}

static void print_check(const struct backup *backup, struct fr_writer *problems, bool json, bool first)
{
    char made[32];
    bool good = problems->len == 0;

    fr_put_u8(problems, 0);
    if (json)
        printf("%s{\"id\":\"%" PRIu64 "\",\"good\":%s,\"problems\":[", first ? "" : ",", backup->id, good ? "true" : "false");
    else
        printf("%6" PRIu64 "  %-24s  %s\n", backup->id, fr_time_text(backup->made, made), good ? "good" : "damaged");
    print_problems(problems->at, json);
    if (json)
        fputs("]}", stdout);
}

/* One that could not be looked at is neither good nor damaged, so nothing is printed of it: it is named on stderr, here or, the last
 * failure, by who is told of `err`. */
static int verify(const struct backup_place *place, const struct backup_list *list, uint64_t id, bool json, struct fr_err *err)
{
    int worst = id && list->len == 0 ? FR_NOT_FOUND : FR_OK;
    size_t checked = 0, printed = 0;

    fputs(json ? "{\"checks\":[" : "", stdout);
    for (size_t i = 0; i < list->len; i++) {
        struct fr_writer problems;
        struct fr_err why;
        if (id && list->at[i].id != id)
            continue;
        fr_writer_init(&problems, 0);
        int status = backup_verify(place, &list->at[i], &problems, &why);
        if (status == FR_OK || status == FR_CORRUPT)
            print_check(&list->at[i], &problems, json, printed++ == 0);
        else if (status != FR_NOT_FOUND)
            fr_while(&why, "backup %" PRIu64 " could not be looked at: ", list->at[i].id);
        fr_writer_release(&problems);
        checked += status != FR_NOT_FOUND; /* one that was removed meanwhile is none */
        if (!status || status == FR_NOT_FOUND)
            continue;
        if (worst && worst != FR_CORRUPT)
            complain(EXIT_DISK, err->text);
        worst = status;
        *err = why;
    }
    fputs(json ? "]}\n" : "", stdout);
    if (!checked)
        worst = fr_fail(err, FR_NOT_FOUND, id ? "there is no such backup in '%s'" : "there is no backup in '%s'", place->path);
    return worst;
}

/* ---- restore ---- */

/* The one that was asked for, or the newest that is good; damaged ones are named on stderr. */
static int restore(const struct backup_place *place, const struct backup_list *list, uint64_t id, const char *data,
                   const struct backup **ret_used, struct fr_err *err)
{
    int status = fr_fail(err, FR_NOT_FOUND, id ? "there is no such backup in '%s'" : "there is no good backup in '%s'",
                         place->path);

    for (size_t i = 0; i < list->len && status; i++) {
        if (id && list->at[i].id != id)
            continue;
        status = backup_restore(place, &list->at[i], data, err);
        *ret_used = &list->at[i];
        if (status && status != FR_CORRUPT)
            break;
        if (status && !id)
            complain(EXIT_DISK, err->text);
    }
    return status;
}

static void print_restored(const struct backup *backup, const char *data, bool json)
{
    char made[32];

    fr_time_text(backup->made, made);
    if (json)
        printf("{\"restored\":{\"id\":\"%" PRIu64 "\",\"madeMs\":\"%" PRId64 "\",\"events\":\"%" PRIu64 "\"}}\n", backup->id,
               backup->made, backup->events);
    else
        printf("restored backup %" PRIu64 " of %s, %" PRIu64 " events, into '%s'\n"
               "the daemon will read from Kafka what came after it; a store that was in use there is kept as store.damaged\n",
               backup->id, made, backup->events, data);
}

static int run_restore(struct freshetd *d, const struct backup_place *place, const struct backup_list *list, uint64_t id,
                       struct fr_err *err)
{
    const struct backup *used = NULL;
    int status = restore(place, list, id, d->cfg->store.path, &used, err);

    if (status == FR_OK)
        status = rebuild_end(d->cfg->store.path, err); /* of one that was begun: this is asked for instead */
    if (status == FR_OK)
        print_restored(used, d->cfg->store.path, d->options.json);
    return status;
}

/* The store that root makes is root's, and the daemon could not enter it. */
static int check_owner(const char *data, struct fr_err *err)
{
    struct stat found;

    if (geteuid() != 0 || stat(data, &found) != 0 || found.st_uid == 0)
        return FR_OK;
    const struct passwd *owner = getpwuid(found.st_uid);
    return fr_fail(err, FR_CONFIG,
                   "data directory '%s' belongs to user %u (%s), and this is root, whose store the daemon could not enter: run it as "
                   "that user, with sudo -u",
                   data, (unsigned)found.st_uid, owner ? owner->pw_name : "without a name");
}

int offline(struct freshetd *d)
{
    char room[PATH_ROOM];
    struct backup_place place = backup_place_of(d->cfg, room);
    struct backup_list list = {0};
    struct fr_err err = {0};
    bool restores = d->options.task == TASK_RESTORE;
    uint64_t id;
    int lock = -1, status;

    if (!read_id(d->options.backup, &id))
        return complain(EXIT_USAGE, "a backup is named by its number, as 'freshet backup --list' shows it");
    status = restores ? check_owner(d->cfg->store.path, &err) : FR_OK;
    if (status == FR_OK && restores)
        status = lock_take(&lock, d->cfg->store.path, &err);
    if (status == FR_OK)
        status = backup_list(&place, &list, &err);
    if (status == FR_OK)
        status = restores ? run_restore(d, &place, &list, id, &err) : verify(&place, &list, id, d->options.json, &err);
    if (status != FR_OK)
        complain(EXIT_DISK, err.text);
    backup_list_release(&list);
    if (lock >= 0)
        lock_release(lock);
    return code_of(status);
}
