/*
 * read_file.h -- a small file as a whole, for what is read again and again.
 */
#ifndef FR_READ_FILE_H
#define FR_READ_FILE_H

#include "freshet/codec.h"
#include "freshet/err.h"

/* Into `out`, which is made, and released again on failure. FR_CONFIG: not there, not for us, no regular file, or more than `max`
 * bytes. FR_IO: the system could not read it now (no file descriptor free, no memory, a disk that fails); later it may. */
int read_file(const char *path, size_t max, struct fr_writer *out, struct fr_err *err);

#endif
