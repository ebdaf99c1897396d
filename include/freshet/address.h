/*
 * address.h -- what HOST:PORT tells without asking anybody.
 */
#ifndef FRESHET_ADDRESS_H
#define FRESHET_ADDRESS_H

#include <stdbool.h>
#include <string.h>

/* Does only this machine reach it? HOST:PORT or HOST; false for a Unix socket, which is no address of a network. */
static inline bool fr_address_local(const char *address)
{
    size_t name = strcspn(address, ":"), number = strspn(address, "0123456789."); /* 127.example.com is a name */

    return (number == name && strncmp(address, "127.", 4) == 0) || (name == 9 && strncmp(address, "localhost", 9) == 0) ||
           strncmp(address, "[::1]", 5) == 0;
}

#endif
