/*
 * world.c -- see world.h.
 */
#include "world.h"

#include <stdarg.h>

#include "freshet/feed.h"

#define TOPIC "events"
enum { CHECKPOINT_INTERVAL = 5, SYNC_INTERVAL = 20, SYNC_BY_HAND = 10000, PATIENCE = 120000 };

static const struct feed_weight weights[] = {{"click", 1, false},  {"rating", 1, true}, {"purchase", 4, false},
                                             {"return", -4, false}, {"like", 2, false},  {"dislike", -2, false}};
enum { WEIGHTS = sizeof(weights) / sizeof(*weights) };
static const char *const types[] = {"click", "rating", "purchase", "return", "like", "dislike", "other"};

/* May the engine freeze? A script says when; engine.c and publish.c ask here first. */
static bool may_freeze;
bool __real_checkpoint_due(struct checkpoint *checkpoint);
bool __wrap_checkpoint_due(struct checkpoint *checkpoint);
bool __wrap_checkpoint_due(struct checkpoint *checkpoint)
{
    return may_freeze && __real_checkpoint_due(checkpoint);
}

bool world_fails(struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(world->problem, sizeof(world->problem), format, args);
    va_end(args);
    return false;
}

struct world *world_new(const char *rocks_folder)
{
    struct world *world = fr_zalloc(1, sizeof(*world));

    world->rules = (struct oracle_rules){.parity = true,
                                         .similarity = SAR_JACCARD,
                                         .dedup_window = 3600000,
                                         .max_future = 300000,
                                         .threshold = 1,
                                         .users_max = 1000,
                                         .items_max = 1000,
                                         .dedup_max = 1000,
                                         .recency = 1};
    world->outbox_mb_max = 16;
    world->clock = WORLD_ZERO;
    world->on_rocks = rocks_folder;
    world->disk = disk_new(rocks_folder);
    world->decoder = decoder_new(&(struct feed_options){
        .format = FEED_AUTO, .max_future = world->rules.max_future, .weights = weights, .weights_len = WEIGHTS});
    for (int p = 0; p < PARTITIONS_USED; p++)
        world->parts[p].cursor = world->parts[p].claimed = world->parts[p].before = -1;
    sim_set_wall(world->clock);
    return world;
}

void world_free(struct world *world)
{
    if (world->engine)
        world_crash(world, false);
    disk_free(world->disk);
    decoder_free(world->decoder);
    for (size_t i = 0; i < world->log_len; i++)
        free(world->log[i]);
    free(world->log);
    free(world->given);
    free(world->received);
    free(world);
}

/* ---- the log ---- */

static struct entry *keep_entry(struct world *world, const struct entry *entry)
{
    struct entry *kept = fr_alloc(sizeof(*kept));

    *kept = *entry;
    fr_reserve((void **)&world->log, &world->log_cap, world->log_len + 1, sizeof(*world->log));
    world->log[world->log_len++] = kept;
    return kept;
}

struct entry *world_append(struct world *world, const struct entry *entry)
{
    struct entry *kept = keep_entry(world, entry);

    kept->partition = world->partition;
    kept->offset = world->parts[world->partition].end++;
    kept->logged = world->clock;
    return kept;
}

static void note_given(struct world *world, const struct entry *entry)
{
    fr_reserve((void **)&world->given, &world->given_cap, world->given_len + 1, sizeof(*world->given));
    world->given[world->given_len++] = entry;
}

void world_recreate(struct world *world, int partition)
{
    struct log_part *part = &world->parts[partition];

    for (size_t i = 0; i < world->log_len; i++)
        if (world->log[i]->partition == partition)
            world->log[i]->gone = true;
    part->first = part->end = 0;
    part->recreated = true;
}

/* ---- processes ---- */

static struct engine_options options_of(struct world *world)
{
    const struct oracle_rules *rules = &world->rules;

