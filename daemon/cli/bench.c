/*
 * bench.c -- the verb bench: how many questions a second, and how long each takes, as who asks sees it.
 *
 *     askers   user 0, c, 2c ..   one connection each, one question at a time, until the time is up
 *              user 1, c+1 ..     --> spans in buckets -----+
 *              ...                                          +--> one line
 *     and the same with an empty call, which says what of it is the way there and back
 *
 * Buckets are 32 to a doubling, so a percentile is told to within 3 %.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"
#include "freshet/life.h"
#include "grpc/health/v1/health.pb-c.h"

enum { STEPS = 32, STEP_BITS = 5, BUCKETS = 64 * STEPS, ASKERS_MOST = 256, SECONDS_MOST = 86400 };

struct spans {
    uint64_t of[BUCKETS], len, longest_ns;
};

/* One kind of call, asked by all at the same time. */
struct load {
    const char *name, *method;
    const ProtobufCMessageDescriptor *answer;
    const struct common *common;
    const struct texts *users;
    const Freshet__V1__RecommendRequest *request; /* NULL: the empty call */
    size_t askers;
    uint64_t end_ns;
    double seconds; /* it took */
    struct spans spans;
    uint64_t failed;
    struct fr_err err; /* of one that failed */
};

struct asker {
    struct load *load;
    size_t number;
    struct rpc *rpc;
    struct fr_thread *thread;
    struct spans spans;
    uint64_t failed;
    struct fr_err err;
};

/* ---- spans ---- */

static unsigned bucket_of(uint64_t ns)
{
    unsigned high = ns < STEPS ? 0 : 63 - STEP_BITS - (unsigned)__builtin_clzll(ns);

    return high * STEPS + (unsigned)(ns >> high);
}

/* The middle of the bucket. */
static double span_of(unsigned bucket)
{
    unsigned high = bucket < 2 * STEPS ? 0 : bucket / STEPS - 1;

    return ((double)(bucket - high * STEPS) + 0.5) * (double)(1ULL << high);
}

static void spans_add(struct spans *spans, uint64_t ns)
{
    spans->of[bucket_of(ns)]++;
    spans->len++;
    spans->longest_ns = ns > spans->longest_ns ? ns : spans->longest_ns;
}

/* NAN: there are none. */
static double spans_ms(const struct spans *spans, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)spans->len), before = 0;
    unsigned bucket = 0;

    if (!spans->len)
        return NAN;
    for (; bucket < BUCKETS - 1 && before + spans->of[bucket] <= wanted; bucket++)
        before += spans->of[bucket];
    return span_of(bucket) / 1e6;
}

/* ---- asking ---- */

static bool ask_once(struct asker *asker, uint64_t turn)
{
    static const Grpc__Health__V1__HealthCheckRequest nothing = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct load *load = asker->load;
    Freshet__V1__RecommendRequest request;
    const ProtobufCMessage *message = &nothing.base;
    ProtobufCMessage *answer;

    if (load->request) {
        request = *load->request;
        request.user_id = data_of(load->users->at[turn % load->users->len]);
        message = &request.base;
    }
    if (rpc_ask(asker->rpc, load->method, message, load->answer, &answer, load->common->timeout_ms, &asker->err))
        return false;
    protobuf_c_message_free_unpacked(answer, NULL);
    return true;
}

static void ask_until(void *arg)
{
    struct asker *asker = arg;

    for (uint64_t turn = asker->number, now = fr_mono_ns(); now < asker->load->end_ns; turn += asker->load->askers) {
        bool good = ask_once(asker, turn);
        uint64_t then = fr_mono_ns();
        if (good)
            spans_add(&asker->spans, then - now);
        else
            asker->failed++;
        now = then;
    }
}

static void gather(struct load *load, const struct asker *asker)
{
    for (unsigned b = 0; b < BUCKETS; b++)
        load->spans.of[b] += asker->spans.of[b];
    load->spans.len += asker->spans.len;
    if (asker->spans.longest_ns > load->spans.longest_ns)
        load->spans.longest_ns = asker->spans.longest_ns;
    load->failed += asker->failed;
    if (asker->failed)
        load->err = asker->err;
}

