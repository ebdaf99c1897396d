/*
 * main.c -- freshetd: start in order, wait, drain, stop in reverse order. Nothing is done here but putting the parts
 * together.
 *
 * Draining takes what is under way to its end while questions are still answered; stopping is the list of steps
 * backwards. A crash or a second signal at any step of either loses nothing: what is not in the synced store is in
 * Kafka.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "freshetd.h"
#include "offline.h"
#include "signals.h"

#include "freshet/clock.h"
#include "freshet/crash.h"
#include "freshet/fds.h"
#include "freshet/life.h"
#include "freshet/log.h"

/* ---- the order ------------------------------------------------------------------------------------------------- */

static const struct step {
    const char *name;
    int (*start)(struct freshetd *d, struct fr_err *err);
    void (*stop)(struct freshetd *d);
    enum exit_code io; /* what FR_IO means there: a disk that fails, or an address that cannot be had */
} steps[] = {
    {"lock", start_lock, stop_lock, EXIT_DISK},           /* one daemon per data directory */
    {"box", start_box, stop_box, EXIT_DISK},              /* which record crashed us, should one */
    {"admin", start_admin, stop_admin, EXIT_CONFIG},      /* HTTP: /startupz and /livez answer while state is loaded */
    {"broker", start_broker, stop_broker, EXIT_INTERNAL}, /* --dev: Kafka within this process */
    {"store", start_store, stop_store, EXIT_DISK},        /* RocksDB */
    {"engine", start_engine, stop_engine, EXIT_DISK},     /* loads the state; its threads learn and checkpoint */
    {"page", start_page, stop_page, EXIT_INTERNAL},       /* the status page asks it */
    {"backups", start_backups, stop_backups, EXIT_DISK},  /* makes and verifies them while everything goes on */
    {"serve", start_serve, stop_serve, EXIT_CONFIG},      /* gRPC answers from it */
    {"feed", start_feed, stop_feed, EXIT_INTERNAL},       /* Kafka's records go to it */
};
enum { STEPS = sizeof steps / sizeof *steps };

/* From the signal to the stop. Health and /readyz say no from the first moment. */
static void (*const drain[])(struct freshetd *d) = {
    drain_begin,   /* the system is told */
    drain_delay,   /* balancers look elsewhere meanwhile */
    drain_polling, /* no more records */
    drain_state,   /* all that was given is applied, written and synced */
    drain_outbox,  /* dead letters leave; then steps[] backwards: calls in flight finish first */
};
enum { DRAIN_STEPS = sizeof drain / sizeof *drain };

static int exit_code_of(const struct step *step, enum fr_status status)
{
    switch (status) {
    case FR_CONFIG:
    case FR_INVALID:
        return EXIT_CONFIG;
    case FR_BUSY:
        return EXIT_HELD;
    case FR_FULL:
    case FR_CORRUPT:
        return EXIT_DISK;
    case FR_IO:
        return step->io;
    default:
        return EXIT_INTERNAL;
    }
}

/* ---- a life ---------------------------------------------------------------------------------------------------- */

/* "127.0.0.1:0" and 41234: "127.0.0.1:41234" */
static const char *bound(const char *listen, int port, char *room, size_t room_len)
{
    snprintf(room, room_len, "%.*s:%d", (int)(strrchr(listen, ':') - listen), listen, port);
    return room;
}

static void announce(const struct freshetd *d)
{
    char grpc[320], admin_grpc[320], http[320];

    bound(d->cfg->serve.listen, serve_port(d->serve), grpc, sizeof grpc);
    bound(d->cfg->admin.grpc_listen, serve_admin_port(d->serve), admin_grpc, sizeof admin_grpc);
    bound(d->cfg->admin.listen, admin_port(d->admin), http, sizeof http);
    printf("ready grpc=%s admin_grpc=%s http=%s brokers=%s\n", grpc, admin_grpc, http, config_brokers(d->cfg));
    fflush(stdout);
    fr_log(FR_INFO, "main", "ready",
           FR_FIELDS(FR_TEXT("grpc", grpc), FR_TEXT("admin_grpc", admin_grpc), FR_TEXT("http", http),
                     FR_TEXT("brokers", config_brokers(d->cfg))),
           "freshetd " FRESHET_VERSION " answers");
}

static void live(struct freshetd *d)
{
    fr_state_set(FR_RUNNING);
    signals_running();
    announce(d);
    notify_say(&d->notify, "READY=1");
    for (;;) {
        int look_ms = security_look_ms(&d->security), beat_ms = d->notify.beat_ms;
        int number = signals_next(look_ms >= 0 && (beat_ms < 0 || look_ms < beat_ms) ? look_ms : beat_ms);

        security_look(&d->security);
        if (number == SIGHUP) {
            notify_say(&d->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, fr_mono_ns() / 1000);
            reload(d, NULL, NULL, NULL); /* it has logged what is wrong */
            notify_say(&d->notify, "READY=1");
        } else if (number == SIGUSR1) {
            engine_checkpoint_ask(d->engine);
            fr_log(FR_INFO, "main", "checkpoint.asked", FR_NO_FIELDS, "a checkpoint was asked for");
        } else if (number != 0) {
            fr_state_set(FR_DRAINING); /* before anything else: who asks is told, whatever becomes of the log */
            fr_log(FR_INFO, "main", "drain", FR_FIELDS(FR_TEXT("signal", number == SIGINT ? "INT" : "TERM")),
                   "draining; a second signal stops at once");
            fr_crash_point("stop.asked");
            return;
        }
        beat(d, "answering"); /* after a signal too: who sends one each second does not make the watchdog bite */
    }
}

