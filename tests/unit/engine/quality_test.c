/*
 * quality_test.c -- windows against looking at all outcomes again, the detector against its definition, both through a store.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adwin.h"
#include "freshet/alloc.h"
#include "freshet/log.h"
#include "freshet/metric.h"
#include "journal_checks.h"
#include "quality.h"

enum { MODELS = 3, MANY = 230000 };
static const char *const names[MODELS] = {"one", "two", "three"};
static const enum score_unit units[MODELS] = {SCORE_WEIGHT, SCORE_ORDERS, SCORE_LOG_ODDS};

struct past {
    struct outcome {
        uint8_t kinds, places[MODELS];
        uint32_t losses[MODELS];
    } *at;
    size_t len;
};

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*random >> 33) % below;
}

static double figure(enum fr_metric family, const char *model, const char *metric, const char *window)
{
    return fr_series_value(fr_series(family, model, metric, window));
}

static double rank_of(uint8_t place)
{
    return (place - 1) / 2.0;
}

static void loss_is(const struct past *past, size_t m, size_t begin, const char *name)
{
    double sum = 0, len = 0;

    for (size_t i = begin; i < past->len; i++) {
        uint32_t loss = past->at[i].losses[m];
        sum += loss == LOSS_UNKNOWN ? 0 : loss / 65536.;
        len += loss != LOSS_UNKNOWN;
    }
    assert_true(len > 0);
    if (units[m] == SCORE_WEIGHT)
        assert_float_equal(figure(FR_M_MODEL_QUALITY, names[m], "rmse", name), sqrt(sum / len), 1e-9);
    if (units[m] == SCORE_LOG_ODDS)
        assert_float_equal(figure(FR_M_MODEL_QUALITY, names[m], "log_loss", name), sum / len, 1e-9);
}

/* What the figures must be, from the last `window` outcomes. */
static void figures_are(const struct past *past, size_t m, size_t window, const char *name)
{
    static const struct {
        unsigned kind;
        const char *suffix;
    } sets[] = {{0, ""}, {KIND_COLD_USER, "_cold_user"}, {KIND_HEAD, "_head"}, {KIND_TAIL, "_tail"}};
    size_t begin = past->len > window ? past->len - window : 0;
    double alone = 0, behind = 0;

    loss_is(past, m, begin, name);
    for (size_t s = 0; s < sizeof(sets) / sizeof(*sets); s++) {
        double all = 0, hits = 0, ndcg = 0, mrr = 0;
        char metric[64];
        for (size_t i = begin; i < past->len; i++) {
            const struct outcome *outcome = &past->at[i];
            uint8_t place = outcome->places[m];
            if (place == PLACE_UNKNOWN || (sets[s].kind && !(outcome->kinds & sets[s].kind)))
                continue;
            all++;
            hits += place != 0;
            ndcg += place ? 1 / log2(rank_of(place) + 2) : 0;
            mrr += place ? 1 / (rank_of(place) + 1) : 0;
        }
        snprintf(metric, sizeof(metric), "hit_rate_10%s", sets[s].suffix);
        assert_float_equal(figure(FR_M_MODEL_QUALITY, names[m], metric, name), hits / all, 1e-12);
        snprintf(metric, sizeof(metric), "ndcg_10%s", sets[s].suffix);
        assert_float_equal(figure(FR_M_MODEL_QUALITY, names[m], metric, name), ndcg / all, 1e-9);
        snprintf(metric, sizeof(metric), "mrr_10%s", sets[s].suffix);
        assert_float_equal(figure(FR_M_MODEL_QUALITY, names[m], metric, name), mrr / all, 1e-9);
    }
    for (size_t i = begin; i < past->len; i++) {
        uint8_t own = past->at[i].places[m], base = past->at[i].places[1];
        alone += own != PLACE_UNKNOWN && own && !base;
        behind += own != PLACE_UNKNOWN && !own && base;
    }
    double apart = fabs(alone - behind) - 1, square = alone + behind >= 100 && apart > 0 ? apart * apart / (alone + behind) : 0;
    if (m != 1)
        assert_float_equal(figure(FR_M_MODEL_MCNEMAR, names[m], name, ""), alone < behind ? -square : square, 1e-9);
}

