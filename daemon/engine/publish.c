/*
 * publish.c -- what has been applied, what is durable, and what a checkpoint stands for.
 *
 *     applied   ----------->|          moves after each batch; what lies before it is in every answer
 *     frozen        ------>|           a journal set aside, with the positions it stands for (struct freeze)
 *     durable     -->|                 the newest freeze whose write is synced
 *
 * A freeze takes no time that grows with the state: models journal nothing of it but what is small, and owe the rest (model.h, pay).
 *
 *     journal    A fills | B fills ...                       between two batches A is set aside; a slice of what is owed to
 *     aside              | A: what is owed . . . |           it follows every few events, one after another if none come,
 *     given                                      | A         and when all is paid it is handed over
 *
 * Positions are stored with release after the batch's effects: a reader that loads a position sees all events before it.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "freshet/crash.h"
#include "freshet/defect.h"
#include "freshet/format.h"

/* Of the engine's time at a stretch, for what models owe to a freeze; it is looked at once per so many cells. */
enum { SLICE_NS = 100000, CELLS_AT_ONCE = 64 };

const char *partition_state_name(enum partition_state state)
{
    static const char *const names[PARTITION_STATES] = {
        [PARTITION_WAITING] = "waiting",
        [PARTITION_RUNNING] = "running",
        [PARTITION_HALTED_GAP] = "halted_gap",
        [PARTITION_HALTED_TRUNCATED] = "halted_truncated",
        [PARTITION_HALTED_OTHER_LOG] = "halted_other_log",
        [PARTITION_HALTED_POISON] = "halted_poison",
        [PARTITION_HALTED_OTHER_CLUSTER] = "halted_other_cluster",
    };

    return names[state];
}

struct partition *partition_at(const struct engine *engine, uint32_t index)
{
    assert(index < atomic_load_explicit(&engine->partitions_len, memory_order_acquire));
    return engine->partitions[index];
}

static void make_series(struct partition *partition)
{
    char number[16];

    snprintf(number, sizeof(number), "%d", partition->number);
    partition->applied_series = fr_series(FR_M_OFFSET_APPLIED, partition->topic, number, "");
    partition->durable_series = fr_series(FR_M_OFFSET_DURABLE, partition->topic, number, "");
    partition->lag_series = fr_series(FR_M_LAG_MESSAGES, partition->topic, number, "");
    partition->lag_seconds_series = fr_series(FR_M_LAG_SECONDS, partition->topic, number, "");
    partition->skipped_series = fr_series(FR_M_EVENTS_SKIPPED, partition->topic, number, "");
    for (int s = 0; s < PARTITION_STATES; s++)
        partition->state_series[s] =
            fr_series(FR_M_PARTITION_STATE, partition->topic, number, partition_state_name((enum partition_state)s));
}

struct partition *partition_make(struct engine *engine, uint32_t index, const char *topic, size_t topic_len, int32_t number)
{
    struct partition *partition = fr_zalloc(1, sizeof(*partition));

    assert(index < PARTITIONS_MAX && topic_len <= TOPIC_BYTES_MAX);
    memcpy(partition->topic, topic, topic_len);
    partition->number = number;
    partition->identity = XXH3_64bits_withSeed(topic, topic_len, (uint64_t)number);
    atomic_init(&partition->next, -1);
    atomic_init(&partition->durable, -1);
    atomic_init(&partition->end, -1);
    atomic_init(&partition->oldest, -1);
    atomic_init(&partition->last_logged, -1);
    atomic_init(&partition->low, -1);
    atomic_init(&partition->unsaved, true); /* its index must reach the store */
    partition->position = partition->newest = partition->last = -1;
    make_series(partition);
    engine->partitions[index] = partition;
    return partition;
}

int engine_partition(struct engine *engine, const char *topic, int32_t number, uint32_t *ret_index, int64_t *ret_next,
                     struct fr_err *err)
{
    uint32_t index = 0, len;
    int status = FR_OK;

