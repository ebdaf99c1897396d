/*
 * notify_test.c -- a socket as systemd would offer it, and what arrives there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notify.h"

static int listener;
static char folder[64], path[sizeof(((struct sockaddr_un *)0)->sun_path)];

/* Binds to `name` (@... is abstract) and puts it into the environment. */
static void listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);

    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    listener = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(
        bind(listener, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static const char *heard(void)
{
    static char text[1000];
    ssize_t got = recv(listener, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[got > 0 ? got : 0] = 0;
    return text;
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/freshet-notify-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/notify", folder);
    listener = -1;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (listener >= 0)
        close(listener);
    unlink(path);
    return rmdir(folder);
}

static void without_a_socket_nothing_is_wanted(void **state)
{
    struct notify notify;

    (void)state;
    notify_start(&notify);
    assert_int_equal(notify.socket, -1);
    assert_int_equal(notify.beat_ms, -1);
    notify_say(&notify, "READY=1");
    notify_beat(&notify, "answering", NULL);
    notify_stop(&notify);
}

static void a_message_is_one_datagram(void **state)
{
    struct notify notify;

    (void)state;
    listen_at(path);
    notify_start(&notify);
    notify_say(&notify, "RELOADING=1\nMONOTONIC_USEC=%d", 12);
    notify_say(&notify, "READY=1");
    assert_string_equal(heard(), "RELOADING=1\nMONOTONIC_USEC=12");
    assert_string_equal(heard(), "READY=1");
    assert_string_equal(heard(), "");
    notify_stop(&notify);
    notify_say(&notify, "READY=1");
    assert_string_equal(heard(), "");
}

static void an_abstract_name_works_too(void **state)
{
    struct notify notify;
    char name[100];

    (void)state;
    snprintf(name, sizeof(name), "@freshet-notify-test-%d", getpid());
    listen_at(name);
    notify_start(&notify);
    notify_say(&notify, "READY=1");
    assert_string_equal(heard(), "READY=1");
    notify_stop(&notify);
}

static void the_watchdog_is_fed_only_while_every_loop_moves(void **state)
{
    struct notify notify;

    (void)state;
    listen_at(path);
    notify_start(&notify);
    notify_beat(&notify, "answering", NULL);
    assert_string_equal(heard(), "WATCHDOG=1\nSTATUS=answering");
    notify_beat(&notify, "answering", "engine");
    assert_string_equal(heard(), "STATUS=stuck: engine does not move");
    notify_stop(&notify);
}

static void it_beats_several_times_per_watchdog_interval(void **state)
{
    static const struct {
        const char *usec;
        int beat_ms;
    } cases[] = {{NULL, 1000}, {"60000000", 1000}, {"1500000", 500}, {"300", 1}, {"0", 1000}, {"nonsense", 1000}};
    struct notify notify;
    char pid[20];

    (void)state;
    listen_at(path);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (cases[i].usec)
            setenv("WATCHDOG_USEC", cases[i].usec, 1);
        notify_start(&notify);
        assert_int_equal(notify.beat_ms, cases[i].beat_ms);
        notify_stop(&notify);
    }
    setenv("WATCHDOG_USEC", "1500000", 1);
    snprintf(pid, sizeof(pid), "%d", getpid());
    setenv("WATCHDOG_PID", pid, 1);
    notify_start(&notify);
    assert_int_equal(notify.beat_ms, 500);
    notify_stop(&notify);
    setenv("WATCHDOG_PID", "1", 1); /* another process's */
    notify_start(&notify);
    assert_int_equal(notify.beat_ms, 1000);
    notify_stop(&notify);
}

static void an_address_nobody_listens_at_is_as_none(void **state)
{
    struct notify notify;
    char name[200];

    (void)state;
    setenv("NOTIFY_SOCKET", path, 1);
    notify_start(&notify);
    assert_int_equal(notify.socket, -1);
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_start(&notify);
    assert_int_equal(notify.socket, -1);
    memset(name, 'a', sizeof(name));
    name[0] = '/';
    name[sizeof(name) - 1] = 0;
    setenv("NOTIFY_SOCKET", name, 1);
    notify_start(&notify);
    assert_int_equal(notify.socket, -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_a_socket_nothing_is_wanted),
        TEST(a_message_is_one_datagram),
        TEST(an_abstract_name_works_too),
        TEST(the_watchdog_is_fed_only_while_every_loop_moves),
        TEST(it_beats_several_times_per_watchdog_interval),
        TEST(an_address_nobody_listens_at_is_as_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
