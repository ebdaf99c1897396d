/*
 * ncf_accuracy_bench.c -- how good is what the neural model learns in one pass?
 *
 *   ncf_accuracy_bench SEQUENCES [KEY=VALUE ..]         sequences.txt of MovieLens 1M; may be compressed (.xz)
 *
 * All but each user's last item, in one pass, users interleaved at random (order=burst: one after another). Then
 *
 *   ncf_sampled_hit_rate, _ndcg    the last item among 99 others that the user has not had: share in the first 10. Drawn
 *                                  uniformly; or those published with the NCF paper, and then its items are held out:
 *                                  ratings=ratings.tsv (numbers its items) published=ml-1m.test.negative
 *   ncf_hit_rate, _ndcg            among all items but the user's own
 *
 * held=2: the last but one instead, and the last is not there: validation, on which every choice is made. Equal scores count
 * half. Other keys: the fields of ncf.h but layers; draw: of the order and the 99.
 */
#include <string.h>
#include <time.h>

#include "bench.h"
#include "freshet/model.h"
#include "freshet/ncf.h"
#include "measure.h"

enum { HELD_MOST = 200, TOP = 10, OTHERS = 99 };

struct row {
    uint32_t user, item;
};

struct person {
    uint32_t item[HELD_MOST];
    uint16_t step[HELD_MOST];
    uint64_t stamp[HELD_MOST];
    double affinity[HELD_MOST];
    uint32_t len;
    unsigned char *had; /* [items]; the held one too */
};

struct test {
    struct row row;
    uint32_t other[OTHERS], others_len;
};

struct run {
    struct ncf_options options;
    bool burst;
    uint32_t held;
    uint64_t draw;
    const char *ratings, *published;
    struct row *rows;
    size_t len, cap;
    uint32_t users, items;
    struct person *people;
    struct test *tests;
    size_t tests_len;
    struct fr_epoch *epoch;
    struct journal *journal;
    struct model *model;
    struct scores scores;
    _Atomic uint32_t *users_of_item;
    _Atomic uint32_t items_held;
    uint64_t events;
};

static FILE *open_text(const char *path)
{
    char command[1000];
    size_t len = strlen(path);
    bool packed = len > 3 && strcmp(path + len - 3, ".xz") == 0;

    snprintf(command, sizeof(command), "%s '%s'", packed ? "xz -dc" : "cat", path);
    FILE *file = popen(command, "r");
    if (!file)
        die("%s cannot be read", path);
    return file;
}

static void sequences_read(struct run *run, const char *path)
{
    FILE *file = open_text(path);
    char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, file) > 0) {
        char *at = line;
        struct row row = {.user = (uint32_t)strtoul(at, &at, 10)};
        while (*at == ' ') {
            row.item = (uint32_t)strtoul(at, &at, 10);
            fr_reserve((void **)&run->rows, &run->cap, run->len + 1, sizeof(*run->rows));
            run->rows[run->len++] = row;
            run->users = row.user >= run->users ? row.user + 1 : run->users;
            run->items = row.item >= run->items ? row.item + 1 : run->items;
        }
    }
    free(line);
    if (pclose(file) || !run->len)
        die("%s cannot be read", path);
}

/* ---- what is held out ---- */

/* The `held`th from the end of each user, and none that come after it. */
static void hold_out(struct run *run)
{
    size_t kept = 0;

    for (size_t k = 0; k < run->len; k++) {
        uint32_t after = 0;
        run->people[run->rows[k].user].had[run->rows[k].item] = 1;
        while (after < run->held && k + after + 1 < run->len && run->rows[k + after + 1].user == run->rows[k].user)
            after++;
        if (after >= run->held)
            run->rows[kept++] = run->rows[k];
        else if (after == run->held - 1)
            run->tests[run->tests_len++].row = run->rows[k];
    }
    run->len = kept;
}

static void others_draw(struct run *run)
{
    unsigned char *known = fr_zalloc(run->items, 1);
    uint64_t random = run->draw;

    for (size_t k = 0; k < run->len; k++)
        known[run->rows[k].item] = 1;
    for (size_t k = 0; k < run->tests_len; k++) {
        struct test *test = &run->tests[k];
        unsigned char *had = run->people[test->row.user].had;
        while (test->others_len < OTHERS) {
            uint32_t item = (uint32_t)(bench_random(&random) % run->items);
            if (!known[item] || had[item])
                continue;
            had[item] = 1;
            test->other[test->others_len++] = item;
        }
        for (uint32_t n = 0; n < OTHERS; n++)
            had[test->other[n]] = 0;
    }
    free(known);
}

