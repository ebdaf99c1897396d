/*
 * recover.c -- the state from the store, before any thread starts.
 *
 * Order matters: the shape first (a store built with other settings is refused), then whether a journal is missing, then ids, then
 * side by side histories (from which n_i and the postings follow), each model's own rows and the window of event ids, then what a
 * model has missed, the positions and the outbox. Loading is no change, and leaves the journal empty but for histories that were
 * renumbered (histories.h), and for what is forgotten again, or by a model that missed it (forget.c).
 */
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "freshet/crash.h"
#include "freshet/format.h"
#include "freshet/log.h"

/* ---- shape ---- */

static struct fr_bytes line_of(struct fr_bytes *rest)
{
    const char *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;
    struct fr_bytes line = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
    size_t step = line.len + (end ? 1 : 0);

    rest->at += step;
    rest->len -= step;
    return line;
}

static struct fr_bytes key_of(struct fr_bytes line)
{
    const char *end = line.len ? memchr(line.at, '=', line.len) : NULL;

    return (struct fr_bytes){line.at, end ? (size_t)(end - line.at) : line.len};
}

/* Of a model that may run or not: a store may have been made without it, or before there was one. */
static bool of_a_model(struct fr_bytes line)
{
    const char *dot = line.len ? memchr(line.at, '.', line.len) : NULL;
    const struct model_ops *ops = dot ? registry_find(line.at, (size_t)(dot - line.at)) : NULL;

    return ops && ops != &sar_ops;
}

/* Lines of the same key; of one side only: the other is empty. */
struct difference {
    struct fr_bytes old, new;
};

enum { DIFFERENCES_MAX = 64, DIFFERENCES_BYTES = 320 };

static void put_side(struct fr_writer *out, struct fr_bytes line, struct fr_bytes other)
{
    struct fr_bytes shown = line.len ? line : key_of(other);

    fr_put_text(out, line.len ? "'%.*s'" : "no %.*s", (int)shown.len, shown.at);
}

/* The first with the sentence around it, then as many as the text of an error has room for. */
static int refuse_shape(const struct difference *differences, size_t len, struct fr_err *err)
{
    struct fr_writer text;
    size_t named = 1;

    fr_writer_init(&text, 0);
    put_side(&text, differences[0].old, differences[0].new);
    fr_put_text(&text, " and the configuration says ");
    put_side(&text, differences[0].new, differences[0].old);
    for (; named < len && named < DIFFERENCES_MAX; named++) {
        const struct difference *one = &differences[named];
        if (text.len + one->old.len + one->new.len > DIFFERENCES_BYTES)
            break;
        fr_put_text(&text, named == 1 ? "; likewise " : ", ");
        put_side(&text, one->old, one->new);
        fr_put_text(&text, " and ");
        put_side(&text, one->new, one->old);
    }
    if (named < len)
        fr_put_text(&text, "; %zu more differ", len - named);
    fr_fail(err, FR_CONFIG, "the store was built with %.*s; start with the former, or replay the log into a new store with --rebuild",
            (int)text.len, text.at);
    fr_writer_release(&text);
    return FR_CONFIG;
}

/* The mode is named first, for it changes the defaults of others, which nobody has set. */
static void note_difference(struct difference *differences, size_t len, struct fr_bytes old, struct fr_bytes new)
{
    size_t place = len;

    if (len && fr_bytes_equal(key_of(old), FR_BYTES("sar.mode"))) {
        differences[len < DIFFERENCES_MAX ? len : DIFFERENCES_MAX - 1] = differences[0];
        place = 0;
    }
    if (place < DIFFERENCES_MAX)
        differences[place] = (struct difference){old, new};
}

/* Lines are sorted. *ret_both: those of either; *ret_more: the store has not all of them. */
static int compare_shapes(struct fr_bytes stored, struct fr_bytes wanted, struct fr_writer *ret_both, bool *ret_more,
                          struct fr_err *err)
{
    const struct fr_bytes none = {NULL, 0};
    struct difference differences[DIFFERENCES_MAX];
    size_t len = 0;

