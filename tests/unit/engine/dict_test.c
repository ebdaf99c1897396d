/*
 * dict_test.c -- a dictionary against the plainest one: an array of who has which handle.
 *
 * Ids are made from a number, so that any of them can be made again: id n has a length and bytes that follow from n.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>

#include "dict.h"
#include "sanitized.h"

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* The n-th id: 5 to 256 bytes, its number in the first four, and in every byte after them something that follows. */
static struct fr_bytes id_long(uint32_t n, char *room)
{
    size_t len = 5 + mix(n) % (FR_ID_BYTES_MAX - 4);

    memcpy(room, &n, sizeof n);
    for (size_t i = sizeof n; i < len; i++)
        room[i] = (char)(mix(n + i) | 1);
    return (struct fr_bytes){room, len};
}

/* As ids in the field are: 8 to 12 characters. */
static struct fr_bytes id_usual(uint32_t n, char *room)
{
    return (struct fr_bytes){room, (size_t)snprintf(room, 32, "%0*u", 8 + (int)(n % 5), n)};
}

static void an_id_gets_the_next_handle_and_is_found_again(void **state)
{
    enum { IDS = 6000, ROUNDS = 40000 };
    struct fr_epoch *epoch = fr_epoch_new();
    struct dict *dict = dict_new(IDS, epoch);
    uint32_t *handle_of = malloc(IDS * sizeof *handle_of), *n_of = malloc(IDS * sizeof *n_of), len = 0;
    char room[FR_ID_BYTES_MAX];

    (void)state;
    for (uint32_t n = 0; n < IDS; n++)
        handle_of[n] = DICT_NONE;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t n = (uint32_t)(mix(round ^ 0xabcdefu) % IDS);
        struct fr_bytes id = id_long(n, room);
        uint64_t hash = dict_hash(id);

        dict_prefetch(dict, hash);
        assert_int_equal(dict_find(dict, id, hash), handle_of[n]);
        if (handle_of[n] == DICT_NONE) {
            n_of[len] = n;
            handle_of[n] = len++;
            assert_int_equal(dict_add(dict, id, hash), handle_of[n]);
        }
        assert_int_equal(dict_len(dict), len);
        assert_true(fr_bytes_equal(dict_id(dict, handle_of[n]), id));
        if (round % 1000 == 0)
            fr_epoch_reclaim(epoch);
    }
    assert_in_range(len, IDS * 9 / 10, IDS);
    for (uint32_t handle = 0; handle < len; handle++)
        assert_true(fr_bytes_equal(dict_id(dict, handle), id_long(n_of[handle], room)));
    free(handle_of);
    free(n_of);
    dict_free(dict);
    fr_epoch_free(epoch);
}

static void ids_with_the_same_hash_are_told_apart(void **state)
{
    struct fr_epoch *epoch = fr_epoch_new();
    struct dict *dict = dict_new(1000, epoch);
    char room[FR_ID_BYTES_MAX];

    (void)state;
    for (uint64_t hash = 0; hash < 2; hash++) /* and two hashes that share a shard */
        for (uint32_t n = 0; n < 100; n++)
            assert_int_equal(dict_add(dict, id_long(n + 100 * (uint32_t)hash, room), hash), n + 100 * hash);
    for (uint32_t n = 0; n < 200; n++) {
        assert_int_equal(dict_find(dict, id_long(n, room), n / 100), n);
        assert_int_equal(dict_find(dict, id_long(n, room), 1 - n / 100), DICT_NONE);
    }
    /* A prefix, and a longer one, are other ids. */
    assert_int_equal(dict_find(dict, (struct fr_bytes){room, 4}, 1), DICT_NONE);
    dict_free(dict);
    fr_epoch_free(epoch);
}

static void the_shortest_and_the_longest_id_fit(void **state)
{
    struct fr_epoch *epoch = fr_epoch_new();
    struct dict *dict = dict_new(2, epoch);
    char longest[FR_ID_BYTES_MAX];
    struct fr_bytes one = FR_BYTES("x"), two = {longest, sizeof longest};

    (void)state;
    memset(longest, 'y', sizeof longest);
    assert_int_equal(dict_find(dict, one, dict_hash(one)), DICT_NONE);
    assert_int_equal(dict_add(dict, one, dict_hash(one)), 0);
    assert_int_equal(dict_add(dict, two, dict_hash(two)), 1);
    assert_true(fr_bytes_equal(dict_id(dict, 0), one));
    assert_true(fr_bytes_equal(dict_id(dict, 1), two));
    dict_free(dict);
    dict_free(NULL);
    fr_epoch_free(epoch);
}

