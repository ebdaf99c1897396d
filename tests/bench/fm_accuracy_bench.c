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
 *   fm_accuracy_bench ratings TRAIN [KEY=VALUE ..] [test=FILE]
 *       TRAIN in order of time with the squared loss, then `fm_rmse` on FILE; without FILE on every tenth event of TRAIN, which
 *       is not learned: validation. Lines as in u.data; the first may be a header
 *   fm_accuracy_bench context TRAIN [KEY=VALUE ..] test=FILE
 *       lines of libFM: label user:1 item:1 and eight of context, the user as one of them. What is labelled 1 in TRAIN is learned in
 *       the order of lines, then `fm_auc`: how often a positive of FILE stands above a negative
 *
 * Keys: dimensions loss (0 softmax, 1 logistic) negatives history recency eta rho g0 deviation second_order seed, see fm.h; order; held;
 * lag: events between publications. Equal scores count half.
 */
#include <string.h>
#include <time.h>

#include "bench.h"
#include "freshet/fm.h"
#include "freshet/model.h"
#include "freshet/topk.h"
#include "measure.h"

enum { HELD_MOST = 200, CONTEXT_MOST = 9, TOP = 10, COLD = 5 };

struct row {
    uint32_t user, item;
    uint64_t when, at; /* ms; line */
    double weight;
    uint64_t context[CONTEXT_MOST];
    uint32_t context_len;
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
    bool burst, ratings;
    const char *path, *test;
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

    bool packed = len > 3 && strcmp(path + len - 3, ".xz") == 0;