    snprintf(world->shape, sizeof(world->shape),
             "engine.history_max=%u\nsar.half_life_ms=%lld\nsar.mode=%s\nsar.normalize=%s\nsar.window=%u\n",
             rules->history_max, (long long)rules->half_life, rules->parity ? "parity" : "product",
             rules->normalize ? "yes" : "no", rules->window);
    return (struct engine_options){
        .history_max = rules->history_max,
        .users_max = rules->users_max,
        .items_max = rules->items_max,
        .user_postings = rules->parity,
        .normalize = rules->normalize,
        .dedup_window = rules->dedup_window,
        .dedup_max = rules->dedup_max,
        .uncommitted_mb_max = 64,
        .outbox_mb_max = world->outbox_mb_max,
        .checkpoint_interval = world->automatic ? CHECKPOINT_INTERVAL : 0,
        .wal_sync_interval = world->automatic ? SYNC_INTERVAL : SYNC_BY_HAND,
        .similar_work_max = 1000000,
        .evaluate_every = world->evaluate_every,
        .types = types,
        .types_len = WEIGHTS + 1,
        .sar = {.parity = rules->parity,
                .similarity = rules->similarity,
                .half_life = rules->half_life,
                .threshold = rules->threshold,
                .window = rules->window,
                .score_last = rules->score_last,
                .recency = rules->recency},
        .default_model = "sar",
        .shape = world->shape,
    };
}

/* What was given and is not in the store's positions has not happened. */
static void forget_unkept(struct world *world)
{
    size_t kept = world->given_kept;

    for (size_t i = kept; i < world->given_len; i++) {
        const struct entry *entry = world->given[i];
        int64_t next = world->parts[entry->partition].cursor;
        if (entry->kind == ENTRY_FORGET_EVENT || entry->kind == ENTRY_FORGET_USER || entry->offset < next ||
            (entry->kind == ENTRY_SKIP && entry->offset == next))
            world->given[kept++] = entry;
    }
    world->given_len = kept;
}

static bool find_positions(struct world *world)
{
    for (int p = 0; p < PARTITIONS_USED; p++) {
        struct log_part *part = &world->parts[p];
        struct fr_err err;
        part->known = part->halted = false;
        part->cursor = -1;
        if (!part->end && !part->recreated)
            continue;
        if (engine_partition(world->engine, TOPIC, p, &part->index, &part->cursor, &err))
            return world_fails(world, "%s", err.text);
        part->known = true;
        if (part->cursor < part->claimed)
            return world_fails(world, "partition %d: %lld was reported as durable, and the store goes on at %lld", p,
                               (long long)part->claimed, (long long)part->cursor);
        if (part->cursor > part->end && !part->recreated)
            return world_fails(world, "partition %d: the store goes on at %lld of a log that ends at %lld", p,
                               (long long)part->cursor, (long long)part->end);
    }
    forget_unkept(world);
    return true;
}

bool world_start(struct world *world)
{
    struct engine_options options = options_of(world);

    sim_log_forget();
    world->refused = (struct fr_err){0};
    struct store *store = disk_open(world->disk, &world->refused);
    if (!store)
        return true;
    if (engine_open(&world->engine, &options, store, &world->refused)) {
        world->engine = NULL;
        disk_close(world->disk);
        return true;
    }
    world->refused = (struct fr_err){0};
    may_freeze = world->automatic;
    engine_start(world->engine, NULL);
    world->reader = reader_new(world->engine);
    return find_positions(world);
}

void world_inherit(struct world *world)
{
    for (size_t i = 0; i < world->log_len; i++)
        if (world->log[i]->offset < world->parts[world->log[i]->partition].cursor)
            note_given(world, world->log[i]);
}

/* The highest durable positions there are: from now on they are a promise. */
static void hear_claims(struct world *world)
{
    static struct engine_status status;

    engine_status(world->engine, &status);
    for (size_t i = 0; i < status.partitions_len; i++) {
        struct log_part *part = &world->parts[status.partitions[i].partition];
        if (status.partitions[i].durable > part->claimed)
            part->claimed = status.partitions[i].durable;
    }
}

