/*
 * freshet_test.c -- the client as a program: what it returns, and where it says what. Nobody listens on port 1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Runs `freshet ARGUMENTS REDIRECTIONS`, which must end with this exit status; returns what comes out. */
static void expect(int status, const char *arguments, char *said, size_t room)
{
    char command[4096];

    snprintf(command, sizeof(command), "'%s' %s", FRESHET, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    said[fread(said, 1, room - 1, pipe)] = '\0';
    int found = pclose(pipe);
    if (!WIFEXITED(found) || WEXITSTATUS(found) != status)
        fail_msg("'%s': wait status %#x, not exit status %d; it has said: %s", arguments, (unsigned)found, status, said);
}

static void a_failure_is_status_1_and_told_on_stderr_alone(void **state)
{
    static const char *const calls[] = {
        "recommend ann --server 127.0.0.1:1",
        "recommend ann bob --output json --server 127.0.0.1:1",
        "status --output json --admin 127.0.0.1:1",
        "recommend ann --titles /nowhere --server 127.0.0.1:1",
        "recommend ann --titles / --server 127.0.0.1:1",
        "publish /nowhere --brokers 127.0.0.1:1",
        "score ann apple --server 127.0.0.1:1",
        "reset 0 --applied -1 --to 1 --admin 127.0.0.1:1", /* halted before its first record */
        "explain ann apple --output json --server 127.0.0.1:1",
        "watch ann --server 127.0.0.1:1",
        "bench ann --server 127.0.0.1:1 --timeout 100",
        "bench --users /nowhere --server 127.0.0.1:1",
        "bench --users / --server 127.0.0.1:1",
        "bench --users /dev/null --server 127.0.0.1:1",
        "recommend --all --users /nowhere --server 127.0.0.1:1",
        "recommend --all --users / --output json --server 127.0.0.1:1",
    };
    char call[256], said[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        snprintf(call, sizeof(call), "%s 2>/dev/null", calls[i]);
        expect(1, call, said, sizeof(said));
        assert_string_equal(said, "");
        snprintf(call, sizeof(call), "%s 2>&1 >/dev/null", calls[i]);
        expect(1, call, said, sizeof(said));
        assert_memory_equal(said, "freshet: ", 9);
    }
}

static void wrong_use_is_status_2(void **state)
{
    static const char *const calls[] = {
        "", "fly", "recommend", "recommend --no", "recommend --all ann", "status --output xml", "publish x --output xml", "publish", "user", "item a b",
        "recommend ann --context phone", "recommend ann --context =phone", "similar --model fm",
        "score", "score ann", "score ann apple --seed pear=x", "explain ann", "explain ann apple pear", "watch", "watch ann bob",
        "recommend ann --diversity much", "recommend ann --exploration",
        "bench", "bench ann -c 0", "bench ann -c 257", "bench ann --seconds 0", "bench ann --seconds nan",
        "reset", "reset 0", "reset 0 --applied 1", "reset 0 --to end", "reset --applied 1 --to end", "reset 0 --applied 1 --to start",
        "reset 0 1 --applied 1 --to end", "reset -- -1 --applied 1 --to end", "reset 0 --applied x --to end", "reset 0 --applied -2 --to end", "reset 0 --applied 1 --to ''",
        "recommend ann -k 4294967296", "similar pear -k 5000000000", "popular -k 5000000000", "popular --per-category 4294967296",
        "watch ann -k 5000000000", "bench ann -k 5000000000",
        "verify 0", "verify 00", "verify 18446744073709551616", "restore 0",
        "watch ann --lists ' -5'", "watch ann --lists +5", "watch ann --timeout 1000000000001", "status --timeout 18446744073709551615",
        "recommend ann --diversity ' 1'", "recommend ann --diversity 0x1", "recommend ann --seed pear=nan", "recommend ann --seed 'pear= 1'",
        "reset 4294967296 --applied 1 --to 0", "reset 0 --applied 1 --to 9223372036854775808",
        "publish /dev/null --brokers ''",
        "publish /dev/null --wait -X enable.idempotence=false -X acks=0", "publish /dev/null --wait -X request.required.acks=00",
    };
    char call[256], said[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        snprintf(call, sizeof(call), "%s 2>/dev/null", calls[i]);
        expect(2, call, said, sizeof(said));
        assert_string_equal(said, "");
    }
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
    char said[4096];

    (void)state;
    expect(1, "--help 2>&1 >/dev/full", said, sizeof(said));
    assert_non_null(strstr(said, "No space left on device"));
    expect(1, "recommend --help 2>&1 >/dev/full", said, sizeof(said));
    expect(0, "--version", said, sizeof(said));
}

static void what_is_closed_can_be_neither_read_nor_written(void **state)
{
    char said[4096];

    (void)state;
    expect(1, "--version 2>&1 >&-", said, sizeof(said));
    assert_string_equal(said, "freshet: cannot write the output: Bad file descriptor\n");
    expect(1, "publish /dev/null --brokers 127.0.0.1:1 -o json 2>&1 >&-", said, sizeof(said));
    assert_non_null(strstr(said, "freshet: cannot write the output: Bad file descriptor\n"));
    expect(1, "publish - --brokers 127.0.0.1:1 2>&1 <&-", said, sizeof(said));
    assert_non_null(strstr(said, "cannot be read: Bad file descriptor\n"));
}

static void help_tells_what_scripts_go_by(void **state)
{
    char said[8192];

    (void)state;
    expect(0, "--help", said, sizeof(said));
    assert_non_null(strstr(said, "\nExit status: 0 done; 1 failed"));
    for (int i = 0; i < 2; i++) {
        expect(0, i ? "restore --help" : "verify --help", said, sizeof(said));
        assert_non_null(strstr(said, "status is this one's: 74"));
        expect(0, i ? "recommend --help" : "watch --help", said, sizeof(said));
        assert_non_null(strstr(said, "a document a line"));
    }
}

static void a_file_that_cannot_be_read_is_no_empty_file(void **state)
{
    char said[4096];

    (void)state;
    expect(1, "publish / --brokers 127.0.0.1:1 2>&1", said, sizeof(said));
    assert_non_null(strstr(said, "directory"));
}

static void publish_tells_programs_in_json(void **state)
{
    char said[4096];

    (void)state;
    expect(0, "publish /dev/null --brokers 127.0.0.1:1 --output json 2>/dev/null", said, sizeof(said));
    assert_string_equal(said, "{\"published\":0,\"skipped\":0,\"bad\":0,\"failed\":0}\n");
}

/* A listener that takes connections and never says a word. */
static void a_watch_that_sees_nothing_has_failed(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    char call[128], said[4096];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    snprintf(call, sizeof(call), "watch ann --timeout 300 --server 127.0.0.1:%d 2>&1", ntohs(address.sin_port));
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, ": DEADLINE_EXCEEDED: "));
    close(listener);
}

