/*
 * admin.h -- HTTP for operators: /metrics, /livez, /readyz, /startupz. The metrics text itself is base's (metric.h).
 */
#ifndef FR_ADMIN_H
#define FR_ADMIN_H

#include "freshet/err.h"
#include "freshet/tokens.h"

struct admin;
/* listen: "127.0.0.1:9464"; port 0 picks one. tokens: borrowed until admin_stop; who has none of them sees the probes only; NULL:
 * anybody sees all. */
int admin_start(struct admin **ret_admin, const char *listen, struct tokens *tokens, struct fr_err *err);
void admin_stop(struct admin *admin);
int admin_port(const struct admin *admin);

#endif
