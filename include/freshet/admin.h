/*
 * admin.h -- HTTP for operators: /metrics, /livez, /readyz, /startupz, and at / a page that shows how all is. The metrics text itself
 * is base's (metric.h).
 *
 * The page's history is sampled from admin_start on; what it asks the engine for is there from admin_attach to admin_detach.
 */
#ifndef FR_ADMIN_H
#define FR_ADMIN_H

#include "freshet/clock.h"
#include "freshet/err.h"

struct engine;
struct tokens;

struct admin_options {
    const char *listen;   /* "127.0.0.1:9464"; port 0 picks one */
    span_ms history_step; /* between two samples of the page's charts */
    struct tokens *tokens; /* borrowed until admin_stop; who has none of them sees the probes only; NULL: anybody sees all */
};
/* What the page tells of the daemon; borrowed until admin_detach. */
struct admin_about {
    const char *version, *brokers, *topic;
};

struct admin;
int admin_start(struct admin **ret_admin, const struct admin_options *options, struct fr_err *err); /* FR_INVALID, FR_IO: `listen` */
void admin_stop(struct admin *admin);
void admin_attach(struct admin *admin, struct engine *engine, const struct admin_about *about);
void admin_detach(struct admin *admin); /* waits for a question under way */
int admin_port(const struct admin *admin);

#endif