static void all_are(const struct past *past)
{
    for (size_t m = 0; m < MODELS; m++) {
        figures_are(past, m, 10000, "10000");
        figures_are(past, m, 100000, "100000");
    }
}

static void take(struct quality *quality, struct journal *journal, struct past *past, uint64_t *random)
{
    struct outcome *outcome = &past->at[past->len++];

    outcome->kinds = (uint8_t)draw(random, 16);
    for (uint32_t m = 0; m < MODELS; m++)
        outcome->places[m] = draw(random, 100) < 20 + 2 * m ? (uint8_t)(1 + draw(random, QUALITY_PLACES - 1)) : 0;
    for (uint32_t m = 0; m < MODELS; m++)
        outcome->losses[m] = draw(random, 10) ? draw(random, 1000) ? draw(random, 100000) : LOSS_MOST : LOSS_UNKNOWN;
    if (past->len < 15000)
        outcome->losses[2] = LOSS_UNKNOWN;
    if (past->len < 15000)
        outcome->places[2] = PLACE_UNKNOWN; /* it came later */
    quality_take(quality, outcome->kinds, outcome->places, outcome->losses, journal);
}

static void windows_are_what_looking_again_finds(void **state)
{
    static const size_t looks[] = {50, 9999, 10000, 10001, 99999, 100000, 100001, 150000, MANY};
    struct past past = {calloc(MANY, sizeof(*past.at)), 0};
    struct journal *journal = journal_new();
    struct quality *quality = quality_new(names, units, MODELS, 1);
    uint64_t random = 3;

    (void)state;
    for (size_t l = 0; l < sizeof(looks) / sizeof(*looks); l++) {
        while (past.len < looks[l]) {
            take(quality, journal, &past, &random);
            if (past.len % 1000 == 0)
                journal_reset(journal);
        }
        if (past.len > 15000)
            all_are(&past);
        else
            for (size_t m = 0; m < 2; m++)
                figures_are(&past, m, 10000, "10000");
    }
    quality_free(quality);
    journal_free(journal);
    free(past.at);
}

/* ---- the store ---- */

enum { ROWS = 400, COLUMNS = 256 };
struct kept {
    struct {
        char at[600];
        size_t len;
    } cells[ROWS][COLUMNS];
};

static void keep(struct kept *kept, struct journal *journal)
{
    struct journal_cursor cursor;
    struct journal_op op;

    journal_begin_only(journal, TABLE_QUALITY, &cursor);
    while (journal_next(&cursor, &op)) {
        assert_int_equal(op.kind, JOURNAL_PUT);
        assert_true(op.row < ROWS && op.column < COLUMNS && op.bytes.len <= sizeof(kept->cells[0][0].at));
        memcpy(kept->cells[op.row][op.column].at, op.bytes.at, op.bytes.len);
        kept->cells[op.row][op.column].len = op.bytes.len;
    }
    journal_reset(journal);
}

static bool load(const struct kept *kept, struct quality *quality, struct journal *journal)
{
    for (uint32_t row = 0; row < ROWS; row++) {
        struct fr_bytes cells[COLUMNS];
        uint32_t columns[COLUMNS];
        size_t len = 0;
        for (uint32_t column = 0; column < COLUMNS; column++)
            if (kept->cells[row][column].len) {
                columns[len] = column;
                cells[len++] = (struct fr_bytes){kept->cells[row][column].at, kept->cells[row][column].len};
            }
        if (len && !quality_load(quality, row, columns, cells, len))
            return false;
    }
    quality_loaded(quality, journal);
    return true;
}