static void what_is_said_is_shown_and_not_obeyed(void **state)
{
    char said[4096];

    (void)state;
    expect(2, "\"$(printf 'f\\033[2Jy\\nfreshet: z')\" 2>&1", said, sizeof(said));
    assert_string_equal(said, "freshet: there is no verb 'f\\x1B[2Jy\\x0Afreshet: z'; freshet --help lists them\n");
    expect(0, "publish - -f csv --brokers 127.0.0.1:1 2>&1 <<END\nuser_id,item_id,$(printf 'na\\033[1mme')\nEND", said, sizeof(said));
    assert_non_null(strstr(said, "the header names 'na\\x1B[1mme', which is left out"));
}

static void a_variable_that_is_empty_is_not_set(void **state)
{
    char said[1 << 16];

    (void)state;
    setenv("FRESHET_BROKERS", "", 1);
    expect(0, "publish /dev/null -X log_level=7 -X debug=broker 2>&1", said, sizeof(said));
    assert_non_null(strstr(said, "127.0.0.1:9092/bootstrap: Added new broker"));
    unsetenv("FRESHET_BROKERS");
}

static void bench_takes_users_from_both_sides(void **state)
{
    char said[4096];

    (void)state;
    expect(1, "bench ann --users - --server 127.0.0.1:1 --timeout 100 2>&1 <<'END'\n1\n2\n3\n4\n5\n6\n7\n8\n9\nEND", said, sizeof(said));
    assert_memory_equal(said, "freshet: ", 9);
}

