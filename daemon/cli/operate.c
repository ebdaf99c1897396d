/*
 * operate.c -- the operators' verbs: status and checkpoint, on the Admin service.
 */
#include <stdio.h>

#include "cli.h"
#include "freshet/v1/admin.pb-c.h"

static void show_status(const Freshet__V1__GetStatusResponse *answer)
{
    static const char *const names[] = {"topic", "partition", "state", "applied", "durable", "end", "lag"};
    static const int align[] = {TABLE_LEFT, TABLE_RIGHT, TABLE_LEFT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT};
    struct table *table = table_new(7, names, align);

    printf("freshetd %s, %s; brokers %s\nusers %llu   items %llu   pairs %llu\n", answer->version, answer->state,
           answer->brokers, (unsigned long long)answer->users, (unsigned long long)answer->items,
           (unsigned long long)answer->pairs);
    for (size_t i = 0; i < answer->n_models; i++)
        printf("model %s   events %llu   bytes %llu   changed %.1f s ago\n", answer->models[i]->name,
               (unsigned long long)answer->models[i]->events, (unsigned long long)answer->models[i]->bytes,
               answer->models[i]->age_seconds);
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
    static const struct usage usage = {"status", "[OPTION]...", "Positions, lag and sizes.", "freshet status --output json"};
    struct common common = common_defaults();
    const struct option_row rows[] = {ADMIN_ROW(common), OUTPUT_ROWS(common), {0}};
    Freshet__V1__GetStatusRequest request = FRESHET__V1__GET_STATUS_REQUEST__INIT;
    Freshet__V1__GetStatusResponse *answer;
    struct fr_err err;
    int status = options_read(&usage, rows, argc, argv, NULL);

    if (status >= 0)
        return status;
    if (!common_check(&common))
        return CLI_USAGE;
    if (rpc_call(common.admin, "/freshet.v1.Admin/GetStatus", &request.base, &freshet__v1__get_status_response__descriptor,
                 (ProtobufCMessage **)(void *)&answer, common.timeout_ms, &err))
        return cli_fail("%s", err.text);
    if (common_json(&common))
        json_print(&answer->base);
    else
        show_status(answer);
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    return CLI_DONE;
}

int verb_checkpoint(int argc, char **argv)
{
    static const struct usage usage = {"checkpoint", "[OPTION]...", "Write and sync the state, and wait until that is done.",
                                       "freshet checkpoint"};
    struct common common = common_defaults();
    const struct option_row rows[] = {ADMIN_ROW(common), OUTPUT_ROWS(common), {0}};
    Freshet__V1__CheckpointRequest request = FRESHET__V1__CHECKPOINT_REQUEST__INIT;
    Freshet__V1__CheckpointResponse *answer;
    struct fr_err err;
    int status = options_read(&usage, rows, argc, argv, NULL);

    if (status >= 0)
        return status;
    if (!common_check(&common))
        return CLI_USAGE;
    if (rpc_call(common.admin, "/freshet.v1.Admin/Checkpoint", &request.base, &freshet__v1__checkpoint_response__descriptor,
                 (ProtobufCMessage **)(void *)&answer, common.timeout_ms, &err))
        return cli_fail("%s", err.text);
    if (common_json(&common))
        json_print(&answer->base);
    else
        printf("durable: %zu partitions, %llu keys in %.3f s\n", answer->n_durable, (unsigned long long)answer->keys,
               answer->seconds);
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    return CLI_DONE;
}
