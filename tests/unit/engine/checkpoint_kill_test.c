/*
 * checkpoint_kill_test.c -- kill -9 of a process that checkpoints on RocksDB as fast as it can, again and again on the
 * same store: what is loaded is the state after exactly the journals that the position in the same store says.
 *
 * The child is this program itself, started anew (a fork of a process with RocksDB's threads would lack them). Its n-th
 * journal depends on n alone, so this process knows what the state after n journals must be.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cells.h"
#include "folder.h"
#include "freshet/format.h"

enum { KILLS = 20, SEED = 21, OPS = 1500 };

extern char **environ;

static struct store *open_folder(const char *folder)
{
    struct store *store = NULL;
    struct fr_err err = {0};

    if (store_rocks_open(&store, &(struct store_rocks_options){.path = folder}, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return store;
}

/* The child: goes on from what is stored, until it is killed. Tells of each journal written by a byte on stdout. */
static int checkpoint_for_ever(const char *folder)
{
    struct store *store = open_folder(folder);
    uint64_t n = cells_number(store);

    if (format_admit(store, NULL))
        return 1;
    struct checkpoint *checkpoint =
        checkpoint_start(store, &(struct checkpoint_options){.interval = 0, .wal_sync_interval = 50});
    struct journal *journal = journal_new();
    for (;;) {
        cells_journal(journal, NULL, SEED, ++n, OPS);
        while (!checkpoint_wait_due(checkpoint, 1000))
            ;
        journal = give_whole(checkpoint, journal, n);
        if (write(STDOUT_FILENO, "x", 1) != 1)
            return 1;
    }
}

static pid_t start_child(const char *folder, int *ret_pipe)
{
    char *arguments[] = {"/proc/self/exe", "child", (char *)(uintptr_t)folder, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t child;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&child, "/proc/self/exe", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *ret_pipe = ends[0];
    return child;
}

/* Until the child has told of `bytes` journals, and then `ms` more. */
static void let_it_run(int pipe, int bytes, int ms)
{
    struct pollfd poll_in = {.fd = pipe, .events = POLLIN};
    char byte;

    for (int i = 0; i < bytes; i++)
        assert_int_equal(read(pipe, &byte, 1), 1);
    while (ms > 0 && poll(&poll_in, 1, 1) >= 0) { /* the pipe must not fill up */
        ms--;
        if (poll_in.revents & POLLIN)
            assert_int_equal(read(pipe, &byte, 1), 1);
    }
}

static void state_and_position_belong_together_after_each_kill(void **state)
{
    (void)state;
    struct cells *cells = calloc(1, sizeof(*cells));
    uint64_t random = 1, applied = 0, found = 0;
    char folder[256];

    folder_make(folder);
    for (int kill_number = 0; kill_number < KILLS; kill_number++) {
        int pipe, status;
        pid_t child = start_child(folder, &pipe);
        let_it_run(pipe, 3, (int)(cells_random(&random) % 60));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(pipe);
        struct store *store = open_folder(folder);
        found = cells_number(store);
        assert_true(found > applied); /* a killed process loses nothing that was written: two journals at least */
        while (applied < found)
            cells_journal(NULL, cells, SEED, ++applied, OPS);
        cells_assert_stored(store, cells);
        store->ops->close(store);
    }
    print_message("%d kills, %llu journals\n", KILLS, (unsigned long long)found);
    free(cells);
    folder_remove(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_and_position_belong_together_after_each_kill),
    };

    if (argc == 3 && !strcmp(argv[1], "child"))
        return checkpoint_for_ever(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
