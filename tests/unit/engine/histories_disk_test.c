/*
 * histories_disk_test.c -- a history as cells: there and back, laid out as the format says, and never believed blindly.
 */
#include "histories_world.h"

#include "freshet/event.h"

struct cells {
    char head[HISTORY_HEAD_BYTES];
    char slots[ITEMS][HISTORY_SLOT_BYTES];
    uint32_t items[ITEMS];
    struct fr_bytes views[ITEMS];
    uint32_t len;
};

static void cells_write(const struct histories *histories, uint32_t user, struct cells *cells)
{
    struct history view = histories_view(histories, user);
    size_t len;

    histories_head_bytes(histories, user, cells->head, &len);
    assert_int_equal(len, HISTORY_HEAD_BYTES);
    cells->len = view.len;
    for (uint32_t at = 0; at < view.len; at++) {
        histories_slot_bytes(histories, user, at, cells->slots[at], &len);
        assert_int_equal(len, HISTORY_SLOT_BYTES);
        cells->items[at] = view.item[at];
        cells->views[at] = (struct fr_bytes){cells->slots[at], len};
    }
}

static enum history_loaded cells_load(struct histories *histories, uint32_t user, const struct cells *cells)
{
    return histories_load(histories, user, (struct fr_bytes){cells->head, HISTORY_HEAD_BYTES}, cells->items,
                          cells->views, cells->len);
}

/* As the store gives them back: by item, not by sequence. */
static void cells_sort(struct cells *cells)
{
    for (uint32_t i = 1; i < cells->len; i++)
        for (uint32_t j = i; j > 0 && cells->items[j] < cells->items[j - 1]; j--) {
            uint32_t item = cells->items[j];
            struct fr_bytes view = cells->views[j];

            cells->items[j] = cells->items[j - 1];
            cells->views[j] = cells->views[j - 1];
            cells->items[j - 1] = item;
            cells->views[j - 1] = view;
        }
}

static void a_history_comes_back_from_its_cells_bit_by_bit(void **state)
{
    struct history_copy copy = {0};

    (void)state;
    for (int units = 0; units < 2; units++) {
        struct world world = world_new(86400000, units), again = world_new(86400000, units);
        struct cells cells, cells_again;
        uint64_t random = 3;

        for (int step = 0; step < 5000; step++)
            world_step(&world, random_below(&random, USERS - 1), &random); /* the last user never came */
        world_wipe(&world, 0);
        for (uint32_t user = 0; user < USERS; user++) {
            cells_write(world.histories, user, &cells);
            cells_sort(&cells);
            assert_int_equal(cells_load(again.histories, user, &cells), HISTORY_LOADED);
            again.users[user] = world.users[user];
            users_agree(&again, user, &copy);
            cells_write(world.histories, user, &cells);
            cells_write(again.histories, user, &cells_again);
            assert_memory_equal(cells.head, cells_again.head, sizeof cells.head);
            assert_memory_equal(cells.slots, cells_again.slots, cells.len * sizeof cells.slots[0]);
        }
        assert_int_equal(histories_slots(world.histories), histories_slots(again.histories));
        for (int step = 0; step < 2000; step++) {
            uint32_t user = random_below(&random, USERS);

            world_step(&again, user, &random);
            users_agree(&again, user, &copy);
        }
        world_free(&world);
        world_free(&again);
    }
    history_copy_release(&copy);
}

static void the_cells_are_laid_out_as_the_format_says(void **state)
{
    static const char head[] = "\x01\0\0\0" "\x02\0\0\0\0\0\0\0" "\xd0\x07\0\0\0\0\0\0";
    /* sequence 0; stamp 2000 << 20 | 2 = 0x7d000002; affinity 3 = 0x4008 << 48; unit 1.5 = 0x3ff8 << 48 */
    static const char slot[] = "\0\0\0\0" "\x02\0\0\x7d\0\0\0\0" "\0\0\0\0\0\0\x08\x40" "\0\0\0\0\0\0\xf8\x3f";
    struct world world = world_new(1000, true);
    struct cells cells;

    (void)state;
    histories_touch(world.histories, 0, UINT32_MAX, 7, 1000, 4);
    histories_touch(world.histories, 0, 0, 7, 2000, 1);
    cells_write(world.histories, 0, &cells);
    assert_int_equal(sizeof head - 1, HISTORY_HEAD_BYTES);
    assert_int_equal(sizeof slot - 1, HISTORY_SLOT_BYTES);
    assert_memory_equal(cells.head, head, HISTORY_HEAD_BYTES);
    assert_memory_equal(cells.slots[0], slot, HISTORY_SLOT_BYTES);
    world_free(&world);
}