static void a_restart_changes_nothing(void **state)
{
    struct past past = {calloc(120000, sizeof(*past.at)), 0};
    struct journal *journal = journal_new(), *other = journal_new();
    struct kept *kept = calloc(1, sizeof(*kept)), *again = calloc(1, sizeof(*again));
    struct quality *quality = quality_new(names, units, MODELS, 1);
    uint64_t random = 4;

    (void)state;
    while (past.len < 104000) {
        take(quality, journal, &past, &random);
        if (past.len % 1000 == 0)
            keep(kept, journal);
    }
    quality_save(quality, journal);
    keep(kept, journal);
    struct quality *loaded = quality_new(names, units, MODELS, 1);
    assert_true(load(kept, loaded, other));
    assert_true(journal_empty(other)); /* nothing has changed */
    all_are(&past);
    memcpy(again, kept, sizeof(*kept));
    for (int i = 0; i < 9000; i++) { /* both go on alike, to the last byte of what they write */
        struct past same = {past.at, past.len};
        uint64_t before = random;
        take(quality, journal, &past, &random);
        take(loaded, other, &same, &before);
    }
    quality_save(quality, journal);
    quality_save(loaded, other);
    keep(kept, journal);
    keep(again, other);
    assert_memory_equal(kept, again, sizeof(*kept));
    all_are(&past);
    quality_free(quality);
    quality_free(loaded);
    journal_free(journal);
    journal_free(other);
    free(kept);
    free(again);
    free(past.at);
}

/* One model goes, one comes, and they stand in another order: outcomes stay whose they were. */
static void models_may_come_and_go_between_starts(void **state)
{
    static const char *const others[] = {"three", "new", "one"};
    static const enum score_unit theirs[] = {SCORE_LOG_ODDS, SCORE_WEIGHT, SCORE_LOG_ODDS}; /* and "one" says something else now */
    const uint32_t parts = 65536;
    struct journal *journal = journal_new();
    struct kept *kept = calloc(1, sizeof(*kept));
    struct quality *quality = quality_new(names, units, MODELS, 1);

    (void)state;
    for (int i = 0; i < 300; i++)
        quality_take(quality, 0, (const uint8_t[]){i % 2, 0, i % 3 == 0}, (const uint32_t[]){4 * parts, 0, 2 * parts}, journal);
    quality_save(quality, journal);
    keep(kept, journal);
    quality_free(quality);
    quality = quality_new(others, theirs, 3, 0);
    assert_true(load(kept, quality, journal));
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "one", "hit_rate_10", "10000"), 1 / 2., 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "three", "hit_rate_10", "10000"), 1 / 3., 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "new", "hit_rate_10", "10000"), 0, 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "three", "log_loss", "10000"), 2, 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "one", "log_loss", "10000"), 0, 1e-12); /* its squares are none */
    quality_take(quality, 0, (const uint8_t[]){1, 1, 1}, (const uint32_t[]){LOSS_UNKNOWN, 9 * parts, parts}, journal);
    quality_save(quality, journal);
    keep(kept, journal); /* all of it, under the new names */
    quality_free(quality);
    quality = quality_new(others, theirs, 3, 0);
    assert_true(load(kept, quality, journal));
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "one", "hit_rate_10", "10000"), 151 / 301., 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "new", "hit_rate_10", "10000"), 1, 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "three", "log_loss", "10000"), 2, 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "new", "rmse", "10000"), 3, 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "one", "log_loss", "10000"), 1, 1e-12);
    quality_free(quality);
    quality = quality_new(others, theirs, 3, 0);
    kept->cells[1][7].at[2] = 21; /* no such place */
    assert_false(load(kept, quality, journal));
    quality_free(quality);
    journal_free(journal);
    free(kept);
}

