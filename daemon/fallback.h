/* fallback.h -- from a damaged store to the newest good backup. Thread: main. */
#ifndef FALLBACK_H
#define FALLBACK_H

#include "freshet/backup.h"
#include "freshetd.h"

enum { PATH_ROOM = 4352 };

/* `room` holds the path if need be. */
struct backup_place backup_place_of(const struct config *cfg, char room[PATH_ROOM]);

/* After FR_CORRUPT, with the store closed: restores the newest backup that was not tried before. Otherwise *err tells what was
 * damaged, and what to do. */
int fall_back(struct freshetd *d, struct fr_err *err);
/* Before the store is opened: if it is gone and there are backups, as fall_back. FR_IO if that cannot be told: nothing is changed. */
int restore_missing(struct freshetd *d, const char *store, struct fr_err *err);

#endif
