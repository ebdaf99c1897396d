/*
 * fm_accuracy_bench.c -- how good is what the factorization machine learns in one pass? Ranked among all items, no sampling.
 *
 *   fm_accuracy_bench prequential FILE [KEY=VALUE ..]     FILE: u.data of MovieLens 100K; may be compressed (.xz)
 *       events in order of time, each is a positive; before it is learned, its item is ranked among all items seen so far but
 *       the user's own. An item nobody has met before is a miss. `fm_recall`: share ranked in the first 10; `fm_recall_cold`:
 *       of users with less than 5 events
 *   fm_accuracy_bench leave-one-out FILE [KEY=VALUE ..]   FILE: sequences.txt of MovieLens 1M; may be compressed
 *       all but each user's last item, in one pass, users interleaved at random (order=burst: one after another); then the last
 *       is ranked among all items but the user's own. held=2: the last but one instead, and the last is not there: validation
 *
 * Keys: dimensions loss (0 softmax, 1 logistic) negatives history recency eta rho g0 deviation seed, see fm.h; order; held;
 * lag: events between publications. Equal scores count half.
 */
#include <string.h>
#include <time.h>

#include "bench.h"
#include "freshet/fm.h"
#include "freshet/model.h"
#include "measure.h"

enum { HELD_MOST = 200, TOP = 10, COLD = 5 };

struct row {
    uint32_t user, item;
    uint64_t when;
};

struct person {
    uint32_t item[HELD_MOST];
    uint16_t step[HELD_MOST];
    uint64_t stamp[HELD_MOST];
    double affinity[HELD_MOST];
    uint32_t len;
    unsigned char *had; /* [items] */
};

struct run {
    struct fm_options options;
    bool burst;
    uint32_t held, lag;
    struct row *rows;
    size_t len, cap;
    uint32_t users, items;
    struct person *people;
    struct fr_epoch *epoch;
    struct journal *journal;
    struct model *model;
    struct scores scores;
    _Atomic uint32_t *users_of_item;
    _Atomic uint32_t items_held;
    uint64_t events;
};

static void rows_read(struct run *run, const char *path, bool sequences)
{
    char command[1000], *line = NULL;
    size_t room = 0, len = strlen(path);

    snprintf(command, sizeof(command), "%s '%s'", len > 3 && strcmp(path + len - 3, ".xz") == 0 ? "xz -dc" : "cat", path);
    FILE *file = popen(command, "r");
    while (file && getline(&line, &room, file) > 0) {
        char *at = line;
        struct row row = {(uint32_t)strtoul(at, &at, 10), 0, 0};
        do {
            row.item = (uint32_t)strtoul(at, &at, 10);
            if (!sequences) {
                strtoul(at, &at, 10);
                row.when = strtoul(at, &at, 10) * 1000;
            }
            fr_reserve((void **)&run->rows, &run->cap, run->len + 1, sizeof(*run->rows));
            run->rows[run->len++] = row;
            run->users = row.user >= run->users ? row.user + 1 : run->users;
            run->items = row.item >= run->items ? row.item + 1 : run->items;
        } while (sequences && *at == ' ');
    }
    free(line);
    if (!file || pclose(file) || !run->len)
        die("%s cannot be read", path);
}

static int row_compare(const void *a, const void *b)
{
    const struct row *left = a, *right = b;

    if (left->when != right->when)
        return left->when < right->when ? -1 : 1;
    return 0;
}

static void run_begin(struct run *run)
{
    run->epoch = fr_epoch_new();
    run->journal = journal_new();
    run->people = fr_zalloc(run->users, sizeof(*run->people));
    run->users_of_item = fr_zalloc(run->items, sizeof(*run->users_of_item));
    for (uint32_t user = 0; user < run->users; user++)
        run->people[user].had = fr_zalloc(run->items, 1);
    const struct model_host host = {run->epoch, &run->journal, run->users_of_item, &run->items_held, run->items};
    run->model = fm_ops.open(&run->options, &host);
    fm_ops.extend(run->model, run->items);
    scores_init(&run->scores);
}