    if (strlen(topic) > TOPIC_BYTES_MAX)
        return fr_fail(err, FR_LIMIT, "topic '%.40s...' is longer than %d bytes", topic, TOPIC_BYTES_MAX);
    pthread_mutex_lock(&engine->lock);
    len = atomic_load(&engine->partitions_len);
    while (index < len && (engine->partitions[index]->number != number || strcmp(engine->partitions[index]->topic, topic)))
        index++;
    if (index == len && len == PARTITIONS_MAX) {
        status = fr_fail(err, FR_LIMIT, "partition %d of '%s' is one more than %d", number, topic, PARTITIONS_MAX);
    } else {
        if (index == len)
            partition_make(engine, index, topic, strlen(topic), number);
        atomic_store_explicit(&engine->partitions[index]->awaited, true, memory_order_relaxed);
        if (index == len)
            atomic_store_explicit(&engine->partitions_len, len + 1, memory_order_release);
        *ret_index = index;
        *ret_next = atomic_load(&engine->partitions[index]->next);
    }
    pthread_mutex_unlock(&engine->lock);
    return status;
}

bool engine_partition_print(struct engine *engine, uint32_t index, int64_t *ret_offset, uint64_t *ret_print)
{
    const struct partition *partition = partition_at(engine, index);

    *ret_offset = partition->last;
    *ret_print = partition->print;
    return partition->last >= 0;
}

uint32_t engine_partitions_known(struct engine *engine, const char *topic)
{
    uint32_t len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire), known = 0;

    for (uint32_t i = 0; i < len; i++)
        if (strcmp(engine->partitions[i]->topic, topic) == 0 && (uint32_t)engine->partitions[i]->number >= known)
            known = (uint32_t)engine->partitions[i]->number + 1;
    return known;
}

const char *engine_cluster(struct engine *engine, char room[CLUSTER_BYTES_MAX + 1])
{
    pthread_mutex_lock(&engine->lock);
    memcpy(room, engine->cluster, sizeof(engine->cluster));
    pthread_mutex_unlock(&engine->lock);
    return room;
}

void engine_cluster_set(struct engine *engine, const char *id)
{
    pthread_mutex_lock(&engine->lock);
    snprintf(engine->cluster, sizeof(engine->cluster), "%s", id);
    atomic_store(&engine->cluster_unsaved, true);
    pthread_mutex_unlock(&engine->lock);
}

void engine_partition_low(struct engine *engine, uint32_t index, int64_t low)
{
    atomic_store_explicit(&partition_at(engine, index)->low, low, memory_order_relaxed);
}

void publish_positions(struct engine *engine)
{
    uint32_t len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire);

    for (uint32_t i = 0; i < len; i++) {
        struct partition *partition = engine->partitions[i];
        if (!partition->moved)
            continue;
        partition->moved = false;
        atomic_store_explicit(&partition->last_logged, partition->newest, memory_order_relaxed);
        atomic_store_explicit(&partition->next, partition->position, memory_order_release);
    }
}

/* ---- freezing; thread: engine ---- */

/* What the store is told of a partition that has been read up to `next`. */
static int64_t offset_to_save(int64_t next)
{
    if (fr_defect(DEFECT_OFFSET_LOW) && next > 0)
        return next - 1;
    if (fr_defect(DEFECT_OFFSET_HIGH) && next > 0)
        return next + 1;
    return next;
}

static void save_cluster(struct engine *engine, struct fr_writer *value)
{
    if (!atomic_exchange(&engine->cluster_unsaved, false))
        return;
    fr_writer_reset(value);
    pthread_mutex_lock(&engine->lock);
    format_cluster_value(value, fr_bytes_of(engine->cluster));
    pthread_mutex_unlock(&engine->lock);
    journal_key_put(engine->journal, fr_bytes_of(FORMAT_CLUSTER_KEY), fr_written(value));
}

