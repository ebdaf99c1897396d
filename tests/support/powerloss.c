/*
 * powerloss.c -- powerloss ROOT UNDO SEED: makes of a killed process's files what a power cut might have left.
 *
 * Of what was not synced (faultfs.h) a random part is kept: of each file the oldest so many changes, the next one perhaps by
 * half; of the names the oldest so many. A third of the files loses all, a third nothing. Changes whose fsync had failed are
 * gone for good: what they wrote reads as it was before, or as zeros. The same seed leaves the same.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faultfs.h"

enum { CHANGES = 1 << 20, PATH = 4096 };

static uint64_t state;

static uint64_t random_below(uint64_t most)
{
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return most ? (z ^ z >> 31) % most : 0;
}

/* How many of `count` are kept. */
static size_t share(size_t count)
{
    uint64_t kind = random_below(3);

    return kind == 0 ? 0 : kind == 1 ? count : (size_t)random_below(count + 1);
}

static char *read_all(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "re");
    char *bytes = NULL;

    *ret_len = 0;
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    size_t len = (size_t)ftell(file);
    rewind(file);
    bytes = calloc(1, len + 1);
    *ret_len = fread(bytes, 1, len, file);
    fclose(file);
    return bytes;
}

/* Where the inode is now; false if it is gone. */
static int find(const char *folder, uint64_t inode, char *path)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    char inner[PATH];
    int found = 0;

    while (directory && !found && (entry = readdir(directory))) {
        struct stat status;
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(inner, sizeof(inner), "%s/%s", folder, entry->d_name) >= (int)sizeof(inner) || stat(inner, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode)) {
            found = find(inner, inode, path);
        } else if (status.st_ino == inode) {
            strcpy(path, inner);
            found = 1;
        }
    }
    if (directory)
        closedir(directory);
    return found;
}

static void must(int good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

/* The file's synced part comes back; of the rest the oldest changes stay. */
static void undo_changes(const char *path, const char *bytes, size_t len)
{
    size_t *starts = calloc(CHANGES, sizeof(*starts)), count = 0, kept;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    must(fd >= 0, path);
    for (size_t at = 0; at + sizeof(struct faultfs_change) <= len; count++) {
        struct faultfs_change change;
        memcpy(&change, bytes + at, sizeof(change));
        if (change.old_len > len - at - sizeof(change))
            break; /* killed while it noted this one, and before it made it */
        starts[count] = at;
        at += sizeof(change) + change.old_len;
    }
    kept = share(count);
    for (size_t i = count; i-- > kept;) {
        struct faultfs_change change;
        memcpy(&change, bytes + starts[i], sizeof(change));
        const char *old = bytes + starts[i] + sizeof(change);
        if (i == kept && change.len > 1 && change.offset == change.old_size && random_below(2)) { /* torn */
            must(ftruncate(fd, (off_t)(change.offset + 1 + random_below(change.len - 1))) == 0, path);
            break;
        }
        must(pwrite(fd, old, change.old_len, (off_t)change.offset) == (ssize_t)change.old_len, path);
        must(ftruncate(fd, (off_t)change.old_size) == 0, path);
    }
    close(fd);
    free(starts);
}

/* What never reached the disk, whatever came after it. */
static void undo_lost(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    struct stat status;

    must(fd >= 0 && fstat(fd, &status) == 0, path);
    for (size_t at = 0; at + sizeof(struct faultfs_change) <= len;) {
        struct faultfs_change change;
        memcpy(&change, bytes + at, sizeof(change));
        const char *old = bytes + at + sizeof(change);
        uint64_t size = (uint64_t)status.st_size;
        for (uint64_t i = 0; i < change.len && change.offset + i < size; i++) {
            char byte = i < change.old_len ? old[i] : 0;
            must(pwrite(fd, &byte, 1, (off_t)(change.offset + i)) == 1, path);
        }
        at += sizeof(change) + change.old_len;
    }
    close(fd);
}

static void undo_files(const char *root, const char *undo)
{
    DIR *directory = opendir(undo);
    struct dirent *entry;
    char log[PATH], path[PATH];
    size_t len;

    must(directory != NULL, undo);
    for (int lost = 0; lost < 2; lost++, rewinddir(directory))
        while ((entry = readdir(directory))) {
            char *end;
            uint64_t inode = strtoull(entry->d_name, &end, 10);
            if (!inode || strcmp(end, lost ? ".lost" : "") != 0)
                continue;
            snprintf(log, sizeof(log), "%s/%s", undo, entry->d_name);
            char *bytes = read_all(log, &len);
            if (find(root, inode, path) || find(undo, inode, path))
                (lost ? undo_lost : undo_changes)(path, bytes, len);
            free(bytes);
        }
    closedir(directory);
}

static void undo_name(char *line)
{
    const char *what = strsep(&line, "\t"), *a = strsep(&line, "\t"), *b = strsep(&line, "\t"), *saved = line;

    if (strcmp(what, "create") == 0)
        unlink(a);
    if (strcmp(what, "rename") == 0 && access(b, F_OK) == 0)
        must(rename(b, a) == 0, b);
    if (*saved != '-')
        must(rename(saved, strcmp(what, "rename") == 0 ? b : a) == 0, saved);
}

static void undo_names(const char *undo)
{
    char path[PATH], *lines[1 << 14], *rest;
    size_t len, count = 0;

    snprintf(path, sizeof(path), "%s/" FAULTFS_NAMES, undo);
    char *bytes = rest = read_all(path, &len);
    while (rest && *rest && count < sizeof(lines) / sizeof(*lines))
        lines[count++] = strsep(&rest, "\n");
    size_t kept = share(count);
    while (count > kept)
        undo_name(lines[--count]);
    free(bytes);
}

static void forget_all(const char *undo)
{
    DIR *directory = opendir(undo);
    struct dirent *entry;
    char path[PATH];

    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.' && snprintf(path, sizeof(path), "%s/%s", undo, entry->d_name) > 0)
            unlink(path);
    if (directory)
        closedir(directory);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("powerloss ROOT UNDO SEED\n", stderr);
        return 2;
    }
    state = strtoull(argv[3], NULL, 10);
    undo_files(argv[1], argv[2]);
    undo_names(argv[2]);
    forget_all(argv[2]);
    return 0;
}