static void put_u64(char *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (char)(value >> 8 * i);
}

static void put_u32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> 8 * i);
}

static void put_f64(char *at, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_u64(at, bits);
}

/* Each way to spoil good cells; false when there are no more. */
static bool cells_spoil(struct cells *cells, int way)
{
    switch (way) {
    case 0: cells->views[1].len--; break;
    case 1: cells->views[0].len++; break;
    case 2: cells->items[1] = cells->items[2]; break;                                    /* an item twice */
    case 3: memcpy(cells->slots[1], cells->slots[2], 4); break;                          /* a sequence twice */
    case 4: memcpy(cells->slots[1], cells->head, 4); break;                              /* a sequence not yet given */
    case 5: put_u64(cells->slots[1] + 4, stamp_of(2000, 0)); break;                      /* no event */
    case 6: put_u64(cells->slots[1] + 4, stamp_of(3001, 1)); break;                      /* newer than the user */
    case 7: put_f64(cells->slots[1] + 12, NAN); break;
    case 8: put_f64(cells->slots[1] + 12, -INFINITY); break;
    case 9: put_f64(cells->slots[1] + 20, NAN); break;
    case 10: put_u64(cells->head + 12, (uint64_t)EVENT_WHEN_MAX + 1); break;
    case 11: put_u64(cells->head + 12, UINT64_MAX); break;
    case 12: cells->items[0] = 11, cells->items[1] = 10; break;                          /* items not ascending */
    default: return false;
    }
    return true;
}

static void malformed_cells_are_refused_and_change_nothing(void **state)
{
    struct world world = world_new(0, true), again = world_new(0, true), plain = world_new(0, false);
    struct history_copy copy = {0};
    struct cells good, bad;

    (void)state;
    world_touch(&world, 4, 10, 1000, 1);
    world_touch(&world, 4, 11, 2000, 2);
    world_touch(&world, 4, 12, 3000, 3);
    cells_write(world.histories, 4, &good);
    for (int way = 0;; way++) {
        cells_write(world.histories, 4, &bad);
        if (!cells_spoil(&bad, way))
            break;
        assert_int_equal(cells_load(again.histories, 4, &bad), HISTORY_BAD);
        users_agree(&again, 4, &copy);
        assert_int_equal(histories_slots(again.histories), 0);
    }
    for (size_t len = 0; len <= 40; len++)
        if (len != HISTORY_HEAD_BYTES)
            assert_int_equal(histories_load(again.histories, 4, (struct fr_bytes){good.slots[0], len}, NULL, NULL, 0),
                             HISTORY_BAD);
    assert_int_equal(cells_load(again.histories, USERS, &good), HISTORY_BAD);
    assert_int_equal(cells_load(plain.histories, 4, &good), HISTORY_BAD); /* a unit affinity where none is kept */
    assert_int_equal(cells_load(again.histories, 4, &good), HISTORY_LOADED);
    assert_int_equal(cells_load(again.histories, 4, &good), HISTORY_BAD); /* twice */
    again.users[4] = world.users[4];
    users_agree(&again, 4, &copy);
    history_copy_release(&copy);
    world_free(&world);
    world_free(&again);
    world_free(&plain);
}

