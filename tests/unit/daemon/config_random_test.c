/*
 * config_random_test.c -- whatever is set, in its range, is printed so that it reads back the same.
 *
 * Each seed sets some of the keys to drawn values, hands each module its options, prints the whole, and reads that again. What
 * concerns several keys may be a problem of some draws; those end there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config_reading.h"
#include "sanitized.h"

enum { SEEDS = SANITIZED ? 1000 : 10000 };

static uint64_t random_state;

static uint64_t random_below(uint64_t bound)
{
    random_state += 0x9E3779B97F4A7C15ULL;
    uint64_t z = random_state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return (z ^ z >> 31) % bound;
}

/* ---- values ---- */

static void draw_whole(const struct config_key *key, struct fr_writer *out)
{
    int64_t low = (int64_t)key->low, high = (int64_t)key->high, wide = high - low, value;

    switch (random_below(4)) {
    case 0:
        value = low;
        break;
    case 1:
        value = high;
        break;
    case 2:
        value = low + (int64_t)random_below(wide < 100 ? (uint64_t)wide + 1 : 100);
        break;
    default:
        value = low + (int64_t)random_below((uint64_t)wide + 1);
    }
    if (strcmp(key->section, "fm") == 0 || strcmp(key->section, "ncf") == 0) /* widths are multiples of 16 there */
        value = value - value % 16 < low ? low : value - value % 16;
    fr_put_text(out, "%lld", (long long)value);
}

static void draw_real(const struct config_key *key, struct fr_writer *out)
{
    double part = (double)random_below(1ULL << 53) / (double)(1ULL << 53);
    double value = key->low + (key->high - key->low) * part;

    if (random_below(4) == 0)
        value = random_below(2) ? key->low : key->high;
    config_real_text(value, out);
}

static void draw_choice(const struct config_key *key, struct fr_writer *out)
{
    size_t names = 1;
    const char *at = key->names;

    for (const char *c = key->names; *c; c++)
        names += *c == ' ';
    for (uint64_t skip = random_below(names); skip; skip--)
        at = strchr(at, ' ') + 1;
    fr_put_text(out, "%.*s", (int)strcspn(at, " "), at);
}

/* Letters, and what means something in a file. */
static void draw_text(const struct config_key *key, struct fr_writer *out)
{
    static const char *const parts[] = {"a", "B", "7", "_", "-", ".", "/", " ", "=", ":", "[", "]", "\"", "'", "\\", "%s", "\xc3\xa9"};
    size_t least = (size_t)key->low, most = key->high < 40 ? (size_t)key->high : 40, len = out->len;
    size_t want = least + random_below(most - least + 1);

    while (out->len - len + 2 <= want)
        fr_put_text(out, "%s", parts[random_below(sizeof(parts) / sizeof(*parts))]);
    while (out->len - len < least)
        fr_put_text(out, "z");
}

static void draw_value(const struct config_key *key, struct fr_writer *out)
{
    static const char *const starts[] = {"earliest", "latest", "1700000000000", "2026-11-23", "2026-11-23T10:11:12.123Z"};

    switch (key->kind) {
    case CONFIG_INT:
    case CONFIG_SPAN:
    case CONFIG_SIZE:
        draw_whole(key, out);
        break;
    case CONFIG_REAL:
        draw_real(key, out);
        break;
    case CONFIG_FLAG:
        fr_put_text(out, random_below(2) ? "yes" : "no");
        break;
    case CONFIG_CHOICE:
        draw_choice(key, out);
        break;
    case CONFIG_TEXT:
        draw_text(key, out);
        break;
    case CONFIG_TOPIC:
        fr_put_text(out, "topic-%u.a_b", (unsigned)random_below(1000));
        break;
    case CONFIG_LISTEN:
        fr_put_text(out, "127.0.0.1:%u", (unsigned)random_below(65536));
        break;
    case CONFIG_START:
        fr_put_text(out, "%s", starts[random_below(sizeof(starts) / sizeof(*starts))]);
        break;
    }
    fr_put_u8(out, 0);
}

static bool is_key(int id, const char *section, const char *name)
{
    return strcmp(config_keys[id].section, section) == 0 && strcmp(config_keys[id].name, name) == 0;
}