    while (stored.len || wanted.len) {
        struct fr_bytes old_rest = stored, new_rest = wanted, old = line_of(&old_rest), new = line_of(&new_rest);
        int order = !new.len ? -1 : !old.len ? 1 : fr_bytes_order(key_of(old), key_of(new));
        struct fr_bytes one = order < 0 ? old : new;
        if (order ? !of_a_model(one) : !fr_bytes_equal(old, new))
            note_difference(differences, len++, order <= 0 ? old : none, order >= 0 ? new : none);
        fr_put_bytes(ret_both, one.at, one.len);
        fr_put_u8(ret_both, '\n');
        *ret_more = *ret_more || order > 0;
        stored = order <= 0 ? old_rest : stored;
        wanted = order >= 0 ? new_rest : wanted;
    }
    return len ? refuse_shape(differences, len, err) : FR_OK;
}

static int record_shape(struct store *store, struct fr_bytes shape, struct fr_err *err)
{
    struct store_batch *batch = store->ops->batch_new(store);
    struct fr_writer value;

    fr_writer_init(&value, 0);
    format_shape_value(&value, shape);
    store->ops->batch_put(batch, fr_bytes_of(FORMAT_SHAPE_KEY), fr_written(&value));
    int status = store->ops->write(store, batch, err);
    if (!status)
        status = store->ops->sync(store, err);
    fr_writer_release(&value);
    store->ops->batch_free(batch);
    return status;
}

static int check_shape(struct engine *engine, struct fr_err *err)
{
    struct store *store = engine->store;
    struct fr_bytes wanted = fr_bytes_of(engine->options.shape ? engine->options.shape : ""), text;
    struct fr_writer both;
    char *stored = NULL;
    size_t len = 0;
    bool more = false;
    int status = format_admit(store, err);

    if (status)
        return status;
    fr_writer_init(&both, 0);
    status = store->ops->get(store, fr_bytes_of(FORMAT_SHAPE_KEY), &stored, &len, err);
    if (status == FR_NOT_FOUND)
        status = record_shape(store, wanted, err);
    else if (!status && !format_shape_read((struct fr_bytes){stored, len}, &text))
        status = fr_fail(err, FR_CORRUPT, "the record of what shapes the store cannot be read");
    else if (!status)
        status = compare_shapes(text, wanted, &both, &more, err);
    if (!status && more)
        status = record_shape(store, fr_written(&both), err);
    fr_writer_release(&both);
    free(stored);
    return status;
}

/* ---- journals ---- */

/* What was synced once must be here; if it is not, what is here is an older state, whole, and Kafka has the rest. */
static int check_journals(struct engine *engine, struct fr_err *err)
{
    const struct store_ops *ops = engine->store->ops;
    uint64_t found = 0, marked = ops->marked(engine->store);
    int status = format_journals(engine->store, &found, err);

    if (!status)
        status = format_links_check(engine->store, found, err);
    if (status || found == marked)
        return status;
    if (found < marked) {
        fr_count(FR_SERIES(FR_M_STORE_LOST), marked - found);
        fr_log(FR_ERROR, "engine", "store.went_back",
               FR_FIELDS(FR_INT("journals", (int64_t)found), FR_INT("synced", (int64_t)marked)),
               "the disk has lost checkpoints that were synced; the state before them is whole, and the log is read again from there");
    }
    return ops->mark(engine->store, found, err); /* what has been opened is durable */
}

/* ---- tables ---- */

/* Of users or items. Those that the settings leave no place for are only counted, so that it can be said how many there are. */
struct ids_loader {
    struct engine *engine;
    struct dict *ids;
    uint32_t max, found;
};

/* Of one that was forgotten nothing is left but its place. */
static bool load_id(struct ids_loader *loader, uint32_t row, struct fr_bytes id)
{
    if (row != loader->found || row == DICT_NONE || (id.len && fr_id_problem(id.at, id.len)))
        return false;
    loader->found++;
    if (row >= loader->max)
        return true;
    return (id.len ? dict_add(loader->ids, id, dict_hash(id)) : dict_add_gone(loader->ids)) == row;
}

