/*
 * daemon_bench.c -- the whole daemon in a process of its own: Kafka in, gRPC out.
 *
 *     daemon_bench FRESHETD [EVENTS [ROUNDS [BROKERS [PARTS [MODELS]]]]]
 *
 * Defaults: 800,000 events a round, 5 rounds, the embedded broker ("-"), all parts: i(ngest), q(uestions), b(usy),
 * v(isible). SAR alone in product mode unless MODELS says others (as recommend.models, "-": what a daemon without settings runs), and
 * the default model answers if it is among them; 100,000 items, 60,000 users, 16 partitions. Broker, daemon and this process share the machine, and the state grows from round to round. Ratios are
 * > 1 where we are better, so for a cost they are baseline / value.
 *
 *   daemon_ingest          events/s through Kafka into the state; baseline: a bare consume loop on the same records
 *   daemon_ingest_cpu      us of CPU per event, the whole process; baseline: the bare loop's process
 *   recommend_cpu          us of server CPU per Recommend of 10, eight calls in flight, without what it spends at rest;
 *                          baseline: an empty call (grpc.health.v1.Health/Check) on the same server
 *   recommend_p50, _p99    us at concurrency 1; baseline: the empty call. _over: the difference; baseline: the goal
 *   recommend_busy_*       us at concurrency 1 while records are read at full speed; baseline: at rest afterwards
 *   recommend_busy_p99_beside   the same; baseline: at rest, beside as many spinning threads as cores ingest took. What is
 *                          above 1 here is the daemon's; what is below 1 above and not here is that of too few cores
 *   recommend_busy_work    us of the serving threads' CPU per call while busy; _wait: us per call that they could have run
 *                          and waited for a core. Baselines: at rest
 *   visible_p50, _p99      ms from produce() to the first answer that has seen the event, at 1,000 events/s;
 *                          baseline: from produce() to a bare consumer. _over: the difference; baseline: the goal
 *
 * The embedded broker does not wake a waiting fetch, so that visible_* and its baseline both pay for its 10 ms: name a
 * real one with BROKERS.
 */
#include <stdatomic.h>

#include "topic.h"

#include "daemon_process.h"
#include "folder.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "freshet/v1/recommender.pb-c.h"

enum { CPU_CALLS = 10000, CPU_AT_ONCE = 8, LATENCY_CALLS = 3000, VISIBLE_PER_SECOND = 1000, VISIBLE_EVENTS = 4000 };

struct bench {
    const char *program, *models; /* NULL: the daemon's own */
    unsigned long events;
    unsigned rounds;
    struct topic topic;
    struct daemon daemon;
    char folder[256];
    struct visible *visible; /* of the round that runs */
    uint64_t random;
    char request[64];
};

static void begin_daemon(struct bench *bench)
{
    char brokers[200], topic[200], path[300], models[200];
    const char *settings[] = {brokers, topic, path, "limits.max_concurrent_streams=1000", bench->models ? models : NULL, NULL};

    if (bench->models)
        snprintf(models, sizeof(models), "recommend.models=%s", bench->models);
    snprintf(brokers, sizeof(brokers), "kafka.bootstrap.servers=%s", bench->topic.brokers);
    snprintf(topic, sizeof(topic), "feed.topic=%s", bench->topic.name);
    snprintf(path, sizeof(path), "store.path=%s/store", bench->folder);
    daemon_start(&bench->daemon, bench->program, settings);
}

static void await_applied(struct bench *bench, int64_t events, unsigned pause_us)
{
    while (daemon_applied(&bench->daemon) < events)
        usleep(pause_us);
}

/* ---- what is asked ---- */

static struct fr_bytes a_user(void *context)
{
    struct bench *bench = context;
    uint32_t user = (uint32_t)(bench_random(&bench->random) % TOPIC_USERS);
    int len = snprintf(bench->request + 2, sizeof(bench->request) - 4, "user%u", user);

    bench->request[0] = 0x0a; /* user_id */
    bench->request[1] = (char)len;
    bench->request[len + 2] = 0x10; /* k */
    bench->request[len + 3] = 10;
    return (struct fr_bytes){bench->request, (size_t)len + 4};
}

