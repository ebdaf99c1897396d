/*
 * disk_gate.h -- is there room on the disk to write?
 *
 *     free:   |------ reserve ------|--- 1/8 ---|
 *              closed                as it was   open
 *
 * The reserve is what RocksDB may need while we write nothing: flushes and compactions of what it has. Debian's build stops
 * the process by an assertion when the write-ahead log meets a full disk, so the gate closes before. The band above the
 * reserve keeps it from opening and closing with every flush. A disk that hangs answers not even this: while the gate looks, its
 * owner's pulse rests.
 *
 * Thread: its owner's.
 */
#ifndef FR_DISK_GATE_H
#define FR_DISK_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct fr_pulse;

struct disk_gate {
    struct fr_pulse *pulse; /* its owner's; NULL: it has none */
    uint64_t reserve;       /* bytes; 0: always open, but it looks, for those who want to see what it sees */
    uint64_t (*free)(void *context); /* NULL: there is no disk */
    void (*held)(void *context, bool low); /* told when it closes or opens; may be NULL */
    void *context;
    bool closed;
    uint64_t looked_ns; /* when it last looked */
};
/* Looks at the disk. Is there room for a write of so many bytes? */
bool disk_gate_look(struct disk_gate *gate, uint64_t bytes);
/* The same, with so many free. */
bool disk_gate_open(struct disk_gate *gate, uint64_t free, uint64_t bytes);

#endif
