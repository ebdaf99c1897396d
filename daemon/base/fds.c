/*
 * fds.c -- see fds.h. A path that is opened as a place alone takes a number, and can be neither read nor written.
 */
#include "freshet/fds.h"

#include <fcntl.h>
#include <unistd.h>

bool fr_fds_take(void)
{
    int got;

    do
        got = open("/", O_PATH); /* the lowest number that is free */
    while (got >= 0 && got <= STDERR_FILENO);
    return got >= 0 && close(got) == 0;
}

static void first(void)
{
    fr_fds_take(); /* if not, who calls it hears so */
}

__attribute__((section(".preinit_array"), used)) static void (*before_libraries)(void) = first;
