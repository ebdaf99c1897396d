/*
 * wrote.c -- why stdout could not be written: a stream knows that it could not, and errno is of somebody else by the end of a verb.
 */
#include <errno.h>
#include <stdio.h>

#include "cli.h"

static int first;

void cli_wrote(void)
{
    if (ferror(stdout) && !first)
        first = errno;
}

int cli_wrote_errno(void)
{
    return first;
}
