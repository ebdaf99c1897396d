/*
 * vitals.c -- process_*, free disk space, and RocksDB's numbers, brought up to date before each scrape.
 *
 * What is looked at in /proc is opened once: the limits must hold, and the numbers be right, when no file descriptor is
 * free. What cannot be read stays as it was last; it is never 0. Of free disk space the checkpoint's thread tells, which looks at it
 * each second or two: the collectors ask no disk.
 *
 * Thread: collectors run on the scraping thread, start and stop on main's.
 */
#include "vitals.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "freshet/life.h"
#include "freshet/metric.h"

static int statm = -1;
static DIR *open_files;
static _Atomic uint64_t virtual_last, resident_last; /* bytes; 0: not read yet */

/* ---- the process ----------------------------------------------------------------------------------------------- */

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* 0: cannot tell. */
static size_t count_files(void)
{
    size_t count = 0;

    if (!open_files)
        return 0;
    rewinddir(open_files);
    for (struct dirent *entry; (entry = readdir(open_files));)
        count += entry->d_name[0] != '.';
    return count;
}

/* Boot time plus the process's start in clock ticks after it (proc(5): the 22nd field, the 20th after the name). */
static double start_time(void)
{
    char text[4096], *at;
    double boot = 0, ticks = 0;
    FILE *file = fopen("/proc/stat", "re");
    size_t len;

    while (file && fgets(text, sizeof text, file))
        if (sscanf(text, "btime %lf", &boot) == 1)
            break;
    if (file)
        fclose(file);
    file = fopen("/proc/self/stat", "re");
    len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[len] = 0;
    at = strrchr(text, ')'); /* the name may hold anything, parentheses too */
    for (int field = 0; at && field < 20; field++)
        at = strchr(at + 1, ' ');
    if (at)
        ticks = strtod(at, NULL);
    return boot + ticks / (double)sysconf(_SC_CLK_TCK);
}

static void read_memory(void)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned long long virtual_pages, resident_pages;
    char text[256];
    ssize_t len = pread(statm, text, sizeof text - 1, 0);

    if (len <= 0)
        return;
    text[len] = 0;
    if (sscanf(text, "%llu %llu", &virtual_pages, &resident_pages) != 2)
        return;
    atomic_store(&virtual_last, virtual_pages * page);
    atomic_store(&resident_last, resident_pages * page);
}

uint64_t vitals_resident(void *context)
{
    (void)context;
    read_memory();
    return atomic_load(&resident_last);
}

/* Those that are never 0: one that is could not be read. */
static void gauge_known(enum fr_metric family, uint64_t value)
{
    if (value)
        fr_gauge(FR_SERIES(family), (double)value);
}

static void collect_process(void *context)
{
    uint64_t resident_bytes = vitals_resident(NULL);
    struct rusage usage;
    struct rlimit limit;

    (void)context;
    fr_gauge(FR_SERIES(FR_M_READY), fr_state_now() == FR_RUNNING);
    gauge_known(FR_M_PROCESS_VIRTUAL, atomic_load(&virtual_last));
    gauge_known(FR_M_PROCESS_RESIDENT, resident_bytes);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        fr_count_is(FR_SERIES(FR_M_PROCESS_CPU), seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        fr_gauge(FR_SERIES(FR_M_PROCESS_FDS_MAX), (double)limit.rlim_cur);
    gauge_known(FR_M_PROCESS_FDS, count_files());
}

void vitals_disk(uint64_t free_bytes)
{
    if (free_bytes != UINT64_MAX)
        fr_gauge(FR_SERIES(FR_M_DISK_FREE), (double)free_bytes);
}

void vitals_limits(uint64_t memory_soft, uint64_t memory_hard, uint64_t disk_reserve)
{
    fr_gauge(fr_series(FR_M_MEMORY_LIMIT, "soft", "", ""), (double)memory_soft);
    fr_gauge(fr_series(FR_M_MEMORY_LIMIT, "hard", "", ""), (double)memory_hard);
    fr_gauge(FR_SERIES(FR_M_DISK_RESERVE), (double)disk_reserve);
}

void vitals_start(const char *path, const char *version, const char *revision, const char *kafka, const char *rocksdb,
                  const char *grpc)
{
    const char *labels[] = {version, revision, kafka, rocksdb, grpc};
    struct statvfs disk;

    statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    open_files = opendir("/proc/self/fd");
    fr_gauge(fr_series_of(FR_M_BUILD_INFO, labels, sizeof labels / sizeof *labels), 1);
    fr_gauge(FR_SERIES(FR_M_PROCESS_START), start_time());
    vitals_limits(0, 0, 0); /* there from the start */
    vitals_disk(statvfs(path, &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize : UINT64_MAX);
    fr_metric_collector(collect_process, NULL);
}

void vitals_stop(void)
{
    fr_metric_collector_remove(collect_process, NULL);
    if (statm >= 0)
        close(statm);
    statm = -1;
    if (open_files)
        closedir(open_files);
    open_files = NULL;
}

/* ---- the store ------------------------------------------------------------------------------------------------- */

static void collect_store(void *context)
{
    static const struct {
        const char *number;
        enum fr_metric family;
    } numbers[] = {
        {"memtable_bytes", FR_M_ROCKSDB_MEMTABLE},         {"sst_bytes", FR_M_ROCKSDB_SST},
        {"write_stopped", FR_M_ROCKSDB_WRITE_STOPPED},     {"background_errors", FR_M_ROCKSDB_BACKGROUND_ERRORS},
        {"running_compactions", FR_M_ROCKSDB_COMPACTIONS}, {"pending_compaction_bytes", FR_M_ROCKSDB_PENDING},
        {"block_cache_bytes", FR_M_ROCKSDB_CACHE},
    };
    struct store *store = context;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uint64_t value;

        if (store->ops->number(store, numbers[i].number, &value))
            fr_gauge(FR_SERIES(numbers[i].family), (double)value);
    }
}

void vitals_store_start(struct store *store)
{
    fr_metric_collector(collect_store, store);
}

void vitals_store_stop(struct store *store)
{
    fr_metric_collector_remove(collect_store, store);
}