static void a_history_of_any_length_and_order_is_sorted(void **state)
{
    static const uint32_t lens[] = {0, 1, 2, 32, 33, 50, 255, 256, 257, 1000, 70000};
    char head[HISTORY_HEAD_BYTES] = {0};
    char(*slots)[HISTORY_SLOT_BYTES] = calloc(70000, sizeof *slots);
    uint32_t *items = calloc(70000, sizeof *items);
    struct fr_bytes *views = calloc(70000, sizeof *views);
    uint64_t random = 8;

    (void)state;
    for (size_t round = 0; round < 2 * sizeof lens / sizeof *lens; round++) {
        uint32_t len = lens[round / 2], wide = round % 2 ? 60000 : 1; /* numbers in a row; almost all four bytes of them */
        struct world world = world_new(0, false);
        struct history view;

        for (uint32_t i = 0; i < len; i++)
            items[i] = i;
        for (uint32_t i = len; i > 1; i--) { /* shuffled */
            uint32_t j = random_below(&random, i), swap = items[i - 1];
            items[i - 1] = items[j];
            items[j] = swap;
        }
        for (uint32_t i = 0; i < len; i++) {
            put_u32(slots[i], items[i] * wide);
            put_u64(slots[i] + 4, stamp_of(5, 1));
            put_f64(slots[i] + 12, items[i]);
            views[i] = (struct fr_bytes){slots[i], HISTORY_SLOT_BYTES};
            items[i] = 3 * i;
        }
        put_u32(head, len * wide);
        put_u64(head + 12, 5);
        assert_int_equal(
            histories_load(world.histories, 1, (struct fr_bytes){head, HISTORY_HEAD_BYTES}, items, views, len),
            HISTORY_LOADED);
        view = histories_view(world.histories, 1);
        assert_int_equal(view.len, len);
        for (uint32_t i = 0; i < len; i++) {
            assert_true(view.affinity[i] == i);
            assert_int_equal(view.step[i], wide);
            assert_true(view.item[i] < 3 * len && views[view.item[i] / 3].at == slots[view.item[i] / 3]);
        }
        assert_int_equal(histories_next_sequence(world.histories, 1), len * wide);
        world_free(&world);
    }
    free(slots);
    free(items);
    free(views);
}

/* ---- further apart than a step can say ---- */

/*
 * A user whose cells on disk are kept as the engine keeps them: what changes is written, the rest stays as it was. The
 * oracle is a list of items with their numbers of arrival, which never change.
 */
struct churn {
    struct histories *histories;
    struct fr_epoch *epoch;
    bool stored[ITEMS];
    char slots[ITEMS][HISTORY_SLOT_BYTES], head[HISTORY_HEAD_BYTES];
    uint32_t items[ITEMS], arrivals[ITEMS], len, arrived;
    uint32_t renumbered;
};

static void churn_open(struct churn *churn)
{
    churn->epoch = fr_epoch_new();
    churn->histories = histories_new(&(struct histories_options){.users_max = 1}, churn->epoch);
    histories_extend(churn->histories, 1);
}

static void churn_close(struct churn *churn)
{
    fr_epoch_free(churn->epoch);
    histories_free(churn->histories);
}

static void churn_save(struct churn *churn, uint32_t at)
{
    uint32_t item = histories_view(churn->histories, 0).item[at];
    size_t len;

    histories_slot_bytes(churn->histories, 0, at, churn->slots[item], &len);
    histories_head_bytes(churn->histories, 0, churn->head, &len);
    churn->stored[item] = true;
}

static void churn_touch(struct churn *churn, uint32_t item)
{
    uint32_t at = histories_find(churn->histories, 0, item);

    if (at == UINT32_MAX) {
        churn->items[churn->len] = item;
        churn->arrivals[churn->len++] = churn->arrived++;
    }
    churn_save(churn, histories_touch(churn->histories, 0, at, item, 1000, 1));
}

static void churn_drop(struct churn *churn, uint32_t at)
{
    size_t len;

    churn->stored[churn->items[at]] = false;
    churn->len--;
    memmove(&churn->items[at], &churn->items[at + 1], (churn->len - at) * sizeof *churn->items);
    memmove(&churn->arrivals[at], &churn->arrivals[at + 1], (churn->len - at) * sizeof *churn->arrivals);
    if (histories_drop(churn->histories, 0, at)) {
        churn->renumbered++;
        for (uint32_t later = at; later < churn->len; later++)
            churn_save(churn, later);
    }
    histories_head_bytes(churn->histories, 0, churn->head, &len);
}

/* An item that comes and goes, at the end or after the next one has come. */
static void churn_turn(struct churn *churn, uint64_t *random)
{
    uint32_t item = 0;

    while (churn->stored[item])
        item++;
    churn_touch(churn, item);
    churn_drop(churn, churn->len > 1 && random_below(random, 8192) == 0 ? random_below(random, churn->len)
                                                                       : churn->len - 1);
}

static uint32_t near_or_far(uint32_t apart)
{
    return apart < HISTORY_STEP_FAR ? apart : HISTORY_STEP_FAR;
}