static void a_number_that_is_too_large_is_refused_as_it_was_given(void **state)
{
    char said[4096];

    (void)state;
    expect(2, "recommend ann -k 5000000000 --server 127.0.0.1:1 2>&1", said, sizeof(said));
    assert_string_equal(said, "freshet: --k is 5000000000; it may be 4294967295 at most\n");
    expect(2, "watch ann --timeout 18446744073709551615 --server 127.0.0.1:1 2>&1", said, sizeof(said));
    assert_string_equal(said, "freshet: --timeout is 18446744073709551615; it may be 1000000000000 at most\n");
    expect(2, "watch ann --lists ' -5' --server 127.0.0.1:1 2>&1", said, sizeof(said));
    assert_string_equal(said, "freshet: --lists is ' -5', which is no whole number\n");
}

static void the_header_is_no_line_that_is_skipped(void **state)
{
    char said[4096];

    (void)state;
    expect(0, "publish --format csv --brokers 127.0.0.1:1 -o json - 2>/dev/null <<'END'\nuser_id,item_id\nEND", said, sizeof(said));
    assert_string_equal(said, "{\"published\":0,\"skipped\":0,\"bad\":0,\"failed\":0}\n");
    expect(0, "publish --format csv --brokers 127.0.0.1:1 -o json - 2>&1 <<'END'\n\xEF\xBB\xBFuser_id,item_id\r\nEND", said, sizeof(said));
    assert_non_null(strstr(said, "{\"published\":0,\"skipped\":0,\"bad\":0,\"failed\":0}\n")); /* as Windows writes it */
    expect(0, "publish --format online-retail --brokers 127.0.0.1:1 -o json - 2>/dev/null <<'END'\n"
                         "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
                         "536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom\nEND", said, sizeof(said));
    assert_string_equal(said, "{\"published\":0,\"skipped\":1,\"bad\":0,\"failed\":0}\n");
}

/* Makes a file that holds this, NULs and all, and puts its name into the room. */
#define FILE_WITH(path, text) file_with((path), (text), sizeof(text) - 1)

static void file_with(char *path, const char *text, size_t len)
{
    strcpy(path, "/tmp/freshet-nul-XXXXXX");
    int file = mkstemp(path);

    assert_int_equal(write(file, text, len), len);
    close(file);
}

/* What is behind it would be left out: the time here, the rest of an id or of what is said of an item. */
static void a_line_with_a_nul_is_bad(void **state)
{
    char path[40], events[40], call[300], said[4096];

    (void)state;
    FILE_WITH(path, "user_id\titem_id\ttime_ms\nann\tpear\0\t5\n");
    snprintf(call, sizeof(call), "publish %s -f tsv --brokers 127.0.0.1:1 --timeout 300 2>&1", path);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, "freshet: line 2 has a NUL in it\n"));
    snprintf(call, sizeof(call), "eval %s -f tsv 2>&1", path);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, ":2 has a NUL in it\n"));
    unlink(path);

    FILE_WITH(path, "\nann\0bob\n");
    snprintf(call, sizeof(call), "bench --users %s --server 127.0.0.1:1 --timeout 100 2>&1", path);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, ":2 has a NUL in it\n"));
    unlink(path);

    FILE_WITH(path, "\nann\0bob\n");
    snprintf(call, sizeof(call), "recommend --all --users %s --server 127.0.0.1:1 --timeout 100 2>&1", path);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, ":2 has a NUL in it\n"));
    unlink(path);

    FILE_WITH(events, "ann pear plum\nbob pear plum\n");
    FILE_WITH(path, "{\"item_id\":\"pear\"}\n{\"item_id\":\"plum\"}\0{\"hidden\":true}\n");
    snprintf(call, sizeof(call), "eval %s -f sequences --items %s 2>&1", events, path);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, ":2 has a NUL in it\n"));
    unlink(path);

    FILE_WITH(path, "ann\tplum\tpear\nbob\tplum\0\tpear\n");
    snprintf(call, sizeof(call), "eval %s -f sequences -p loo --negatives %s 2>&1", events, path);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, ":2 has a NUL in it\n"));
    unlink(path);
    unlink(events);

    FILE_WITH(path, "\nplum\tPl\0um\n");
    snprintf(call, sizeof(call), "recommend ann --titles %s --server 127.0.0.1:1 --timeout 100 2>&1", path);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, ":2 has a NUL in it\n"));
    unlink(path);
}