static void run_end(struct run *run)
{
    fm_ops.close(run->model);
    scores_release(&run->scores);
    for (uint32_t user = 0; user < run->users; user++)
        free(run->people[user].had);
    free(run->people);
    free((void *)run->users_of_item);
    free(run->rows);
    journal_free(run->journal);
    fr_epoch_free(run->epoch);
}

static struct history history_of(const struct person *person)
{
    return (struct history){person->item, person->step, person->stamp, person->affinity, NULL, person->len};
}

static void learn(struct run *run, const struct row *row)
{
    struct person *person = &run->people[row->user];
    struct touch touch = {.user = row->user,
                          .item = row->item,
                          .at = person->len,
                          .fresh = true,
                          .when = (when_ms)row->when,
                          .weight = 1,
                          .draw = run->events++,
                          .history = history_of(person)};

    fm_ops.learn(run->model, &touch);
    if (person->len == HELD_MOST) {
        memmove(person->item, person->item + 1, (HELD_MOST - 1) * sizeof(*person->item));
        memmove(person->stamp, person->stamp + 1, (HELD_MOST - 1) * sizeof(*person->stamp));
        person->len--;
    }
    person->item[person->len] = row->item;
    person->stamp[person->len] = stamp_of((when_ms)row->when, 1);
    person->affinity[person->len++] = 1;
    person->had[row->item] = 1;
    if (run->users_of_item[row->item]++ == 0)
        run->items_held++;
}

/* Rank of the item among those the user has not had, 1 the best; equals count half. */
static double rank_of(struct run *run, const struct row *row)
{
    const struct person *person = &run->people[row->user];
    struct query query = {.history = history_of(person), .now = (when_ms)row->when, .items = run->items};
    const double *value = run->scores.value;
    double better = 0, equal = 0;

    scores_reset(&run->scores, run->items);
    value = run->scores.value;
    fm_ops.retrieve(run->model, &query, &run->scores);
    double target = value[row->item];
    if (scores_untouched(target))
        return run->items;
    for (uint32_t item = 0; item < run->items; item++) {
        if (scores_untouched(value[item]) || person->had[item] || item == row->item)
            continue;
        better += value[item] > target;
        equal += value[item] == target;
    }
    return 1 + better + equal / 2;
}

static void publish(struct run *run)
{
    fm_ops.publish(run->model);
    fr_epoch_reclaim(run->epoch);
}

static void print(const char *name, double value)
{
    printf("%s %.4f share - -\n", name, value);
}

static void prequential(struct run *run)
{
    double hits = 0, gain = 0, cold_hits = 0, cold = 0, recent_hits = 0;

    qsort(run->rows, run->len, sizeof(*run->rows), row_compare); /* glibc's: stable, as the file has it */
    run_begin(run);
    for (size_t k = 0; k < run->len; k++) {
        if (k % run->lag == 0)
            publish(run);
        double rank = rank_of(run, &run->rows[k]);
        bool hit = rank <= TOP, is_cold = run->people[run->rows[k].user].len < COLD;
        hits += hit;
        gain += hit ? 1 / log2(1 + rank) : 0;
        cold += is_cold;
        cold_hits += is_cold && hit;
        recent_hits += hit && k * 2 >= run->len;
        learn(run, &run->rows[k]);
    }
    print("fm_recall", hits / (double)run->len);
    print("fm_recall_second_half", recent_hits / ((double)run->len / 2));
    print("fm_ndcg", gain / (double)run->len);
    print("fm_recall_cold", cold_hits / cold);
    run_end(run);
}

/* The users' next rows in a random order that keeps each user's own. */
static void interleave(struct run *run)
{
    size_t *next = fr_zalloc(run->users, sizeof(*next));
    uint32_t *order = fr_alloc(run->len * sizeof(*order));
    struct row *mixed = fr_alloc(run->len * sizeof(*mixed));
    uint64_t random = 12345;

    for (size_t k = run->len; k-- > 0;)
        next[run->rows[k].user] = k; /* a user's rows stand together */
    for (size_t k = 0; k < run->len; k++) {
        size_t other = (size_t)(bench_random(&random) % (k + 1));
        order[k] = order[other];
        order[other] = run->rows[k].user;
    }
    for (size_t k = 0; k < run->len; k++)
        mixed[k] = run->rows[next[order[k]]++];
    free(next);
    free(order);
    free(run->rows);
    run->rows = mixed;
    run->cap = run->len;
}

