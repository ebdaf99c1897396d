/*
 * progress.c -- how far, how fast: a bar that is redrawn on a terminal, a line every few seconds elsewhere. On stderr.
 *
 *     publishing  [###########         ]  56 %  229,000 of 406,829   181,000/s         a bar that is shorter where the terminal is narrow
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "cli.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"

enum { BAR = 30 };

struct progress {
    const char *what;
    uint64_t total, began_ns, shown_ns;
    bool terminal;
};

static bool stands; /* a bar in the line at which the cursor is */

struct progress *progress_new(const char *what, uint64_t total)
{
    struct progress *progress = fr_zalloc(1, sizeof(*progress));

    progress->what = what;
    progress->total = total;
    progress->began_ns = progress->shown_ns = fr_mono_ns();
    progress->terminal = cli_terminal(stderr);
    return progress;
}

/* What a line of the terminal holds without going on in the next one; INT_MAX: there is none, or it does not know. */
static int columns(const struct progress *progress)
{
    struct winsize size = {0};

    return progress->terminal && !ioctl(fileno(stderr), TIOCGWINSZ, &size) && size.ws_col ? size.ws_col - 1 : INT_MAX;
}

static void draw(struct progress *progress, uint64_t done)
{
    uint64_t spent = fr_mono_ns() - progress->began_ns;
    double rate = spent ? (double)done * 1e9 / (double)spent : 0;
    int room = columns(progress), len;
    char line[200];

    if (!progress->total) {
        len = snprintf(line, sizeof(line), "%s  %llu  %.0f/s", progress->what, (unsigned long long)done, rate);
    } else {
        uint64_t part = done < progress->total ? done : progress->total;
        char numbers[100], bar[BAR + 1];
        double share = (double)part / (double)progress->total;
        len = snprintf(numbers, sizeof(numbers), "%3.0f %%  %llu of %llu  %.0f/s", 100 * share, (unsigned long long)done,
                       (unsigned long long)progress->total, rate);
        int rest = room - len - snprintf(NULL, 0, "%-10s [] ", progress->what), width = rest < 0 ? 0 : rest < BAR ? rest : BAR;
        for (int i = 0; i < width; i++)
            bar[i] = i < share * width ? '#' : ' ';
        bar[width] = '\0';
        len = snprintf(line, sizeof(line), "%-10s [%s] %s", progress->what, bar, numbers);
    }
    fprintf(stderr, progress->terminal ? "\r%.*s\033[K" : "%.*s\n", len < room ? len : room, line);
    stands = progress->terminal;
}

void progress_make_way(void)
{
    if (stands)
        fputs("\r\033[K", stderr);
    stands = false;
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
    stands = false;
    free(progress);
}