static void a_line_without_end_is_no_user(void **state)
{
    char said[4096];

    (void)state;
    expect(1, "recommend --all --users - --server 127.0.0.1:1 2>&1 >/dev/null <<END\n$(head -c 1100000 /dev/zero | tr '\\0' x)\nEND", said,
           sizeof(said));
    assert_memory_equal(said, "freshet: -:1 is longer than any line may be\n", 44);
}

/* Without --timeout it would wait longer than a test may take. */
static void publish_gives_up_when_kafka_takes_nothing(void **state)
{
    static const char event[] = "<<'END'\n{\"user_id\":\"ann\",\"item_id\":\"pear\"}\nEND";
    char call[512], said[4096];

    (void)state;
    snprintf(call, sizeof(call), "publish - --brokers 127.0.0.1:1 --timeout 300 -o json 2>/dev/null %s", event);
    expect(1, call, said, sizeof(said));
    assert_string_equal(said, "{\"published\":0,\"skipped\":0,\"bad\":0,\"failed\":1}\n");
    snprintf(call, sizeof(call), "publish - --brokers 127.0.0.1:1 --timeout 300 2>&1 %s", event);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, "1 records were not delivered: Kafka has taken nothing for 0.3 s\n"));
    snprintf(call, sizeof(call), "publish - --brokers 127.0.0.1:1 --timeout 1 -X message.timeout.ms=1500 2>&1 %s", event);
    expect(1, call, said, sizeof(said));
    assert_non_null(strstr(said, "1 records were not delivered: Local: Message timed out\n"));
}

/* What ends the reading, a line too long or one that Kafka's client refuses, does not end what was read before. */
static void what_was_read_is_published_or_failed(void **state)
{
    static const char event[] = "{\"user_id\":\"ann\",\"item_id\":\"pear\"}";
    static const char *const ends[] = {
        "$(head -c 1100000 /dev/zero | tr '\\0' x)",
        "{\"user_id\":\"ann\",\"item_id\":\"pear\",\"context\":{\"long\":\"$(head -c 1500 /dev/zero | tr '\\0' x)\"}}",
        "{\"user_id\":\"ann\",\"item_id\":\"pear\",\"type\":\"$(head -c 1500 /dev/zero | tr '\\0' x)\"}", /* no part of it, either */
    };
    char call[1024], said[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        snprintf(call, sizeof(call), "publish - --brokers 127.0.0.1:1 --timeout 300 -X message.max.bytes=1000 -o json 2>/dev/null <<END\n%s\n%s\n%s\nEND",
                 event, event, ends[i]);
        expect(1, call, said, sizeof(said));
        assert_string_equal(said, "{\"published\":0,\"skipped\":0,\"bad\":0,\"failed\":2}\n");
    }
    snprintf(call, sizeof(call), "publish - --brokers 127.0.0.1:1 --timeout 300 -X message.timeout.ms=0 -o json 2>/dev/null <<'END'\n%s\nEND", event);
    expect(1, call, said, sizeof(said)); /* no limit of Kafka's: ours */
    assert_string_equal(said, "{\"published\":0,\"skipped\":0,\"bad\":0,\"failed\":1}\n");
}