static struct client_kind recommend(struct bench *bench)
{
    return (struct client_kind){.method = "/freshet.v1.Recommender/Recommend", .request = a_user, .context = bench};
}

static struct client_kind empty(void)
{
    return (struct client_kind){.method = "/grpc.health.v1.Health/Check"};
}

/* ---- ingest ---- */

static void bench_ingest(struct bench *bench)
{
    struct bench_rounds rate = {.len = 0}, cpu = {.len = 0};
    static const char *const threads[] = {"feed", "rdk:", "engine", "checkpoint", "rocksdb"};

    for (unsigned round = 0; round < bench->rounds; round++) {
        int64_t from[TOPIC_PARTITIONS], before = topic_events(&bench->topic);
        memcpy(from, bench->topic.end, sizeof(from));
        topic_fill(&bench->topic, bench->events);
        struct topic_rate bare = topic_bare_loop(&bench->topic, from);
        begin_daemon(bench);
        pid_t pid = bench->daemon.pid;
        await_applied(bench, before + 1, 1000); /* from the first batch on, as the bare loop */
        int64_t begun = bench->daemon.applied, end = topic_events(&bench->topic);
        uint64_t begin = fr_mono_ns();
        double spent = cpu_of_process(pid), each[5];
        for (int t = 0; t < 5; t++)
            each[t] = cpu_of_threads(pid, threads[t]);
        await_applied(bench, end, 10000);
        double seconds = (double)(fr_mono_ns() - begin) / 1e9, events = (double)(end - begun);
        spent = cpu_of_process(pid) - spent;
        bench_round(&rate, events / seconds, bare.per_second);
        bench_round(&cpu, spent * 1e6 / events, bare.cpu_us);
        printf("# ingest round %u: %.2f s; us of CPU per event:", round, seconds);
        for (int t = 0; t < 5; t++)
            printf(" %s %.2f", threads[t], (cpu_of_threads(pid, threads[t]) - each[t]) * 1e6 / events);
        printf("; resident %.0f MB\n", (double)resident_bytes(pid) / 1e6);
        daemon_stop(&bench->daemon);
    }
    bench_print("daemon_ingest", "events/s", &rate, false);
    bench_print("daemon_ingest_cpu", "us/event", &cpu, true);
}

/* The state that the rounds of ingest would have left. */
static void fill_state(struct bench *bench)
{
    begin_daemon(bench);
    for (unsigned round = 0; round < bench->rounds; round++) {
        topic_fill(&bench->topic, bench->events);
        await_applied(bench, topic_events(&bench->topic), 10000);
    }
    daemon_stop(&bench->daemon);
}

/* ---- questions ---- */

/* us of server CPU per call, without what it spends at rest. */
static double cpu_per_call(struct bench *bench, const struct client_kind *kind, double at_rest)
{
    pid_t pid = bench->daemon.pid;
    double cpu = cpu_of_process(pid);
    uint64_t begin = fr_mono_ns();

    client_run(&bench->daemon.api, kind, CPU_CALLS, CPU_AT_ONCE, NULL);
    double seconds = (double)(fr_mono_ns() - begin) / 1e9;
    return (cpu_of_process(pid) - cpu - seconds * at_rest) * 1e6 / CPU_CALLS;
}

static double cpu_at_rest(struct bench *bench)
{
    double cpu = cpu_of_process(bench->daemon.pid);
    uint64_t begin = fr_mono_ns();

    usleep(500000);
    return (cpu_of_process(bench->daemon.pid) - cpu) * 1e9 / (double)(fr_mono_ns() - begin);
}

struct latency {
    double p50, p99;
};

static struct latency latency_of(struct bench *bench, const struct client_kind *kind, size_t calls)
{
    struct samples samples = {0};

    client_run(&bench->daemon.api, kind, calls, 1, &samples);
    struct latency latency = {samples_at(&samples, .5), samples_at(&samples, .99)};
    samples_release(&samples);
    return latency;
}

