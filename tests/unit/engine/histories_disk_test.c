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

static bool cells_load(struct histories *histories, uint32_t user, const struct cells *cells)
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
            assert_true(cells_load(again.histories, user, &cells));
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
        assert_false(cells_load(again.histories, 4, &bad));
        users_agree(&again, 4, &copy);
        assert_int_equal(histories_slots(again.histories), 0);
    }
    for (size_t len = 0; len <= 40; len++)
        if (len != HISTORY_HEAD_BYTES)
            assert_false(histories_load(again.histories, 4, (struct fr_bytes){good.slots[0], len}, NULL, NULL, 0));
    assert_false(cells_load(again.histories, USERS, &good));
    assert_false(cells_load(plain.histories, 4, &good)); /* a unit affinity where none is kept */
    assert_true(cells_load(again.histories, 4, &good));
    assert_false(cells_load(again.histories, 4, &good)); /* twice */
    again.users[4] = world.users[4];
    users_agree(&again, 4, &copy);
    history_copy_release(&copy);
    world_free(&world);
    world_free(&again);
    world_free(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_comes_back_from_its_cells_bit_by_bit),
        cmocka_unit_test(the_cells_are_laid_out_as_the_format_says),
        cmocka_unit_test(malformed_cells_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
