/*
 * kept_store_test.c -- the stores of earlier versions, kept in tests/data, are loaded and answer as they did.
 *
 *     tests/data/store-v0.1/store/...      a RocksDB directory
 *     tests/data/store-v0.1/expected.txt   what the engine that wrote it says: positions, dead letters, every user, every item
 *     tests/data/store-v0.1-unprinted/     the same from before positions had fingerprints, and the store a cluster and holes
 *
 * What is in it: positions with and without the fingerprint of a last record, a hole, the cluster's id; histories, some of them at
 * their bound; pairs, as bases and deltas; a window of event ids; two dead letters that Kafka never acknowledged.
 *
 * Said anew since: a user's events, which were all that ever came, are those on items that are held.
 *
 * ops/dev/make-kept-store makes one: this program called with "make" and a folder.
 */
#include <dirent.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "engine_world.h"
#include "folder.h"
#include "freshet/codec.h"
#include "freshet/ease.h"
#include "freshet/fm.h"
#include "freshet/store.h"
#include "freshet/trending.h"

enum { USERS = 30, ITEMS = 20, ROUNDS = 6, PER_ROUND = 80 };

/* What runs beside SAR by default, and answers; none of it did when the kept stores were made. */
static const struct trending_options trending = {7 * DAY};
static const struct ease_options ease = {.lambda = 300, .recency = .8, .items_max = 4000, .refresh_percent = 5, .refresh_interval = 600000};
static const struct engine_model others[] = {{"popular", NULL}, {"trending", &trending}, {"fm", &fm_defaults}, {"ease", &ease}, {ENGINE_BLEND, NULL}};
static bool by_default;

/* Fixed for good: other numbers here would be another shape, and the kept stores could not be loaded. */
static struct engine_options options(void)
{
    return (struct engine_options){
        .history_max = 8,
        .users_max = 10000,
        .items_max = 10000,
        .dedup_window = 3600000,
        .dedup_max = 1000,
        .uncommitted_mb_max = 64,
        .outbox_mb_max = 16,
        .checkpoint_interval = 600000, /* only when asked */
        .wal_sync_interval = 1,
        .similar_work_max = 1000000,
        .types = types,
        .types_len = 2,
        .sar = {.similarity = SAR_SHRUNK_COSINE,
                .half_life = DAY,
                .threshold = 1,
                .window = 3,
                .score_last = 5,
                .recency = 0.8},
        .default_model = by_default ? ENGINE_BLEND : "sar",
        .models = others,
        .models_len = by_default ? sizeof(others) / sizeof(*others) : 0,
        .evaluate_every = by_default ? 1 : 0,
        .publish_at_once = by_default, /* what is compared after a start was shown before */
        .shape = "sar.half_life_days=1\nsar.mode=product\n",
    };
}

static void open_world(struct world *world, const char *path)
{
    struct fr_err err = {0};
    struct engine_options it = options();

    if (store_rocks_open(&world->store, &(struct store_rocks_options){.path = path}, &err))
        fail_msg("%s", err.text);
    begin(world, &it);
}

static void close_world(struct world *world)
{
    end(world);
    world->store->ops->close(world->store);
}

/* ---- making ---- */

static void give_round(struct world *world, int round, uint32_t *random)
{
    struct event events[PER_ROUND];
    char names[PER_ROUND][2][16];
    int64_t first = (int64_t)round * PER_ROUND;

    for (int i = 0; i < PER_ROUND; i++) {
        *random = *random * 1664525 + 1013904223;
        uint32_t user = (*random >> 8) % USERS, item = (*random >> 20) % ITEMS;
        snprintf(names[i][0], sizeof(names[i][0]), "user-%02u", user);
        snprintf(names[i][1], sizeof(names[i][1]), "item-%02u", item);
        events[i] = event(first + i, names[i][0], names[i][1], NOON + (first + i) * 60000);
        events[i].weight = 1 + (*random >> 4) % 5;
        events[i].print = *random;
        if (i % 3 == 0) {
            events[i].repeat_low = *random | 1;
            events[i].repeat_high = *random;
        }
    }
    static const struct reject bad = {.key = {"k", 1},
                                      .value = {"junk", 4},
                                      .has_key = true,
                                      .has_value = true,
                                      .reason = "undecodable",
                                      .message = {"no event", 8}};
    if (round == 1 || round == 4)
        events[7] = (struct event){.kind = EVENT_REJECT, .offset = first + 7, .logged = NOON, .print = 7, .reject = &bad};
    give(world, events, PER_ROUND);
    await(world, first + PER_ROUND);
    checkpoint(world);
}

