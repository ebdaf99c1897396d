/*
 * early_thread.c -- LD_PRELOAD: a thread that is there before main and blocks no signal, as a library's may be. It does nothing.
 */
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

static void *rest(void *arg)
{
    for (;;)
        pause();
    return arg;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, rest, NULL);
}
