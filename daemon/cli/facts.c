/*
 * facts.c -- the verbs user and item: what is known.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "freshet/alloc.h"
#include "freshet/clock.h"
#include "freshet/v1/recommender.pb-c.h"

#define SERVICE "/freshet.v1.Recommender/"

static void show_user(const Freshet__V1__GetUserResponse *answer, const struct titles *titles)
{
    static const char *const names[] = {"item", "affinity", "last event", "title"};
    static const int align[] = {TABLE_LEFT, TABLE_RIGHT, TABLE_LEFT, TABLE_LEFT};
    struct table *table = table_new(titles ? 4 : 3, names, align);
    double *values = fr_zalloc(answer->n_affinities + 1, sizeof(*values));
    char time[32];

    for (size_t i = 0; i < answer->n_features; i++)
        printf("feature     %s = %s\n", cli_shown(answer->features[i]->key), cli_shown(answer->features[i]->value));
    printf("events      %llu\nlast event  %s\n\n", (unsigned long long)answer->events,
           answer->events ? fr_time_text(answer->last_event_ms, time) : "never");
    for (size_t i = 0; i < answer->n_affinities; i++)
        values[i] = answer->affinities[i]->affinity;
    char (*cells)[TABLE_NUMBER] = table_numbers(values, answer->n_affinities, false);
    for (size_t i = 0; i < answer->n_affinities; i++) {
        const Freshet__V1__Affinity *affinity = answer->affinities[i];
        char *id = fr_strndup((const char *)affinity->item_id.data, affinity->item_id.len);
        const char *title = titles_find(titles, bytes_of(affinity->item_id));
        table_add(table, (const char *const[]){id, cells[i], fr_time_text(affinity->last_event_ms, time), title ? title : ""});
        free(id);
    }
    free(values);
    free(cells);
    table_print(table);
    table_free(table);
}

static int one_argument(const struct usage *usage, const struct option_row *rows, int argc, char **argv,
                        const struct common *common, const char **ret)
{
    struct texts rest = {0};
    int status = options_read(usage, rows, argc, argv, &rest);

    if (status >= 0)
        return status;
    if (!common_check(common))
        return CLI_USAGE;
    if (rest.len != 1) {
        cli_fail("%s needs one %s", usage->verb, usage->arguments);
        return CLI_USAGE;
    }
    *ret = rest.at[0];
    return -1;
}

int verb_user(int argc, char **argv)
{
    static const struct usage usage = {"user", "USER", "What is known of a user: affinities as of the newest event time.",
                                       "freshet user 17850"};
    struct common common = common_defaults();
    const struct option_row rows[] = {TITLES_ROW(common), SERVER_ROW(common), OUTPUT_ROWS(common), {0}};
    Freshet__V1__GetUserRequest request = FRESHET__V1__GET_USER_REQUEST__INIT;
    Freshet__V1__GetUserResponse *answer;
    struct titles *titles;
    const char *user;
    struct fr_err err;
    int status = one_argument(&usage, rows, argc, argv, &common, &user);

    if (status >= 0)
        return status;
    request.user_id = data_of(user);
    if (titles_open(&titles, common.titles))
        return CLI_FAILED;
    if (rpc_call(common.server, SERVICE "GetUser", &request.base, &freshet__v1__get_user_response__descriptor,
                 (ProtobufCMessage **)(void *)&answer, common.timeout_ms, &err)) {
        titles_close(titles);
        return cli_fail("%s", err.text);
    }
    if (common_json(&common))
        json_print(&answer->base);
    else
        show_user(answer, titles);
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    titles_close(titles);
    return CLI_DONE;
}

static void show_item(const Freshet__V1__GetItemResponse *answer)
{
    const Freshet__V1__Item *item = answer->item;
    char time[32];

    printf("users       %llu\n", (unsigned long long)answer->users);
    printf("first seen  %s\n", answer->users || answer->first_seen_ms ? fr_time_text(answer->first_seen_ms, time) : "never");
    if (*item->title)
        printf("title       %s\n", cli_shown(item->title));
    for (size_t i = 0; i < item->n_categories; i++)
        printf("%s%s", i ? ", " : "categories  ", cli_shown(item->categories[i]));
    printf("%s", item->n_categories ? "\n" : "");
    for (size_t i = 0; i < item->n_features; i++)
        printf("feature     %s = %s\n", cli_shown(item->features[i]->key), cli_shown(item->features[i]->value));
    if (item->available_from_ms)
        printf("from        %s\n", fr_time_text(item->available_from_ms, time));
    if (item->available_until_ms)
        printf("until       %s\n", fr_time_text(item->available_until_ms, time));
    if (item->owner_user_id.len) {
        char *owner = fr_strndup((const char *)item->owner_user_id.data, item->owner_user_id.len);
        printf("owner       %s\n", cli_shown(owner));
        free(owner);
    }
    if (item->n_embedding)
        printf("embedding   %zu numbers\n", item->n_embedding);
    if (item->hidden)
        printf("hidden\n");
}

int verb_item(int argc, char **argv)
{
    static const struct usage usage = {"item", "ITEM", "What is known of an item.", "freshet item 85123A"};
    struct common common = common_defaults();
    const struct option_row rows[] = {SERVER_ROW(common), OUTPUT_ROWS(common), {0}};
    Freshet__V1__GetItemRequest request = FRESHET__V1__GET_ITEM_REQUEST__INIT;
    Freshet__V1__GetItemResponse *answer;
    const char *item;
    struct fr_err err;
    int status = one_argument(&usage, rows, argc, argv, &common, &item);

    if (status >= 0)
        return status;
    request.item_id = data_of(item);
    if (rpc_call(common.server, SERVICE "GetItem", &request.base, &freshet__v1__get_item_response__descriptor,
                 (ProtobufCMessage **)(void *)&answer, common.timeout_ms, &err))
        return cli_fail("%s", err.text);
    if (common_json(&common))
        json_print(&answer->base);
    else
        show_item(answer);
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    return CLI_DONE;
}