static void save_positions(struct engine *engine, struct freeze *freeze)
{
    struct fr_writer key, value;

    fr_writer_init(&key, 0);
    fr_writer_init(&value, 0);
    for (uint32_t i = 0; i < freeze->len; i++) {
        struct partition *partition = engine->partitions[i];
        freeze->next[i] = partition->position;
        if (!partition->unsaved)
            continue;
        partition->unsaved = false;
        fr_writer_reset(&key);
        fr_writer_reset(&value);
        format_position_key(&key, fr_bytes_of(partition->topic), partition->number);
        int64_t next = offset_to_save(partition->position);
        bool known = partition->last < next; /* always, but with a mistake sown */
        format_position_value(&value, &(struct format_position){.index = i,
                                                                .next = next,
                                                                .newest = partition->newest,
                                                                .last = known ? partition->last : -1,
                                                                .print = known ? partition->print : 0});
        journal_key_put(engine->journal, fr_written(&key), fr_written(&value));
    }
    save_cluster(engine, &value);
    fr_writer_reset(&value);
    format_clock_value(&value, &(struct format_clock){.now = atomic_load(&engine->now),
                                                      .events = atomic_load(&engine->events),
                                                      .number = freeze->number});
    journal_key_put(engine->journal, fr_bytes_of(FORMAT_CLOCK_KEY), fr_written(&value));
    fr_writer_release(&key);
    fr_writer_release(&value);
}

/* Under lock. */
static void drop_oldest_freeze(struct engine *engine)
{
    struct freeze *freeze = engine->freezes;

    engine->freezes = freeze->after;
    if (!engine->freezes)
        engine->freezes_tail = &engine->freezes;
    engine->freezes_len--;
    free(freeze->next);
    free(freeze);
}

/* The last one synced answers for all before it. Under lock. */
static void drop_answered(struct engine *engine)
{
    uint64_t synced = atomic_load(&engine->synced);

    while (engine->covers_len > 1 && engine->covers[1].number <= synced)
        memmove(engine->covers, engine->covers + 1, --engine->covers_len * sizeof(*engine->covers));
}

/* Tickets asked for so far will be covered by freeze `number`. Under lock. */
static void cover_asked(struct engine *engine, uint64_t number)
{
    size_t room = sizeof(engine->covers) / sizeof(*engine->covers);

    if (engine->asked == engine->asked_answered)
        return;
    drop_answered(engine);
    if (engine->covers_len == room) { /* far more asked than synced: later tickets share the newest freeze */
        engine->covers[room - 1].upto = engine->asked;
        engine->covers[room - 1].number = number;
    } else {
        engine->covers[engine->covers_len].upto = engine->asked;
        engine->covers[engine->covers_len++].number = number;
    }
    engine->asked_answered = engine->asked;
}

/* Under lock. The checkpoint syncs, and takes no other journal before it has, when far fewer wait for it (tail_long). */
static void keep_freeze(struct engine *engine, struct freeze *freeze)
{
    assert(engine->freezes_len < FREEZES_MAX);
    *engine->freezes_tail = freeze;
    engine->freezes_tail = &freeze->after;
    engine->freezes_len++;
}

/* Nothing has changed since the last freeze: it answers for those who ask now. */
static bool nothing_to_freeze(struct engine *engine)
{
    if (!journal_empty(engine->journal))
        return false;
    pthread_mutex_lock(&engine->lock);
    bool changed = atomic_load(&engine->cluster_unsaved);
    uint32_t len = atomic_load(&engine->partitions_len);
    for (uint32_t i = 0; i < len && !changed; i++)
        changed = engine->partitions[i]->unsaved;
    if (!changed)
        cover_asked(engine, engine->frozen);
    pthread_mutex_unlock(&engine->lock);
    return !changed;
}

