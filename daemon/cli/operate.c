/*
 * operate.c -- the operators' verbs that are one call of the Admin service: status, checkpoint, pause, resume, drain, reload, log-level,
 * forget, reset.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "freshet/clock.h"
#include "freshet/v1/admin.pb-c.h"

/* One verb: what it says of itself, what it calls, and how the answer looks to people. */
struct operation {
    struct usage usage;
    const char *method;
    const ProtobufCMessageDescriptor *response;
    void (*show)(const void *answer);
};

static int call(const struct operation *operation, const struct common *common, const ProtobufCMessage *request)
{
    ProtobufCMessage *answer;
    int status = admin_call(common, operation->method, request, operation->response, &answer);

    if (status)
        return status;
    if (common_json(common))
        json_print(answer);
    else
        operation->show(answer);
    protobuf_c_message_free_unpacked(answer, NULL);
    return CLI_DONE;
}

/* -1: go on; else the exit status. */
static int read_options(const struct operation *operation, int argc, char **argv, struct common *common, struct texts *rest)
{
    const struct option_row rows[] = {ADMIN_ROW(*common), OUTPUT_ROWS(*common), {0}};
    int status = options_read(&operation->usage, rows, argc, argv, rest);

    return status >= 0 ? status : common_check(common) ? -1 : CLI_USAGE;
}

static int operate(const struct operation *operation, int argc, char **argv, const ProtobufCMessage *request)
{
    struct common common = common_defaults();
    int status = read_options(operation, argc, argv, &common, NULL);

    return status >= 0 ? status : call(operation, &common, request);
}

static void put_held(char **held, size_t len)
{
    if (len == 0)
        puts("ingest runs");
    for (size_t i = 0; i < len; i++)
        printf("%s%s", i ? ", " : "ingest stands still: ", cli_shown(held[i]));
    if (len)
        putchar('\n');
}

/* ---- status ---- */

static void show_status(const void *message)
{
    const Freshet__V1__GetStatusResponse *answer = message;
    static const char *const names[] = {"topic", "partition", "state", "applied", "durable", "end", "lag"};
    static const int align[] = {TABLE_LEFT, TABLE_RIGHT, TABLE_LEFT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT};
    struct table *table = table_new(7, names, align);

    printf("freshetd %s, %s; brokers %s\nusers %llu   items %llu   pairs %llu\n", cli_shown(answer->version),
           cli_shown(answer->state), cli_shown(answer->brokers), (unsigned long long)answer->users, (unsigned long long)answer->items,
           (unsigned long long)answer->pairs);
    for (size_t i = 0; i < answer->n_models; i++)
        printf("model %s   events %llu   bytes %llu   changed %.1f s ago\n", cli_shown(answer->models[i]->name),
               (unsigned long long)answer->models[i]->events, (unsigned long long)answer->models[i]->bytes,
               answer->models[i]->age_seconds);
    if (answer->n_held)
        put_held(answer->held, answer->n_held);
    putchar('\n');
    for (size_t i = 0; i < answer->n_partitions; i++) {
        const Freshet__V1__PartitionStatus *p = answer->partitions[i];
        char cells[5][24];
        snprintf(cells[0], sizeof(cells[0]), "%d", p->partition);
        const int64_t numbers[] = {p->applied, p->durable, p->end, p->lag};
        for (int n = 0; n < 4; n++)
            snprintf(cells[n + 1], sizeof(cells[0]), "%lld", (long long)numbers[n]);
        table_add(table, (const char *const[]){p->topic, cells[0], p->state, cells[1], cells[2], cells[3], cells[4]});
    }
    table_print(table);
    table_free(table);
}

int verb_status(int argc, char **argv)
{
    static const struct operation operation = {
        {"status", "[OPTION]...", "Positions, lag and sizes.", "freshet status --output json"},
        "/freshet.v1.Admin/GetStatus",
        &freshet__v1__get_status_response__descriptor,
        show_status,
    };
    const Freshet__V1__GetStatusRequest request = FRESHET__V1__GET_STATUS_REQUEST__INIT;

    return operate(&operation, argc, argv, &request.base);
}