static void a_full_dictionary_says_so_and_goes_on_answering(void **state)
{
    struct fr_epoch *epoch = fr_epoch_new();
    struct dict *dict = dict_new(3, epoch);
    char room[32];
    struct fr_bytes id;

    (void)state;
    for (uint32_t n = 0; n < 3; n++) {
        assert_true(dict_has_room(dict, 3 - n) && !dict_has_room(dict, 4 - n));
        id = id_usual(n, room);
        assert_int_equal(dict_add(dict, id, dict_hash(id)), n);
    }
    assert_false(dict_has_room(dict, 1));
    id = id_usual(3, room);
    assert_int_equal(dict_add(dict, id, dict_hash(id)), DICT_NONE);
    assert_int_equal(dict_find(dict, id, dict_hash(id)), DICT_NONE);
    assert_int_equal(dict_len(dict), 3);
    id = id_usual(2, room);
    assert_int_equal(dict_find(dict, id, dict_hash(id)), 2);
    dict_free(dict);
    fr_epoch_free(epoch);
}

/* ---- readers beside the writer ---- */

enum { RACE_IDS = 200000 };

struct race {
    struct dict *dict;
    struct fr_epoch *epoch;
    atomic_bool over;
    _Atomic uint32_t wrong;
    _Atomic uint64_t asked;
};

static void *race_read(void *context)
{
    struct race *race = context;
    struct fr_epoch_reader *reader = fr_epoch_join(race->epoch);
    uint64_t asked = 0;
    char room[32];

    while (!atomic_load(&race->over)) {
        fr_epoch_enter(reader);
        for (int i = 0; i < 64; i++, asked++) {
            uint32_t len = dict_len(race->dict);
            uint32_t n = len ? (uint32_t)(mix(asked) % len) : 0;
            struct fr_bytes known = id_usual(n, room);

            if (len && (dict_find(race->dict, known, dict_hash(known)) != n ||
                        !fr_bytes_equal(dict_id(race->dict, n), known)))
                race->wrong++;
            known = id_usual(RACE_IDS + (uint32_t)(asked % 1000), room);
            if (dict_find(race->dict, known, dict_hash(known)) != DICT_NONE)
                race->wrong++;
        }
        fr_epoch_leave(reader);
        atomic_fetch_add(&race->asked, 64);
    }
    fr_epoch_part(reader);
    return NULL;
}

/* The writer begins when they have, so that they meet however few processors there are. */
static void await_readers(const struct race *race)
{
    while (!atomic_load(&race->asked))
        sched_yield();
}

static void readers_find_every_published_id_while_the_writer_adds(void **state)
{
    struct race race = {.epoch = fr_epoch_new()};
    pthread_t readers[2];
    char room[32];

    (void)state;
    race.dict = dict_new(RACE_IDS, race.epoch);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, race_read, &race), 0);
    await_readers(&race);
    for (uint32_t n = 0; n < RACE_IDS; n++) {
        struct fr_bytes id = id_usual(n, room);

        assert_int_equal(dict_add(race.dict, id, dict_hash(id)), n);
        if (n % 64 == 0)
            fr_epoch_reclaim(race.epoch);
    }
    atomic_store(&race.over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(race.wrong, 0);
    dict_free(race.dict);
    fr_epoch_free(race.epoch);
}

/* Every third id is removed as soon as it is there, by the writer; a reader who sees an id by its handle sees it whole, or none. */
static void *removal_read(void *context)
{
    struct race *race = context;
    struct fr_epoch_reader *reader = fr_epoch_join(race->epoch);
    char room[32];

    for (uint64_t asked = 0; !atomic_load(&race->over); asked++) {
        fr_epoch_enter(reader);
        uint32_t len = dict_len(race->dict);
        uint32_t n = len ? (uint32_t)(mix(asked) % len) : 0;
        struct fr_bytes seen = len ? dict_id(race->dict, n) : (struct fr_bytes){"", 0}, known = id_usual(n, room);
        if (seen.len && !fr_bytes_equal(seen, known))
            race->wrong++;
        fr_epoch_leave(reader);
        atomic_fetch_add(&race->asked, 1);
    }
    fr_epoch_part(reader);
    return NULL;
}