bool world_stop(struct world *world)
{
    struct fr_err err;

    may_freeze = true;
    world->saved = engine_stop(world->engine, &err);
    hear_claims(world);
    reader_free(world->reader);
    engine_free(world->engine);
    world->engine = NULL;
    disk_close(world->disk);
    return true;
}

bool world_crash(struct world *world, bool power_cut)
{
    if (power_cut && world->on_rocks)
        return world_fails(world, "a power cut needs the store in memory");
    if (!world->engine) { /* only the power is cut */
        if (power_cut) {
            struct store *before = disk_crash(world->disk, true);
            before->ops->close(before);
        }
        return true;
    }
    hear_claims(world);
    struct store *old = disk_crash(world->disk, power_cut);
    may_freeze = true;
    engine_stop(world->engine, NULL); /* of the dead: only their memory is given back */
    reader_free(world->reader);
    engine_free(world->engine);
    world->engine = NULL;
    old->ops->close(old);
    return true;
}

/* ---- feeding ---- */

static void put_record(struct world *world, struct event_batch *batch, const struct entry *entry)
{
    struct event *event = &batch->events[batch->len++];
    struct fr_writer bytes;
    struct record record;
    struct reject reject;

    fr_writer_init(&bytes, 0);
    world_record(entry, &bytes, &record);
    if (decoder_decode(world->decoder, &record, event, &reject)) {
        engine_batch_keep(batch, event);
        if (engine_batch_wants_record(world->engine, batch, event->kind))
            event->reject = engine_batch_keep_reject(batch, &(struct reject){.key = record.key,
                                                                             .value = record.value,
                                                                             .has_key = record.has_key,
                                                                             .has_value = record.has_value,
                                                                             .logged = record.logged});
    } else {
        event->reject = engine_batch_keep_reject(batch, &reject);
    }
    event->partition = world->parts[entry->partition].index;
    event->offset = entry->offset;
    event->print = record_print(&record);
    fr_writer_release(&bytes);
    note_given(world, entry);
}

static bool halt(struct world *world, struct log_part *part, enum partition_state why)
{
    part->halted = true;
    part->why = why;
    engine_partition_says(world->engine, part->index, why, part->end, -1);
    return false;
}

/* Is the record applied last the one that stands there in the log? */
static bool same_log(struct world *world, int p)
{
    uint64_t print;
    int64_t last;

    if (!engine_partition_print(world->engine, world->parts[p].index, &last, &print))
        return true;
    for (size_t i = 0; i < world->log_len; i++) {
        const struct entry *entry = world->log[i];
        if (entry->kind <= ENTRY_POISON && !entry->gone && entry->partition == p && entry->offset == last)
            return world_print(entry) == print;
    }
    return true; /* no evidence */
}

/* May it be read on? What daemon/feed/verdict.c decides, of a log that is a list. */
static bool may_go_on(struct world *world, struct event_batch *batch, int p)
{
    struct log_part *part = &world->parts[p];

    if (part->halted)
        return false;
    if (part->cursor < 0) /* a log never read begins where it begins */
        part->cursor = part->first;
    if (part->cursor > part->end)
        return halt(world, part, PARTITION_HALTED_TRUNCATED);
    if (part->recreated && !same_log(world, p))
        return halt(world, part, PARTITION_HALTED_OTHER_LOG);
    if (part->cursor >= part->first)
        return true;
    if (!world->skip_gaps)
        return halt(world, part, PARTITION_HALTED_GAP);
    part->cursor = part->first;
    batch->events[batch->len++] =
        (struct event){.kind = EVENT_HOLE, .partition = part->index, .offset = part->first, .logged = -1};
    note_given(world, keep_entry(world, &(struct entry){.kind = ENTRY_SKIP, .partition = p, .offset = part->first}));
    return true;
}

