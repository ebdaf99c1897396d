/*
 * fallback.c -- what to do with a damaged store: go on from the newest good backup, then the one before it, then say what is left.
 *
 *     open, load --FR_CORRUPT--> close | newest backup not tried yet: restore (read back whole) | open, load ...
 *                                          damaged too: the one before; none left: exit 74, --rebuild
 *
 * Only a store that has been in use is set aside: one that came of a backup and did not load goes when the next takes its place.
 *
 * A store that is gone altogether counts as damaged when there are backups; one that may not be looked into does not: nobody knows
 * what is wrong with it. What the backup does not hold Kafka gives again, from the positions in the backup; what Kafka no longer has
 * is feed's to tell (feed.on_gap).
 */
#include "fallback.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "freshet/alloc.h"
#include "freshet/log.h"
#include "freshet/metric.h"

enum { FALLBACK_BACKUP, FALLBACK_STOP }; /* store.fallback, in the order of config.def */

struct backup_place backup_place_of(const struct config *cfg, char room[PATH_ROOM])
{
    return (struct backup_place){.path = config_backup_path(cfg, room, PATH_ROOM)};
}

/* The restored state is as old as the backup; the rest is read from Kafka again. */
static void tell_restored(const struct backup *backup)
{
    double age = (double)(fr_wall_ms() - backup->made) / 1000;
    char made[32];

    fr_count(FR_SERIES(FR_M_RESTORED), 1);
    fr_gauge(FR_SERIES(FR_M_RESTORED_AGE), age);
    fr_log(FR_WARN, "main", "store.restored",
           FR_FIELDS(FR_INT("backup", (int64_t)backup->id), FR_TEXT("made", fr_time_text(backup->made, made)),
                     FR_REAL("age_seconds", age), FR_INT("events", (int64_t)backup->events)),
           "the store is that of backup %" PRIu64 " now; what came after it is read from Kafka again. a store that was in use "
           "there is kept as store.damaged",
           backup->id);
    for (size_t i = 0; i < backup->positions_len; i++)
        fr_log(FR_INFO, "main", "store.replays",
               FR_FIELDS(FR_TEXT("topic", backup->positions[i].topic), FR_INT("partition", backup->positions[i].partition),
                         FR_INT("from", backup->positions[i].next)),
               "reading goes on at %" PRId64, backup->positions[i].next);
}

static int restore_newest(struct freshetd *d, const struct backup_place *place, const struct backup_list *list,
                          struct fr_err *err)
{
    for (size_t i = 0; i < list->len; i++) {
        struct fr_err why = {0};
        if (d->tried && list->at[i].id >= d->tried)
            continue;
        d->tried = list->at[i].id;
        int status = backup_restore(place, &list->at[i], d->cfg->store.path, &why);
        if (status == FR_OK) {
            tell_restored(&list->at[i]);
            return FR_OK;
        }
        if (status != FR_CORRUPT) { /* the next one would fare no better */
            *err = why;
            return fr_while(err, "cannot restore backup %" PRIu64 ": ", list->at[i].id);
        }
        fr_log(FR_ERROR, "main", "backup.damaged", FR_FIELDS(FR_INT("backup", (int64_t)list->at[i].id)), "%s", why.text);
    }
    return FR_NOT_FOUND;
}

int fall_back(struct freshetd *d, struct fr_err *err)
{
    char room[PATH_ROOM];
    struct backup_place place = backup_place_of(d->cfg, room);
    struct backup_list list = {0};
    struct fr_err damage = *err;
    int status;

    fr_log(FR_ERROR, "main", "store.damaged", FR_NO_FIELDS, "%s", damage.text);
    if (d->cfg->store.fallback == FALLBACK_STOP)
        return fr_fail(err, FR_CORRUPT,
                       "%s; store.fallback = stop: 'freshet restore' puts a backup in its place, 'freshetd --rebuild' replays the "
                       "log into a new store",
                       damage.text);
    status = backup_list(&place, &list, err);
    if (status == FR_OK)
        status = restore_newest(d, &place, &list, err);
    if (status == FR_NOT_FOUND)
        status = fr_fail(err, FR_CORRUPT,
                         "%s; there is no good backup in '%s': start with 'freshetd --rebuild', which replays the log from "
                         "feed.start into a new store and keeps the old one",
                         damage.text, place.path);
    backup_list_release(&list);
    return status;
}

int restore_missing(struct freshetd *d, const char *store, struct fr_err *err)
{
    char room[PATH_ROOM], current[PATH_ROOM];
    struct backup_place place = backup_place_of(d->cfg, room);
    struct backup_list list = {0};
    int status;

    snprintf(current, sizeof current, "%s/CURRENT", store);
    if (access(current, F_OK) == 0)
        return FR_OK;
    if (errno != ENOENT && errno != ENOTDIR)
        return fr_fail(err, FR_IO, "cannot look into the store: '%s': %s", current, strerror(errno));
    status = backup_list(&place, &list, err);
    if (status == FR_OK && list.len > 0) {
        fr_fail(err, FR_CORRUPT, "the store '%s' is gone, but there are backups of it", store);
        status = fall_back(d, err);
    }
    backup_list_release(&list);
    return status;
}
