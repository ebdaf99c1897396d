/*
 * quality_bench.c -- what the daemon itself says of its models: a file replayed through the whole engine, each event ranked before it
 * is learned.
 *
 *   quality_bench FILE [MODEL ..]     FILE: u.data of MovieLens 100K; may be compressed (.xz). Models beside sar; default: all
 *
 * In order of time, all of weight 1, with the defaults of the configuration. A line per series of freshet_model_quality and of the
 * blend's weights; windows are shorter than the file, so the last 100,000 events are all of it.
 */
#include <string.h>

#include "engine_private.h"
#include "freshet/fm.h"
#include "freshet/log.h"
#include "freshet/trending.h"
#include "measure.h"
#include "bench.h"

enum { ID_ROOM = 12 };
struct row {
    uint32_t user, item;
    uint64_t when;
    size_t at;
};

static struct row *rows_read(const char *path, size_t *ret_len)
{
    char command[1000], *line = NULL;
    size_t room = 0, cap = 0, len = strlen(path);
    struct row *rows = NULL;

    *ret_len = 0;
    snprintf(command, sizeof(command), "%s '%s'", len > 3 && strcmp(path + len - 3, ".xz") == 0 ? "xz -dc" : "cat", path);
    FILE *file = popen(command, "r");
    while (file && getline(&line, &room, file) > 0) {
        char *at = line;
        struct row row = {.user = (uint32_t)strtoul(at, &at, 10), .item = (uint32_t)strtoul(at, &at, 10), .at = *ret_len};
        strtoul(at, &at, 10);
        row.when = strtoul(at, &at, 10) * 1000;
        fr_reserve((void **)&rows, &cap, *ret_len + 1, sizeof(*rows));
        rows[(*ret_len)++] = row;
    }
    free(line);
    if (!file || pclose(file) || !*ret_len)
        die("%s cannot be read", path);
    return rows;
}

static int by_time(const void *a, const void *b)
{
    const struct row *left = a, *right = b;

    if (left->when != right->when)
        return left->when < right->when ? -1 : 1;
    return left->at < right->at ? -1 : 1;
}

static struct fr_bytes id_of(struct event_batch *batch, char kind, uint32_t number)
{
    char *room = fr_arena_take(&batch->arena, ID_ROOM);

    return (struct fr_bytes){room, (size_t)snprintf(room, ID_ROOM, "%c%u", kind, number)};
}

static void replay(struct engine *engine, uint32_t partition, const struct row *rows, size_t len)
{
    for (size_t i = 0; i < len;) {
        struct event_batch *batch = engine_batch_take(engine, 10000);
        if (!batch)
            continue;
        for (; batch->len < EVENT_BATCH_MAX && i < len; i++)
            batch->events[batch->len++] = (struct event){.kind = EVENT_APPLY,
                                                         .partition = partition,
                                                         .offset = (int64_t)i,
                                                         .logged = (when_ms)rows[i].when,
                                                         .user = id_of(batch, 'u', rows[i].user),
                                                         .item = id_of(batch, 'i', rows[i].item),
                                                         .when = (when_ms)rows[i].when,
                                                         .weight = 1};
        engine_batch_give(engine, batch);
    }
    if (!engine_settle(engine, 600000))
        die("the engine does not settle");
}

static void print_series(const char *prefix)
{
    struct fr_writer text;

    fr_writer_init(&text, 0);
    fr_metric_write(&text, false);
    fr_put_u8(&text, 0);
    for (char *line = strtok(text.at, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, prefix, strlen(prefix)) == 0)
            puts(line);
    fr_writer_release(&text);
}

int main(int argc, char **argv)
{
    static const char *const types[] = {"click", "other"};
    static const struct trending_options trending = {(span_ms)7 * 86400000};
    struct engine_model models[ENGINE_MODELS_MAX] = {
        {"popular", NULL}, {"trending", &trending}, {"fm", &fm_defaults}, {ENGINE_BLEND, NULL}};
    struct engine_options options = {
        .history_max = 200,
        .users_max = 1000000,
        .items_max = 1000000,
        .uncommitted_mb_max = 256,
        .outbox_mb_max = 64,
        .checkpoint_interval = 500,
        .wal_sync_interval = 1000,
        .evaluate_every = 1,
        .types = types,
        .types_len = 2,
        .sar = {.similarity = SAR_SHRUNK_COSINE,
                .half_life = (span_ms)30 * 86400000,
                .threshold = 1,
                .window = 10,
                .score_last = 20,
                .neighbours_max = 500,
                .recency = 0.8},
        .models = models,
        .models_len = 4,
        .default_model = "sar",
    };
    struct store *store = store_memory_new(NULL);
    struct engine *engine;
    struct fr_err err;
    uint32_t partition;
    int64_t next;
    size_t len;

    if (argc < 2)
        die("usage: quality_bench FILE [MODEL ..]");
    if (argc > 2) {
        options.models_len = 0;
        for (int k = 2; k < argc && k < ENGINE_MODELS_MAX; k++)
            models[options.models_len++] = (struct engine_model){
                argv[k], strcmp(argv[k], "fm") == 0 ? (const void *)&fm_defaults : strcmp(argv[k], "trending") == 0 ? &trending : NULL};
    }
    fr_log_setup(FR_ERROR, FR_LOG_TEXT);
    struct row *rows = rows_read(argv[1], &len);
    qsort(rows, len, sizeof(*rows), by_time);
    if (engine_open(&engine, &options, store, &err) || engine_start(engine, &err) ||
        engine_partition(engine, "events", 0, &partition, &next, &err))
        die("%s", err.text);
    uint64_t begun = fr_mono_ns();
    replay(engine, partition, rows, len);
    printf("replay %.3f us/event - -\n", (double)(fr_mono_ns() - begun) / 1e3 / (double)len);
    print_series("freshet_model_quality");
    print_series("freshet_model_mcnemar");
    print_series("freshet_model_drift");
    print_series("freshet_blend_weight");
    if (!engine_stop(engine, &err))
        die("%s", err.text);
    engine_free(engine);
    store->ops->close(store);
    free(rows);
    return 0;
}