static bool knows_partition(struct world *world, int p)
{
    struct log_part *part = &world->parts[p];
    struct fr_err err;

    if (!part->known && engine_partition(world->engine, TOPIC, p, &part->index, &part->cursor, &err))
        return world_fails(world, "%s", err.text);
    part->known = true;
    return true;
}

static struct event_batch *take_batch(struct world *world)
{
    return world->feed_stopped ? NULL : engine_batch_take(world->engine, world->by_hand ? 0 : 1000);
}

size_t world_feed(struct world *world, size_t most)
{
    struct event_batch *batch = take_batch(world);
    size_t log_len = world->log_len, given = 0;
    bool open[PARTITIONS_USED];

    if (!batch)
        return 0;
    for (int p = 0; p < PARTITIONS_USED; p++)
        open[p] = (world->parts[p].end > 0 || world->parts[p].recreated) && knows_partition(world, p) &&
                  may_go_on(world, batch, p);
    for (size_t i = 0; i < log_len && given < most && batch->len < EVENT_BATCH_MAX; i++) {
        const struct entry *entry = world->log[i];
        struct log_part *part = &world->parts[entry->partition];
        if (entry->kind > ENTRY_POISON || entry->gone || !open[entry->partition] || entry->offset < part->cursor)
            continue;
        put_record(world, batch, entry);
        part->cursor = entry->offset + 1;
        given++;
    }
    given += batch->len > given;
    engine_batch_give(world->engine, batch);
    return given;
}

bool world_feed_again(struct world *world, int partition, int64_t from)
{
    struct event_batch *batch = take_batch(world);

    if (!batch)
        return true;
    for (size_t i = 0; i < world->log_len && batch->len < EVENT_BATCH_MAX; i++) {
        const struct entry *entry = world->log[i];
        if (entry->kind <= ENTRY_POISON && !entry->gone && entry->partition == partition && entry->offset >= from &&
            entry->offset < world->parts[partition].cursor && entry->offset >= world->parts[partition].first)
            put_record(world, batch, entry);
    }
    engine_batch_give(world->engine, batch);
    return true;
}

bool world_catch_up(struct world *world)
{
    while (world_feed(world, EVENT_BATCH_MAX))
        ;
    sim_settle();
    hear_claims(world);
    return !world->problem[0];
}

void world_forget(struct world *world, const struct entry *entry)
{
    struct engine *engine = world->engine;
    struct fr_bytes user = fr_bytes_of(entry->user), item = fr_bytes_of(entry->item);

    sim_settle(); /* what was given before comes before */
    uint32_t u = dict_find(engine->users, user, dict_hash(user));
    note_given(world, keep_entry(world, entry));
    if (u == DICT_NONE)
        return;
    /* The engine's thread waits; this is its own doing in its place. */
    if (entry->kind == ENTRY_FORGET_USER) {
        apply_forget_user(engine, u);
    } else {
        uint32_t i = dict_find(engine->items, item, dict_hash(item));
        if (i != DICT_NONE)
            apply_forget_event(engine, u, i, entry->when, entry->value);
    }
}

/* ---- resets ---- */

/* What daemon/feed/resets.c decides, of a log that is a list. */
static bool may_reset(const struct log_part *part, int64_t to, bool new_log)
{
    bool maybe_other = part->why == PARTITION_HALTED_TRUNCATED || part->why == PARTITION_HALTED_OTHER_LOG;

    if (!part->halted || to < part->first || to > part->end)
        return false;
    return new_log ? maybe_other : to >= part->cursor || to == part->end;
}

