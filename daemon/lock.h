/*
 * lock.h -- one daemon per data directory.
 */
#ifndef LOCK_H
#define LOCK_H

#include "freshet/err.h"

/* Makes the directory if it is missing and locks it for as long as the process lives or until lock_release. FR_BUSY if
 * another process has it; the text says which. */
int lock_take(int *ret_lock, const char *directory, struct fr_err *err);
void lock_release(int lock);

#endif
