/*
 * daemon_process.h -- freshetd as a process: start with settings, wait until it answers, ask how far it is, stop.
 */
#ifndef FR_BENCH_DAEMON_PROCESS_H
#define FR_BENCH_DAEMON_PROCESS_H

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "freshet/v1/admin.pb-c.h"
#include "grpc_client.h"

enum { DAEMON_SETTINGS_MAX = 32 };

struct daemon {
    pid_t pid;
    FILE *out;
    struct client api, admin;
    int64_t applied; /* events, as last asked */
};

static inline void daemon_read_address(const char *line, const char *name, char *ret, size_t room)
{
    const char *at = strstr(line, name);

    if (!at)
        die("no %s in '%s'", name, line);
    at += strlen(name);
    snprintf(ret, room, "%.*s", (int)strcspn(at, " \n"), at);
}

/* `settings`: "section.key=value", NULL at the end. */
static inline void daemon_start(struct daemon *daemon, const char *program, const char *const *settings)
{
    static const char *const always[] = {"serve.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0",
                                         "admin.grpc_listen=127.0.0.1:0", "log.level=warn", NULL};
    char *arguments[2 * DAEMON_SETTINGS_MAX + 2] = {(char *)program};
    char line[1000] = "", api[200], admin[200];
    size_t len = 1;
    int out[2];
    posix_spawn_file_actions_t actions;

    for (int list = 0; list < 2; list++) {
        for (const char *const *setting = list ? settings : always; *setting; setting++) {
            arguments[len++] = "--set";
            arguments[len++] = (char *)*setting;
        }
    }
    if (pipe(out))
        die("no pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    posix_spawn_file_actions_addclose(&actions, out[1]);
    if (posix_spawn(&daemon->pid, program, &actions, NULL, arguments, environ))
        die("cannot start %s", program);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    daemon->out = fdopen(out[0], "r");
    while (strncmp(line, "ready ", 6))
        if (!fgets(line, sizeof(line), daemon->out))
            die("%s did not get ready", program);
    daemon_read_address(line, " grpc=", api, sizeof(api));
    daemon_read_address(line, " admin_grpc=", admin, sizeof(admin));
    client_open(&daemon->api, api);
    client_open(&daemon->admin, admin);
    daemon->applied = 0;
}

static inline void daemon_stop(struct daemon *daemon)
{
    int status;

    client_close(&daemon->api);
    client_close(&daemon->admin);
    kill(daemon->pid, SIGTERM);
    if (waitpid(daemon->pid, &status, 0) != daemon->pid || !WIFEXITED(status) || WEXITSTATUS(status))
        die("the daemon ended badly");
    fclose(daemon->out);
}

static inline void daemon_look_at_status(void *context, struct fr_bytes answer)
{
    struct daemon *daemon = context;
    Freshet__V1__GetStatusResponse *status =
        freshet__v1__get_status_response__unpack(NULL, answer.len, (const uint8_t *)answer.at);

    if (!status)
        die("the status cannot be read");
    daemon->applied = 0;
    for (size_t p = 0; p < status->n_partitions; p++)
        daemon->applied += status->partitions[p]->applied > 0 ? status->partitions[p]->applied : 0;
    freshet__v1__get_status_response__free_unpacked(status, NULL);
}

static inline int64_t daemon_applied(struct daemon *daemon)
{
    const struct client_kind kind = {
        .method = "/freshet.v1.Admin/GetStatus", .answer = daemon_look_at_status, .context = daemon};

    client_run(&daemon->admin, &kind, 1, 1, NULL);
    return daemon->applied;
}

#endif
