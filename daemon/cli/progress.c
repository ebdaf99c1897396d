/*
 * progress.c -- how far, how fast: a bar that is redrawn on a terminal, a line every few seconds elsewhere. On stderr.
 *
 *     publishing  [###########         ]  56 %  229,000 of 406,829   181,000/s
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"

enum { BAR = 30 };

struct progress {
    const char *what;
    uint64_t total, began_ns, shown_ns;
    bool terminal;
};

struct progress *progress_new(const char *what, uint64_t total)
{
    struct progress *progress = fr_zalloc(1, sizeof(*progress));

    progress->what = what;
    progress->total = total;
    progress->began_ns = progress->shown_ns = fr_mono_ns();
    progress->terminal = cli_terminal(stderr);
    return progress;
}

static void draw(struct progress *progress, uint64_t done)
{
    uint64_t spent = fr_mono_ns() - progress->began_ns;
    double rate = spent ? (double)done * 1e9 / (double)spent : 0;

    if (!progress->total) {
        fprintf(stderr, "%s%s  %llu  %.0f/s", progress->terminal ? "\r" : "", progress->what, (unsigned long long)done, rate);
    } else {
        uint64_t part = done < progress->total ? done : progress->total;
        char bar[BAR + 1];
        for (int i = 0; i < BAR; i++)
            bar[i] = (uint64_t)i * progress->total < part * BAR ? '#' : ' ';
        bar[BAR] = '\0';
        fprintf(stderr, "%s%-10s [%s] %3.0f %%  %llu of %llu  %.0f/s", progress->terminal ? "\r" : "", progress->what, bar,
                100.0 * (double)part / (double)progress->total, (unsigned long long)done,
                (unsigned long long)progress->total, rate);
    }
    fputs(progress->terminal ? "\033[K" : "\n", stderr);
}

void progress_show(struct progress *progress, uint64_t done)
{
    uint64_t now = fr_mono_ns();

    if (now - progress->shown_ns < (progress->terminal ? 100000000U : 3000000000U))
        return;
    progress->shown_ns = now;
    draw(progress, done);
}

void progress_end(struct progress *progress, uint64_t done)
{
    draw(progress, done);
    if (progress->terminal)
        fputc('\n', stderr);
    free(progress);
}