    snprintf(command, sizeof(command), "%s '%s'", packed ? "xz -dc" : "cat", path);
    FILE *file = popen(command, "r");
    while (file && getline(&line, &room, file) > 0) {
        char *at = line;
        struct row row = {.user = (uint32_t)strtoul(at, &at, 10), .weight = 1};
        if (at == line)
            continue; /* a header */
        do {
            row.item = (uint32_t)strtoul(at, &at, 10);
            if (!sequences) {
                row.weight = strtod(at, &at);
                row.weight = run->ratings ? row.weight : 1;
                row.when = strtoul(at, &at, 10) * 1000;
            }
            row.at = run->len;
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
    return left->at < right->at ? -1 : left->at > right->at;
}

static void run_begin(struct run *run)
{
    run->epoch = fr_epoch_new();
    run->journal = journal_new();
    run->people = fr_zalloc(run->users, sizeof(*run->people));
    run->users_of_item = fr_zalloc(run->items, sizeof(*run->users_of_item));
    for (uint32_t user = 0; user < run->users; user++)
        run->people[user].had = fr_zalloc(run->items, 1);
    const struct model_host host = {run->epoch, &run->journal, run->users_of_item, &run->items_held, run->items, NULL};
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
                          .fresh = !person->had[row->item],
                          .when = (when_ms)row->when,
                          .weight = row->weight,
                          .draw = run->events++,
                          .context = row->context,
                          .context_len = row->context_len,
                          .history = history_of(person)};

    fm_ops.learn(run->model, &touch);
    uint32_t at = 0; /* where a slot leaves: that of the item, or the oldest of a full history */
    while (at < person->len && person->item[at] != row->item)
        at++;
    if (at == person->len && person->len == HELD_MOST)
        at = 0;
    if (at < person->len) {
        size_t after = --person->len - at;
        memmove(person->item + at, person->item + at + 1, after * sizeof(*person->item));
        memmove(person->stamp + at, person->stamp + at + 1, after * sizeof(*person->stamp));
        memmove(person->affinity + at, person->affinity + at + 1, after * sizeof(*person->affinity));
    }
    person->item[person->len] = row->item;
    person->stamp[person->len] = stamp_of((when_ms)row->when, 1);
    person->affinity[person->len++] = row->weight;
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

    qsort(run->rows, run->len, sizeof(*run->rows), row_compare);
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

/* Learns what is not to be tested, and moves the tests to the end. */
static void rate(struct run *run)
{
    size_t train = run->len, kept = 0;
    double squares = 0, tests = 0, count = 0, mean = 0;

    qsort(run->rows, run->len, sizeof(*run->rows), row_compare);
    if (run->test)
        rows_read(run, run->test, false);
    run_begin(run);
    for (size_t k = 0; k < train; k++) {
        if (!run->test && run->rows[k].at % 10 == 0) {
            run->rows[kept++] = run->rows[k];
            continue;
        }
        mean += run->rows[k].weight;
        count++;
        learn(run, &run->rows[k]);
    }
    publish(run);
    for (size_t k = run->test ? train : 0; k < (run->test ? run->len : kept); k++, tests++) {
        const struct row *row = &run->rows[k];
        struct query query = {.history = history_of(&run->people[row->user]), .items = run->items};
        double value;
        fm_ops.score(run->model, &query, &row->item, 1, &value);
        value = value == 0 ? mean / count : value < 1 ? 1 : value > 5 ? 5 : value;
        squares += (value - row->weight) * (value - row->weight);
    }
    print("fm_rmse", sqrt(squares / tests));
    run_end(run);
}

static void libfm_read(struct run *run, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;

    while (file && getline(&line, &room, file) > 0) {
        char *at = line;
        struct row row = {.weight = strtod(at, &at), .at = run->len};
        for (uint32_t field = 0; *at == ' ' && row.context_len < CONTEXT_MOST; field++) {
            uint32_t feature = (uint32_t)strtoul(at, &at, 10);
            at += strspn(at, ":1");
            if (field == 1)
                row.item = feature;
            else
                row.context[row.context_len++] = feature + UINT64_C(1);
        }
        row.user = (uint32_t)row.context[0] - 1;
        fr_reserve((void **)&run->rows, &run->cap, run->len + 1, sizeof(*run->rows));
        run->rows[run->len++] = row;
        run->users = row.user >= run->users ? row.user + 1 : run->users;
        run->items = row.item >= run->items ? row.item + 1 : run->items;
    }
    free(line);
    if (!file || fclose(file))
        die("%s cannot be read", path);
}

static int ranked_compare(const void *a, const void *b)
{
    const struct fr_ranked *left = a, *right = b;

    return left->score < right->score ? -1 : left->score > right->score;
}

/* Learns the positives, then ranks the labelled rows of the other file among each other. */
static void in_context(struct run *run)
{
    double below = 0, pairs = 0, negatives = 0;

    libfm_read(run, run->path);
    size_t train = run->len;
    libfm_read(run, run->test ? run->test : run->path);
    run->options.features_admit = 1;
    run_begin(run);
    for (size_t k = 0; k < train; k++) {
        if (run->rows[k].weight > 0)
            learn(run, &run->rows[k]);
    }
    publish(run);
    struct fr_ranked *ranked = fr_alloc((run->len - train) * sizeof(*ranked));
    for (size_t k = train; k < run->len; k++) {
        const struct row *row = &run->rows[k];
        struct query query = {.history = history_of(&run->people[row->user]), .items = run->items,
                              .context = row->context, .context_len = row->context_len};
        fm_ops.score(run->model, &query, &row->item, 1, &ranked[k - train].score);
        ranked[k - train].id = row->weight > 0;
    }
    qsort(ranked, run->len - train, sizeof(*ranked), ranked_compare);
    for (size_t k = 0; k < run->len - train; k++) {
        below += ranked[k].id ? negatives : 0;
        negatives += !ranked[k].id;
    }
    pairs = negatives * ((double)(run->len - train) - negatives);
    print("fm_auc", below / pairs);
    free(ranked);
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
    if (strcmp(key, "second_order") == 0)
        o->second_order = value != 0;
    else if (strcmp(key, "seed") == 0)
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
        else if (strcmp(argv[k], "test") == 0)
            run.test = value;
        else
            set(&run, argv[k], strtod(value, NULL));
    }
    run.path = argv[2];
    if (strcmp(argv[1], "context") == 0) {
        in_context(&run);
        return 0;
    }
    run.ratings = strcmp(argv[1], "ratings") == 0;
    if (run.ratings)
        run.options.loss = FM_SQUARED;
    rows_read(&run, argv[2], strcmp(argv[1], "leave-one-out") == 0);
    if (strcmp(argv[1], "prequential") == 0)
        prequential(&run);
    else if (run.ratings)
        rate(&run);
    else
        leave_one_out(&run);
    return 0;
}