static bool load_user(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    struct ids_loader *loader = context;

    if (len != 1 || columns[0] != 0 || !load_id(loader, row, cells[0]))
        return false;
    if (row < loader->max)
        histories_extend(loader->engine->histories, row + 1); /* also of one whose history is empty, and not stored */
    return true;
}

static bool load_first_seen(struct engine *engine, uint32_t item, struct fr_bytes cell)
{
    struct fr_reader in = fr_reader_of(cell.at, cell.len);
    uint64_t first = fr_get_u64(&in);

    if (in.failed || first > (uint64_t)EVENT_WHEN_MAX)
        return false;
    *(_Atomic int64_t *)fr_array_at(&engine->item_first_seen, item) = (int64_t)first + 1;
    popular_came(engine, item, (when_ms)first);
    return true;
}

static bool load_item(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    struct ids_loader *loader = context;
    struct engine *engine = loader->engine;

    if (len < 1 || columns[0] != 0 || !load_id(loader, row, cells[0]))
        return false;
    if (row >= loader->max)
        return true;
    apply_make_room(engine, 0, row + 1);
    for (size_t i = 1; i < len; i++) {
        if (columns[i] > 2 || (columns[i] == 1 && !load_first_seen(engine, row, cells[i])))
            return false;
        if (columns[i] == 2)
            forget_waits(engine, row);
    }
    return true;
}

/* n_i alone, of millions of slots; apply_items_counted does the rest. */
static void count_holder(struct engine *engine, uint32_t item)
{
    _Atomic uint32_t *users = fr_array_at(&engine->item_users, item);

    atomic_store_explicit(users, atomic_load_explicit(users, memory_order_relaxed) + 1, memory_order_relaxed);
}

static bool load_history(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    struct engine *engine = context;

    if (row >= dict_len(engine->users) || len == 0 || columns[len - 1] != COLUMN_HEAD)
        return false;
    for (size_t i = 0; i + 1 < len; i++)
        if (columns[i] >= dict_len(engine->items))
            return false;
    enum history_loaded loaded = histories_load(engine->histories, row, cells[len - 1], columns, cells, len - 1);
    if (loaded == HISTORY_BAD)
        return false;
    if (loaded == HISTORY_RENUMBERED)
        apply_save_history(engine, row);
    for (size_t i = 0; i + 1 < len; i++) {
        count_holder(engine, columns[i]);
        if (engine->postings)
            rows_add(engine->postings, columns[i], row, 1);
    }
    if (engine->extremes)
        extremes_update(engine->extremes, row);
    apply_sequences_left(engine, row);
    return true;
}

struct learner_loader {
    struct engine *engine;
    struct learner *learner;
    const struct model_table *table;
};

static bool load_sums(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums, size_t len)
{
    struct learner_loader *loader = context;
    uint32_t items = dict_len(loader->engine->items);

    if (row >= items || (len && columns[len - 1] >= items))
        return false;
    return loader->table->load(loader->learner->model, row, columns, sums, NULL, len);
}

static bool load_cells(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    struct learner_loader *loader = context;

    return loader->table->load(loader->learner->model, row, columns, NULL, cells, len);
}

static bool load_dedup(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    struct engine *engine = context;

    (void)columns;
    return !engine->dedup || dedup_load(engine->dedup, row, cells, len);
}

static bool load_said_item(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    struct engine *engine = context;

    return len == 1 && columns[0] == 0 && row < dict_len(engine->items) && apply_say_item(engine, row, cells[0]);
}

static bool load_said_user(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    struct engine *engine = context;

    return len == 1 && columns[0] == 0 && row < dict_len(engine->users) && catalogue_put_user(engine->catalogue, row, cells[0]);
}

/* A store that holds more than the settings allow is none the worse for it, and is left as it is. */
static int check_room(const struct ids_loader *loader, const char *what, struct fr_err *err)
{
    if (loader->found <= loader->max)
        return FR_OK;
    return fr_fail(err, FR_CONFIG, "the store holds %u %s, forgotten ones included, and engine.%s_max is %u; start with %u or more", loader->found,
                   what, what, loader->max, loader->found);
}

