/*
 * backup_files.h -- files of a backup: copied, hashed and made safe. Errors: FR_FULL, FR_IO; FR_NOT_FOUND for what is to be
 * read and is not there; FR_CLOSED when `stop` became true. Thread: any.
 */
#ifndef FR_BACKUP_FILES_H
#define FR_BACKUP_FILES_H

#include "freshet/backup.h"

enum { PATH_BYTES_MAX = 4352 }; /* store.path has at most 4000 */

/* errno: the disk has lost the file or a part of it. Whatever else there may be has nothing to do with what the file holds. */
bool file_is_lost(int why);
/* Reads a file; `to`, unless NULL, becomes a copy of it, synced. *ret has size and hash. A copy that fails is removed.
 * FR_NOT_FOUND, FR_CORRUPT: it is `from` that is at fault, which is not there, or of which the disk no longer has all. */
int file_copy(const char *from, const char *to, const _Atomic bool *stop, struct backup_file *ret, struct fr_err *err);
/* Whole or not at all: beside it, synced, renamed, the directory synced. */
int file_write(const char *directory, const char *name, struct fr_bytes bytes, struct fr_err *err);
/* The caller frees *ret_text. FR_CORRUPT: the disk no longer has all of it. */
int file_read(const char *path, char **ret_text, size_t *ret_len, struct fr_err *err);
int file_rename(const char *from, const char *to, struct fr_err *err);
int directory_make(const char *path, struct fr_err *err); /* and those above it */
int directory_sync(const char *path, struct fr_err *err);
int directory_remove(const char *path, struct fr_err *err); /* with all that is in it; one that is not there is fine */

/* Names in a directory, without the hidden ones, in bytewise order. Free with names_release. */
struct names {
    char **at;
    size_t len, cap;
};
int names_read(const char *directory, struct names *ret_names, struct fr_err *err);
void names_release(struct names *names);

__attribute__((format(printf, 2, 3))) const char *path_of(char room[PATH_BYTES_MAX], const char *format, ...);

#endif
