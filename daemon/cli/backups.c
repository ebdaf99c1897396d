/*
 * backups.c -- the verbs backup, verify and restore.
 *
 * A running daemon makes and verifies through its Admin service. Where none runs, freshetd itself does the work (--restore,
 * --verify): it knows the configuration, the lock and the store, and the client need not.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "freshet/clock.h"
#include "freshet/v1/admin.pb-c.h"

enum { LONG_MS = 3600000, FRESHETD_ARGS = 12, SETTING_MAX = 4200 };

/* ---- what people see ---- */

static void show_backups(Freshet__V1__BackupInfo **backups, size_t len)
{
    static const char *const names[] = {"backup", "made", "events", "bytes", "partitions", "version", "problem"};
    static const int align[] = {TABLE_RIGHT, TABLE_LEFT, TABLE_RIGHT, TABLE_RIGHT, TABLE_RIGHT, TABLE_LEFT, TABLE_LEFT};
    struct table *table = table_new(7, names, align);

    for (size_t i = 0; i < len; i++) {
        char made[32], cells[4][24];
        snprintf(cells[0], sizeof(cells[0]), "%" PRIu64, backups[i]->id);
        snprintf(cells[1], sizeof(cells[1]), "%" PRIu64, backups[i]->events);
        snprintf(cells[2], sizeof(cells[2]), "%" PRIu64, backups[i]->bytes);
        snprintf(cells[3], sizeof(cells[3]), "%zu", backups[i]->n_positions);
        table_add(table, (const char *const[]){cells[0], fr_time_text(backups[i]->made_ms, made), cells[1], cells[2], cells[3],
                                               backups[i]->version, *backups[i]->problem ? backups[i]->problem : "-"});
    }
    table_print(table);
    table_free(table);
}

static void show_checks(const Freshet__V1__VerifyBackupResponse *answer)
{
    static const char *const names[] = {"backup", "found", "what differs"};
    static const int align[] = {TABLE_RIGHT, TABLE_LEFT, TABLE_LEFT};
    struct table *table = table_new(3, names, align);

    for (size_t i = 0; i < answer->n_checks; i++) {
        const Freshet__V1__BackupCheck *check = answer->checks[i];
        char id[24];
        snprintf(id, sizeof(id), "%" PRIu64, check->id);
        table_add(table, (const char *const[]){id, check->good ? "good" : "damaged", check->n_problems ? check->problems[0] : "-"});
        for (size_t p = 1; p < check->n_problems; p++)
            table_add(table, (const char *const[]){"", "", check->problems[p]});
    }
    table_print(table);
    table_free(table);
}

/* ---- backup ---- */

static int list_backups(const struct common *common)
{
    Freshet__V1__ListBackupsRequest request = FRESHET__V1__LIST_BACKUPS_REQUEST__INIT;
    Freshet__V1__ListBackupsResponse *answer;
    int status = admin_call(common, "/freshet.v1.Admin/ListBackups", &request.base, &freshet__v1__list_backups_response__descriptor, &answer);

    if (status)
        return status;
    if (common_json(common))
        json_print(&answer->base);
    else
        show_backups(answer->backups, answer->n_backups);
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    return CLI_DONE;
}

static int make_backup(const struct common *common)
{
    Freshet__V1__BackupRequest request = FRESHET__V1__BACKUP_REQUEST__INIT;
    Freshet__V1__BackupResponse *answer;
    int status = admin_call(common, "/freshet.v1.Admin/Backup", &request.base, &freshet__v1__backup_response__descriptor, &answer);

    if (status)
        return status;
    if (common_json(common)) {
        json_print(&answer->base);
    } else {
        if (answer->backup)
            show_backups(&answer->backup, 1);
        printf("%" PRIu64 " bytes written in %.3f s\n", answer->bytes_written, answer->seconds);
    }
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    return CLI_DONE;
}

int verb_backup(int argc, char **argv)
{
    static const struct usage usage = {"backup", "[OPTION]...", "Copy the state while the daemon goes on, or list the copies there are.",
                                       "freshet backup && freshet verify"};
    struct common common = common_defaults();
    bool list = false;
    const struct option_row rows[] = {ADMIN_ROW(common),
                                      {"list", 'l', OPTION_FLAG, &list, NULL, "make none, list those there are"},
                                      OUTPUT_ROWS_LONG(common),
                                      {0}};

    common.timeout_ms = LONG_MS;
    int status = options_read(&usage, rows, argc, argv, NULL);
    if (status >= 0)
        return status;
    if (!common_check(&common))
        return CLI_USAGE;
    return list ? list_backups(&common) : make_backup(&common);
}

/* ---- freshetd, where no daemon runs ---- */

struct offline {
    const char *config, *data, *backups;
};
#define OFFLINE_ROWS(offline)                                                                                          \
    {"config", 0, OPTION_TEXT, &(offline).config, "FILE", "the daemon's configuration, for the paths in it"},          \
    {"path", 0, OPTION_TEXT, &(offline).backups, "DIR", "where the backups are (store.backup_path)"}

static const char *setting(const char *key, const char *value)
{
    char *text = cli_take(SETTING_MAX, 1);

    snprintf(text, SETTING_MAX, "%s=%s", key, value);
    return text;
}

