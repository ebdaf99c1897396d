/*
 * vitals.c -- process_*, free disk space, and RocksDB's numbers, brought up to date before each scrape.
 *
 * Thread: collectors run on the scraping thread, start and stop on main's.
 */
#include "vitals.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "freshet/life.h"
#include "freshet/metric.h"

static const char *disk_path;

/* ---- the process ----------------------------------------------------------------------------------------------- */

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static size_t count_files(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;

    if (!directory)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* the one opendir holds */
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

/* In bytes; 0 when the system does not tell. */
static uint64_t memory_of(uint64_t *ret_virtual)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned long long virtual_pages = 0, resident_pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file && fscanf(file, "%llu %llu", &virtual_pages, &resident_pages) != 2)
        virtual_pages = resident_pages = 0;
    if (file)
        fclose(file);
    *ret_virtual = virtual_pages * page;
    return resident_pages * page;
}

uint64_t vitals_resident(void *context)
{
    uint64_t virtual_bytes;

    (void)context;
    return memory_of(&virtual_bytes);
}

static void collect_process(void *context)
{
    uint64_t virtual_bytes, resident_bytes = memory_of(&virtual_bytes);
    struct rusage usage;
    struct rlimit limit;
    struct statvfs disk;

    (void)context;
    fr_gauge(FR_SERIES(FR_M_READY), fr_state_now() == FR_RUNNING);
    fr_gauge(FR_SERIES(FR_M_PROCESS_VIRTUAL), (double)virtual_bytes);
    fr_gauge(FR_SERIES(FR_M_PROCESS_RESIDENT), (double)resident_bytes);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        fr_count_is(FR_SERIES(FR_M_PROCESS_CPU), seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        fr_gauge(FR_SERIES(FR_M_PROCESS_FDS_MAX), (double)limit.rlim_cur);
    fr_gauge(FR_SERIES(FR_M_PROCESS_FDS), (double)count_files("/proc/self/fd"));
    if (statvfs(disk_path, &disk) == 0)
        fr_gauge(FR_SERIES(FR_M_DISK_FREE), (double)disk.f_bavail * (double)disk.f_frsize);
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

    disk_path = path;
    fr_gauge(fr_series_of(FR_M_BUILD_INFO, labels, sizeof labels / sizeof *labels), 1);
    fr_gauge(FR_SERIES(FR_M_PROCESS_START), start_time());
    vitals_limits(0, 0, 0); /* there from the start */
    fr_metric_collector(collect_process, NULL);
}

void vitals_stop(void)
{
    fr_metric_collector_remove(collect_process, NULL);
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