/* What was written before there were losses. */
static void outcomes_without_losses_are_read(void **state)
{
    const char head[] = "\1\2\0\0\0\2\0\0\0\3one\3two\5three"; /* version, at, filled, names */
    struct journal *journal = journal_new();
    struct kept *kept = calloc(1, sizeof(*kept));
    struct quality *quality = quality_new(names, units, MODELS, 1);

    (void)state;
    memcpy(kept->cells[0][0].at, head, kept->cells[0][0].len = sizeof(head) - 1);
    for (int i = 0; i < 2; i++)
        memcpy(kept->cells[1][i].at, (const char[]){0, 1, 0, (char)i}, kept->cells[1][i].len = 4);
    assert_true(load(kept, quality, journal));
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "three", "hit_rate_10", "10000"), .5, 1e-12);
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "three", "log_loss", "10000"), 0, 1e-12);
    quality_save(quality, journal);
    keep(kept, journal);
    quality_free(quality);
    quality = quality_new(names, units, MODELS, 1);
    assert_true(load(kept, quality, journal)); /* as written today */
    assert_float_equal(figure(FR_M_MODEL_QUALITY, "one", "hit_rate_10", "10000"), 1, 1e-12);
    quality_free(quality);
    journal_free(journal);
    free(kept);
}

/* ---- the detector ---- */

static void a_change_is_found_and_chance_is_not(void **state)
{
    uint64_t random = 9;
    struct adwin_change change;
    int alarms = 0;

    (void)state;
    for (int run = 0; run < 50; run++) { /* a fifth are hits, and stay so: an alarm is chance */
        struct adwin adwin = {0};
        for (int i = 0; i < 20000; i++)
            alarms += adwin_add(&adwin, draw(&random, 5) == 0, &change);
    }
    assert_true(alarms <= 5);
    for (int run = 0; run < 50; run++) { /* a fifth, and then a tenth */
        struct adwin adwin = {0};
        int found = 0;
        for (int i = 0; i < 10000; i++)
            adwin_add(&adwin, draw(&random, 5) == 0, &change);
        for (int i = 0; i < 3000 && !found; i++)
            found = adwin_add(&adwin, draw(&random, 10) == 0, &change);
        assert_true(found);
        assert_true(change.before > change.after);
        assert_true(adwin.width < 10000);
    }
}

static void the_window_holds_what_it_says(void **state)
{
    struct adwin adwin = {0}, read;
    struct adwin_change change;
    uint64_t random = 2, hits = 0, seen = 0;
    struct fr_writer out;

    (void)state;
    fr_writer_init(&out, 0);
    for (int i = 0; i < 5000; i++) {
        bool hit = draw(&random, 4) == 0, changed;
        seen++;
        hits += hit;
        changed = adwin_add(&adwin, hit, &change);
        if (!changed && adwin.width == seen)
            assert_int_equal(adwin.total, hits);
        uint64_t width = 0, total = 0;
        for (int level = 0; level < ADWIN_LEVELS; level++)
            for (int b = 0; b < adwin.len[level]; b++) {
                width += UINT64_C(1) << level;
                total += adwin.sums[level][b];
            }
        assert_true(width == adwin.width && total == adwin.total);
        fr_writer_reset(&out);
        adwin_write(&adwin, &out);
        struct fr_reader in = fr_reader_of(out.at, out.len);
        assert_true(adwin_read(&read, &in));
        assert_true(read.width == adwin.width && read.total == adwin.total && read.ticks == adwin.ticks);
        assert_true(out.len <= 600);
    }
    struct fr_reader cut = fr_reader_of(out.at, out.len - 1);
    assert_false(adwin_read(&read, &cut));
    fr_writer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_what_looking_again_finds),
        cmocka_unit_test(a_restart_changes_nothing),
        cmocka_unit_test(models_may_come_and_go_between_starts),
        cmocka_unit_test(outcomes_without_losses_are_read),
        cmocka_unit_test(a_change_is_found_and_chance_is_not),
        cmocka_unit_test(the_window_holds_what_it_says),
    };
    fr_log_setup(FR_ERROR, FR_LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