static void an_id_removed_is_wiped_when_nobody_looks_and_comes_again_as_another(void **state)
{
    enum { IDS = 30000 };
    struct race race = {.epoch = fr_epoch_new()};
    pthread_t reader;
    char room[32];

    (void)state;
    race.dict = dict_new(2 * IDS, race.epoch);
    assert_int_equal(pthread_create(&reader, NULL, removal_read, &race), 0);
    await_readers(&race);
    for (uint32_t n = 0; n < IDS; n++) {
        struct fr_bytes id = id_usual(n, room);
        assert_int_equal(dict_add(race.dict, id, dict_hash(id)), n);
        if (n % 3 == 0)
            dict_remove(race.dict, n);
        if (n % 64 == 0)
            fr_epoch_reclaim(race.epoch);
    }
    atomic_store(&race.over, true);
    pthread_join(reader, NULL);
    fr_epoch_reclaim(race.epoch);
    assert_int_equal(race.wrong, 0);
    for (uint32_t n = 0; n < IDS; n++) {
        struct fr_bytes id = id_usual(n, room), there = dict_id(race.dict, n);
        assert_int_equal(dict_find(race.dict, id, dict_hash(id)), n % 3 ? n : DICT_NONE);
        for (size_t i = 0; i < id.len; i++)
            assert_int_equal(there.at[i], n % 3 ? id.at[i] : 0); /* what has no length has no bytes either */
    }
    struct fr_bytes again = id_usual(3, room);
    assert_int_equal(dict_add(race.dict, again, dict_hash(again)), IDS);
    assert_int_equal(dict_find(race.dict, again, dict_hash(again)), IDS);
    assert_int_equal(dict_add_gone(race.dict), IDS + 1);
    assert_int_equal(dict_id(race.dict, IDS + 1).len, 0);
    assert_int_equal(dict_find(race.dict, (struct fr_bytes){"", 0}, dict_hash((struct fr_bytes){"", 0})), DICT_NONE);
    assert_int_equal(dict_len(race.dict), IDS + 2);
    assert_int_equal(dict_known(race.dict), IDS + 1 - IDS / 3);
    dict_free(race.dict);
    fr_epoch_free(race.epoch);
}

/* ---- memory ---- */

enum { IDS_MAX = 10000000 };

static struct dict *dict_of(uint32_t len, struct fr_epoch *epoch, size_t *ret_id_bytes)
{
    struct dict *dict = dict_new(IDS_MAX, epoch);
    char room[32];

    *ret_id_bytes = 0;
    for (uint32_t n = 0; n < len; n++) {
        struct fr_bytes id = id_usual(n, room);

        dict_add(dict, id, dict_hash(id));
        *ret_id_bytes += id.len;
        if (n % 1024 == 0)
            fr_epoch_reclaim(epoch);
    }
    fr_epoch_reclaim(epoch);
    return dict;
}

static void an_id_costs_its_length_and_at_most_24_bytes(void **state)
{
    static const uint32_t lens[] = {100000, 130000, 300000, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct fr_epoch *epoch = fr_epoch_new();
        size_t id_bytes;
        struct dict *dict = dict_of(lens[i], epoch, &id_bytes);
        double beyond = ((double)dict_bytes(dict) - (double)id_bytes) / lens[i];

        print_message("%u ids: id length + %.1f bytes\n", lens[i], beyond);
        assert_true(beyond <= 24);
        dict_free(dict);
        fr_epoch_free(epoch);
    }
}

static void a_small_dictionary_stays_small(void **state)
{
    static const uint32_t lens[] = {1, 1000, 10000};

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct fr_epoch *epoch = fr_epoch_new();
        size_t id_bytes;
        struct dict *dict = dict_of(lens[i], epoch, &id_bytes);

        print_message("%u ids: %zu bytes, of them %zu ids\n", lens[i], dict_bytes(dict), id_bytes);
        /* The empty shards, and most ids in a table of their own. */
        assert_true(dict_bytes(dict) <= ((size_t)16 << 10) + id_bytes + 64 * (size_t)lens[i]);
        dict_free(dict);
        fr_epoch_free(epoch);
    }
}

static void the_bytes_it_reports_are_those_it_took(void **state)
{
    enum { IDS = 300000 };
    struct mallinfo2 before, after;
    size_t id_bytes, taken, arrays = 0;
    struct fr_epoch *epoch;
    struct dict *dict;

    (void)state;
    if (SANITIZED)
        skip(); /* their malloc does not say what it has given */
    epoch = fr_epoch_new();
    before = mallinfo2();
    dict = dict_of(IDS, epoch, &id_bytes);
    after = mallinfo2();
    taken = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    for (uint32_t n = 0; n < IDS; n++) /* four bytes of offset; length and id in whole fours */
        arrays += 4 + (2 + dict_id(dict, n).len + 3) / 4 * 4;
    print_message("reported %zu, from malloc %zu, in arrays %zu\n", dict_bytes(dict), taken, arrays);
    assert_true((double)dict_bytes(dict) >= 0.98 * (double)(taken + arrays));
    assert_true((double)dict_bytes(dict) <= 1.02 * (double)(taken + arrays));
    dict_free(dict);
    fr_epoch_free(epoch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_gets_the_next_handle_and_is_found_again),
        cmocka_unit_test(ids_with_the_same_hash_are_told_apart),
        cmocka_unit_test(the_shortest_and_the_longest_id_fit),
        cmocka_unit_test(a_full_dictionary_says_so_and_goes_on_answering),
        cmocka_unit_test(readers_find_every_published_id_while_the_writer_adds),
        cmocka_unit_test(an_id_removed_is_wiped_when_nobody_looks_and_comes_again_as_another),
        cmocka_unit_test(an_id_costs_its_length_and_at_most_24_bytes),
        cmocka_unit_test(a_small_dictionary_stays_small),
        cmocka_unit_test(the_bytes_it_reports_are_those_it_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