static void give_reset(struct world *world, struct event_batch *batch, int p, int64_t to, bool new_log)
{
    struct log_part *part = &world->parts[p];
    int64_t from = new_log ? part->first : to < part->cursor ? to : part->cursor;

    if (new_log || to < part->cursor || part->why == PARTITION_HALTED_OTHER_LOG) {
        batch->events[batch->len++] =
            (struct event){.kind = EVENT_OTHER_LOG, .partition = part->index, .offset = from, .logged = -1};
        note_given(world, keep_entry(world, &(struct entry){.kind = ENTRY_OTHER_LOG, .partition = p, .offset = from}));
    }
    batch->events[batch->len++] = (struct event){
        .kind = to > from ? EVENT_HOLE : EVENT_POSITION, .partition = part->index, .offset = to, .logged = -1};
    if (to > from)
        note_given(world, keep_entry(world, &(struct entry){.kind = ENTRY_SKIP, .partition = p, .offset = to}));
}

bool world_reset(struct world *world, int p, int64_t to, bool new_log)
{
    struct log_part *part = &world->parts[p];
    struct event_batch *batch;

    if (!may_reset(part, to, new_log) || !(batch = take_batch(world)))
        return true;
    give_reset(world, batch, p, to, new_log);
    engine_batch_give(world->engine, batch);
    part->before = part->cursor > part->before ? part->cursor : part->before;
    part->cursor = to;
    part->claimed = -1;
    part->halted = false;
    engine_partition_says(world->engine, part->index, PARTITION_WAITING, part->end, -1);
    sim_settle(); /* a checkpoint is asked for when it is applied */
    if (!world_checkpoint(world))
        return false;
    world->given_kept = world->given_len;
    return true;
}

/* ---- checkpoints and dead letters ---- */

bool world_checkpoint(struct world *world)
{
    uint64_t ticket;
    span_ms waited = 0;

    may_freeze = true;
    ticket = engine_checkpoint_ask(world->engine);
    sim_settle();
    while (!engine_checkpoint_done(world->engine, ticket, NULL) && waited < PATIENCE) {
        sim_sleep(50);
        waited += 50;
    }
    may_freeze = world->automatic;
    hear_claims(world);
    return engine_checkpoint_done(world->engine, ticket, NULL) ||
           world_fails(world, "a checkpoint that was asked for is not there after two minutes");
}

bool world_write(struct world *world)
{
    may_freeze = true;
    engine_nudge(world->engine);
    sim_settle();
    may_freeze = world->automatic;
    hear_claims(world);
    return true;
}

bool world_sync(struct world *world)
{
    sim_sleep(SYNC_BY_HAND);
    hear_claims(world);
    return true;
}

static bool take_letter(struct world *world, const struct dead_letter *letter, bool arrives)
{
    struct received *received;

    if (letter->offset >= world->parts[letter->partition].claimed && letter->offset >= world->parts[letter->partition].before)
        return world_fails(world, "the dead letter of %d:%lld may leave, but only %lld is durable", letter->partition,
                           (long long)letter->offset, (long long)world->parts[letter->partition].claimed);
    if (!arrives)
        return true;
    fr_reserve((void **)&world->received, &world->received_cap, world->received_len + 1, sizeof(*world->received));
    received = &world->received[world->received_len++];
    *received = (struct received){letter->partition, letter->offset, ""};
    snprintf(received->reason, sizeof(received->reason), "%.*s", (int)letter->reason.len, letter->reason.at);
    return true;
}

bool world_deliver(struct world *world, enum delivery how)
{
    const struct dead_letter *letter;
    uint64_t refused[EVENT_BATCH_MAX];
    size_t len = 0;
    bool good = true;

    hear_claims(world);
    while (len < EVENT_BATCH_MAX && (letter = engine_outbox_take(world->engine, 0))) {
        good = take_letter(world, letter, how != DELIVERY_REFUSED) && good;
        if (how == DELIVERED)
            engine_outbox_done(world->engine, letter->id);
        else if (how == DELIVERY_REFUSED)
            refused[len++] = letter->id;
    }
    for (size_t i = 0; i < len; i++)
        engine_outbox_again(world->engine, refused[i]);
    return good;
}