/* Partition 1 has only ever been told where to begin, partition 2 has a hole. */
static void give_places(struct world *world)
{
    struct fr_err err;
    int64_t next;

    for (int32_t number = 1; number <= 2; number++) {
        struct event_batch *batch = engine_batch_take(world->engine, PATIENCE_MS);
        uint32_t index;
        assert_int_equal(engine_partition(world->engine, TOPIC, number, &index, &next, &err), FR_OK);
        batch->events[0] = (struct event){.kind = number == 1 ? EVENT_POSITION : EVENT_HOLE,
                                          .partition = index,
                                          .offset = number * 100,
                                          .logged = -1};
        batch->len = 1;
        engine_batch_give(world->engine, batch);
        while (!engine_reached(world->engine, FR_BYTES(TOPIC), number, number * 100))
            sched_yield();
    }
}

static void make(const char *path)
{
    struct world world = {0};
    uint32_t random = 20240607;

    open_world(&world, path);
    engine_cluster_set(world.engine, "kept-cluster");
    give_places(&world);
    for (int round = 0; round < ROUNDS / 2; round++)
        give_round(&world, round, &random);
    close_world(&world);
    open_world(&world, path); /* what was in the write-ahead log becomes a table */
    for (int round = ROUNDS / 2; round < ROUNDS; round++)
        give_round(&world, round, &random);
    close_world(&world);
}

/* ---- telling ---- */

static void tell_positions(struct world *world, struct fr_writer *out)
{
    struct engine_status *status = fr_alloc(sizeof(*status));

    engine_status(world->engine, status);
    fr_put_text(out, "users %" PRIu64 " items %" PRIu64 " pairs %" PRIu64 " events %" PRIu64 " cluster %s\n", status->users,
                status->items, status->pairs, status->model_events, engine_cluster(world->engine, (char[CLUSTER_BYTES_MAX + 1]){0}));
    for (size_t i = 0; i < status->partitions_len; i++) {
        const struct partition_status *partition = &status->partitions[i];
        int64_t last = -1;
        uint64_t print = 0;
        uint32_t index;
        int64_t next;
        assert_int_equal(engine_partition(world->engine, partition->topic, partition->partition, &index, &next, NULL), FR_OK);
        bool known = engine_partition_print(world->engine, index, &last, &print);
        fr_put_text(out, "position %s %d next %" PRId64 " last %" PRId64 " print %" PRIu64 "\n", partition->topic,
                    partition->partition, partition->applied, known ? last : -1, known ? print : 0);
    }
    free(status);
}

static void tell_letters(struct world *world, struct fr_writer *out)
{
    const struct dead_letter *letter;

    while ((letter = engine_outbox_take(world->engine, 200)))
        fr_put_text(out, "letter %" PRIu64 " from %d at %" PRId64 " %.*s %.*s: %.*s %.*s\n", letter->id, letter->partition,
                    letter->offset, (int)letter->key.len, letter->key.at, (int)letter->value.len, letter->value.at,
                    (int)letter->reason.len, letter->reason.at, (int)letter->message.len, letter->message.at);
}

static void tell_user(struct world *world, struct reader *reader, const char *user, struct fr_writer *out)
{
    struct user_facts facts = {0};

    reader_begin(reader);
    if (reader_user(reader, fr_bytes_of(user), &facts, NULL) == FR_OK) {
        fr_put_text(out, "%s events %" PRIu64 " last %" PRId64, user, facts.events, facts.last_event);
        for (size_t i = 0; i < facts.affinities_len; i++)
            fr_put_text(out, " %.*s %.6f", (int)facts.affinities[i].item.len, facts.affinities[i].item.at,
                        facts.affinities[i].affinity);
        fr_put_text(out, "\n");
    }
    reader_end(reader);
    fr_put_text(out, "%s gets %s\n", user, recommend(world, user, (struct ask){.k = 5, .model = "sar"}));
}

