/*
 * faultfs.c -- LD_PRELOAD: a disk that fails on demand, and remembers what a power cut would take.
 *
 *     FAULTFS_ROOT    only files whose path begins so are touched
 *     FAULTFS_RULES   a file of rules, one a line; read again whenever it changes, and the counts begin anew
 *     FAULTFS_UNDO    a folder for the journal of changes not yet synced (faultfs.h); fsync then only forgets, it does not wait
 *
 *     CALL PATH N ACTION [ARG]       write .log 3 EIO      sync .sst 2+ EIO      write * * ENOSPC      sync * * delay 5000
 *
 * CALL: open (making files), write, sync, rename, unlink, truncate, allocate, or * for all. PATH: part of the path, * for any. N: the
 * n-th call that matches, n+ from there on, * each. ACTION: an errno's name; short (half is written, and the call says so);
 * torn ERRNO (half is written, the call fails); delay MS; kill (the process, by SIGKILL, before the call).
 * The first rule that fires decides. Each firing adds a line to RULES.fired.
 *
 * The system calls are made directly, so that no other library's wrapper stands between. A test program that has this file linked
 * in needs no LD_PRELOAD.
 */
#include "faultfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 4096, RULES = 16, PIECE = 1 << 16 };

struct rule {
    char call[16], path[128], action[16], argument[16];
    unsigned long at;
    bool onwards;
    unsigned long seen;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(char *) paths[FDS]; /* of open files under the root; who uses a number has it open */
static struct rule rules[RULES];
static size_t rules_len;
static struct stat rules_read; /* the file that they are of */
static const char *root, *rules_file, *undo;
static unsigned long saved_count;

__attribute__((constructor)) void faultfs_begin(void)
{
    root = getenv("FAULTFS_ROOT");
    rules_file = getenv("FAULTFS_RULES");
    undo = getenv("FAULTFS_UNDO");
}

static bool ours(const char *path)
{
    return root && path && strncmp(path, root, strlen(root)) == 0;
}

/* ---- files of its own ---- */

static int raw_open(const char *path, int flags, int mode)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* Not every processor has unlink and rename themselves. */
static int raw_unlink(const char *path)
{
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static int raw_rename(const char *from, const char *to)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void raw_append(const char *path, const void *bytes, size_t len)
{
    int fd = raw_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd < 0 || syscall(SYS_write, fd, bytes, len) != (long)len)
        abort(); /* the shim's own files must not fail: they are elsewhere */
    syscall(SYS_close, fd);
}

/* ---- rules ---- */

/* Clocks of files are coarse: two that came within a few milliseconds differ by their inodes. */
static bool same_rules(const struct stat *status)
{
    return status->st_ino == rules_read.st_ino && status->st_mtim.tv_sec == rules_read.st_mtim.tv_sec &&
           status->st_mtim.tv_nsec == rules_read.st_mtim.tv_nsec;
}

static void read_rules(void)
{
    struct stat status;
    char text[4096], *line, *rest = text;
    long len = 0;

    if (stat(rules_file, &status) != 0 || same_rules(&status))
        return;
    int fd = raw_open(rules_file, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0 && fstat(fd, &rules_read) == 0) /* of the file that is read: another may have taken the name since */
        len = syscall(SYS_read, fd, text, sizeof(text) - 1);
    syscall(SYS_close, fd);
    text[len > 0 ? len : 0] = '\0';
    rules_len = 0;
    while ((line = strsep(&rest, "\n")) && rules_len < RULES) {
        struct rule *rule = &rules[rules_len];
        char number[16];
        *rule = (struct rule){0};
        if (sscanf(line, "%15s %127s %15s %15s %15s", rule->call, rule->path, number, rule->action, rule->argument) < 4)
            continue;
        rule->at = strtoul(number, NULL, 10);
        rule->onwards = strpbrk(number, "+*") != NULL;
        rules_len++;
    }
}

static const struct rule *firing(const char *call, const char *path)
{
    static struct rule fired;
    const struct rule *found = NULL;
    char line[PATH_MAX + 64], name[PATH_MAX];

    if (!rules_file)
        return NULL;
    read_rules();
    for (size_t i = 0; i < rules_len && !found; i++) {
        struct rule *rule = &rules[i];
        if ((strcmp(rule->call, "*") && strcmp(rule->call, call)) || (strcmp(rule->path, "*") && !strstr(path, rule->path)))
            continue;
        rule->seen++;
        if (rule->seen == rule->at || (rule->onwards && rule->seen > rule->at)) {
            fired = *rule;
            found = &fired;
        }
    }
    if (found) {
        snprintf(name, sizeof(name), "%s.fired", rules_file);
        int len = snprintf(line, sizeof(line), "%s %s %lu %s\n", call, path, found->seen, found->action);
        raw_append(name, line, (size_t)len);
    }
    return found;
}

static int number_of(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS}, {"EMFILE", EMFILE}, {"ENOENT", ENOENT}};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(name, names[i].name) == 0)
            return names[i].number;
    fprintf(stderr, "faultfs: %s is no errno that it knows\n", name);
    abort();
}