/* Else it would be what a daemon refuses, or Kafka. */
static void an_address_that_is_empty_is_named(void **state)
{
    char said[4096];

    (void)state;
    expect(1, "recommend ann --server '' 2>&1", said, sizeof(said));
    assert_string_equal(said, "freshet: the daemon's address is empty; it is HOST:PORT\n");
    expect(2, "publish /dev/null --brokers '' 2>&1", said, sizeof(said));
    assert_string_equal(said, "freshet: --brokers is empty\n");
}

static void every_verb_takes_a_server(void **state)
{
    char line[64], call[128], said[8192];
    size_t verbs = 0;

    (void)state;
    FILE *list = popen("'" FRESHET "' --help | LC_ALL=C sed -n 's/^  \\([a-z-]*\\)  .*/\\1/p'", "r");
    assert_non_null(list);
    while (fgets(line, sizeof(line), list)) {
        line[strcspn(line, "\n")] = '\0';
        snprintf(call, sizeof(call), "%s --server 127.0.0.1:1 --help", line);
        expect(0, call, said, sizeof(said));
        assert_non_null(strstr(said, "  --server HOST:PORT "));
        verbs++;
    }
    pclose(list);
    assert_true(verbs >= 24);
}

/* What it says of the address it asks, or why it asks none. */
static void expect_admin(int status, const char *environment, const char *options, const char *expected)
{
    char call[512], said[4096];

    if (*environment)
        setenv("FRESHET_ADMIN", environment, 1);
    else
        unsetenv("FRESHET_ADMIN");
    snprintf(call, sizeof(call), "drain --timeout 2000 %s 2>&1", options);
    expect(status, call, said, sizeof(said));
    if (!strstr(said, expected))
        fail_msg("%s with '%s': %s", options, environment, said);
    unsetenv("FRESHET_ADMIN");
}

static void the_admin_service_is_that_of_the_server_or_is_asked_for(void **state)
{
    (void)state;
    expect_admin(1, "", "--server [::2]:50051", "freshet: [::2]:50052: ");
    expect_admin(1, "", "--server [::2]", "freshet: [::2]:50052: ");
    expect_admin(1, "", "--server 127.0.0.1:7 --admin 127.0.0.1:1", "freshet: 127.0.0.1:1: ");
    expect_admin(1, "127.0.0.1:1", "", "freshet: 127.0.0.1:1: ");
    expect_admin(1, "127.0.0.1:1", "--server 127.0.0.1:7", "freshet: 127.0.0.1:1: ");
    expect_admin(1, "127.0.0.2:1", "--server 127.0.0.1:7 --admin 127.0.0.1:1", "freshet: 127.0.0.1:1: ");
    expect_admin(2, "", "--server 127.0.0.1:7", "--server is '127.0.0.1:7', which does not tell where its Admin service is: give --admin");
    expect_admin(2, "127.0.0.2:1", "--server 127.0.0.1:50051", "FRESHET_ADMIN is '127.0.0.2:1': give --admin");
}

/* Nobody listens on port 2, either: that is where the proxy would be. */
static void no_proxy_is_asked_for_this_machine(void **state)
{
    static const char *const near[] = {"127.0.0.1:1", "127.1.2.3:1", "[::1]:1"}; /* not a name: c-ares loses ten bytes of it */
    char call[256], said[4096];

    (void)state;
    setenv("grpc_proxy", "http://127.0.0.1:2", 1); /* goes before https_proxy and http_proxy */
    unsetenv("no_proxy");
    for (size_t i = 0; i < sizeof(near) / sizeof(*near); i++) {
        snprintf(call, sizeof(call), "recommend ann --server '%s' 2>&1", near[i]);
        expect(1, call, said, sizeof(said));
        assert_null(strstr(said, "127.0.0.1:2"));
    }
    expect(1, "recommend ann --server 192.0.2.1:1 2>&1", said, sizeof(said)); /* an address of nobody's */
    assert_non_null(strstr(said, "127.0.0.1:2"));
    unsetenv("grpc_proxy");
}