/* All that follows goes into another journal. */
static void begin_freeze(struct engine *engine)
{
    struct freeze *freeze = fr_zalloc(1, sizeof(*freeze));

    freeze->number = ++engine->frozen;
    fr_crash_point("freeze.begun");
    for (size_t m = 0; m < engine->learners_len; m++)
        if (engine->learners[m].ops->save)
            engine->learners[m].ops->save(engine->learners[m].model);
    evaluator_save(engine->evaluator);
    freeze->len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire);
    freeze->next = fr_zalloc(freeze->len + 1, sizeof(*freeze->next));
    save_positions(engine, freeze);
    fr_crash_point("freeze.positions");
    pthread_mutex_lock(&engine->lock);
    keep_freeze(engine, freeze);
    cover_asked(engine, freeze->number);
    pthread_mutex_unlock(&engine->lock);
    atomic_store(&engine->unwritten_since, atomic_load(&engine->uncommitted_since));
    atomic_store(&engine->uncommitted_since, 0); /* second: whoever reads them in turn finds it in one of them */
    engine->aside = engine->journal;
    engine->journal = checkpoint_take(engine->checkpoint);
    engine->longest_ns = 0;
    fr_crash_point("freeze.aside");
}

/* Lets the models pay what they owe to the freeze. True: all is paid. */
static bool pay(struct engine *engine, uint64_t until_ns)
{
    for (size_t m = 0; m < engine->learners_len; m++) {
        const struct learner *learner = &engine->learners[m];
        while (learner->ops->pay && !learner->ops->pay(learner->model, CELLS_AT_ONCE))
            if (fr_mono_ns() >= until_ns)
                return false;
    }
    return true;
}

/* The engine has stood still since `begin_ns` for the freeze under way. */
static void slice(struct engine *engine, uint64_t begin_ns)
{
    bool paid = pay(engine, begin_ns + SLICE_NS);

    if (paid) {
        checkpoint_give(engine->checkpoint, engine->aside, engine->frozen);
        engine->aside = NULL;
        fr_crash_point("freeze.given");
    }
    uint64_t stood = fr_mono_ns() - begin_ns;
    engine->longest_ns = stood > engine->longest_ns ? stood : engine->longest_ns;
    if (paid)
        fr_observe(engine->pause_series, (double)engine->longest_ns / 1e9);
}

void publish_freeze(struct engine *engine)
{
    outbox_collect(engine);
    if (engine->aside || nothing_to_freeze(engine) || !checkpoint_due(engine->checkpoint))
        return;
    uint64_t begin = fr_mono_ns();
    begin_freeze(engine);
    slice(engine, begin);
}

void publish_pay(struct engine *engine)
{
    if (engine->aside)
        slice(engine, fr_mono_ns());
}

/* ---- the checkpoint's thread tells ---- */

void publish_written(void *context, uint64_t number)
{
    struct engine *engine = context;

    /* One journal at a time is with the checkpoint's thread: it is that one. */
    atomic_store(&engine->unwritten_since, 0);
    if (fr_defect(DEFECT_TOLD_UNSYNCED))
        publish_synced(engine, number);
}

void publish_synced(void *context, uint64_t number)
{
    struct engine *engine = context;

    outbox_synced(engine, number); /* first: whose checkpoint is done can take its letters */
    pthread_mutex_lock(&engine->lock);
    while (engine->freezes && engine->freezes->number <= number) {
        struct freeze *freeze = engine->freezes;
        for (size_t i = 0; i < freeze->len; i++)
            atomic_store_explicit(&engine->partitions[i]->durable, freeze->next[i], memory_order_release);
        drop_oldest_freeze(engine);
    }
    fr_crash_point("durable.told");
    atomic_store_explicit(&engine->synced, number, memory_order_release);
    drop_answered(engine);
    pthread_mutex_unlock(&engine->lock);
}

uint64_t engine_checkpoint_ask(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    uint64_t ticket = ++engine->asked;
    pthread_mutex_unlock(&engine->lock);
    checkpoint_hurry(engine->checkpoint);
    engine_nudge(engine);
    return ticket;
}

