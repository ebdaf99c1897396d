/*
 * freshetd_process.h -- the daemon as a process of a test: with its own broker (--dev), on ports of the system's choice, in a temporary
 * directory; what it says on stdout and stderr is what is waited for. FRESHETD is the program. For after cmocka.
 */
#ifndef FR_TEST_FRESHETD_PROCESS_H
#define FR_TEST_FRESHETD_PROCESS_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_SECONDS = 120, TEXT_MAX = 1 << 18 };

struct process {
    pid_t id;
    int output; /* its stdout and stderr together */
    char said[TEXT_MAX];
    size_t said_len;
};

static char home[64];

static const char *const dev[] = {"--dev",
                                  "--set",
                                  "serve.listen=127.0.0.1:0",
                                  "--set",
                                  "admin.listen=127.0.0.1:0",
                                  "--set",
                                  "admin.grpc_listen=127.0.0.1:0",
                                  "--set",
                                  "log.format=json"};

enum hearing {
    HEARD,
    UNHEARD, /* it has neither stdout nor stderr */
    FULL,    /* its stdout is a disk on which there is no room */
};

/* Options end with NULL; those of `dev` come first when `with_dev`. */
static inline void start_heard(struct process *process, enum hearing hearing, bool with_dev, const char *const *options)
{
    const char *args[40] = {FRESHETD};
    int len = 1, ends[2];

    for (size_t i = 0; with_dev && i < sizeof dev / sizeof *dev; i++)
        args[len++] = dev[i];
    while (*options)
        args[len++] = *options++;
    assert_int_equal(pipe(ends), 0);
    process->said_len = 0;
    process->said[0] = 0;
    process->id = fork();
    assert_true(process->id >= 0);
    if (process->id == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies takes its daemons along */
        if (chdir(home) != 0 || dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0)
            _exit(99);
        close(ends[0]);
        close(ends[1]);
        if (hearing == UNHEARD && (close(1) || close(2)))
            _exit(97);
        if (hearing == FULL && dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), 1) < 0)
            _exit(96);
        execv(FRESHETD, (char *const *)args);
        _exit(98);
    }
    close(ends[1]);
    process->output = ends[0];
}

static inline void start(struct process *process, bool with_dev, const char *const *options)
{
    start_heard(process, HEARD, with_dev, options);
}

#define START(process, with_dev, ...) start((process), (with_dev), (const char *const[]){__VA_ARGS__, NULL})

/* Reads on; false at the end of output. */
static inline bool listen_on(struct process *process)
{
    ssize_t got;

    assert_true(process->said_len < TEXT_MAX - 1);
    got = read(process->output, process->said + process->said_len, TEXT_MAX - 1 - process->said_len);
    if (got <= 0)
        return false;
    process->said_len += (size_t)got;
    process->said[process->said_len] = 0;
    return true;
}

static inline void wait_until_said(struct process *process, const char *text)
{
    while (!strstr(process->said, text))
        if (!listen_on(process))
            fail_msg("it ended without saying '%s':\n%s", text, process->said);
}

static inline int exit_code(struct process *process)
{
    int status;

    while (listen_on(process))
        continue;
    close(process->output);
    assert_int_equal(waitpid(process->id, &status, 0), process->id);
    if (!WIFEXITED(status))
        fail_msg("it ended by signal %d:\n%s", WTERMSIG(status), process->said);
    return WEXITSTATUS(status);
}

static inline void assert_said(const struct process *process, const char *text)
{
    if (!strstr(process->said, text))
        fail_msg("it did not say '%s':\n%s", text, process->said);
}

static inline bool there_is(const char *name)
{
    char path[200];

    snprintf(path, sizeof path, "%s/%s", home, name);
    return access(path, F_OK) == 0;
}

static inline void write_file(const char *name, const char *text)
{
    char path[200];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", home, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline int make_home(void **state)
{
    (void)state;
    alarm(PATIENCE_SECONDS); /* a daemon that never answers fails the test instead of hanging it */
    strcpy(home, "/tmp/freshetd-test-XXXXXX");
    return mkdtemp(home) ? 0 : -1;
}

static inline int remove_home(void **state)
{
    pid_t id = fork();
    int status = -1;

    (void)state;
    if (id == 0) {
        execlp("rm", "rm", "-rf", home, (char *)NULL);
        _exit(99);
    }
    return waitpid(id, &status, 0) == id ? status : -1;
}

#endif
