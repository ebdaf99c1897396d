/*
 * settings.h -- the daemon's configuration, for who runs the engine outside the daemon: what is evaluated is what runs.
 *
 *     defaults  <  a file  <  section.key=value ...        no environment: a command line says all there is to repeat a run
 *
 * Thread: one at a time.
 */
#ifndef FR_SETTINGS_H
#define FR_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/engine.h"

struct settings;
/*
 * `file` may be NULL. `models`: those to run, with commas between, in place of recommend.models, but beside them where the blend is one,
 * since it asks them; NULL: recommend.models. One of recommend.models that does not run then is not the default model either: sar is.
 * NULL if something is wrong: *ret_problems then says what, a line each; the caller's to free.
 */
struct settings *settings_new(const char *file, const char *const *sets, size_t sets_len, const char *models, char **ret_problems);
/* Of the same file and models, with other `sets`: the file as it was then, whatever is in it by now. */
struct settings *settings_again(const struct settings *settings, const char *const *sets, size_t sets_len, char **ret_problems);
void settings_free(struct settings *settings);
/* As the daemon would open it; its texts are borrowed. */
void settings_engine(const struct settings *settings, struct engine_options *ret_options);
/* What numbers a "section.key" takes, `key_len` bytes of it. SETTING_OTHER: none, or nobody here knows. */
enum setting_kind { SETTING_OTHER, SETTING_WHOLE, SETTING_REAL };
enum setting_kind settings_kind(const char *key, size_t key_len);
/* What an event of this type is worth and its index among the types, as feed decides it. False: beyond what an event may weigh. */
bool settings_weigh(const struct settings *settings, struct fr_bytes type, bool has_value, double value, double *ret_weight,
                    uint32_t *ret_type);

#endif
