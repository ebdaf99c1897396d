/*
 * disk.c -- see disk.h.
 *
 * What a start needs: RocksDB reads its log files and writes their content to a table before it gives the log up.
 */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "freshet/log.h"

#define BALLAST "BALLAST.freshet"

enum { START_BYTES = 4 << 20, SMALL_PART = 4, BALLAST_PART = 4 };

uint64_t disk_free(void *context)
{
    const struct disk *disk = context;
    struct statvfs status;

    if (statvfs(disk->path, &status) != 0)
        return UINT64_MAX;
    return (uint64_t)status.f_bavail * status.f_frsize;
}

/* Of the log files the last run left. */
static uint64_t log_bytes(const struct disk *disk)
{
    char path[PATH_MAX];
    uint64_t bytes = 0;

    snprintf(path, sizeof path, "%s/store", disk->path);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        const char *dot = strrchr(entry->d_name, '.');
        struct stat status;
        if (dot && strcmp(dot, ".log") == 0 && fstatat(dirfd(directory), entry->d_name, &status, 0) == 0)
            bytes += (uint64_t)status.st_size;
    }
    if (directory)
        closedir(directory);
    return bytes;
}

static void make_ballast(const struct disk *disk, const char *path)
{
    off_t bytes = (off_t)(disk->reserve / BALLAST_PART);

    if (access(path, F_OK) == 0 || disk_free((void *)(uintptr_t)disk) < 2 * disk->reserve + (uint64_t)bytes)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return;
    if (posix_fallocate(fd, 0, bytes) != 0)
        unlink(path); /* it is a help, no need */
    close(fd);
}

int disk_start(struct disk *disk, const char *path, uint64_t wanted, struct fr_err *err)
{
    char ballast[PATH_MAX];
    struct statvfs status;

    *disk = (struct disk){.path = path};
    if (statvfs(path, &status) != 0)
        return fr_fail(err, FR_IO, "cannot look at the disk of '%s': %s", path, strerror(errno));
    uint64_t quarter = (uint64_t)status.f_blocks * status.f_frsize / SMALL_PART;
    disk->reserve = wanted < quarter ? wanted : quarter;
    if (!wanted)
        return FR_OK;
    snprintf(ballast, sizeof ballast, "%s/" BALLAST, path);
    uint64_t needed = log_bytes(disk) + START_BYTES, free_bytes = disk_free(disk);
    if (free_bytes < needed && unlink(ballast) == 0) {
        free_bytes = disk_free(disk);
        fr_log(FR_WARN, "main", "disk.ballast", FR_FIELDS(FR_TEXT("path", ballast), FR_INT("free_bytes", (int64_t)free_bytes)),
               "the disk is full; the ballast is given up so that the store can be opened");
    }
    if (free_bytes < needed)
        return fr_fail(err, FR_FULL,
                       "the disk of '%s' is full: opening the store needs %llu bytes and %llu are free; make room and start again",
                       path, (unsigned long long)needed, (unsigned long long)free_bytes);
    make_ballast(disk, ballast);
    return FR_OK;
}