/* What bash would offer behind the words, for one that begins so. */
static void expect_completion_of(const char *words, const char *word, const char *expected)
{
    char command[4096], said[4096];
    const char *folder = strrchr(FRESHET, '/');

    snprintf(command, sizeof(command),
             "PATH='%.*s':$PATH bash -c 'source \"" SOURCE_DIR "/ops/completion/freshet.bash\"; COMP_WORDS=(freshet %s \"%s\"); "
             "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _freshet; echo \"${COMPREPLY[*]}\"'",
             (int)(folder - FRESHET), FRESHET, words, word);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    said[fread(said, 1, sizeof(said) - 1, pipe)] = '\0';
    assert_int_equal(pclose(pipe), 0);
    said[strcspn(said, "\n")] = '\0';
    assert_string_equal(said, expected);
}

static void expect_completion(const char *words, const char *expected)
{
    expect_completion_of(words, "", expected);
}

/* What help only speaks of, as of freshetd --verify, is none. */
static void the_shell_completes_options_there_are(void **state)
{
    (void)state;
    expect_completion_of("verify", "--ve", "");
    expect_completion_of("restore", "--re", "");
    expect_completion_of("restore", "--", "--admin --config --data --output --path --server");
    expect_completion_of("recommend", "--exp", "--explain --exploration");
}

static void the_shell_completes_what_an_option_may_be(void **state)
{
    char said[4096], formats[4096] = "";

    (void)state;
    expect_completion("popular --by", "users trending newest");
    expect_completion("popular --output", "table json");
    expect_completion("reset 3 --to", "earliest end");
    expect_completion("log-level", "debug info warn error");
    expect_completion("eval x --format", "movielens csv tsv jsonl online-retail libfm sequences");
    expect(2, "publish - --format '' 2>&1", said, sizeof(said));
    for (char *at, *name = strtok_r(strstr(said, "it may be ") + 10, ", \n", &at); name; name = strtok_r(NULL, ", \n", &at))
        if (strcmp(name, "or") != 0)
            strcat(strcat(formats, *formats ? " " : ""), name);
    expect_completion("publish x --format", formats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_status_1_and_told_on_stderr_alone),
        cmocka_unit_test(wrong_use_is_status_2),
        cmocka_unit_test(output_that_cannot_be_written_is_a_failure),
        cmocka_unit_test(what_is_closed_can_be_neither_read_nor_written),
        cmocka_unit_test(help_tells_what_scripts_go_by),
        cmocka_unit_test(a_file_that_cannot_be_read_is_no_empty_file),
        cmocka_unit_test(publish_tells_programs_in_json),
        cmocka_unit_test(a_watch_that_sees_nothing_has_failed),
        cmocka_unit_test(what_is_said_is_shown_and_not_obeyed),
        cmocka_unit_test(a_variable_that_is_empty_is_not_set),
        cmocka_unit_test(bench_takes_users_from_both_sides),
        cmocka_unit_test(a_number_that_is_too_large_is_refused_as_it_was_given),
        cmocka_unit_test(the_header_is_no_line_that_is_skipped),
        cmocka_unit_test(a_line_with_a_nul_is_bad),
        cmocka_unit_test(a_line_without_end_is_no_user),
        cmocka_unit_test(publish_gives_up_when_kafka_takes_nothing),
        cmocka_unit_test(what_was_read_is_published_or_failed),
        cmocka_unit_test(an_address_that_is_empty_is_named),
        cmocka_unit_test(every_verb_takes_a_server),
        cmocka_unit_test(the_admin_service_is_that_of_the_server_or_is_asked_for),
        cmocka_unit_test(no_proxy_is_asked_for_this_machine),
        cmocka_unit_test(the_shell_completes_options_there_are),
        cmocka_unit_test(the_shell_completes_what_an_option_may_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
