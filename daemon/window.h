/* window.h -- how far the log reaches back before the oldest backup. */
#ifndef WINDOW_H
#define WINDOW_H

#include "freshet/backup.h"
#include "freshet/engine.h"

/* freshet_recovery_window_seconds, as window.c defines it. `backup` may be NULL. Thread: any. */
double recovery_window(const struct backup *backup, const struct partition_status *partitions, size_t len);

/* The gauge, brought up to date before each scrape. Both must outlive window_stop. */
struct window;
struct window *window_start(struct backups *backups, struct engine *engine);
void window_stop(struct window *window);

#endif