static void bench_questions(struct bench *bench)
{
    const struct client_kind ask = recommend(bench), nothing = empty();
    struct bench_rounds cpu = {.len = 0}, p50 = {.len = 0}, p99 = {.len = 0}, over50 = {.len = 0}, over99 = {.len = 0};

    begin_daemon(bench);
    latency_of(bench, &ask, 100);
    double at_rest = cpu_at_rest(bench);
    printf("# at rest the daemon takes %.1f %% of a core\n", at_rest * 100);
    for (unsigned round = 0; round < bench->rounds; round++) {
        double full = cpu_per_call(bench, &ask, at_rest), bare = cpu_per_call(bench, &nothing, at_rest);
        struct latency asked = latency_of(bench, &ask, LATENCY_CALLS),
                       none = latency_of(bench, &nothing, LATENCY_CALLS);
        bench_round(&cpu, full, bare);
        bench_round(&p50, asked.p50, none.p50);
        bench_round(&p99, asked.p99, none.p99);
        bench_round(&over50, asked.p50 - none.p50, 200);
        bench_round(&over99, asked.p99 - none.p99, 500);
    }
    daemon_stop(&bench->daemon);
    bench_print("recommend_cpu", "us/call", &cpu, true);
    bench_print("recommend_p50", "us", &p50, true);
    bench_print("recommend_p99", "us", &p99, true);
    bench_print("recommend_p50_over", "us", &over50, true);
    bench_print("recommend_p99_over", "us", &over99, true);
}

/* One round's figures: while ingest runs, at rest, and at rest beside threads that spin. */
struct busy {
    struct latency busy, rest, beside;
    double cores;            /* that ingest took */
    double work[2], wait[2]; /* us per call of the serving threads: while busy, at rest */
};

static void spin(void *stop)
{
    while (!atomic_load((_Atomic bool *)stop))
        ;
}

static struct latency latency_beside(struct bench *bench, unsigned spinning)
{
    const struct client_kind ask = recommend(bench);
    struct fr_thread *threads[16];
    _Atomic bool stop = false;

    for (unsigned i = 0; i < spinning; i++)
        threads[i] = fr_thread_start("spin", spin, &stop);
    struct latency latency = latency_of(bench, &ask, LATENCY_CALLS);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < spinning; i++)
        fr_thread_join(threads[i]);
    return latency;
}

static unsigned cores_rounded(double cores)
{
    return cores < 1 ? 1 : cores > 16 ? 16 : (unsigned)(cores + .5);
}

static void busy_round(struct bench *bench, struct busy *ret)
{
    const struct client_kind ask = recommend(bench);
    struct samples samples = {0};
    int64_t before = topic_events(&bench->topic);

    topic_fill(&bench->topic, bench->events);
    int64_t end = topic_events(&bench->topic);
    begin_daemon(bench);
    latency_of(bench, &ask, 1);
    await_applied(bench, before + 1, 1000);
    pid_t pid = bench->daemon.pid;
    uint64_t begin = fr_mono_ns();
    double cpu = cpu_of_process(pid);
    struct sched_times first = times_of_threads(pid, "serve");
    while (daemon_applied(&bench->daemon) < end)
        client_run(&bench->daemon.api, &ask, 100, 1, &samples);
    double seconds = (double)(fr_mono_ns() - begin) / 1e9, calls = (double)samples.len;
    cpu = cpu_of_process(pid) - cpu;
    struct sched_times second = times_of_threads(pid, "serve");
    ret->busy = (struct latency){samples_at(&samples, .5), samples_at(&samples, .99)};
    ret->rest = latency_of(bench, &ask, LATENCY_CALLS);
    struct sched_times third = times_of_threads(pid, "serve");
    ret->work[0] = (second.ran - first.ran) * 1e6 / calls;
    ret->work[1] = (third.ran - second.ran) * 1e6 / LATENCY_CALLS;
    ret->wait[0] = (second.waited - first.waited) * 1e6 / calls;
    ret->wait[1] = (third.waited - second.waited) * 1e6 / LATENCY_CALLS;
    ret->cores = (cpu - (second.ran - first.ran)) / seconds;
    ret->beside = latency_beside(bench, cores_rounded(ret->cores));
    printf("# busy: %zu calls while %.0f events/s came in and took %.1f cores; at rest beside %u spinning: p50 %.0f us\n",
           samples.len, (double)(end - before) / seconds, ret->cores, cores_rounded(ret->cores), ret->beside.p50);
    samples_release(&samples);
    daemon_stop(&bench->daemon);
}