/* Becomes freshetd: the one beside this program, or the one in PATH. Returns only if there is none. */
static int become_freshetd(const char *task, const char *id, const struct offline *offline, bool json)
{
    char self[PATH_MAX + sizeof("freshetd")];
    char *task_of = cli_take(SETTING_MAX, 1);
    const char *args[FRESHETD_ARGS] = {"freshetd", task_of};
    size_t len = 2;
    ssize_t at = readlink("/proc/self/exe", self, PATH_MAX - 1);

    snprintf(task_of, SETTING_MAX, id ? "--%s=%s" : "--%s", task, id);
    if (offline->config)
        args[len++] = "--config", args[len++] = offline->config;
    if (offline->data)
        args[len++] = "--set", args[len++] = setting("store.path", offline->data);
    if (offline->backups)
        args[len++] = "--set", args[len++] = setting("store.backup_path", offline->backups);
    if (json)
        args[len++] = "--json";
    fflush(stdout);
    if (at > 0) {
        self[at] = 0;
        strcpy(strrchr(self, '/') + 1, "freshetd");
        execv(self, (char *const *)(uintptr_t)args);
    }
    execvp("freshetd", (char *const *)(uintptr_t)args);
    return cli_fail("freshetd, which does this, is neither beside this program nor in PATH: %s", strerror(errno));
}

/* One backup, or all of them: NULL. False: it is neither. None has the number 0, by which a request means all. */
static bool named_backup(const struct texts *rest, const char **ret_id)
{
    uint64_t id;

    *ret_id = rest->len && strcmp(rest->at[0], "all") ? rest->at[0] : NULL;
    if (rest->len > 1 || (*ret_id && (!cli_count(*ret_id, &id) || !id))) {
        cli_fail("a backup is named by its number, as freshet backup --list shows it");
        return false;
    }
    return true;
}

/* ---- verify ---- */

static int ask_to_verify(const struct common *common, const char *id)
{
    Freshet__V1__VerifyBackupRequest request = FRESHET__V1__VERIFY_BACKUP_REQUEST__INIT;
    Freshet__V1__VerifyBackupResponse *answer;
    bool good = true;
    int status;

    if (id)
        cli_count(id, &request.id);
    status = admin_call(common, "/freshet.v1.Admin/VerifyBackup", &request.base, &freshet__v1__verify_backup_response__descriptor, &answer);
    if (status)
        return status;
    if (common_json(common))
        json_print(&answer->base);
    else
        show_checks(answer);
    for (size_t i = 0; i < answer->n_checks; i++)
        good = good && answer->checks[i]->good;
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    return good ? CLI_DONE : CLI_FAILED;
}

int verb_verify(int argc, char **argv)
{
    static const struct usage usage = {"verify", "[ID|all] [OPTION]...",
                                       "Read backups back, every byte, and say what differs from when they were made. With --path or\n"
                                       "--config no daemon is asked: freshetd --verify reads them, and its exit status is this one's: 74 a\n"
                                       "disk, or a damaged backup; 78 no such backup.",
                                       "freshet verify all --path /mnt/backups"};
    struct common common = common_defaults();
    struct offline offline = {0};
    struct texts rest = {0};
    const char *id;
    const struct option_row rows[] = {ADMIN_ROW(common), OFFLINE_ROWS(offline), OUTPUT_ROWS_LONG(common), {0}};

    common.timeout_ms = LONG_MS;
    int status = options_read(&usage, rows, argc, argv, &rest);
    if (status >= 0)
        return status;
    if (!common_check(&common) || !named_backup(&rest, &id))
        return CLI_USAGE;
    if (offline.config || offline.backups)
        return become_freshetd("verify", id, &offline, common_json(&common));
    return ask_to_verify(&common, id);
}

/* ---- restore ---- */

int verb_restore(int argc, char **argv)
{
    static const struct usage usage = {
        "restore", "[ID] [OPTION]...",
        "Put a backup in the place of the store: the newest good one, unless told which. The daemon must not run; the store that was\n"
        "there is kept as store.damaged. It is safe to interrupt this and to start it again. freshetd --restore does the work, and its exit\n"
        "status is this one's: 74 a disk, or a damaged backup; 75 a daemon runs; 78 a configuration, or no such backup.",
        "systemctl stop freshetd && sudo -u freshet freshet restore && systemctl start freshetd"};
    struct common common = common_defaults();
    struct offline offline = {0};
    struct texts rest = {0};
    const char *id;
    const struct option_row rows[] = {OFFLINE_ROWS(offline),
                                      {"data", 0, OPTION_TEXT, &offline.data, "DIR", "the data directory (store.path)"},
                                      UNASKED_ROW("admin", common.admin),
                                      UNASKED_ROW("server", common.beside),
                                      {"output", 'o', OPTION_TEXT, &common.output, "table|json", "for people or for programs"},
                                      {0}};
    int status = options_read(&usage, rows, argc, argv, &rest);

    if (status >= 0)
        return status;
    if (!common_check(&common) || !named_backup(&rest, &id))
        return CLI_USAGE;
    return become_freshetd("restore", id, &offline, common_json(&common));
}