static void tell_item(struct reader *reader, const char *item, struct fr_writer *out)
{
    struct neighbour_list like = {0};
    struct item_facts facts = {0};

    reader_begin(reader);
    if (reader_item(reader, fr_bytes_of(item), &facts, NULL) == FR_OK &&
        reader_similar_items(reader, fr_bytes_of(item), &(struct ask){.k = 5, .model = "sar"}, &like, NULL) == FR_OK) {
        fr_put_text(out, "%s users %" PRIu64 " first %" PRId64 " like", item, facts.users, facts.first_seen);
        for (size_t i = 0; i < like.len; i++)
            fr_put_text(out, " %.*s %.6f", (int)like.neighbours[i].id.len, like.neighbours[i].id.at,
                        like.neighbours[i].similarity);
        fr_put_text(out, "\n");
    }
    reader_end(reader);
}

/* The window of event ids: those of the last round are dropped when they come again. */
static void tell_repeats(struct world *world, struct fr_writer *out)
{
    struct engine_status *before = fr_alloc(sizeof(*before)), *after = fr_alloc(sizeof(*after));
    struct event again[PER_ROUND];
    uint32_t random = 20240607;
    int64_t next = ROUNDS * PER_ROUND;

    engine_status(world->engine, before);
    for (int i = 0; i < next; i++) {
        random = random * 1664525 + 1013904223;
        int at = i - (int)next + PER_ROUND;
        if (at < 0)
            continue;
        again[at] = event(next + at, "user-00", "item-00", NOON + (int64_t)i * 60000);
        again[at].repeat_low = at % 3 == 0 ? random | 1 : (uint32_t)i;
        again[at].repeat_high = at % 3 == 0 ? random : 1;
    }
    give(world, again, PER_ROUND);
    await(world, next + PER_ROUND);
    checkpoint(world); /* and counted */
    engine_status(world->engine, after);
    fr_put_text(out, "repeats dropped %" PRIu64 " of %d\n", PER_ROUND - (after->model_events - before->model_events), PER_ROUND);
    free(before);
    free(after);
}

static void tell_all(struct world *world, struct fr_writer *out)
{
    struct reader *reader = reader_new(world->engine);
    char name[16];

    tell_positions(world, out);
    tell_letters(world, out);
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof(name), "user-%02d", i);
        tell_user(world, reader, name, out);
    }
    for (int i = 0; i < ITEMS; i++) {
        snprintf(name, sizeof(name), "item-%02d", i);
        tell_item(reader, name, out);
    }
    reader_free(reader);
    tell_repeats(world, out);
}

/* ---- comparing ---- */

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char chunk[4096];
    size_t len;

    assert_true(in && out);
    while ((len = fread(chunk, 1, sizeof(chunk), in)))
        assert_int_equal(fwrite(chunk, 1, len, out), len);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void copy_folder(const char *from, const char *to)
{
    DIR *dir = opendir(from);

    if (!dir)
        fail_msg("'%s' is not there", from);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char a[600], b[600];
        snprintf(a, sizeof(a), "%s/%s", from, entry->d_name);
        snprintf(b, sizeof(b), "%s/%s", to, entry->d_name);
        if (entry->d_name[0] != '.')
            copy_file(a, b);
    }
    closedir(dir);
}

static void what_a_copy_says(const char *kept, struct fr_writer *out)
{
    struct world world = {0};
    char folder[256];

    folder_make(folder);
    copy_folder(kept, folder);
    open_world(&world, folder);
    tell_all(&world, out);
    close_world(&world); /* and it can be written on */
    open_world(&world, folder);
    assert_true(engine_reached(world.engine, FR_BYTES(TOPIC), 0, (ROUNDS + 1) * PER_ROUND));
    close_world(&world);
    folder_remove(folder);
}

