/*
 * sar_property_test.c -- incremental equals a batch recount.
 *
 * A random stream (duplicates, disorder, negative weights, forgotten events, forgotten users) goes to SAR event by
 * event, through the driver. Beside it only a log is kept. At the end everything is worked out again from the log by
 * definition:
 *
 *     C[i][j] = users whose history holds both, at most `window` places apart
 *     score   = sum of affinity * recency^age * similarity
 *
 * and must agree: the counts exactly, from memory and from the journal, the scores within 1e-9 of the sum of their
 * absolute terms. The recount never looks at the driver: it replays each user's log into what is held and where, and
 * counts from there.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal_checks.h"
#include "sanitized.h"
#include "sar_driver.h"

enum { SEEDS = SANITIZED ? 600 : 3000, LOG_MAX = 400, KINDS = SAR_LEXICOGRAPHERS_MI + 1 };

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state += 0x9E3779B97F4A7C15ULL;
    uint64_t z = random_state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return (uint32_t)((z ^ z >> 31) % bound);
}

static bool chance(uint32_t percent)
{
    return random_below(100) < percent;
}

/* ---- the log ---------------------------------------------------------------------------------------------- */

enum what { EVENT, FORGET_EVENT, FORGET_USER };
struct entry {
    enum what what;
    uint32_t user, item;
    when_ms when;
    double weight;
};

struct log {
    struct entry at[LOG_MAX];
    size_t len;
};

/* ---- the recount ------------------------------------------------------------------------------------------ */

/* What one user holds of one item: since which place in the order of arrivals, and which of the log's events. */
struct holding {
    bool held;
    uint32_t place;
    when_ms newest;
    bool counts[LOG_MAX];
};

struct recount {
    struct sar_options options;
    const struct log *log;
    struct holding holding[USERS][ITEMS];
    uint32_t pairs[ITEMS][ITEMS], users_of_item[ITEMS], items_held;
    when_ms now;
};

static void let_go(struct holding *holding)
{
    *holding = (struct holding){.held = false};
}

static void let_oldest_go(struct holding *holdings, uint32_t most)
{
    uint32_t held = 0, oldest = ITEMS;

    for (uint32_t i = 0; i < ITEMS; i++) {
        const struct holding *one = &holdings[i], *old = oldest < ITEMS ? &holdings[oldest] : NULL;
        if (!one->held)
            continue;
        held++;
        if (!old || one->newest < old->newest || (one->newest == old->newest && one->place < old->place))
            oldest = i;
    }
    if (most && held > most)
        let_go(&holdings[oldest]);
}

/* An event that is forgotten is the last one in the log like it that still counts. */
static void forget_one(struct holding *holding, const struct log *log, size_t upto)
{
    const struct entry *gone = &log->at[upto];
    bool any = false;

    for (size_t k = upto; k-- > 0;) {
        const struct entry *entry = &log->at[k];
        if (holding->counts[k] && entry->when == gone->when && entry->weight == gone->weight) {
            holding->counts[k] = false;
            break;
        }
    }
    for (size_t k = 0; k < upto; k++)
        any |= holding->counts[k];
    if (!any)
        let_go(holding);
}

static void replay_user(struct recount *recount, uint32_t user, uint32_t history_max)
{
    struct holding *holdings = recount->holding[user];
    uint32_t arrivals = 0;

    for (size_t k = 0; k < recount->log->len; k++) {
        const struct entry *entry = &recount->log->at[k];
        struct holding *holding = &holdings[entry->item];
        if (entry->user != user)
            continue;
        if (entry->what == FORGET_USER) {
            for (uint32_t i = 0; i < ITEMS; i++)
                let_go(&holdings[i]);
        } else if (entry->what == FORGET_EVENT) {
            forget_one(holding, recount->log, k);
        } else {
            if (!holding->held)
                *holding = (struct holding){.held = true, .place = arrivals++, .newest = entry->when};
            holding->newest = entry->when > holding->newest ? entry->when : holding->newest;
            holding->counts[k] = true;
            recount->now = entry->when > recount->now ? entry->when : recount->now;
            let_oldest_go(holdings, history_max);
        }
    }
}

