/* backup_private.h -- what the files of the backup share. */
#ifndef FR_BACKUP_PRIVATE_H
#define FR_BACKUP_PRIVATE_H

#include "backup_files.h"
#include "freshet/backup.h"

enum { BACKUP_LIST_NAME_MAX = 40 };

/* backup_parts.c: reads the database in `path`; fills parts, positions, now and events. FR_CORRUPT: it is not whole. */
int backup_survey(const char *path, const _Atomic bool *stop, struct backup *backup, struct fr_err *err);

/* backup.c */
int backup_lock(const struct backup_place *place, bool exclusive, int *ret_lock, struct fr_err *err);
void backup_unlock(int lock);
const char *backup_file_path(char room[PATH_BYTES_MAX], const struct backup_place *place, const struct backup_file *file);
/* Has its list been removed since it was read? Under the lock. */
bool backup_is_gone(const struct backup_place *place, const struct backup *backup);
/* Is each file there, with its size? FR_CORRUPT: no; FR_IO: that cannot be told. */
int backup_glance(const struct backup_place *place, const struct backup *backup, struct fr_err *err);
bool backup_file_same(const struct backup_file *a, const struct backup_file *b); /* size and hash */

#endif