static void bench_busy(struct bench *bench)
{
    struct bench_rounds p50 = {.len = 0}, p99 = {.len = 0}, beside = {.len = 0}, work = {.len = 0}, wait = {.len = 0};

    for (unsigned round = 0; round < bench->rounds; round++) {
        struct busy busy;
        busy_round(bench, &busy);
        bench_round(&p50, busy.busy.p50, busy.rest.p50);
        bench_round(&p99, busy.busy.p99, busy.rest.p99);
        bench_round(&beside, busy.busy.p99, busy.beside.p99);
        bench_round(&work, busy.work[0], busy.work[1]);
        bench_round(&wait, busy.wait[0], busy.wait[1]);
    }
    bench_print("recommend_busy_p50", "us", &p50, true);
    bench_print("recommend_busy_p99", "us", &p99, true);
    bench_print("recommend_busy_p99_beside", "us", &beside, true);
    bench_print("recommend_busy_work", "us/call", &work, true);
    bench_print("recommend_busy_wait", "us/call", &wait, true);
}

/* ---- from event to answer ---- */

/* One record's life; each time has one writer, and all are read when the writers have ended. */
struct moment {
    uint64_t sent, consumed, seen;
};
struct visible {
    struct bench *bench;
    int64_t from[TOPIC_PARTITIONS], seen[TOPIC_PARTITIONS];
    struct moment at[TOPIC_PARTITIONS][VISIBLE_EVENTS];
    int64_t left; /* not seen in an answer yet */
};

static void produce_slowly(void *context)
{
    struct visible *visible = context;
    struct topic *topic = &visible->bench->topic;
    rd_kafka_t *producer = topic_producer(topic, "0");
    rd_kafka_topic_t *handle = rd_kafka_topic_new(producer, topic->name, NULL);
    uint64_t next = fr_mono_ns() + 100000000; /* connected by then */

    for (int i = 0; i < VISIBLE_EVENTS; i++, next += 1000000000 / VISIBLE_PER_SECOND) {
        while (fr_mono_ns() < next)
            rd_kafka_poll(producer, 0), usleep(50);
        uint64_t now = fr_mono_ns();
        int p = topic_put(topic, producer, handle);
        visible->at[p][topic->end[p] - 1 - visible->from[p]].sent = now;
    }
    rd_kafka_flush(producer, TOPIC_PATIENCE_MS);
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(producer);
}

static void consume_bare(void *context)
{
    struct visible *visible = context;
    rd_kafka_t *consumer = topic_consumer(&visible->bench->topic, visible->from);

    for (int left = VISIBLE_EVENTS; left > 0;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 1000);
        if (message && !message->err) {
            visible->at[message->partition][message->offset - visible->from[message->partition]].consumed =
                fr_mono_ns();
            left--;
        }
        if (message)
            rd_kafka_message_destroy(message);
    }
    rd_kafka_destroy(consumer);
}

static void look_at_positions(void *context, struct fr_bytes answer)
{
    struct visible *visible = ((struct bench *)context)->visible;
    Freshet__V1__RecommendResponse *response =
        freshet__v1__recommend_response__unpack(NULL, answer.len, (const uint8_t *)answer.at);
    uint64_t now = fr_mono_ns();

    if (!response || !response->as_of)
        die("an answer cannot be read");
    for (size_t i = 0; i < response->as_of->n_positions; i++) {
        const Freshet__V1__Position *position = response->as_of->positions[i];
        int32_t p = position->partition;
        for (; visible->seen[p] < position->offset; visible->seen[p]++, visible->left--)
            visible->at[p][visible->seen[p] - visible->from[p]].seen = now;
    }
    freshet__v1__recommend_response__free_unpacked(response, NULL);
}

