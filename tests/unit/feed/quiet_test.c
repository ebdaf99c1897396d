/*
 * quiet_test.c -- who is asked for the end of its log, and when: on a clock of the test's own, with the answers of the test's own Kafka.
 *
 *     speaks ─┐                        ┌─> those that are due, or will be soon, in one call
 *             ├── quiet_asleep ── ask ─┤
 *     silent ─┘                        └─> one of those whose answer did not come, alone
 *
 * Of one that is asleep in a consumer silence_test tells.
 */
#include "assign.h"
#include "world.h"

enum { PARTITIONS = 8, SILENCE_MS = 10000 };

/* What Kafka has: ends[i] of partition i; -1: its broker does not answer. */
static int64_t ends[PARTITIONS];
static char asked[400]; /* the calls, and the partitions in each: "0 1|2|" */
static int calls;

rd_kafka_resp_err_t rd_kafka_offsets_for_times(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;

    (void)rk, (void)timeout_ms;
    calls++;
    for (int i = 0; i < list->cnt; i++) {
        size_t len = strlen(asked);
        assert_int_equal(list->elems[i].offset, RD_KAFKA_OFFSET_END);
        snprintf(asked + len, sizeof(asked) - len, "%d%s", list->elems[i].partition, i + 1 < list->cnt ? " " : "|");
        list->elems[i].offset = ends[list->elems[i].partition];
        if (ends[list->elems[i].partition] < 0)
            err = RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    return err;
}

struct room {
    struct feed_options options;
    struct engine *engine;
    struct assigned partitions[PARTITIONS];
    struct assignment assignment;
    char consumer;
    uint64_t now_ms;
};

/* All have been read to offset 100, and spoke just now. */
static void room_open(struct room *room)
{
    *room = (struct room){.options = world_options(), .engine = fake_engine_new(), .now_ms = 1000000};
    room->options.silence = SILENCE_MS;
    room->assignment = (struct assignment){.options = &room->options,
                                           .engine = room->engine,
                                           .consumer = (rd_kafka_t *)&room->consumer,
                                           .partitions = room->partitions,
                                           .len = PARTITIONS};
    for (int i = 0; i < PARTITIONS; i++) {
        struct fr_err err;
        int64_t next;
        room->partitions[i] = (struct assigned){
            .state = PARTITION_RUNNING, .next = 100, .end = 100, .owed = -1, .spoke_ns = room->now_ms * 1000000};
        assert_int_equal(engine_partition(room->engine, TOPIC, i, &room->partitions[i].index, &next, &err), FR_OK);
        ends[i] = 100;
    }
    asked[0] = 0;
    calls = 0;
}

/* Rounds of 10 ms each in which those of `speaking` say something; the one found asleep, or -1. */
static int wait_ms(struct room *room, unsigned ms, unsigned speaking)
{
    for (unsigned passed = 0; passed < ms; passed += 10) {
        uint64_t now_ns = (room->now_ms += 10) * 1000000;
        size_t number;
        for (int i = 0; i < PARTITIONS; i++)
            room->partitions[i].spoke = speaking >> i & 1;
        quiet_heard(&room->assignment, now_ns);
        if (quiet_asleep(&room->assignment, now_ns, &number))
            return (int)number;
    }
    return -1;
}

enum { NOBODY = 0, ALL = (1 << PARTITIONS) - 1 };

static void the_quiet_are_asked_once_and_those_who_speak_are_not(void **state)
{
    struct room room;

    (void)state;
    room_open(&room);
    assert_int_equal(wait_ms(&room, SILENCE_MS - 10, ALL & ~6U), -1);
    assert_string_equal(asked, "");
    assert_int_equal(wait_ms(&room, 10, ALL & ~6U), -1);
    assert_string_equal(asked, "1 2|");
    fake_engine_free(room.engine);
}

/* Each falls quiet a tenth of what it may after the one before it. */
static void who_will_soon_be_due_is_asked_with_who_is(void **state)
{
    struct room room;

    (void)state;
    room_open(&room);
    for (unsigned i = 0; i < PARTITIONS; i++)
        assert_int_equal(wait_ms(&room, SILENCE_MS / 10, ALL & ~((1U << (i + 1)) - 1)), -1);
    assert_int_equal(wait_ms(&room, SILENCE_MS / 5, NOBODY), -1);
    assert_string_equal(asked, "0 1 2 3 4 5|");
    calls = 0;
    assert_int_equal(wait_ms(&room, 10 * SILENCE_MS, NOBODY), -1);
    assert_in_range(calls, 10, 20); /* two in feed.silence_ms, at most, and not one for each */
    fake_engine_free(room.engine);
}

/* Asked for early, and owing a record: it has its patience from there on, whoever else is due. */
static void who_owes_a_record_has_its_time(void **state)
{
    struct room room;

    (void)state;
    room_open(&room);
    room.partitions[1].patience_ms = 2 * SILENCE_MS;
    ends[1] = 101;
    assert_int_equal(wait_ms(&room, SILENCE_MS, ALL & ~3U), -1);
    assert_string_equal(asked, "0 1|");
    assert_int_equal(wait_ms(&room, 2 * SILENCE_MS - 10, ALL & ~3U), -1);
    assert_string_equal(asked, "0 1|0|");
    assert_int_equal(wait_ms(&room, 10, ALL & ~3U), 1);
    assert_string_equal(asked, "0 1|0|0 1|");
    fake_engine_free(room.engine);
}

/* 3 sleeps on a broker that answers, 1 and 2 are of one that does not; and whose turn it is no excuse of all takes back. */
static void a_broker_that_does_not_answer_hides_nobody(void **state)
{
    struct room room;

    (void)state;
    room_open(&room);
    ends[3] = 101;
    ends[1] = ends[2] = -1;
    assert_int_equal(wait_ms(&room, SILENCE_MS, ALL & ~14U), -1);
    assert_string_equal(asked, "1 2 3|");
    assert_int_equal(wait_ms(&room, SILENCE_MS, ALL & ~14U), -1);
    assert_string_equal(asked, "1 2 3|1|");
    quiet_excused(&room.assignment, room.now_ms * 1000000);
    assert_int_equal(wait_ms(&room, 5 * SILENCE_MS, ALL & ~14U), 3);
    assert_string_equal(asked, "1 2 3|1|2|3|1|3|");
    fake_engine_free(room.engine);
}

/* A broker that is away has all partitions assigned anew, again and again. Who speaks speaks soon; 1 does not. */
static void nor_does_one_that_has_all_assigned_anew(void **state)
{
    struct room room;
    int found = -1;

    (void)state;
    room_open(&room);
    ends[1] = 101;
    for (int i = 0; i < 9 && found < 0; i++) {
        quiet_assigned(&room.assignment, room.now_ms * 1000000);
        found = wait_ms(&room, SILENCE_MS / 4, ALL & ~2U);
    }
    assert_int_equal(found, 1);
    assert_string_equal(asked, "1|1|");
    /* Another consumer has yet to hear it. */
    assignment_attach(&room.assignment, NULL);
    room.assignment.consumer = (rd_kafka_t *)&room.consumer;
    room.assignment.stale = false;
    quiet_assigned(&room.assignment, room.now_ms * 1000000);
    assert_int_equal(wait_ms(&room, 2 * SILENCE_MS, ALL & ~2U), -1); /* its patience is longer now */
    assert_string_equal(asked, "1|1|1|");
    fake_engine_free(room.engine);
}

/* And costs those that are read one answer in ten seconds or feed.silence_ms; each has its turn, and one that speaks is asked with the others again. */
static void nor_does_it_cost_more_than_one_answer_in_a_while(void **state)
{
    struct room room;

    (void)state;
    room_open(&room);
    for (int i = 0; i < 3; i++)
        ends[i] = -1;
    assert_int_equal(wait_ms(&room, 7 * SILENCE_MS, ALL & ~7U), -1);
    assert_string_equal(asked, "0 1 2|0|1|2|0|1|2|");
    asked[0] = 0;
    ends[0] = ends[1] = ends[2] = 100;
    assert_int_equal(wait_ms(&room, SILENCE_MS, ALL), -1);
    assert_int_equal(wait_ms(&room, SILENCE_MS, ALL & ~7U), -1);
    assert_string_equal(asked, "0 1 2|");
    fake_engine_free(room.engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quiet_are_asked_once_and_those_who_speak_are_not),
        cmocka_unit_test(who_will_soon_be_due_is_asked_with_who_is),
        cmocka_unit_test(who_owes_a_record_has_its_time),
        cmocka_unit_test(a_broker_that_does_not_answer_hides_nobody),
        cmocka_unit_test(nor_does_one_that_has_all_assigned_anew),
        cmocka_unit_test(nor_does_it_cost_more_than_one_answer_in_a_while),
    };

    return cmocka_run_group_tests_name("quiet", tests, NULL, NULL);
}