/* What a call is to do: how much of it (1 all, 0.5 half, 0 nothing), and the errno it fails with (0: none). Under lock, which a
 * delay lets go of. */
struct verdict {
    bool half, none;
    int error;
};

static struct verdict judge(const char *call, const char *path)
{
    const struct rule *rule = firing(call, path);

    if (!rule)
        return (struct verdict){0};
    if (strcmp(rule->action, "short") == 0)
        return (struct verdict){.half = true};
    if (strcmp(rule->action, "torn") == 0)
        return (struct verdict){.half = true, .error = number_of(rule->argument)};
    if (strcmp(rule->action, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(rule->action, "delay") != 0)
        return (struct verdict){.none = true, .error = number_of(rule->action)};
    long ms = strtol(rule->argument, NULL, 10);
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    pthread_mutex_unlock(&lock);
    nanosleep(&wait, NULL);
    pthread_mutex_lock(&lock);
    return (struct verdict){0};
}

/* ---- the journal of changes ---- */

static void undo_name(char *name, uint64_t inode, const char *suffix)
{
    snprintf(name, PATH_MAX, "%s/%llu%s", undo, (unsigned long long)inode, suffix);
}

/* [offset, offset + len) of an open file is about to change. */
static void remember(int fd, const char *path, uint64_t offset, uint64_t len)
{
    struct stat status;
    char name[PATH_MAX];

    if (!undo || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return;
    uint64_t size = (uint64_t)status.st_size, end = offset + len < size ? offset + len : size;
    struct faultfs_change change = {.offset = offset, .len = len, .old_size = size, .old_len = offset < end ? end - offset : 0};
    char *record = malloc(sizeof(change) + change.old_len);
    memcpy(record, &change, sizeof(change));
    int reader = raw_open(path, O_RDONLY | O_CLOEXEC, 0); /* fd may be for writing only */
    if (change.old_len &&
        syscall(SYS_pread64, reader, record + sizeof(change), change.old_len, offset) != (long)change.old_len)
        abort();
    if (reader >= 0)
        syscall(SYS_close, reader);
    undo_name(name, status.st_ino, "");
    raw_append(name, record, sizeof(change) + change.old_len);
    free(record);
}

/* A file is safe from here on, or never. */
static void settle(int fd, bool failed)
{
    struct stat status;
    char name[PATH_MAX], lost[PATH_MAX], piece[PIECE];
    long len;

    if (!undo || fstat(fd, &status) != 0)
        return;
    undo_name(name, status.st_ino, "");
    undo_name(lost, status.st_ino, ".lost");
    int from = failed ? raw_open(name, O_RDONLY | O_CLOEXEC, 0) : -1;
    while (from >= 0 && (len = syscall(SYS_read, from, piece, sizeof(piece))) > 0)
        raw_append(lost, piece, (size_t)len);
    if (from >= 0)
        syscall(SYS_close, from);
    raw_unlink(name);
}

static void remember_name(const char *what, const char *a, const char *b, const char *gone)
{
    char line[3 * PATH_MAX], name[PATH_MAX], saved[PATH_MAX] = "-";

    if (!undo)
        return;
    if (gone && access(gone, F_OK) == 0) {
        do
            snprintf(saved, sizeof(saved), "%s/saved-%d-%lu", undo, getpid(), ++saved_count);
        while (access(saved, F_OK) == 0);
        if (syscall(SYS_linkat, AT_FDCWD, gone, AT_FDCWD, saved, 0) != 0)
            abort(); /* FAULTFS_UNDO must be on the same file system as the root */
    }
    snprintf(name, sizeof(name), "%s/" FAULTFS_NAMES, undo);
    int len = snprintf(line, sizeof(line), "%s\t%s\t%s\t%s\n", what, a, b, saved);
    raw_append(name, line, (size_t)len);
}

static void drop_saved(const char *saved)
{
    struct stat status;
    char name[PATH_MAX];

    if (*saved == '-' || stat(saved, &status) != 0)
        return;
    undo_name(name, status.st_ino, "");
    raw_unlink(name); /* the inode may be used again */
    undo_name(name, status.st_ino, ".lost");
    raw_unlink(name);
    raw_unlink(saved);
}

/* Is this line, which is taken apart, about a file directly in the folder? */
static bool line_is_in(char *line, const char *folder, size_t len, const char **ret_saved)
{
    strsep(&line, "\t");
    const char *a = strsep(&line, "\t");
    strsep(&line, "\t");
    *ret_saved = strsep(&line, "\n");
    return strncmp(a, folder, len) == 0 && a[len] == '/' && !strchr(a + len + 1, '/');
}

/* The folder's names are safe: forgets the lines about files directly in it. What they name goes last, for a kill may come at any
 * of these steps, and no line may be left that names what is gone. */
static void settle_names(const char *folder)
{
    char name[PATH_MAX], left[PATH_MAX + 8], line[3 * PATH_MAX], copy[3 * PATH_MAX];
    size_t len = strlen(folder);
    const char *saved;

    if (!undo)
        return;
    while (len > 1 && folder[len - 1] == '/')
        len--;
    snprintf(name, sizeof(name), "%s/" FAULTFS_NAMES, undo);
    snprintf(left, sizeof(left), "%s.left", name);
    FILE *in = fopen(name, "re"), *out = in ? fopen(left, "we") : NULL;
    while (out && fgets(line, sizeof(line), in))
        if (!line_is_in(strcpy(copy, line), folder, len, &saved))
            fputs(line, out);
    if (!in)
        return;
    fclose(out);
    raw_rename(left, name);
    rewind(in);
    while (fgets(line, sizeof(line), in))
        if (line_is_in(line, folder, len, &saved))
            drop_saved(saved);
    fclose(in);
}

/* ---- the calls ---- */

#define FAIL(number) return (pthread_mutex_unlock(&lock), errno = (number), -1)

static const char *path_of(int fd)
{
    return fd >= 0 && fd < FDS ? paths[fd] : NULL;
}

static int open_any(const char *path, int flags, int mode)
{
    struct stat status;

    if (!ours(path))
        return raw_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    bool there = stat(path, &status) == 0;
    bool makes = (flags & O_CREAT) && !there;
    if (makes) {
        struct verdict verdict = judge("open", path);
        if (verdict.error)
            FAIL(verdict.error);
        remember_name("create", path, "-", NULL);
    }
    int fd = raw_open(path, flags & ~O_TRUNC, mode);
    if (fd >= 0 && fd < FDS) {
        free(paths[fd]);
        paths[fd] = strdup(path);
        if ((flags & O_TRUNC) && there && status.st_size > 0) {
            remember(fd, path, 0, (uint64_t)status.st_size);
            syscall(SYS_ftruncate, fd, 0);
        }
    }
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return fd;
}

#define OPEN(name, ...)                                                                                                \
    {                                                                                                                  \
        int mode = 0;                                                                                                  \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                         \
            va_list more;                                                                                              \
            va_start(more, flags);                                                                                     \
            mode = va_arg(more, int);                                                                                  \
            va_end(more);                                                                                              \
        }                                                                                                              \
        return open_any(path, flags, mode);                                                                            \
    }
int open(const char *path, int flags, ...) OPEN(open)
int open64(const char *path, int flags, ...) OPEN(open64)

int creat(const char *path, mode_t mode)
{
    return open_any(path, O_WRONLY | O_CREAT | O_TRUNC, (int)mode);
}

int close(int fd)
{
    if (path_of(fd)) {
        pthread_mutex_lock(&lock);
        free(paths[fd]);
        paths[fd] = NULL;
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_close, fd);
}

/* offset -1: at the file's own. */
static ssize_t write_any(int fd, const void *bytes, size_t len, off_t offset)
{
    const char *path = path_of(fd);

    if (!path)
        return offset < 0 ? syscall(SYS_write, fd, bytes, len) : syscall(SYS_pwrite64, fd, bytes, len, offset);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge("write", path);
    if (verdict.none)
        FAIL(verdict.error);
    if (verdict.half)
        len = len > 1 ? len / 2 : len;
    off_t at = offset;
    if (at < 0)
        at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    remember(fd, path, (uint64_t)at, len);
    ssize_t written = offset < 0 ? syscall(SYS_write, fd, bytes, len) : syscall(SYS_pwrite64, fd, bytes, len, offset);
    if (verdict.error)
        FAIL(verdict.error);
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    return write_any(fd, bytes, len, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return write_any(fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
    return write_any(fd, bytes, len, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t all = 0;

    if (!path_of(fd))
        return syscall(SYS_writev, fd, parts, count);
    for (int i = 0; i < count; i++) {
        ssize_t written = write_any(fd, parts[i].iov_base, parts[i].iov_len, -1);
        if (written < 0)
            return all ? all : written;
        all += written;
        if ((size_t)written < parts[i].iov_len)
            break;
    }
    return all;
}

static int sync_any(int fd, long call)
{
    const char *path = path_of(fd);
    struct stat status;

    if (!path)
        return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge("sync", path);
    bool folder = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    if (!folder)
        settle(fd, verdict.error != 0);
    else if (!verdict.error)
        settle_names(path);
    if (verdict.error)
        FAIL(verdict.error);
    pthread_mutex_unlock(&lock);
    return undo ? 0 : (int)syscall(call, fd);
}

int fsync(int fd)
{
    return sync_any(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_any(fd, SYS_fdatasync);
}

int sync_file_range(int fd, off64_t offset, off64_t len, unsigned flags)
{
    return path_of(fd) ? 0 : (int)syscall(SYS_sync_file_range, fd, offset, len, flags); /* makes nothing durable */
}

static int truncate_any(int fd, off_t size)
{
    const char *path = path_of(fd);
    struct stat status;

    if (!path)
        return (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge("truncate", path);
    if (verdict.error)
        FAIL(verdict.error);
    if (fstat(fd, &status) == 0 && status.st_size != size)
        remember(fd, path, (uint64_t)size, status.st_size > size ? (uint64_t)(status.st_size - size) : 0);
    int result = (int)syscall(SYS_ftruncate, fd, size), number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return result;
}

int ftruncate(int fd, off_t size)
{
    return truncate_any(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return truncate_any(fd, size);
}

static int allocate_any(int fd, int mode, off_t offset, off_t len)
{
    const char *path = path_of(fd);

    if (path) {
        pthread_mutex_lock(&lock);
        struct verdict verdict = judge("allocate", path);
        if (verdict.error)
            FAIL(verdict.error);
        if (!(mode & FALLOC_FL_KEEP_SIZE))
            remember(fd, path, (uint64_t)offset, 0);
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    return allocate_any(fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
    return allocate_any(fd, mode, offset, len);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
    return allocate_any(fd, 0, offset, len) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t offset, off64_t len)
{
    return posix_fallocate(fd, offset, len);
}

int rename(const char *from, const char *to)
{
    if (!ours(from))
        return raw_rename(from, to);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge("rename", to);
    if (verdict.error)
        FAIL(verdict.error);
    remember_name("rename", from, to, to);
    int result = raw_rename(from, to), number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return result;
}

int unlink(const char *path)
{
    if (!ours(path))
        return raw_unlink(path);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge("unlink", path);
    if (verdict.error)
        FAIL(verdict.error);
    if (access(path, F_OK) == 0)
        remember_name("unlink", path, "-", path);
    int result = raw_unlink(path), number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return result;
}