/* All connections are there before the clock runs. A daemon that cannot be asked once is an error of its own. */
static int connect_all(struct asker *askers, struct load *load, struct fr_err *err)
{
    for (size_t i = 0; i < load->askers; i++) {
        askers[i] = (struct asker){.load = load, .number = i};
        if (rpc_open(&askers[i].rpc, load->common->server, err))
            return err->code;
        if (!ask_once(&askers[i], i)) {
            *err = askers[i].err;
            return err->code;
        }
    }
    return FR_OK;
}

static int run_load(struct load *load, double seconds, struct fr_err *err)
{
    struct asker *askers = fr_zalloc(load->askers, sizeof(*askers));
    int status = connect_all(askers, load, err);

    if (status == FR_OK) {
        uint64_t begin = fr_mono_ns();
        load->end_ns = begin + (uint64_t)(seconds * 1e9);
        for (size_t i = 0; i < load->askers; i++)
            askers[i].thread = fr_thread_start("asker", ask_until, &askers[i]);
        for (size_t i = 0; i < load->askers; i++)
            fr_thread_join(askers[i].thread);
        load->seconds = (double)(fr_mono_ns() - begin) / 1e9;
        for (size_t i = 0; i < load->askers; i++)
            gather(load, &askers[i]);
    }
    for (size_t i = 0; i < load->askers; i++)
        if (askers[i].rpc)
            rpc_close(askers[i].rpc);
    free(askers);
    return status;
}

/* ---- what people and programs see ---- */

static double longest_ms(const struct spans *spans)
{
    return spans->len ? (double)spans->longest_ns / 1e6 : NAN;
}

static void put_ms(char room[TABLE_NUMBER], double ms)
{
    snprintf(room, TABLE_NUMBER, isfinite(ms) ? "%.3f" : "-", ms);
}

static void show_table(const struct load *loads, size_t len)
{
    static const char *const titles[] = {"call", "per second", "p50 ms", "p90 ms", "p99 ms", "longest ms", "failed"};
    static const int align[] = {TABLE_LEFT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT};
    struct table *table = table_new(7, titles, align);

    for (size_t i = 0; i < len; i++) {
        const struct load *load = &loads[i];
        char text[6][TABLE_NUMBER];
        snprintf(text[0], sizeof(text[0]), "%.0f", (double)load->spans.len / load->seconds);
        for (int p = 0; p < 3; p++)
            put_ms(text[1 + p], spans_ms(&load->spans, (const double[]){.5, .9, .99}[p]));
        put_ms(text[4], longest_ms(&load->spans));
        snprintf(text[5], sizeof(text[5]), "%llu", (unsigned long long)load->failed);
        table_add(table, (const char *const[]){load->name, text[0], text[1], text[2], text[3], text[4], text[5]});
    }
    table_print(table);
    table_free(table);
}

static int show_json(const struct load *loads, size_t len, const struct common *common)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < len; i++) {
        const struct load *load = &loads[i];
        json_array_append_new(rows, json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "call", load->name, "answered",
                                              (json_int_t)load->spans.len, "failed", (json_int_t)load->failed, "per_second",
                                              json_number((double)load->spans.len / load->seconds), "p50_ms",
                                              json_number(spans_ms(&load->spans, .5)), "p90_ms", json_number(spans_ms(&load->spans, .9)),
                                              "p99_ms", json_number(spans_ms(&load->spans, .99)), "longest_ms",
                                              json_number(longest_ms(&load->spans))));
    }
    return json_put(json_pack("{s:s, s:I, s:o}", "server", common->server, "concurrency", (json_int_t)loads[0].askers, "calls", rows));
}

/* ---- the verb ---- */

