/*
 * tune_write.c -- a file that is whole or is not there: what was in it before stays until all of the new is on the disk.
 *
 *     FILE.new-PID --write, sync--> rename --> FILE         a device or a pipe has no such moment and is written as it is
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval.h"

#include "freshet/alloc.h"

struct place {
    char *path, *beside; /* the file itself, where the name given is a link to it */
    bool there;
    mode_t mode; /* 0: it is not there */
};

static void place_of(struct place *ret, const char *path)
{
    char *real = realpath(path, NULL), room[32];
    struct stat facts;

    ret->path = real ? real : fr_strdup(path);
    ret->there = stat(ret->path, &facts) == 0;
    ret->mode = ret->there ? facts.st_mode : 0;
    int len = snprintf(room, sizeof(room), ".new-%ld", (long)getpid());
    ret->beside = fr_zalloc(strlen(ret->path) + (size_t)len + 1, 1);
    sprintf(ret->beside, "%s%s", ret->path, room);
}

static void place_release(struct place *place)
{
    free(place->path);
    free(place->beside);
}

/* Does a whole file take its place? */
static bool replaces(const struct place *place)
{
    return !place->there || S_ISREG(place->mode);
}

/* As a program that writes into the file itself would be let or not. On false errno says why. */
static bool may(const struct place *place)
{
    errno = !*place->path ? ENOENT : S_ISDIR(place->mode) ? EISDIR : 0;
    return !errno && (!place->there || access(place->path, W_OK) == 0);
}

/* -1: errno says why not. */
static int place_open(const struct place *place)
{
    if (!may(place))
        return -1;
    if (!replaces(place))
        return open(place->path, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
    int file = open(place->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 && place->there)
        (void)!fchmod(file, place->mode & 0777); /* a file system may know no modes */
    return file;
}

static int refuse(const char *path)
{
    return cli_fail("cannot write '%s': %s", path, strerror(errno));
}

bool tune_write_can(const char *path)
{
    struct place place;

    place_of(&place, path);
    bool good = may(&place);
    if (good && replaces(&place)) { /* a pipe is not opened: that would wait for its reader */
        int file = place_open(&place);
        good = file >= 0;
        if (good) {
            close(file);
            unlink(place.beside);
        }
    }
    if (!good)
        refuse(path);
    place_release(&place);
    return good;
}

static bool put_all(int file, const char *text, size_t len)
{
    while (len) {
        ssize_t put = write(file, text, len);
        if (put < 0 && errno != EINTR)
            return false;
        text += put < 0 ? 0 : put;
        len -= put < 0 ? 0 : (size_t)put;
    }
    return true;
}

bool tune_write(const char *path, const char *text, size_t len)
{
    struct place place;

    place_of(&place, path);
    int file = place_open(&place), why;
    bool good = file >= 0 && put_all(file, text, len) && (!replaces(&place) || fsync(file) == 0);
    why = errno;
    if (file >= 0 && close(file) != 0 && good) {
        why = errno;
        good = false;
    }
    if (good && replaces(&place) && rename(place.beside, place.path) != 0) {
        why = errno;
        good = false;
    }
    if (!good && file >= 0 && replaces(&place))
        unlink(place.beside);
    errno = why;
    if (!good)
        refuse(path);
    place_release(&place);
    return good;
}

bool tune_write_is(const char *path, const char *other)
{
    struct stat a, b;

    return stat(path, &a) == 0 && stat(other, &b) == 0 && S_ISREG(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
