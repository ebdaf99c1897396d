/*
 * config_fuzz.c -- any bytes as a configuration file, as an environment and as a --set: read without harm, and what was
 * taken prints, shapes and compares. A printed configuration without [kafka] reads back without problems when there
 * were none.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *context, const char *key, bool reloads, const char *old, const char *new)
{
    (void)context, (void)key, (void)reloads, (void)old, (void)new;
}

static void read_as_texts(struct config *cfg, const uint8_t *data, size_t size)
{
    char *text = malloc(size + 9);
    char *environment[] = {text, NULL};

    memcpy(text, "FRESHET_", 8);
    memcpy(text + 8, data, size);
    text[size + 8] = 0;
    config_read_environment(cfg, environment);
    config_read_setting(cfg, text + 8);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_host host = {.own_broker = true, .models = "sar"};
    struct config *cfg = config_new(), *other = config_new(), *again = config_new();
    struct engine_options engine;
    struct feed_options feed;
    struct serve_options serve;
    struct fr_writer out;

    fr_writer_init(&out, 0);
    config_read_text(cfg, "fuzz.conf", (const char *)data, size);
    config_finish(cfg, &host);
    config_engine_options(cfg, &engine);
    config_feed_options(cfg, &feed);
    config_serve_options(cfg, &serve);
    config_print(cfg, &out);
    if (*config_problems(cfg) == 0 && cfg->kafka_len == 0) {
        config_read_text(again, "printed", out.at, out.len);
        config_finish(again, &host);
        if (*config_problems(again) != 0 || strcmp(again->shape.at, cfg->shape.at) != 0) {
            fprintf(stderr, "%.*s\n%s", (int)out.len, out.at, config_problems(again));
            abort();
        }
    }
    read_as_texts(other, data, size);
    config_finish(other, &host);
    config_compare(cfg, other, ignore, NULL);
    config_free(cfg);
    config_free(other);
    config_free(again);
    fr_writer_release(&out);
    return 0;
}