/* The paper numbers items by their first appearance in the ratings, users from 0. */
static void published_read(struct run *run)
{
    uint32_t *item_of = fr_zalloc(run->items + 5000, sizeof(*item_of)), numbered = 0;
    unsigned char *met = fr_zalloc(run->items + 5000, 1);
    FILE *file = open_text(run->ratings);
    unsigned user, item;
    char *line = NULL;
    size_t room = 0, kept = 0;

    while (fscanf(file, "%u %u %*u", &user, &item) == 2) {
        if (!met[item])
            item_of[numbered++] = item;
        met[item] = 1;
    }
    pclose(file);
    file = open_text(run->published);
    while (getline(&line, &room, file) > 0) {
        struct test *test = &run->tests[run->tests_len++];
        char *at = line + 1;
        test->row.user = (uint32_t)strtoul(at, &at, 10) + 1;
        test->row.item = item_of[strtoul(at + 1, &at, 10)];
        for (at++; *at == '\t' && test->others_len < OTHERS;)
            test->other[test->others_len++] = item_of[strtoul(at, &at, 10)];
    }
    pclose(file);
    for (size_t k = 0; k < run->len; k++) {
        bool held = run->tests[run->rows[k].user - 1].row.item == run->rows[k].item;
        run->people[run->rows[k].user].had[run->rows[k].item] = 1;
        if (!held)
            run->rows[kept++] = run->rows[k];
    }
    run->len = kept;
    free(line);
    free(item_of);
    free(met);
}