static uint32_t distance(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

static struct recount *recount_new(const struct log *log, const struct sar_options *options, uint32_t history_max)
{
    struct recount *recount = fr_zalloc(1, sizeof(*recount));

    recount->options = *options;
    recount->log = log;
    for (uint32_t user = 0; user < USERS; user++) {
        replay_user(recount, user, history_max);
        for (uint32_t i = 0; i < ITEMS; i++) {
            const struct holding *a = &recount->holding[user][i];
            recount->users_of_item[i] += a->held;
            for (uint32_t j = 0; a->held && j < ITEMS; j++) {
                const struct holding *b = &recount->holding[user][j];
                bool close = options->window == 0 || distance(a->place, b->place) <= options->window;
                recount->pairs[i][j] += b->held && close && i != j;
            }
        }
    }
    for (uint32_t i = 0; i < ITEMS; i++)
        recount->items_held += recount->users_of_item[i] > 0;
    return recount;
}

/* ---- scores by definition --------------------------------------------------------------------------------- */

static double fading(const struct recount *recount, when_ms when)
{
    double half_lives = (double)(recount->now - when) / (double)recount->options.half_life;
    return recount->options.half_life ? pow(0.5, half_lives) : 1;
}

static double affinity_of(const struct recount *recount, uint32_t user, uint32_t item, bool unit)
{
    double sum = 0;

    for (size_t k = 0; k < recount->log->len; k++) {
        if (recount->holding[user][item].counts[k])
            sum += (unit ? 1 : recount->log->at[k].weight) * fading(recount, recount->log->at[k].when);
    }
    return sum;
}

/* The formulas of the reference, with the threshold on the diagonal; MI without evidence is 0. */
static double likeness(const struct recount *recount, uint32_t i, uint32_t j)
{
    uint32_t threshold = recount->options.threshold;
    double f_i = recount->users_of_item[i], f_j = recount->users_of_item[j], n = recount->items_held;
    double c = i == j ? (recount->options.parity ? f_i : 0) : recount->pairs[i][j];

    c = c < threshold ? 0 : c;
    f_i = f_i < threshold ? 0 : f_i;
    f_j = f_j < threshold ? 0 : f_j;
    if (c == 0 || f_i == 0 || f_j == 0)
        return 0;
    const double table[KINDS] = {
        [SAR_SHRUNK_COSINE] = c / sqrt(f_i * f_j + 400),
        [SAR_JACCARD] = c / (f_i + f_j - c),
        [SAR_COSINE] = c / sqrt(f_i * f_j),
        [SAR_COOCCURRENCE] = c,
        [SAR_LIFT] = c / (f_i * f_j),
        [SAR_INCLUSION] = c / fmin(f_i, f_j),
        [SAR_MUTUAL_INFORMATION] = log2(n * c / (f_i * f_j)),
        [SAR_LEXICOGRAPHERS_MI] = c * log2(n * c / (f_i * f_j)),
    };
    return table[recount->options.similarity];
}

/* Is `a` newer than `b`? Seeds by their last place, before all that is only held. */
static bool newer(const struct holding *holdings, const int *seed_place, uint32_t a, uint32_t b)
{
    if (seed_place[a] != seed_place[b])
        return seed_place[a] > seed_place[b];
    if (holdings[a].newest != holdings[b].newest)
        return holdings[a].newest > holdings[b].newest;
    return holdings[a].place > holdings[b].place;
}

static void check_scores(struct driver *driver, const struct recount *recount, uint32_t user, const struct seed *seeds,
                         size_t seeds_len, bool unit)
{
    const struct sar_options *options = &recount->options;
    const struct holding *holdings = recount->holding[user];
    double weight[ITEMS] = {0}, want[ITEMS] = {0}, size[ITEMS] = {0};
    int seed_place[ITEMS];

    for (uint32_t i = 0; i < ITEMS; i++)
        seed_place[i] = -1;
    for (size_t s = 0; s < seeds_len; s++) {
        seed_place[seeds[s].item] = (int)s;
        weight[seeds[s].item] += (unit ? 1 : seeds[s].weight) * fading(recount, seeds[s].when);
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        uint32_t age = 0;
        if (!holdings[i].held && seed_place[i] < 0)
            continue;
        for (uint32_t other = 0; other < ITEMS; other++)
            age += (holdings[other].held || seed_place[other] >= 0) && newer(holdings, seed_place, other, i);
        if (options->score_last && age >= options->score_last)
            continue;
        weight[i] = (weight[i] + affinity_of(recount, user, i, unit)) * pow(options->recency, age);
        for (uint32_t j = 0; j < ITEMS; j++) {
            want[j] += weight[i] * likeness(recount, i, j);
            size[j] += fabs(weight[i] * likeness(recount, i, j));
        }
    }
    const struct scores *scores = driver_ask(driver, user, seeds, seeds_len, unit);
    for (uint32_t j = 0; j < ITEMS; j++) {
        if (fabs(scores->value[j] - want[j]) > 1e-9 * size[j] + 1e-12)
            fail_msg("item %u: is %.17g, want %.17g", j, scores->value[j], want[j]);
    }
}

/* ---- the journal ------------------------------------------------------------------------------------------ */

struct stored {
    int64_t cell[ITEMS][ITEMS];
    unsigned prunes[ITEMS];
};

/* What a checkpoint does with the journal. */
static void stored_take(struct stored *stored, struct journal *journal)
{
    struct journal_cursor cursor;
    struct journal_op op;

    journal_begin_only(journal, TABLE_PAIRS, &cursor);
    while (journal_next(&cursor, &op)) {
        if (op.kind == JOURNAL_ADDS) {
            for (size_t k = 0; k < op.others_len; k++)
                stored->cell[op.row][op.others[k]] += op.each[k];
            stored->prunes[op.row]++;
        } else if (op.kind == JOURNAL_ADD) {
            stored->cell[op.row][op.column] += op.by;
        } else {
            assert_int_equal(op.kind, JOURNAL_STAR);
            for (size_t k = 0; k < op.others_len; k++) {
                stored->cell[op.row][op.others[k]] += op.by;
                stored->cell[op.others[k]][op.row] += op.by;
            }
        }
    }
    journal_reset(journal);
}

/* A second model, loaded from the store, is the first one. */
static void check_loading(struct driver *driver, const struct stored *stored)
{
    struct driver *other = driver_new(&driver->options, 0);
    uint32_t columns[ITEMS];
    int64_t sums[ITEMS];
    struct model_stats ours, theirs;

    for (uint32_t row = 0; row < ITEMS; row++) {
        size_t len = 0;
        for (uint32_t column = 0; column < ITEMS; column++) {
            columns[len] = column;
            sums[len] = stored->cell[row][column];
            len += stored->cell[row][column] != 0;
        }
        assert_true(sar_ops.tables->load(other->model, row, columns, sums, NULL, len));
        for (uint32_t column = 0; column < ITEMS; column++)
            assert_int_equal(rows_get(other->model->rows, row, column), rows_get(driver->model->rows, row, column));
    }
    sar_ops.stats(driver->model, &ours);
    sar_ops.stats(other->model, &theirs);
    assert_int_equal(ours.pairs, theirs.pairs);
    driver_free(other);
}

/* ---- streams ---------------------------------------------------------------------------------------------- */

/* A few item ids are much more frequent, so that pairs repeat. */
static uint32_t some_item(void)
{
    return random_below(1 + random_below(ITEMS));
}

static const double weights[] = {1, 1, 3, 0.5, -1, 0};

static void new_event(struct driver *driver, struct log *log, when_ms *clock)
{
    struct entry *entry = &log->at[log->len];

    *clock += random_below(4) * 500; /* equal times happen */
    *entry = (struct entry){.what = EVENT, .user = random_below(USERS), .item = some_item(), .when = *clock};
    entry->weight = weights[random_below(6)];
    if (chance(20))
        entry->when = random_below((uint32_t)*clock + 1); /* late, by any time */
    if (chance(15) && log->len && log->at[log->len - 1].what == EVENT)
        *entry = log->at[log->len - 1]; /* the very same again */
    log->len++;
    driver_event(driver, entry->user, entry->item, entry->when, entry->weight);
}

/* Forgets some event that its user's history still counts: it must not be older than the last time the item entered. */
static void forget_event(struct driver *driver, struct log *log)
{
    size_t from = random_below((uint32_t)log->len);
    struct recount *recount = recount_new(log, &driver->options, driver->history_max);
    struct entry gone = log->at[from];

    if (gone.what == EVENT && recount->holding[gone.user][gone.item].counts[from]) {
        gone.what = FORGET_EVENT;
        log->at[log->len++] = gone;
        driver_forget_event(driver, gone.user, gone.item, gone.when, gone.weight);
    }
    free(recount);
}

static void forget_user(struct driver *driver, struct log *log)
{
    uint32_t user = random_below(USERS);

    log->at[log->len++] = (struct entry){.what = FORGET_USER, .user = user};
    driver_forget_user(driver, user);
}

static void run(struct driver *driver, struct log *log, struct stored *stored, bool forgetting)
{
    size_t events = 20 + random_below(LOG_MAX - 20);
    when_ms clock = 1000;

    while (log->len < events) {
        uint32_t dice = random_below(1000);
        if (forgetting && dice < 80 && log->len)
            forget_event(driver, log);
        else if (forgetting && dice < 95)
            forget_user(driver, log);
        else
            new_event(driver, log, &clock);
        if (dice > 950)
            stored_take(stored, driver->journal);
    }
    stored_take(stored, driver->journal);
}

static void check_counts(const struct driver *driver, const struct recount *recount, const struct stored *stored)
{
    struct model_stats stats;
    uint64_t entries = 0;

    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_int_equal(driver->users_of_item[i], recount->users_of_item[i]);
        for (uint32_t j = 0; j < ITEMS; j++) {
            assert_int_equal(rows_get(driver->model->rows, i, j), recount->pairs[i][j]);
            assert_int_equal(stored->cell[i][j], recount->pairs[i][j]);
            entries += recount->pairs[i][j] > 0;
        }
    }
    sar_ops.stats(driver->model, &stats);
    assert_int_equal(stats.pairs, entries);
    assert_int_equal(stats.pruned, 0);
}