bool engine_checkpoint_done(struct engine *engine, uint64_t ticket, struct engine_checkpoint *ret)
{
    bool done = false;

    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < engine->covers_len && !done; i++)
        if (ticket <= engine->covers[i].upto)
            done = engine->covers[i].number <= atomic_load(&engine->synced);
    if (done && ret) {
        struct checkpoint_figures figures;
        checkpoint_figures(engine->checkpoint, &figures);
        ret->keys = figures.keys;
        ret->seconds = figures.seconds;
        ret->durable_len = atomic_load(&engine->partitions_len);
        for (size_t i = 0; i < ret->durable_len; i++) {
            struct partition *partition = engine->partitions[i];
            ret->durable[i] = (struct position){partition->topic, partition->number, atomic_load(&partition->durable)};
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return done;
}

int engine_snapshot(struct engine *engine, const char *path, const _Atomic bool *stop, struct fr_err *err)
{
    if (atomic_load(&engine->holds) & 1U << HOLD_DISK)
        return fr_fail(err, FR_FULL, "the disk is too full: nothing is written to it");
    return checkpoint_snapshot(engine->checkpoint, path, stop, err);
}

/* ---- status; thread: any ---- */

static void partition_tell(const struct engine *engine, const struct partition *partition, struct partition_status *ret)
{
    ret->topic = partition->topic;
    ret->partition = partition->number;
    ret->state = (enum partition_state)atomic_load_explicit(&partition->state, memory_order_relaxed);
    ret->durable = atomic_load_explicit(&partition->durable, memory_order_acquire);
    ret->applied = atomic_load_explicit(&partition->next, memory_order_acquire);
    ret->end = atomic_load_explicit(&partition->end, memory_order_relaxed);
    ret->low = atomic_load_explicit(&partition->low, memory_order_relaxed);
    ret->lag = ret->end < 0 ? -1 : partition_left(partition, ret->applied, ret->end);
    ret->newest = atomic_load_explicit(&partition->last_logged, memory_order_relaxed);
    struct staleness staleness = partition_staleness(engine, partition, fr_wall_ms());
    ret->lag_seconds = staleness.seconds;
    ret->unsure = staleness.unsure;
}

void engine_status(struct engine *engine, struct engine_status *ret_status)
{
    struct model_stats stats = {0};
    when_ms changed = atomic_load(&engine->changed);

    memset(ret_status, 0, sizeof(*ret_status));
    for (size_t m = 0; m < engine->learners_len; m++) {
        const struct learner *learner = &engine->learners[m];
        struct model_stats of = {0};
        learner->ops->stats(learner->model, &of);
        ret_status->models[ret_status->models_len].name = learner->ops->name;
        ret_status->models[ret_status->models_len].events = of.lasts ? of.events : atomic_load(&engine->events);
        ret_status->models[ret_status->models_len++].bytes = of.bytes;
        stats = m == 0 ? of : stats;
    }
    if (engine->blend) {
        ret_status->models[ret_status->models_len].events = atomic_load(&engine->events);
        ret_status->models[ret_status->models_len++].name = ENGINE_BLEND;
    }
    ret_status->users = dict_known(engine->users);
    ret_status->items = dict_known(engine->items);
    ret_status->pairs = stats.pairs;
    ret_status->model_bytes = stats.bytes;
    ret_status->model_events = atomic_load(&engine->events);
    ret_status->letters_seconds = outbox_tell(engine, &ret_status->letters);
    ret_status->age_seconds = changed ? (double)(fr_wall_ms() - changed) / 1000 : 0;
    ret_status->partitions_len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire);
    for (size_t i = 0; i < ret_status->partitions_len; i++)
        partition_tell(engine, engine->partitions[i], &ret_status->partitions[i]);
}

static void model_figures(const char *name, const struct model_stats *stats)
{
    fr_count_is(fr_series(FR_M_MODEL_SKIPPED, name, "", ""), (double)stats->skipped);
    fr_count_is(fr_series(FR_M_MODEL_GUARDED, name, "", ""), (double)stats->guarded);
    fr_gauge(fr_series(FR_M_MODEL_FEATURES, name, "", ""), (double)stats->features);
    fr_count_is(fr_series(FR_M_MODEL_FEATURES_DROPPED, name, "refused", ""), (double)stats->refused);
    fr_count_is(fr_series(FR_M_MODEL_FEATURES_DROPPED, name, "expired", ""), (double)stats->expired);
    fr_count_is(fr_series(FR_M_MODEL_FEATURES_DROPPED, name, "evicted", ""), (double)stats->evicted);
}