static void visible_round(struct bench *bench, struct visible *visible, struct samples *seen, struct samples *consumed)
{
    struct client_kind ask = recommend(bench);

    ask.answer = look_at_positions;
    *visible = (struct visible){.bench = bench, .left = VISIBLE_EVENTS};
    memcpy(visible->from, bench->topic.end, sizeof(visible->from));
    memcpy(visible->seen, bench->topic.end, sizeof(visible->seen));
    bench->visible = visible;
    struct fr_thread *consumer = fr_thread_start("consumer", consume_bare, visible);
    usleep(500000); /* it is connected and waits */
    struct fr_thread *producer = fr_thread_start("producer", produce_slowly, visible);
    while (visible->left > 0) {
        client_run(&bench->daemon.api, &ask, 1, 1, NULL);
        usleep(100);
    }
    fr_thread_join(producer);
    fr_thread_join(consumer);
    for (int p = 0; p < TOPIC_PARTITIONS; p++) {
        for (int64_t k = 0; k < bench->topic.end[p] - visible->from[p]; k++) {
            const struct moment *moment = &visible->at[p][k];
            samples_add(seen, (double)(int64_t)(moment->seen - moment->sent) / 1e6);
            samples_add(consumed, (double)(int64_t)(moment->consumed - moment->sent) / 1e6);
        }
    }
}

static void bench_visible(struct bench *bench)
{
    struct bench_rounds p50 = {.len = 0}, p99 = {.len = 0}, over50 = {.len = 0}, over99 = {.len = 0};
    struct visible *visible = fr_alloc(sizeof(*visible));

    begin_daemon(bench);
    await_applied(bench, topic_events(&bench->topic), 10000);
    for (unsigned round = 0; round < bench->rounds; round++) {
        struct samples seen = {0}, consumed = {0};
        visible_round(bench, visible, &seen, &consumed);
        double seen50 = samples_at(&seen, .5), seen99 = samples_at(&seen, .99);
        double consumed50 = samples_at(&consumed, .5), consumed99 = samples_at(&consumed, .99);
        bench_round(&p50, seen50, consumed50);
        bench_round(&p99, seen99, consumed99);
        bench_round(&over50, seen50 - consumed50, 2);
        bench_round(&over99, seen99 - consumed99, 10);
        samples_release(&seen);
        samples_release(&consumed);
    }
    daemon_stop(&bench->daemon);
    bench_print("visible_p50", "ms", &p50, true);
    bench_print("visible_p99", "ms", &p99, true);
    bench_print("visible_p50_over", "ms", &over50, true);
    bench_print("visible_p99_over", "ms", &over99, true);
    free(visible);
}

int main(int argc, char **argv)
{
    struct bench bench = {.random = 7, .events = 800000, .rounds = 5};
    const char *parts = argc > 5 ? argv[5] : "iqbv";

    if (argc > 2)
        bench.events = strtoul(argv[2], NULL, 10);
    if (argc > 3)
        bench.rounds = (unsigned)strtoul(argv[3], NULL, 10);
    if (argc < 2 || argc > 7 || bench.events < 10000 || bench.rounds == 0 || bench.rounds > BENCH_ROUNDS_MAX)
        die("usage: daemon_bench FRESHETD [EVENTS [ROUNDS [BROKERS [PARTS [MODELS]]]]]");
    bench.program = argv[1];
    bench.models = argc > 6 ? argv[6] : "sar";
    if (strcmp(bench.models, "-") == 0)
        bench.models = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0);
    fr_log_setup(FR_WARN, FR_LOG_TEXT);
    topic_begin(&bench.topic, argc > 4 && strcmp(argv[4], "-") ? argv[4] : NULL);
    grpc_init();
    folder_make(bench.folder);
    if (strchr(parts, 'i'))
        bench_ingest(&bench);
    else
        fill_state(&bench);
    if (strchr(parts, 'q'))
        bench_questions(&bench);
    if (strchr(parts, 'b'))
        bench_busy(&bench);
    if (strchr(parts, 'v'))
        bench_visible(&bench);
    folder_remove(bench.folder);
    topic_end(&bench.topic);
    grpc_shutdown();
    return 0;
}
