/* offline.h -- freshetd --restore and --verify: what is done to backups while no daemon runs. */
#ifndef OFFLINE_H
#define OFFLINE_H

#include "freshetd.h"

/* With the configuration read; returns the exit code. What is found goes to stdout, what fails to stderr. */
int offline(struct freshetd *d);

#endif
