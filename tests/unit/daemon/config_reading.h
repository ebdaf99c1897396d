/*
 * config_reading.h -- a text read as a configuration, for the tests of config*.c. Include cmocka first.
 */
#ifndef CONFIG_READING_H
#define CONFIG_READING_H

#include "config.h"
#include "freshet/alloc.h"

static const struct config_host quiet = {.own_broker = true}; /* asks for no bootstrap.servers */

static inline struct config *read_text(const char *text)
{
    struct config *cfg = config_new();

    config_read_text(cfg, "test.conf", text, strlen(text));
    return cfg;
}

static inline struct config *finished(const char *text)
{
    struct config *cfg = read_text(text);

    config_finish(cfg, &quiet);
    return cfg;
}

/* Exactly these problems and no others. */
static inline void assert_problem(const char *text, const char *problem)
{
    struct config *cfg = finished(text);

    assert_string_equal(config_problems(cfg), problem);
    config_free(cfg);
}

static inline void assert_good(const char *text)
{
    assert_problem(text, "");
}

#endif