/* Order, and all that a window can see. And what is on disk is what would be written now. */
static void churn_agrees(struct churn *churn)
{
    struct history view = histories_view(churn->histories, 0);
    char bytes[HISTORY_SLOT_BYTES];
    size_t len;

    assert_int_equal(view.len, churn->len);
    for (uint32_t i = 0; i < view.len; i++) {
        assert_int_equal(view.item[i], churn->items[i]);
        histories_slot_bytes(churn->histories, 0, i, bytes, &len);
        assert_memory_equal(bytes, churn->slots[view.item[i]], len);
        for (uint32_t j = i; j <= view.len; j++)
            assert_int_equal(
                near_or_far(history_apart(&view, i, j)),
                near_or_far((j < view.len ? churn->arrivals[j] : churn->arrived) - churn->arrivals[i]));
    }
}

static enum history_loaded churn_reload(struct churn *churn)
{
    struct fr_bytes views[ITEMS];
    uint32_t items[ITEMS], len = 0;

    churn_close(churn);
    churn_open(churn);
    for (uint32_t item = 0; item < ITEMS; item++)
        if (churn->stored[item]) {
            items[len] = item;
            views[len++] = (struct fr_bytes){churn->slots[item], HISTORY_SLOT_BYTES};
        }
    return histories_load(churn->histories, 0, (struct fr_bytes){churn->head, HISTORY_HEAD_BYTES}, items, views, len);
}

static void cells_old_and_new_tell_one_order_however_far_apart(void **state)
{
    struct churn churn = {0};
    uint64_t random = 21;

    (void)state;
    churn_open(&churn);
    for (int round = 0; round < 400; round++) {
        for (uint32_t turns = random_below(&random, 12000); turns > 0; turns--)
            churn_turn(&churn, &random);
        for (uint32_t more = random_below(&random, 6); more > 0 && churn.len < ITEMS - 2; more--)
            churn_touch(&churn, random_below(&random, ITEMS));
        if (churn.len > ITEMS / 2)
            churn_drop(&churn, random_below(&random, churn.len));
        churn_agrees(&churn);
        if (random_below(&random, 3) == 0) {
            assert_int_equal(churn_reload(&churn), HISTORY_LOADED);
            churn_agrees(&churn);
        }
        fr_epoch_reclaim(churn.epoch);
    }
    print_message("%u arrivals, renumbered %u times\n", churn.arrived, churn.renumbered);
    assert_true(churn.arrived > 2000000 && churn.renumbered > 20);
    churn_close(&churn);
}

/* Cells that no drop has drawn together, as written before steps were bounded. */
static void cells_too_far_apart_are_renumbered_once(void **state)
{
    struct churn churn = {0};
    uint32_t far[] = {0, 1, 1 + HISTORY_STEP_MAX, 100000 + HISTORY_STEP_MAX, 4000000000u};
    size_t len;

    (void)state;
    churn_open(&churn);
    for (uint32_t item = 0; item < 5; item++) {
        churn_touch(&churn, item);
        churn.arrivals[item] = far[item];
        put_u32(churn.slots[item], far[item]);
    }
    churn.arrived = UINT32_MAX;
    put_u32(churn.head, churn.arrived);
    assert_int_equal(churn_reload(&churn), HISTORY_RENUMBERED);
    for (uint32_t at = 0; at < churn.len; at++)
        churn_save(&churn, at);
    churn_agrees(&churn);
    assert_int_equal(churn_reload(&churn), HISTORY_LOADED);
    churn_agrees(&churn);

    /* Only the next item to come is too far: no slot gets another number, and the head may stay as it is. */
    histories_head_bytes(churn.histories, 0, churn.head, &len);
    put_u32(churn.head, UINT32_MAX);
    assert_int_equal(churn_reload(&churn), HISTORY_LOADED);
    churn_agrees(&churn);
    assert_true(histories_next_sequence(churn.histories, 0) < 300000);
    churn_close(&churn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_comes_back_from_its_cells_bit_by_bit),
        cmocka_unit_test(the_cells_are_laid_out_as_the_format_says),
        cmocka_unit_test(a_history_of_any_length_and_order_is_sorted),
        cmocka_unit_test(cells_old_and_new_tell_one_order_however_far_apart),
        cmocka_unit_test(cells_too_far_apart_are_renumbered_once),
        cmocka_unit_test(malformed_cells_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