static void state_figures(struct engine *engine)
{
    for (size_t m = 0; m < engine->learners_len; m++) {
        const struct learner *learner = &engine->learners[m];
        struct model_stats stats = {0};
        learner->ops->stats(learner->model, &stats);
        fr_gauge(fr_series(FR_M_STATE_BYTES, m ? learner->ops->name : "pairs", "", ""), (double)stats.bytes);
        model_figures(learner->ops->name, &stats);
        if (m)
            continue;
        fr_gauge(FR_SERIES(FR_M_STATE_PAIRS), (double)stats.pairs);
        fr_count_is(FR_SERIES(FR_M_ROWS_PRUNED), (double)stats.pruned);
    }
    fr_gauge(FR_SERIES(FR_M_STATE_USERS), dict_known(engine->users));
    fr_gauge(FR_SERIES(FR_M_STATE_ITEMS), dict_known(engine->items));
    fr_gauge(fr_series(FR_M_STATE_BYTES, "ids", "", ""), (double)(dict_bytes(engine->users) + dict_bytes(engine->items)));
    fr_gauge(fr_series(FR_M_STATE_BYTES, "histories", "", ""), (double)histories_bytes(engine->histories));
    fr_gauge(fr_series(FR_M_STATE_BYTES, "postings", "", ""), engine->postings ? (double)rows_bytes(engine->postings) : 0);
    fr_gauge(fr_series(FR_M_STATE_BYTES, "dedup", "", ""), engine->dedup ? (double)dedup_bytes(engine->dedup) : 0);
    fr_gauge(fr_series(FR_M_STATE_BYTES, "items", "", ""),
             (double)(fr_array_bytes(&engine->item_users) + fr_array_bytes(&engine->item_bytes) + fr_array_bytes(&engine->item_first_seen)));
    fr_gauge(fr_series(FR_M_STATE_BYTES, "catalogue", "", ""), (double)catalogue_bytes(engine->catalogue));
    fr_gauge(FR_SERIES(FR_M_CATALOGUE_ITEMS), catalogue_items(engine->catalogue));
    fr_gauge(fr_series(FR_M_STATE_BYTES, "outbox", "", ""), (double)atomic_load(&engine->outbox_bytes));
    fr_gauge(fr_series(FR_M_STATE_BYTES, "retired", "", ""), (double)fr_epoch_waiting(engine->epoch));
    fr_gauge(FR_SERIES(FR_M_OUTBOX_PENDING), (double)atomic_load(&engine->outbox_len));
}

void publish_figures(void *context)
{
    struct engine *engine = context;
    when_ms young = atomic_load(&engine->uncommitted_since), old = atomic_load(&engine->unwritten_since);
    when_ms since = old ? old : young;
    uint32_t len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire);

    state_figures(engine);
    refresh_figures(engine->refresh);
    forget_figures(engine);
    fr_gauge(FR_SERIES(FR_M_UNCOMMITTED), since ? (double)(fr_wall_ms() - since) / 1000 : 0);
    for (uint32_t i = 0; i < len; i++) {
        struct partition *partition = engine->partitions[i];
        struct partition_status status;
        partition_tell(engine, partition, &status);
        fr_gauge(partition->applied_series, status.applied < 0 ? 0 : (double)status.applied);
        fr_gauge(partition->durable_series, status.durable < 0 ? 0 : (double)status.durable);
        fr_gauge(partition->lag_series, status.lag < 0 ? 0 : (double)status.lag);
        fr_gauge(partition->lag_seconds_series, status.lag_seconds);
        for (int s = 0; s < PARTITION_STATES; s++)
            fr_gauge(partition->state_series[s], s == (int)status.state);
    }
}