static void check_questions(struct driver *driver, const struct recount *recount)
{
    for (unsigned i = 0; i < 4; i++) {
        struct seed seeds[6];
        size_t len = chance(50) ? 0 : random_below(6);
        for (size_t s = 0; s < len; s++) {
            seeds[s] = (struct seed){some_item(), weights[random_below(6)], recount->now};
            if (chance(30))
                seeds[s].when = random_below((uint32_t)recount->now + 1);
        }
        check_scores(driver, recount, random_below(USERS), seeds, len, chance(20));
    }
}

static void one_stream(struct sar_options options, uint32_t history_max)
{
    struct log *log = fr_zalloc(1, sizeof(*log));
    struct stored *stored = fr_zalloc(1, sizeof(*stored));

    options.similarity = (enum sar_similarity)random_below(KINDS);
    options.threshold = chance(60) ? 1 : 1 + random_below(3);
    options.half_life = chance(30) ? 0 : 1 + random_below(200000);
    struct driver *driver = driver_new(&options, history_max);
    run(driver, log, stored, true);
    struct recount *recount = recount_new(log, &options, history_max);
    check_counts(driver, recount, stored);
    check_questions(driver, recount);
    check_loading(driver, stored);
    free(recount);
    driver_free(driver);
    free(stored);
    free(log);
}

