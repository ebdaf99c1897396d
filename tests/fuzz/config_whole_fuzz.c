/*
 * config_whole_fuzz.c -- any bytes as a configuration file, all the way: it is finished, gives each module its options, prints and
 * is compared with the defaults. A printed configuration without [kafka] reads back without problems, and shapes the same state,
 * when there were none.
 *
 * Inputs that nothing is taken of end early: what follows would be the defaults'.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct config_host host = {.own_broker = true, .models = "sar popular trending ease fm ncf auto"};
static struct config *standard; /* finished */
static struct config *cfg;      /* the next input's */

static void ignore(void *context, const char *key, bool reloads, const char *old, const char *new)
{
    (void)context, (void)key, (void)reloads, (void)old, (void)new;
}

static bool taken_anything(void)
{
    bool taken = cfg->kafka_len > 0 || cfg->types_len != standard->types_len;

    for (size_t i = 0; i < cfg->types_len; i++)
        taken = taken || strcmp(cfg->type_origin[i], "default") != 0;
    for (int id = 0; id < CONFIG_KEYS; id++)
        taken = taken || cfg->origin[id];
    return taken;
}

static void read_again(const struct fr_writer *printed)
{
    struct config *again = config_new();

    config_read_text(again, "printed", printed->at, printed->len);
    config_finish(again, &host);
    if (*config_problems(again) != 0 || strcmp(again->shape.at, cfg->shape.at) != 0) {
        fprintf(stderr, "%.*s\n%s", (int)printed->len, printed->at, config_problems(again));
        abort();
    }
    config_free(again);
}

static void go_all_the_way(bool from_defaults)
{
    struct engine_options engine;
    struct feed_options feed;
    struct serve_options serve;
    struct fr_writer out;

    fr_writer_init(&out, 0);
    config_finish(cfg, &host);
    config_engine_options(cfg, &engine);
    config_feed_options(cfg, &feed);
    config_serve_options(cfg, &serve);
    config_print(cfg, &out);
    if (*config_problems(cfg) == 0 && cfg->kafka_len == 0)
        read_again(&out);
    config_compare(from_defaults ? standard : cfg, from_defaults ? cfg : standard, ignore, NULL);
    fr_writer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!standard) {
        standard = config_new();
        config_finish(standard, &host);
        cfg = config_new();
    }
    config_read_text(cfg, "fuzz.conf", (const char *)data, size);
    if (taken_anything()) {
        go_all_the_way(size % 2);
        config_free(cfg);
        cfg = config_new();
    } else {
        fr_writer_reset(&cfg->problems);
        cfg->problems_len = 0;
    }
    return 0;
}
