/*
 * publish_test.c -- the verb publish before a broker that is librdkafka's own (-X test.mock.num.brokers=1): what becomes of what was read when
 * somebody ends it, when nothing more comes, and when the client of Kafka does not end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "cli.h"

#define EVENT "{\"user_id\":\"ann\",\"item_id\":\"pear\"}"

/* ---- a client that does not end: this one stands before librdkafka's ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool let_go, over;
} end = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void stay(void)
{
    pthread_mutex_lock(&end.lock);
    while (!end.let_go)
        pthread_cond_wait(&end.changed, &end.lock);
    end.over = true;
    pthread_cond_broadcast(&end.changed);
    pthread_mutex_unlock(&end.lock);
}

void rd_kafka_destroy(rd_kafka_t *kafka)
{
    (void)kafka;
    stay();
}

static void a_client_that_does_not_end_keeps_nobody_waiting(void **state)
{
    char *call[] = {"publish", "/dev/null", "--brokers", "127.0.0.1:1", NULL};

    (void)state;
    assert_int_equal(verb_publish(4, call), CLI_DONE);
    pthread_mutex_lock(&end.lock);
    end.let_go = true;
    pthread_cond_broadcast(&end.changed);
    while (!end.over)
        pthread_cond_wait(&end.changed, &end.lock);
    pthread_mutex_unlock(&end.lock);
}

/* ---- the program ---- */

struct program {
    pid_t pid;
    FILE *in, *out, *err;
};

static void begin(struct program *program, const char *setting, const char *timeout)
{
    int in[2], out[2], err[2];

    assert_int_equal(pipe(in) | pipe(out) | pipe(err), 0);
    fflush(NULL);
    program->pid = fork();
    if (!program->pid) {
        for (int number = SIGINT; number <= SIGTERM; number += SIGTERM - SIGINT)
            signal(number, SIG_DFL); /* whoever runs the tests may have them ignored */
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        close(in[1]);
        close(out[0]);
        close(err[0]);
        execl(FRESHET, "freshet", "publish", "-", "-o", "json", "--brokers", "127.0.0.1:1", "-X", setting, "--timeout", timeout, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    program->in = fdopen(in[1], "w");
    program->out = fdopen(out[0], "r");
    program->err = fdopen(err[0], "r");
}

static void say(const struct program *program, const char *text)
{
    fputs(text, program->in);
    fflush(program->in);
}

/* Reads on until a line of stderr has this. */
static void await(const struct program *program, const char *text)
{
    char line[1000];

    do
        if (!fgets(line, sizeof(line), program->err))
            fail_msg("it has ended, and not said '%s'", text);
    while (!strstr(line, text));
}

/* Until it has ended; returns how. */
static int ended(const struct program *program, char *said, size_t room)
{
    char line[1000];
    int how;

    said[fread(said, 1, room - 1, program->out)] = '\0';
    while (fgets(line, sizeof(line), program->err)) /* so that it can say what it has to */
        continue;
    assert_int_equal(waitpid(program->pid, &how, 0), program->pid);
    fclose(program->in);
    fclose(program->out);
    fclose(program->err);
    return how;
}

/* What linger.ms waits for does not come any more. */
static void what_was_read_does_not_linger(void **state)
{
    char said[1000];

    (void)state;
    snprintf(said, sizeof(said), "'%s' publish - -X test.mock.num.brokers=1 -X linger.ms=300000 --timeout 20000 -o json 2>/dev/null <<'END'\n%s\nEND",
             FRESHET, EVENT);
    FILE *pipe = popen(said, "r");
    assert_non_null(pipe);
    said[fread(said, 1, sizeof(said) - 1, pipe)] = '\0';
    assert_int_equal(pclose(pipe), 0);
    assert_string_equal(said, "{\"published\":1,\"skipped\":0,\"bad\":0,\"failed\":0}\n");
}

/* ThreadSanitizer keeps a signal for the thread's next call that it knows to wait, and the read() within getc_unlocked() is none. */
#ifdef __SANITIZE_THREAD__
enum { SIGNALS_WAIT = 1 };
#else
enum { SIGNALS_WAIT = 0 };
#endif

/* Lines that were whole when it came are published and counted, one that was not is none; and it has ended by the signal, as a shell wants to
 * know. */
static void a_signal_ends_the_reading_and_not_what_was_read(void **state)
{
    char said[1000];

    (void)state;
    if (SIGNALS_WAIT)
        skip();
    signal(SIGPIPE, SIG_IGN);
    for (int number = SIGINT; number <= SIGTERM; number += SIGTERM - SIGINT) {
        struct program program;
        begin(&program, "test.mock.num.brokers=1", "60000");
        say(&program, EVENT "\nno event\n");
        await(&program, "line 2 is no JSON object");
        say(&program, EVENT); /* no end of the line */
        kill(program.pid, number);
        await(&program, "interrupted; what is behind line 2 is not read");
        int how = ended(&program, said, sizeof(said));
        assert_string_equal(said, "{\"published\":1,\"skipped\":0,\"bad\":1,\"failed\":0}\n");
        assert_true(WIFSIGNALED(how));
        assert_int_equal(WTERMSIG(how), number);
    }
}

/* Nobody listens on port 1, so what was read cannot leave. */
static void a_second_signal_ends_all(void **state)
{
    struct program program;
    char said[1000];

    (void)state;
    if (SIGNALS_WAIT)
        skip();
    begin(&program, "linger.ms=20", "600000");
    say(&program, EVENT "\nno event\n");
    await(&program, "line 2 is no JSON object");
    kill(program.pid, SIGINT);
    await(&program, "interrupted; ");
    kill(program.pid, SIGTERM);
    int how = ended(&program, said, sizeof(said));
    assert_string_equal(said, "");
    assert_true(WIFSIGNALED(how));
    assert_int_equal(WTERMSIG(how), SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_read_does_not_linger),
        cmocka_unit_test(a_signal_ends_the_reading_and_not_what_was_read),
        cmocka_unit_test(a_second_signal_ends_all),
        cmocka_unit_test(a_client_that_does_not_end_keeps_nobody_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