/* ---- checkpoint ---- */

static void show_checkpoint(const void *message)
{
    const Freshet__V1__CheckpointResponse *answer = message;

    printf("durable: %zu partitions, %llu keys in %.3f s\n", answer->n_durable, (unsigned long long)answer->keys, answer->seconds);
}

int verb_checkpoint(int argc, char **argv)
{
    static const struct operation operation = {
        {"checkpoint", "[OPTION]...", "Write and sync the state, and wait until that is done.", "freshet checkpoint"},
        "/freshet.v1.Admin/Checkpoint",
        &freshet__v1__checkpoint_response__descriptor,
        show_checkpoint,
    };
    const Freshet__V1__CheckpointRequest request = FRESHET__V1__CHECKPOINT_REQUEST__INIT;

    return operate(&operation, argc, argv, &request.base);
}

/* ---- pause and resume ---- */

static void show_pause(const void *message)
{
    const Freshet__V1__PauseIngestResponse *answer = message;

    put_held(answer->held, answer->n_held);
}

static void show_resume(const void *message)
{
    const Freshet__V1__ResumeIngestResponse *answer = message;

    put_held(answer->held, answer->n_held);
}

int verb_pause(int argc, char **argv)
{
    static const struct operation operation = {
        {"pause", "[OPTION]...", "Read no more records until resume, or a restart; questions are answered.",
         "freshet pause && freshet backup && freshet resume"},
        "/freshet.v1.Admin/PauseIngest",
        &freshet__v1__pause_ingest_response__descriptor,
        show_pause,
    };
    const Freshet__V1__PauseIngestRequest request = FRESHET__V1__PAUSE_INGEST_REQUEST__INIT;

    return operate(&operation, argc, argv, &request.base);
}

int verb_resume(int argc, char **argv)
{
    static const struct operation operation = {
        {"resume", "[OPTION]...", "Read records again after pause.", "freshet resume"},
        "/freshet.v1.Admin/ResumeIngest",
        &freshet__v1__resume_ingest_response__descriptor,
        show_resume,
    };
    const Freshet__V1__ResumeIngestRequest request = FRESHET__V1__RESUME_INGEST_REQUEST__INIT;

    return operate(&operation, argc, argv, &request.base);
}

/* ---- drain, reload, log-level ---- */

static void show_drain(const void *message)
{
    (void)message;
    puts("draining: what was applied is made lasting, calls in flight are answered, then the daemon ends");
}

int verb_drain(int argc, char **argv)
{
    static const struct operation operation = {
        {"drain", "[OPTION]...", "Let the daemon end as SIGTERM does; nothing is lost.", "freshet drain"},
        "/freshet.v1.Admin/Drain",
        &freshet__v1__drain_response__descriptor,
        show_drain,
    };
    const Freshet__V1__DrainRequest request = FRESHET__V1__DRAIN_REQUEST__INIT;

    return operate(&operation, argc, argv, &request.base);
}

static void show_reload(const void *message)
{
    const Freshet__V1__ReloadConfigResponse *answer = message;
    static const char *const names[] = {"key", "before", "now", "in effect"};
    static const int align[] = {TABLE_LEFT, TABLE_LEFT, TABLE_LEFT, TABLE_LEFT};
    struct table *table;

    if (!answer->n_changes) {
        puts("nothing has changed");
        return;
    }
    table = table_new(4, names, align);
    for (size_t i = 0; i < answer->n_changes; i++) {
        const Freshet__V1__ConfigChange *change = answer->changes[i];
        table_add(table, (const char *const[]){change->key, *change->before ? change->before : "-",
                                               *change->after ? change->after : "-",
                                               change->applied ? "yes" : "after a restart"});
    }
    table_print(table);
    table_free(table);
}

