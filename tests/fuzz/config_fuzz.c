/*
 * config_fuzz.c -- any bytes as a configuration file, as an environment and as a --set: read without harm. What is refused leaves
 * a problem and no trace; what is taken is of its kind and in its range, and can be written and taken again. The same bytes as a
 * file of tokens, and as an authorization header: taken, or refused with a word.
 *
 * One configuration serves all inputs that leave it as it was, and is made anew after the others: making one takes longer than
 * reading into it. What comes after reading is daemon/config_random's.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "freshet/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *cfg;
static size_t weights_len; /* of the defaults */

static void read_as_texts(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 9);
    char *environment[] = {text, NULL};

    memcpy(text, "FRESHET_", 8);
    if (size)
        memcpy(text + 8, data, size);
    text[size + 8] = 0;
    config_read_environment(cfg, environment, NULL);
    config_read_setting(cfg, text + 8);
    free(text);
}

/* Its value as text is taken, and is the same text then. */
static void check_taken(enum config_id id)
{
    size_t problems = cfg->problems_len;
    struct fr_writer before, after;

    fr_writer_init(&before, 0);
    fr_writer_init(&after, 0);
    config_value_text(cfg, id, &before);
    fr_put_u8(&before, 0);
    config_put(cfg, config_keys[id].section, config_keys[id].name, before.at, "again");
    config_value_text(cfg, id, &after);
    fr_put_u8(&after, 0);
    assert(cfg->problems_len == problems && strcmp(before.at, after.at) == 0);
    fr_writer_release(&before);
    fr_writer_release(&after);
}

/* Returns whether anything was taken. */
static bool check(void)
{
    bool taken = cfg->kafka_len > 0 || cfg->types_len != weights_len;

    for (size_t i = 0; i < cfg->types_len; i++)
        taken = taken || strcmp(cfg->type_origin[i], "default") != 0;
    for (int id = 0; id < CONFIG_KEYS; id++)
        if (cfg->origin[id]) {
            check_taken(id);
            taken = true;
        }
    assert((cfg->problems_len == 0) == (*config_problems(cfg) == 0));
    return taken;
}

static void read_as_tokens(const uint8_t *data, size_t size)
{
    struct fr_bytes text = {(const char *)data, size}, token;
    struct token_table *table = NULL;
    struct fr_err err = {0};

    if (token_table_parse(&table, "fuzz", text, &err) == FR_OK)
        token_table_free(table);
    else
        assert(!table && strncmp(err.text, "'fuzz' ", 7) == 0);
    if (tokens_bearer(text, &token))
        assert(token.len > 0 && token.len < size && !memchr(token.at, ' ', token.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as_tokens(data, size);
    if (!cfg) {
        cfg = config_new();
        weights_len = cfg->types_len;
    }
    config_read_text(cfg, "fuzz.conf", (const char *)data, size);
    read_as_texts(data, size);
    if (check()) {
        config_free(cfg);
        cfg = NULL;
    } else {
        fr_writer_reset(&cfg->problems);
        cfg->problems_len = 0;
    }
    return 0;
}
