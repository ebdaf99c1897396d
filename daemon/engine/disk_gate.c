/* disk_gate.c -- see disk_gate.h. A write is taken twice: once in the log, once in the table it is flushed to. */
#include "disk_gate.h"

#include "freshet/clock.h"
#include "freshet/life.h"
#include "freshet/log.h"

bool disk_gate_open(struct disk_gate *gate, uint64_t free, uint64_t bytes)
{
    uint64_t least = gate->reserve + 2 * bytes + (gate->closed ? gate->reserve / 8 : 0);

    gate->closed = gate->reserve && free < least;
    return !gate->closed;
}

static uint64_t look(const struct disk_gate *gate)
{
    if (gate->pulse)
        fr_pulse_rest(gate->pulse);
    uint64_t free = gate->free(gate->context);
    if (gate->pulse)
        fr_pulse_beat(gate->pulse);
    return free;
}

bool disk_gate_look(struct disk_gate *gate, uint64_t bytes)
{
    bool closed = gate->closed;

    gate->looked_ns = fr_mono_ns();
    if (!gate->free)
        return true;
    uint64_t free = look(gate);
    bool open = disk_gate_open(gate, free, bytes);
    if (open != closed)
        return open;
    fr_log(open ? FR_INFO : FR_ERROR, "checkpoint", open ? "disk.room" : "disk.low",
           FR_FIELDS(FR_INT("free_bytes", (int64_t)free), FR_INT("reserve_bytes", (int64_t)gate->reserve)),
           open ? "there is room on the disk again; checkpoints go on"
                : "the disk has less room than store.disk_reserve; nothing is written until there is more, and no state "
                  "is lost meanwhile");
    if (gate->held)
        gate->held(gate->context, !open);
    return open;
}
