/*
 * fds.h -- standard input, output and error of a process that was started without one of them (`<&-`, `>&-`, `2>&-`).
 */
#ifndef FRESHET_FDS_H
#define FRESHET_FDS_H

#include <stdbool.h>

/*
 * Takes those of 0, 1 and 2 that are closed, which the next file or pipe to be opened would get: what is printed would then be written into
 * it. They stay as good as closed: reading and writing fail with EBADF, so that who cannot say what was asked still knows. A program
 * that calls this has it done before the constructors of its libraries, too: gRPC opens an eventfd in one of them. False, errno: one
 * could not be had. Thread: the only one.
 */
bool fr_fds_take(void);

#endif