static int read_users(const char *path, struct texts *users)
{
    struct lines lines = {.file = strcmp(path, "-") ? fopen(path, "r") : stdin, .name = path, .most = LINE_MOST};
    bool whole = true;

    if (!lines.file)
        return cli_fail("cannot read '%s': %s", path, strerror(errno));
    while (whole && lines_next(&lines)) {
        if (!lines.len)
            continue;
        whole = lines_whole(&lines); /* what is before the NUL may be another user's id */
        char *user = cli_take(lines.len + 1, 1);
        memcpy(user, lines.at, lines.len);
        texts_add(users, user);
    }
    if (!whole)
        cli_fail("%s:%llu %s", path, (unsigned long long)lines.number, LINE_NOT_WHOLE);
    bool good = whole && !lines.failed;
    lines_release(&lines);
    if (lines.file != stdin)
        fclose(lines.file);
    return good ? CLI_DONE : CLI_FAILED;
}

static int bench(struct load *loads, size_t len, double seconds)
{
    const struct common *common = loads[0].common;
    struct fr_err err;
    uint64_t failed = 0;

    for (size_t i = 0; i < len; i++) {
        if (run_load(&loads[i], seconds, &err))
            return cli_fail("%s", err.text);
        failed += loads[i].failed;
    }
    int status = CLI_DONE;
    if (common_json(common))
        status = show_json(loads, len, common);
    else
        show_table(loads, len);
    for (size_t i = 0; i < len; i++)
        if (loads[i].failed)
            cli_fail("%llu calls of %s failed; one of them: %s", (unsigned long long)loads[i].failed, loads[i].name, loads[i].err.text);
    return failed ? CLI_FAILED : status;
}

int verb_bench(int argc, char **argv)
{
    static const struct usage usage = {"bench", "[USER]... [OPTION]...",
                                       "How many recommendations a second the daemon gives, and how long each takes; beside it an empty call. The users are "
                                       "asked for in turn.",
                                       "freshet bench --users users.txt --concurrency 8 --seconds 5"};
    struct common common = common_defaults();
    struct texts users = {0};
    const char *list = NULL, *model = "";
    uint64_t askers = 1;
    uint32_t k = 0;
    double seconds = 5;
    const struct option_row rows[] = {
        {"users", 0, OPTION_TEXT, &list, "FILE", "user ids, a line each (-: standard input)"},
        {"concurrency", 'c', OPTION_COUNT, &askers, "N", "askers, each with a connection and one question at a time (default 1, most 256)"},
        {"seconds", 's', OPTION_REAL, &seconds, "S", "how long, for each of the two calls (default 5)"},
        {"k", 'k', OPTION_COUNT32, &k, "N", "how many items are asked for (default: the daemon's)"},
        {"model", 0, OPTION_TEXT, &model, "NAME", "which model answers (default: the daemon's)"},
        SERVER_ROW(common), OUTPUT_ROWS(common), {0},
    };
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;
    int status = options_read(&usage, rows, argc, argv, &users);

    if (status >= 0)
        return status;
    if (!common_check(&common))
        return CLI_USAGE;
    if (askers < 1 || askers > ASKERS_MOST || !(seconds > 0 && seconds <= SECONDS_MOST) || (!users.len && !list)) {
        cli_fail(users.len || list ? "--concurrency is 1 to 256, --seconds above 0 and up to 86400" : "bench needs a USER, or --users");
        return CLI_USAGE;
    }
    if (list && (status = read_users(list, &users)))
        return status;
    if (!users.len)
        return cli_fail("'%s' names no user", list);
    request.k = k;
    request.model = (char *)(uintptr_t)model;
    const struct load ask = {.name = "Recommend", .method = ASK_SERVICE "Recommend", .answer = &freshet__v1__recommend_response__descriptor,
                             .common = &common, .users = &users, .request = &request, .askers = (size_t)askers};
    const struct load empty = {.name = "an empty call", .method = "/grpc.health.v1.Health/Check",
                               .answer = &grpc__health__v1__health_check_response__descriptor, .common = &common, .askers = (size_t)askers};
    struct load *loads = cli_take(2, sizeof(*loads));
    loads[0] = ask;
    loads[1] = empty;
    return bench(loads, 2, seconds);
}