/* The users' next rows in a random order that keeps each user's own. */
static void interleave(struct run *run)
{
    size_t *next = fr_zalloc(run->users, sizeof(*next));
    uint32_t *order = fr_alloc(run->len * sizeof(*order));
    struct row *mixed = fr_alloc(run->len * sizeof(*mixed));
    uint64_t random = run->draw + 12345;

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

/* ---- learning and asking ---- */

static struct history history_of(const struct person *person)
{
    return (struct history){person->item, person->step, person->stamp, person->affinity, NULL, person->len};
}

static void learn(struct run *run, const struct row *row)
{
    struct person *person = &run->people[row->user];
    when_ms when = (when_ms)++run->events;
    struct touch touch = {.user = row->user,
                          .item = row->item,
                          .at = person->len,
                          .fresh = true,
                          .when = when,
                          .weight = 1,
                          .draw = run->events,
                          .history = history_of(person)};

    ncf_ops.learn(run->model, &touch);
    if (person->len == HELD_MOST) {
        memmove(person->item, person->item + 1, (HELD_MOST - 1) * sizeof(*person->item));
        memmove(person->stamp, person->stamp + 1, (HELD_MOST - 1) * sizeof(*person->stamp));
        person->len--;
    }
    person->item[person->len] = row->item;
    person->stamp[person->len] = stamp_of(when, 1);
    person->affinity[person->len++] = 1;
}

struct tally {
    double tests, hits, gain;
};

static void tally_rank(struct tally *tally, double rank)
{
    tally->tests++;
    tally->hits += rank <= TOP;
    tally->gain += rank <= TOP ? 1 / log2(1 + rank) : 0;
}

static void ask(struct run *run, const struct test *test, struct tally *sampled, struct tally *full)
{
    const struct person *person = &run->people[test->row.user];
    const struct query query = {.history = history_of(person), .now = (when_ms)run->events, .items = run->items};
    double better = 0, equal = 0;

    scores_reset(&run->scores, run->items);
    ncf_ops.retrieve(run->model, &query, &run->scores);
    const double *value = run->scores.value;
    double target = scores_untouched(value[test->row.item]) ? -INFINITY : value[test->row.item];
    for (uint32_t n = 0; n < test->others_len; n++) {
        double other = scores_untouched(value[test->other[n]]) ? -INFINITY : value[test->other[n]];
        better += other > target;
        equal += other == target && test->other[n] != test->row.item;
    }
    tally_rank(sampled, 1 + better + equal / 2);
    better = equal = 0;
    for (uint32_t item = 0; item < run->items; item++) {
        if (scores_untouched(value[item]) || person->had[item])
            continue;
        better += value[item] > target;
        equal += value[item] == target;
    }
    tally_rank(full, 1 + better + equal / 2);
}

static void print(const char *name, double value)
{
    printf("%s %.4f share - -\n", name, value);
}

static void run_all(struct run *run)
{
    struct tally sampled = {0}, full = {0};

    run->epoch = fr_epoch_new();
    run->journal = journal_new();
    run->users_of_item = fr_zalloc(run->items, sizeof(*run->users_of_item));
    const struct model_host host = {run->epoch, &run->journal, run->users_of_item, &run->items_held, run->items, NULL};
    run->model = ncf_ops.open(&run->options, &host);
    ncf_ops.extend(run->model, run->items);
    scores_init(&run->scores);
    double began = (double)clock() / CLOCKS_PER_SEC;
    for (size_t k = 0; k < run->len; k++)
        learn(run, &run->rows[k]);
    printf("ncf_learn %.3f us/event - -\n", ((double)clock() / CLOCKS_PER_SEC - began) * 1e6 / (double)run->len);
    ncf_ops.publish(run->model);
    for (size_t k = 0; k < run->tests_len; k++)
        ask(run, &run->tests[k], &sampled, &full);
    print("ncf_sampled_hit_rate", sampled.hits / sampled.tests);
    print("ncf_sampled_ndcg", sampled.gain / sampled.tests);
    print("ncf_hit_rate", full.hits / full.tests);
    print("ncf_ndcg", full.gain / full.tests);
    ncf_ops.close(run->model);
    scores_release(&run->scores);
    free((void *)run->users_of_item);
    journal_free(run->journal);
    fr_epoch_free(run->epoch);
}

static void set(struct run *run, const char *key, const char *text)
{
    struct ncf_options *o = &run->options;
    const struct {
        const char *name;
        uint32_t *count;
        double *real;
    } keys[] = {
        {"gmf", &o->gmf, NULL},         {"mlp", &o->mlp, NULL},           {"negatives", &o->negatives, NULL},
        {"history", &o->history, NULL}, {"batch", &o->batch, NULL},       {"held", &run->held, NULL},
        {"recency", NULL, &o->recency}, {"eta", NULL, &o->eta},           {"rho", NULL, &o->rho},
        {"g0", NULL, &o->g0},           {"deviation", NULL, &o->deviation}, {"rate", NULL, &o->rate},
        {"beta1", NULL, &o->beta1},     {"beta2", NULL, &o->beta2},       {"epsilon", NULL, &o->epsilon},
    };

    for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
        if (strcmp(keys[k].name, key) != 0)
            continue;
        if (keys[k].count)
            *keys[k].count = (uint32_t)strtoul(text, NULL, 10);
        else
            *keys[k].real = strtod(text, NULL);
        return;
    }
    if (strcmp(key, "seed") == 0)
        o->seed = strtoull(text, NULL, 10);
    else if (strcmp(key, "draw") == 0)
        run->draw = strtoull(text, NULL, 10);
    else if (strcmp(key, "order") == 0)
        run->burst = strcmp(text, "burst") == 0;
    else if (strcmp(key, "ratings") == 0)
        run->ratings = text;
    else if (strcmp(key, "published") == 0)
        run->published = text;
    else
        die("no key '%s'", key);
}

int main(int argc, char **argv)
{
    struct run run = {.options = ncf_defaults, .held = 1, .draw = 1};

    if (argc < 2)
        die("usage: ncf_accuracy_bench SEQUENCES [KEY=VALUE ..]");
    for (int k = 2; k < argc; k++) {
        char *value = strchr(argv[k], '=');
        if (!value)
            die("'%s' is no KEY=VALUE", argv[k]);
        *value++ = '\0';
        set(&run, argv[k], value);
    }
    if (!run.ratings != !run.published)
        die("ratings and published go together");
    sequences_read(&run, argv[1]);
    run.items += run.published ? 1000 : 0; /* the published ones include items that no sequence has */
    run.people = fr_zalloc(run.users, sizeof(*run.people));
    run.tests = fr_zalloc(run.users, sizeof(*run.tests));
    for (uint32_t user = 0; user < run.users; user++)
        run.people[user].had = fr_zalloc(run.items, 1);
    if (run.published) {
        published_read(&run);
    } else {
        hold_out(&run);
        others_draw(&run);
    }
    if (!run.burst)
        interleave(&run);
    run_all(&run);
    for (uint32_t user = 0; user < run.users; user++)
        free(run.people[user].had);
    free(run.people);
    free(run.tests);
    free(run.rows);
    return 0;
}