static void compare(const char *name)
{
    const char *source = getenv("FRESHET_SOURCE");
    char store[600], expected[600], *text;
    struct fr_writer out;
    long len;

    snprintf(store, sizeof(store), "%s/tests/data/%s/store", source ? source : ".", name);
    snprintf(expected, sizeof(expected), "%s/tests/data/%s/expected.txt", source ? source : ".", name);
    FILE *file = fopen(expected, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    len = ftell(file);
    rewind(file);
    text = calloc((size_t)len + 1, 1);
    assert_int_equal(fread(text, 1, (size_t)len, file), len);
    fclose(file);
    fr_writer_init(&out, 0);
    what_a_copy_says(store, &out);
    fr_put_u8(&out, 0);
    assert_string_equal(out.at, text);
    fr_writer_release(&out);
    free(text);
}

static void the_store_of_0_1_answers_as_it_did(void **state)
{
    (void)state;
    compare("store-v0.1");
}

static void the_one_without_fingerprints_does_too(void **state)
{
    (void)state;
    compare("store-v0.1-unprinted");
}

/* ---- models that are new to it ---- */

/* Of one, or "" if it has nothing to say of the user and others are shown in its place. */
static const char *word_of(struct world *world, const char *model)
{
    const char *list = recommend(world, "user-03", (struct ask){.k = 3, .model = model, .include_seen = true});

    return strstr(list, "fallback") ? "" : list;
}

/* Events that a model has learned of, as an operator is told. */
static uint64_t learned_by(struct world *world, const char *model)
{
    static struct engine_status status;

    engine_status(world->engine, &status);
    for (size_t m = 0; m < status.models_len; m++)
        if (!strcmp(status.models[m].name, model))
            return status.models[m].events;
    fail_msg("there is no model %s", model);
    return 0;
}

static void give_more(struct world *world, int64_t first, int64_t len)
{
    struct event events[PER_ROUND];
    char names[PER_ROUND][2][16];

    for (int64_t i = 0; i < len; i++) {
        snprintf(names[i][0], sizeof(names[i][0]), "user-%02d", (int)i % USERS);
        snprintf(names[i][1], sizeof(names[i][1]), "new-%02d", (int)i % 7);
        events[i] = event(first + i, names[i][0], names[i][1], NOON + (first + i) * 60000);
    }
    give(world, events, (size_t)len);
    await(world, first + len);
    checkpoint(world);
}

static void the_models_of_today_learn_in_it_from_here_on(void **state)
{
    const char *source = getenv("FRESHET_SOURCE");
    struct world world = {0};
    char kept[600], folder[256], sar[4096], learned[4096];

    (void)state;
    by_default = true;
    compare("store-v0.1"); /* nothing is lost of what it holds */
    snprintf(kept, sizeof(kept), "%s/tests/data/store-v0.1/store", source ? source : ".");
    folder_make(folder);
    copy_folder(kept, folder);
    open_world(&world, folder);
    snprintf(sar, sizeof(sar), "%s", word_of(&world, "sar"));
    assert_string_equal(word_of(&world, "fm"), "");
    assert_int_equal(learned_by(&world, "fm"), 0);
    assert_true(learned_by(&world, "sar") > 0);
    assert_string_not_equal(word_of(&world, ENGINE_BLEND), ""); /* at once, by what SAR knows */
    give_more(&world, ROUNDS * PER_ROUND, PER_ROUND);
    snprintf(learned, sizeof(learned), "%s", word_of(&world, "fm"));
    assert_non_null(strstr(learned, "new-")); /* it knows what it has seen */
    assert_int_equal(learned_by(&world, "fm"), PER_ROUND);
    assert_string_not_equal(word_of(&world, "sar"), sar);
    close_world(&world);
    open_world(&world, folder);
    assert_string_equal(word_of(&world, "fm"), learned);
    assert_int_equal(learned_by(&world, "fm"), PER_ROUND);
    close_world(&world);
    by_default = false; /* and back again: what stays of the others disturbs nobody */
    open_world(&world, folder);
    assert_string_not_equal(word_of(&world, "sar"), "");
    close_world(&world);
    folder_remove(folder);
}

static int make_kept(const char *folder)
{
    char path[600];
    struct fr_writer out;

    snprintf(path, sizeof(path), "%s/store", folder);
    mkdir(folder, 0755);
    mkdir(path, 0755);
    make(path);
    fr_writer_init(&out, 0);
    what_a_copy_says(path, &out);
    snprintf(path, sizeof(path), "%s/expected.txt", folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(out.at, 1, out.len, file), out.len);
    fclose(file);
    fr_writer_release(&out);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_store_of_0_1_answers_as_it_did),
        cmocka_unit_test(the_one_without_fingerprints_does_too),
        cmocka_unit_test(the_models_of_today_learn_in_it_from_here_on),
    };

    if (argc == 3 && !strcmp(argv[1], "make"))
        return make_kept(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