int verb_reload(int argc, char **argv)
{
    static const struct operation operation = {
        {"reload", "[OPTION]...", "Read the configuration again, as SIGHUP does, and tell what differs.", "freshet reload"},
        "/freshet.v1.Admin/ReloadConfig",
        &freshet__v1__reload_config_response__descriptor,
        show_reload,
    };
    const Freshet__V1__ReloadConfigRequest request = FRESHET__V1__RELOAD_CONFIG_REQUEST__INIT;

    return operate(&operation, argc, argv, &request.base);
}

static void show_log_level(const void *message)
{
    const Freshet__V1__SetLogLevelResponse *answer = message;

    printf("it was %s\n", cli_shown(answer->before));
}

int verb_log_level(int argc, char **argv)
{
    static const struct operation operation = {
        {"log-level", "[OPTION]... debug|info|warn|error", "What the daemon logs from now on, until a reload or a restart.",
         "freshet log-level debug"},
        "/freshet.v1.Admin/SetLogLevel",
        &freshet__v1__set_log_level_response__descriptor,
        show_log_level,
    };
    Freshet__V1__SetLogLevelRequest request = FRESHET__V1__SET_LOG_LEVEL_REQUEST__INIT;
    struct common common = common_defaults();
    struct texts rest = {0};
    int status = read_options(&operation, argc, argv, &common, &rest);

    if (status >= 0)
        return status;
    if (rest.len != 1) {
        cli_fail("log-level wants one level: debug, info, warn or error");
        return CLI_USAGE;
    }
    request.level = (char *)(uintptr_t)rest.at[0];
    return call(&operation, &common, &request.base);
}

/* ---- forget ---- */

static void show_forgotten(const Freshet__V1__Position *tombstone, int64_t cutoff_ms, char **remains, size_t len)
{
    char cutoff[32];

    printf("forgotten: events up to %s are ignored for ever (tombstone %s/%d before %lld)\n", fr_time_text(cutoff_ms, cutoff),
           tombstone ? cli_shown(tombstone->topic) : "", tombstone ? tombstone->partition : -1, tombstone ? (long long)tombstone->offset : -1);
    for (size_t i = 0; i < len; i++)
        printf("  remains   %s\n", cli_shown(remains[i]));
}

static void show_forget_user(const void *message)
{
    const Freshet__V1__ForgetUserResponse *answer = message;

    show_forgotten(answer->tombstone, answer->cutoff_ms, answer->remains, answer->n_remains);
}

static void show_forget_item(const void *message)
{
    const Freshet__V1__ForgetItemResponse *answer = message;

    show_forgotten(answer->tombstone, answer->cutoff_ms, answer->remains, answer->n_remains);
}

int verb_forget(int argc, char **argv)
{
    static const struct operation of_user = {
        {"forget", "[OPTION]... user|item ID", "Forget a user or an item, for ever; tells what remains, where, and why.",
         "freshet forget user ann"},
        "/freshet.v1.Admin/ForgetUser",
        &freshet__v1__forget_user_response__descriptor,
        show_forget_user,
    };
    static const struct operation of_item = {
        {0}, "/freshet.v1.Admin/ForgetItem", &freshet__v1__forget_item_response__descriptor, show_forget_item};
    Freshet__V1__ForgetUserRequest user = FRESHET__V1__FORGET_USER_REQUEST__INIT;
    Freshet__V1__ForgetItemRequest item = FRESHET__V1__FORGET_ITEM_REQUEST__INIT;
    struct common common = common_defaults();
    struct texts rest = {0};
    int status = read_options(&of_user, argc, argv, &common, &rest);

    if (status >= 0)
        return status;
    if (rest.len != 2 || (strcmp(rest.at[0], "user") && strcmp(rest.at[0], "item"))) {
        cli_fail("forget wants 'user' or 'item', and an id");
        return CLI_USAGE;
    }
    user.user_id = item.item_id = data_of(rest.at[1]);
    return strcmp(rest.at[0], "user") ? call(&of_item, &common, &item.base) : call(&of_user, &common, &user.base);
}