/* In turn: what goes first is checked against by what comes next, or shares what it changes with it. */
static int load_in_turn(struct engine *engine, struct fr_err *err)
{
    struct ids_loader users = {engine, engine->users, engine->options.users_max, 0}, items = {engine, engine->items, engine->options.items_max, 0};
    const struct state_loader ids[] = {
        {.table = TABLE_USERS, .context = &users, .cells = load_user},
        {.table = TABLE_ITEMS, .context = &items, .cells = load_item},
    };
    const struct state_loader said[] = {
        {.table = TABLE_CATALOGUE_ITEMS, .context = engine, .cells = load_said_item},
        {.table = TABLE_CATALOGUE_USERS, .context = engine, .cells = load_said_user},
    };
    int status = FR_OK;

    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids) && !status; i++)
        status = state_load(engine->store, &ids[i], 1, err);
    if (!status)
        status = check_room(&users, "users", err);
    if (!status)
        status = check_room(&items, "items", err);
    for (size_t i = 0; i < sizeof(said) / sizeof(*said) && !status; i++)
        status = state_load(engine->store, &said[i], 1, err);
    return status;
}

/* Ids first, for all others are checked against them; then what stands on its own, side by side (state_load). Of what a
 * history is loaded into, its own slots, n_i, postings, extremes and the journal, no model touches anything. */
static int load_tables(struct engine *engine, struct fr_err *err)
{
    struct learner_loader contexts[TABLES];
    struct state_loader loaders[TABLES];
    size_t len = 0;
    int status = load_in_turn(engine, err);

    if (status)
        return status;
    for (size_t m = 0; m < engine->learners_len; m++) {
        for (size_t t = 0; t < engine->learners[m].ops->tables_len; t++, len++) {
            contexts[len] = (struct learner_loader){engine, &engine->learners[m], &engine->learners[m].ops->tables[t]};
            loaders[len] = (struct state_loader){.table = contexts[len].table->table,
                                                 .side_by_side = true,
                                                 .context = &contexts[len],
                                                 .sums = load_sums,
                                                 .cells = load_cells};
        }
    }
    loaders[len++] = (struct state_loader){.table = TABLE_HISTORY, .context = engine, .cells = load_history};
    loaders[len++] = (struct state_loader){.table = TABLE_QUALITY, .context = engine->evaluator, .cells = evaluator_load};
    loaders[len++] = (struct state_loader){.table = TABLE_DEDUP, .context = engine, .cells = load_dedup};
    status = state_load(engine->store, loaders, len, err);
    if (status)
        return status;
    apply_items_counted(engine);
    evaluator_loaded(engine->evaluator);
    return FR_OK;
}

struct warmer {
    struct store *store;
    _Atomic bool stop;
};

static void warm(void *context)
{
    struct warmer *warmer = context;

    warmer->store->ops->warm(warmer->store, &warmer->stop);
}

/* The disk reads ahead of whoever builds rows of what it has read. */
static int load_tables_warm(struct engine *engine, struct fr_err *err)
{
    struct warmer warmer = {.store = engine->store};
    struct fr_thread *thread = engine->store->ops->warm ? fr_thread_start("load-ahead", warm, &warmer) : NULL;
    int status = load_tables(engine, err);

    atomic_store(&warmer.stop, true);
    fr_thread_join(thread);
    return status;
}

/* ---- positions and clock ---- */

