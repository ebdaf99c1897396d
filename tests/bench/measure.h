/*
 * measure.h -- what a benchmark asks the kernel about processes and threads, percentiles of what it timed itself, and
 * how it gives up.
 *
 * CPU time is what a busy machine leaves true; wall time says what a user waits. Where both matter, both are printed.
 */
#ifndef FR_BENCH_MEASURE_H
#define FR_BENCH_MEASURE_H

#include <dirent.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "freshet/alloc.h"

/* A benchmark that cannot go on. */
__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    exit(1);
}

/* ---- samples ---- */

struct samples {
    double *at;
    size_t len, cap;
};

static inline void samples_add(struct samples *samples, double value)
{
    fr_reserve((void **)&samples->at, &samples->cap, samples->len + 1, sizeof(*samples->at));
    samples->at[samples->len++] = value;
}

static inline int samples_compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Sorts; `share` in [0, 1]. 0 when there are none. */
static inline double samples_at(struct samples *samples, double share)
{
    if (!samples->len)
        return 0;
    qsort(samples->at, samples->len, sizeof(*samples->at), samples_compare);
    size_t at = (size_t)(share * (double)samples->len);
    return samples->at[at < samples->len ? at : samples->len - 1];
}

static inline void samples_release(struct samples *samples)
{
    free(samples->at);
    *samples = (struct samples){0};
}

/* ---- the kernel's books ---- */

/* What the kernel's scheduler has noted of a thread: seconds it ran, and seconds it could have run and waited for a core. */
struct sched_times {
    double ran, waited;
};

static inline struct sched_times read_schedstat(const char *path)
{
    unsigned long long ran = 0, waited = 0;
    FILE *file = fopen(path, "r");

    if (!file)
        return (struct sched_times){0, 0};
    if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
        ran = waited = 0;
    fclose(file);
    return (struct sched_times){(double)ran / 1e9, (double)waited / 1e9};
}

/* Of the threads whose names begin with `name`, but for the process's first one, which bears the program's
 * name; "" is all of them. To the nanosecond; threads that have ended no longer count. */
static inline struct sched_times times_of_threads(pid_t pid, const char *name)
{
    char path[300], comm[32];
    struct sched_times sum = {0, 0};

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        if (task->d_name[0] == '.' || (*name && atoi(task->d_name) == (int)pid))
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", (int)pid, task->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        if (fgets(comm, sizeof(comm), file) && strncmp(comm, name, strlen(name)) == 0) {
            snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)pid, task->d_name);
            struct sched_times times = read_schedstat(path);
            sum.ran += times.ran;
            sum.waited += times.waited;
        }
        fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return sum;
}

/* CPU seconds. */
static inline double cpu_of_threads(pid_t pid, const char *name)
{
    return times_of_threads(pid, name).ran;
}

/* CPU seconds of a process, threads that have ended included. */
static inline double cpu_of_process(pid_t pid)
{
    struct timespec spent = {0};
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &spent))
        die("no CPU clock of process %d", (int)pid);
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

static inline size_t resident_bytes(pid_t pid)
{
    char path[64];
    unsigned long pages = 0;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

#endif