/* Lists of names that must be known; NULL: the key is none. */
static const char *drawn_names(int id)
{
    static const char *const models[] = {"sar", "sar, fm, auto", "ncf,popular", "ease trending", ""};
    static const char *const types[] = {"", "rating", "purchase, rating,click"};

    if (is_key(id, "recommend", "models"))
        return models[random_below(sizeof(models) / sizeof(*models))];
    if (is_key(id, "weights", "use_value"))
        return types[random_below(sizeof(types) / sizeof(*types))];
    return NULL;
}

static void put_if_empty(struct config *cfg, const char *section, const char *key, const char *value)
{
    if (!*value)
        config_put(cfg, section, key, "a file", "a seed");
}

/* What is worth nothing alone gets what it needs: else seldom a configuration would be whole. */
static void complete(struct config *cfg)
{
    bool admin = *cfg->admin.tls_cert || *cfg->admin.tls_key;

    if (*cfg->serve.tls_cert || *cfg->serve.tls_key || *cfg->serve.tls_client_ca || *cfg->admin.tls_client_ca) {
        put_if_empty(cfg, "serve", "tls_cert", cfg->serve.tls_cert);
        put_if_empty(cfg, "serve", "tls_key", cfg->serve.tls_key);
    }
    if (admin) {
        put_if_empty(cfg, "admin", "tls_cert", cfg->admin.tls_cert);
        put_if_empty(cfg, "admin", "tls_key", cfg->admin.tls_key);
    }
    if (cfg->admin.http_auth)
        put_if_empty(cfg, "serve", "tokens_file", cfg->serve.tokens_file);
}

static struct config *drawn(void)
{
    struct config *cfg = config_new();
    struct fr_writer value;

    fr_writer_init(&value, 0);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        if (random_below(8) || is_key(id, "recommend", "default_model"))
            continue;
        fr_writer_reset(&value);
        draw_value(&config_keys[id], &value);
        const char *names = drawn_names(id);
        config_put(cfg, config_keys[id].section, config_keys[id].name, names ? names : (const char *)value.at, "a seed");
    }
    complete(cfg);
    for (uint64_t types = random_below(4); types; types--) {
        char name[20], weight[40];
        snprintf(name, sizeof(name), "type_%u", (unsigned)random_below(50));
        snprintf(weight, sizeof(weight), "%.17g", ((double)random_below(20001) - 10000) / 7);
        config_put(cfg, "weights", name, weight, "a seed");
    }
    fr_writer_release(&value);
    return cfg;
}

/* ---- there and back ---- */

static const struct config_host host = {.own_broker = true, .models = "sar popular trending fm ncf ease auto"};

static void same_text(const struct config *cfg, const struct config *again)
{
    struct fr_writer one, other;

    fr_writer_init(&one, 0);
    fr_writer_init(&other, 0);
    for (int id = 0; id < CONFIG_KEYS; id++) {
        fr_writer_reset(&one);
        fr_writer_reset(&other);
        config_value_text(cfg, id, &one);
        config_value_text(again, id, &other);
        if (!fr_bytes_equal(fr_written(&one), fr_written(&other)))
            fail_msg("%s.%s: %.*s is read back as %.*s", config_keys[id].section, config_keys[id].name, (int)one.len, one.at,
                     (int)other.len, other.at);
    }
    fr_writer_release(&one);
    fr_writer_release(&other);
}

static void no_difference(void *context, const char *key, bool reloads, const char *old, const char *new)
{
    (void)context, (void)reloads;
    fail_msg("%s: %s is read back as %s", key, old ? old : "none", new ? new : "none");
}

static void there_and_back(const struct config *cfg)
{
    struct config *again = config_new();
    struct fr_writer out;

    fr_writer_init(&out, 0);
    config_print(cfg, &out);
    config_read_text(again, "printed", out.at, out.len);
    config_finish(again, &host);
    assert_string_equal(config_problems(again), "");
    assert_string_equal(again->shape.at, cfg->shape.at);
    same_text(cfg, again);
    config_compare(cfg, again, no_difference, NULL);
    fr_writer_release(&out);
    config_free(again);
}

static void what_is_printed_reads_back_the_same(void **state)
{
    struct engine_options engine;
    struct feed_options feed;
    struct serve_options serve;
    unsigned whole = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        random_state = seed << 20;
        struct config *cfg = drawn();
        config_finish(cfg, &host);
        config_engine_options(cfg, &engine);
        config_feed_options(cfg, &feed);
        config_serve_options(cfg, &serve);
        if (*config_problems(cfg) == 0) {
            there_and_back(cfg);
            whole++;
        }
        config_free(cfg);
    }
    assert_true(whole > SEEDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