static int load_positions(struct engine *engine, struct fr_err *err)
{
    struct store_iter *iter = engine->store->ops->iterate(engine->store, fr_bytes_of(FORMAT_POSITION_PREFIX));
    struct fr_bytes key, value;
    uint32_t len = 0, known = 0;
    int status = FR_OK;

    while (!status && engine->store->ops->next(iter, &key, &value)) {
        struct format_position stored;
        if (!format_position_read(key, value, &stored) || stored.index >= PARTITIONS_MAX ||
            engine->partitions[stored.index] || stored.topic.len > TOPIC_BYTES_MAX) {
            status = fr_fail(err, FR_CORRUPT, "a position in the store cannot be read");
            break;
        }
        struct partition *partition =
            partition_make(engine, stored.index, stored.topic.at, stored.topic.len, stored.partition);
        known++;
        if (stored.index >= len)
            len = stored.index + 1;
        if (engine->options.forget_positions)
            continue;
        partition->position = stored.next;
        partition->newest = stored.newest;
        partition->last = stored.last;
        partition->print = stored.print;
        atomic_store(&partition->next, stored.next);
        atomic_store(&partition->durable, stored.next);
        atomic_store(&partition->last_logged, stored.newest);
        atomic_store(&partition->unsaved, false);
    }
    int closed = engine->store->ops->iter_close(iter, status ? NULL : err);
    if (!status && !closed && known != len)
        status = fr_fail(err, FR_CORRUPT, "the store knows %u positions of %u", known, len);
    atomic_store(&engine->partitions_len, len);
    return status ? status : closed;
}

static int load_cluster(struct engine *engine, struct fr_err *err)
{
    char *value = NULL;
    size_t len;
    struct fr_bytes id;
    int status = engine->store->ops->get(engine->store, fr_bytes_of(FORMAT_CLUSTER_KEY), &value, &len, err);

    if (status == FR_NOT_FOUND)
        return FR_OK; /* of a program that did not ask, or nothing was read yet */
    if (status == FR_OK && (!format_cluster_read((struct fr_bytes){value, len}, &id) || id.len > CLUSTER_BYTES_MAX))
        status = fr_fail(err, FR_CORRUPT, "the name of the Kafka cluster in the store cannot be read");
    if (status == FR_OK && !engine->options.forget_positions) {
        memcpy(engine->cluster, id.at, id.len);
        engine->cluster[id.len] = 0;
    }
    free(value);
    return status;
}

static int load_clock(struct engine *engine, struct fr_err *err)
{
    char *value = NULL;
    size_t len;
    struct format_clock clock;
    int status = engine->store->ops->get(engine->store, fr_bytes_of(FORMAT_CLOCK_KEY), &value, &len, err);

    if (status == FR_NOT_FOUND)
        return FR_OK; /* nothing was ever checkpointed */
    if (status == FR_OK && !format_clock_read((struct fr_bytes){value, len}, &clock))
        status = fr_fail(err, FR_CORRUPT, "the clock in the store cannot be read");
    if (status == FR_OK) {
        atomic_store(&engine->now, clock.now);
        atomic_store(&engine->events, clock.events);
        engine->frozen = clock.number;
        atomic_store(&engine->synced, clock.number);
    }
    free(value);
    return status;
}

/* A model that did not run when the store learned, or forgot, catches up from what is held. */
static void recall(struct engine *engine)
{
    for (size_t m = 0; m < engine->learners_len; m++) {
        const struct learner *learner = &engine->learners[m];
        if (!learner->ops->current || learner->ops->current(learner->model))
            continue;
        learner->ops->recall(learner->model, NULL);
        for (uint32_t user = 0; user < dict_len(engine->users); user++) {
            struct history history = histories_view(engine->histories, user);
            learner->ops->recall(learner->model, &history);
        }
    }
}

int recover(struct engine *engine, struct fr_err *err)
{
    int status = check_shape(engine, err);

    fr_crash_point("recover.shape");
    if (!status)
        status = check_journals(engine, err);
    if (!status)
        status = load_tables_warm(engine, err);
    fr_crash_point("recover.tables");
    if (!status)
        status = load_clock(engine, err);
    if (!status)
        status = forget_recover(engine, err);
    if (!status)
        recall(engine);
    if (!status)
        status = load_positions(engine, err);
    if (!status)
        status = gaps_recover(engine, err);
    if (!status)
        status = load_cluster(engine, err);
    if (!status)
        status = outbox_recover(engine, err);
    fr_crash_point("recover.outbox");
    if (status)
        fr_while(err, "loading the state: ");
    return status;
}