static int run(struct freshetd *d)
{
    struct fr_err err = {0};
    int started = 0, status = FR_OK;

    notify_start(&d->notify);
    notify_say(&d->notify, "STATUS=loading the state");
    fr_log(FR_INFO, "main", "start",
           FR_FIELDS(FR_TEXT("version", FRESHET_VERSION), FR_TEXT("data", d->cfg->store.path)), "starting");
    security_warn(&d->security, d->cfg);
    while (started < STEPS && (status = steps[started].start(d, &err)) == FR_OK)
        started++;
    if (status == FR_OK) {
        live(d);
    } else {
        d->exit_code = exit_code_of(&steps[started], (enum fr_status)status);
        fr_log(FR_ERROR, "main", "start.failed",
               FR_FIELDS(FR_TEXT("step", steps[started].name), FR_INT("exit", d->exit_code)), "%s", err.text);
    }
    fr_state_set(FR_DRAINING);
    for (int i = 0; status == FR_OK && i < DRAIN_STEPS; i++)
        drain[i](d);
    while (started > 0)
        steps[--started].stop(d);
    notify_stop(&d->notify);
    fr_log(FR_INFO, "main", "stopped", FR_FIELDS(FR_INT("exit", d->exit_code)), "stopped");
    return d->exit_code;
}

/* ---- what needs no daemon -------------------------------------------------------------------------------------- */

static int print_version(void)
{
    printf("freshetd %s (%s)\nlibrdkafka %s\nRocksDB %s\ngRPC %s\n", FRESHET_VERSION, FRESHET_REVISION,
           feed_library_version(), store_rocks_version(), serve_library_version());
    return EXIT_DONE;
}

static int print_written(void (*write)(struct fr_writer *out))
{
    struct fr_writer out;

    fr_writer_init(&out, 0);
    write(&out);
    fwrite(out.at, 1, out.len, stdout);
    fr_writer_release(&out);
    return EXIT_DONE;
}

static int print_config(const struct config *cfg)
{
    struct fr_writer out;

    fr_writer_init(&out, 0);
    config_print(cfg, &out);
    fwrite(out.at, 1, out.len, stdout);
    fr_writer_release(&out);
    return EXIT_DONE;
}

/* Connections and RocksDB's tables need more than the 1024 that many systems give unless asked for more. */
static void use_all_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What only librdkafka can tell of [kafka], and only of all of it together. */
static void check_feed(struct config *cfg)
{
    struct feed_options options;
    struct fr_err err;

    config_feed_options(cfg, &options);
    if (feed_check(&options, &err))
        config_problem(cfg, "%s", err.text);
}

/* With the configuration at hand: looks at it, or lives by it. */
static int with_config(struct freshetd *d)
{
    int code = EXIT_CONFIG;

    d->cfg = read_config(d);
    if (d->options.task == TASK_PRINT_CONFIG)
        print_config(d->cfg);
    if (!d->cfg->problems_len && (d->options.task == TASK_RUN || d->options.task == TASK_CHECK_CONFIG))
        security_open(&d->security, d->cfg);
    if (!d->cfg->problems_len && d->options.task == TASK_CHECK_CONFIG)
        check_feed(d->cfg);
    fputs(config_problems(d->cfg), stderr);
    if (d->cfg->problems_len)
        goto done;
    if (d->options.task == TASK_RESTORE || d->options.task == TASK_VERIFY) {
        code = offline(d);
        goto done;
    }
    code = EXIT_DONE;
    if (d->options.task == TASK_CHECK_CONFIG)
        puts("the configuration is good");
    if (d->options.task != TASK_RUN)
        goto done;
    fr_log_setup((enum fr_level)d->cfg->log.level, (enum fr_log_format)d->cfg->log.format);
    signals_start();
    use_all_files();
    code = run(d);
done:
    security_close(&d->security);
    config_free(d->cfg);
    return code;
}

/* What was printed may still lie in a buffer, and the disk it goes to be full. */
static int printed(int code)
{
    bool failed = ferror(stdout);

    if (fflush(stdout) == 0 && !failed)
        return code;
    fprintf(stderr, "cannot write the output: %s\n", errno ? strerror(errno) : "an error before");
    return code == EXIT_DONE ? EXIT_DISK : code;
}

int main(int argc, char **argv)
{
    struct freshetd d = {.feed_lock = PTHREAD_MUTEX_INITIALIZER};
    int code = EXIT_DONE;

    if (!fr_fds_take())
        return EXIT_INTERNAL;
    if (!options_read(&d.options, argc, argv))
        return EXIT_USAGE;
    fr_crash_begin();
    switch (d.options.task) {
    case TASK_HELP:
        options_help();
        break;
    case TASK_VERSION:
        code = print_version();
        break;
    case TASK_DOCS:
        code = print_written(config_docs);
        break;
    default:
        code = with_config(&d);
    }
    if (d.options.task != TASK_RUN) /* whose answer is not on stdout */
        code = printed(code);
    options_release(&d.options);
    return code;
}
