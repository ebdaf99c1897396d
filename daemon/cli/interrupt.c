/*
 * interrupt.c -- a first SIGINT or SIGTERM ends the reading of a file, a second one the program.
 *
 *     file --read()--> buffer --> lines          the signal puts /dev/null in the place of the file: who reads, or waits to, comes to its end
 *
 * So no signal is too early for a read() that begins behind it. What is left in the buffer counts as not read.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli.h"

static const int signals[] = {SIGINT, SIGTERM};
enum { SIGNALS = sizeof(signals) / sizeof(*signals) };

static volatile sig_atomic_t came; /* its number */
static volatile int reading, nothing;

static void put_end(int number)
{
    int known = errno;

    came = number;
    interrupt_over();
    dup2(nothing, reading);
    errno = known;
}

void interrupt_ends(FILE *file)
{
    const struct sigaction action = {.sa_handler = put_end, .sa_flags = SA_RESTART}; /* a read that waits goes on, in /dev/null */

    reading = fileno(file);
    nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int s = 0; nothing >= 0 && s < SIGNALS; s++) {
        struct sigaction before;
        if (!sigaction(signals[s], NULL, &before) && before.sa_handler != SIG_IGN) /* as nohup has it: then it is not for this program */
            sigaction(signals[s], &action, NULL);
    }
}

bool interrupt_came(void)
{
    return came;
}

void interrupt_over(void)
{
    for (int s = 0; s < SIGNALS; s++) {
        struct sigaction now;
        if (!sigaction(signals[s], NULL, &now) && now.sa_handler == put_end)
            signal(signals[s], SIG_DFL);
    }
}

void interrupt_obey(void)
{
    interrupt_over();
    if (came)
        raise(came);
}
