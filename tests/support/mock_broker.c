/*
 * mock_broker.c -- the embedded Kafka in a process of its own, for tests that kill the daemon and not its broker.
 *
 *     mock_broker TOPIC PARTITIONS DEAD_LETTER_TOPIC        prints its address; ends when stdin does
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "freshet/feed.h"

int main(int argc, char **argv)
{
    struct feed_broker *broker;
    struct fr_err err;
    char byte;

    if (argc != 4) {
        fprintf(stderr, "mock_broker TOPIC PARTITIONS DEAD_LETTER_TOPIC\n");
        return 2;
    }
    if (feed_broker_start(&broker, argv[1], argv[3], atoi(argv[2]), &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%s\n", feed_broker_address(broker));
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    feed_broker_stop(broker);
    return 0;
}