/* Takes the held rows out, the `held`th from the end of each user into `tests`. */
static size_t hold_out(struct run *run, struct row *tests)
{
    size_t kept = 0, tests_len = 0;

    for (size_t k = 0; k < run->len; k++) {
        uint32_t after = 0;
        while (after < run->held && k + after + 1 < run->len && run->rows[k + after + 1].user == run->rows[k].user)
            after++;
        if (after >= run->held)
            run->rows[kept++] = run->rows[k];
        else if (after == run->held - 1)
            tests[tests_len++] = run->rows[k];
    }
    run->len = kept;
    return tests_len;
}

static void leave_one_out(struct run *run)
{
    struct row *tests = fr_alloc(run->users * sizeof(*tests));
    size_t tests_len = hold_out(run, tests);
    double hits = 0, gain = 0;

    if (!run->burst)
        interleave(run);
    for (size_t k = 0; k < run->len; k++)
        run->rows[k].when = k + 1;
    run_begin(run);
    double began = (double)clock() / CLOCKS_PER_SEC;
    for (size_t k = 0; k < run->len; k++)
        learn(run, &run->rows[k]);
    printf("fm_learn %.3f us/event - -\n", ((double)clock() / CLOCKS_PER_SEC - began) * 1e6 / (double)run->len);
    publish(run);
    for (size_t k = 0; k < tests_len; k++) {
        double rank = rank_of(run, &tests[k]);
        hits += rank <= TOP;
        gain += rank <= TOP ? 1 / log2(1 + rank) : 0;
    }
    print("fm_hit_rate", hits / (double)tests_len);
    print("fm_ndcg", gain / (double)tests_len);
    free(tests);
    run_end(run);
}

static void set(struct run *run, const char *key, double value)
{
    struct fm_options *o = &run->options;
    const struct {
        const char *name;
        uint32_t *count;
        double *real;
    } keys[] = {
        {"dimensions", &o->dimensions, NULL}, {"negatives", &o->negatives, NULL}, {"history", &o->history, NULL},
        {"held", &run->held, NULL},           {"lag", &run->lag, NULL},           {"recency", NULL, &o->recency},
        {"eta", NULL, &o->eta},               {"rho", NULL, &o->rho},             {"g0", NULL, &o->g0},
        {"deviation", NULL, &o->deviation},
    };

    for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
        if (strcmp(keys[k].name, key) != 0)
            continue;
        if (keys[k].count)
            *keys[k].count = (uint32_t)value;
        else
            *keys[k].real = value;
        return;
    }
    if (strcmp(key, "seed") == 0)
        o->seed = (uint64_t)value;
    else if (strcmp(key, "loss") == 0)
        o->loss = (enum fm_loss)value;
    else
        die("no key '%s'", key);
}

int main(int argc, char **argv)
{
    struct run run = {.options = fm_defaults, .held = 1, .lag = 1};

    if (argc < 3)
        die("usage: fm_accuracy_bench prequential|leave-one-out FILE [KEY=VALUE ..]");
    for (int k = 3; k < argc; k++) {
        char *value = strchr(argv[k], '=');
        if (!value)
            die("'%s' is no KEY=VALUE", argv[k]);
        *value++ = '\0';
        if (strcmp(argv[k], "order") == 0)
            run.burst = strcmp(value, "burst") == 0;
        else
            set(&run, argv[k], strtod(value, NULL));
    }
    rows_read(&run, argv[2], strcmp(argv[1], "leave-one-out") == 0);
    if (strcmp(argv[1], "prequential") == 0)
        prequential(&run);
    else
        leave_one_out(&run);
    return 0;
}