/* ---- reset ---- */

static void show_reset(const void *message)
{
    const Freshet__V1__ResetPartitionResponse *answer = message;

    printf("%s/%d goes on at %lld, where it stood at %lld; the log ends at %lld\n", cli_shown(answer->topic), answer->partition,
           (long long)answer->to_offset, (long long)answer->from_offset, (long long)answer->end);
    if (answer->skipped)
        printf("  lost      %lld offsets, that many events at most\n", (long long)answer->skipped);
    for (size_t i = 0; i < answer->n_remains; i++)
        printf("  remains   %s\n", cli_shown(answer->remains[i]));
}

/* A whole number of 0 or more, all of the text. */
static bool offset_of(const char *text, int64_t max, int64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoll(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= max;
}

static bool read_target(const char *to, Freshet__V1__ResetPartitionRequest *request)
{
    request->to_case = FRESHET__V1__RESET_PARTITION_REQUEST__TO_OFFSET;
    if (to && offset_of(to, INT64_MAX, &request->offset))
        return true;
    if (to && !strcmp(to, "earliest")) {
        request->to_case = FRESHET__V1__RESET_PARTITION_REQUEST__TO_EARLIEST;
        request->earliest = true;
    } else if (to && !strcmp(to, "end")) {
        request->to_case = FRESHET__V1__RESET_PARTITION_REQUEST__TO_END;
        request->end = true;
    } else {
        cli_fail("reset wants --to earliest, --to end, or --to and an offset");
        return false;
    }
    return true;
}

int verb_reset(int argc, char **argv)
{
    static const struct operation operation = {
        {"reset", "[OPTION]... PARTITION", "Read a halted partition on from elsewhere; tells what is lost by that.",
         "freshet reset 3 --applied 1204 --to earliest"},
        "/freshet.v1.Admin/ResetPartition",
        &freshet__v1__reset_partition_response__descriptor,
        show_reset,
    };
    Freshet__V1__ResetPartitionRequest request = FRESHET__V1__RESET_PARTITION_REQUEST__INIT;
    struct common common = common_defaults();
    struct texts rest = {0};
    const char *topic = "", *to = NULL, *applied = NULL;
    bool new_log = false;
    int64_t partition;
    const struct option_row rows[] = {
        {"applied", 0, OPTION_TEXT, &applied, "OFFSET", "where it stands, as `freshet status` says: else nothing is done"},
        {"to", 0, OPTION_TEXT, &to, "earliest|end|OFFSET", "where to go on: the oldest record there is, what comes next, this one"},
        {"topic", 0, OPTION_TEXT, &topic, "NAME", "its topic (default that of events)"},
        {"new-log", 0, OPTION_FLAG, &new_log, NULL, "the topic was made anew: nothing in it was learned before"},
        ADMIN_ROW(common), OUTPUT_ROWS(common), {0}};
    int status = options_read(&operation.usage, rows, argc, argv, &rest);

    if (status >= 0)
        return status;
    if (!common_check(&common) || !read_target(to, &request))
        return CLI_USAGE;
    if (rest.len != 1 || !offset_of(rest.at[0], INT32_MAX, &partition)) {
        cli_fail("reset wants the number of one partition");
        return CLI_USAGE;
    }
    if (!applied || (strcmp(applied, "-1") && !offset_of(applied, INT64_MAX, &request.applied))) {
        cli_fail("reset wants --applied and the offset where the partition stands; freshet status tells it");
        return CLI_USAGE;
    }
    request.topic = (char *)(uintptr_t)topic;
    request.partition = (int32_t)partition;
    if (!strcmp(applied, "-1")) /* so the status says of one that is halted before its first record */
        request.applied = -1;
    request.new_log = new_log;
    return call(&operation, &common, &request.base);
}