static void parity_equals_a_batch_recount(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        random_state = seed;
        one_stream((struct sar_options){.parity = true, .recency = 1}, 0);
    }
}

static void product_equals_a_batch_recount(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        random_state = 1000000 + seed;
        uint32_t history_max = chance(20) ? 0 : 1 + random_below(12);
        struct sar_options options = {.window = random_below(8), .score_last = random_below(7)};
        options.recency = chance(30) ? 1 : 0.5 + random_below(50) / 100.0;
        options.neighbours_max = chance(50) ? 0 : ITEMS; /* a bound that is never met changes nothing */
        one_stream(options, history_max);
    }
}

/*
 * Pruning loses counts, but not without bound. A prune keeps the `most` largest entries, so it drops none above
 * total(row) / (most + 1); without forgetting, an entry therefore lacks at most the number of its row's prunes times
 * that. With forgetting a count never exceeds the truth. A row that was never pruned is exact. Whatever was lost, store
 * and memory agree.
 */
static void pruned_rows_stay_within_bounds(void **state)
{
    unsigned prunes = 0, exact = 0;

    (void)state;
    for (unsigned seed = 0; seed < SEEDS / 3; seed++) {
        random_state = 2000000 + seed;
        struct log *log = fr_zalloc(1, sizeof(*log));
        struct stored *stored = fr_zalloc(1, sizeof(*stored));
        uint32_t most = 2 + random_below(8), history_max = chance(50) ? 0 : 4 + random_below(8);
        bool forgetting = chance(50);
        struct sar_options options = {
            .parity = true, .threshold = 1, .recency = 1, .window = random_below(8), .neighbours_max = most};
        struct driver *driver = driver_new(&options, forgetting ? history_max : 0);
        run(driver, log, stored, forgetting);
        struct recount *recount = recount_new(log, &options, driver->history_max);
        for (uint32_t i = 0; i < ITEMS; i++) {
            uint32_t total = 0;
            assert_true(rows_len(driver->model->rows, i) * 2 <= most * 3);
            for (uint32_t j = 0; j < ITEMS; j++)
                total += recount->pairs[i][j];
            for (uint32_t j = 0; j < ITEMS; j++) {
                uint32_t have = rows_get(driver->model->rows, i, j), truth = recount->pairs[i][j];
                assert_int_equal(stored->cell[i][j], have);
                assert_true(have <= truth);
                if (!forgetting)
                    assert_true((truth - have) * (most + 1) <= stored->prunes[i] * total);
                if (!stored->prunes[i])
                    assert_int_equal(have, truth);
            }
            prunes += stored->prunes[i];
            exact += !stored->prunes[i] && total;
        }
        struct model_stats stats;
        sar_ops.stats(driver->model, &stats);
        check_loading(driver, stored);
        free(recount);
        driver_free(driver);
        free(stored);
        free(log);
    }
    assert_true(prunes > SEEDS / 3 && exact > SEEDS / 3); /* both kinds of rows were met */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parity_equals_a_batch_recount),
        cmocka_unit_test(product_equals_a_batch_recount),
        cmocka_unit_test(pruned_rows_stay_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
