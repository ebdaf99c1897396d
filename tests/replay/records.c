/*
 * records.c -- entries of a script as the bytes that a producer would publish.
 *
 * Even offsets are protobuf, odd ones JSON, so that every scenario meets both. Poison is made to be refused for its reason and
 * for no other.
 */
#include "world.h"

static void put_text(struct fr_writer *out, unsigned field, const char *text)
{
    if (!*text)
        return;
    fr_put_varint(out, field << 3 | 2);
    fr_put_blob(out, text, strlen(text));
}

static void as_protobuf(struct fr_writer *out, const struct entry *entry)
{
    put_text(out, 1, entry->user);
    put_text(out, 2, entry->item);
    put_text(out, 3, entry->type);
    if (entry->has_value) {
        fr_put_varint(out, 4 << 3 | 1);
        fr_put_real(out, entry->value);
    }
    if (entry->when) {
        fr_put_varint(out, 5 << 3);
        fr_put_varint(out, (uint64_t)entry->when);
    }
    put_text(out, 6, entry->id);
}

static void as_json(struct fr_writer *out, const struct entry *entry)
{
    fr_put_text(out, "{\"user_id\":\"%s\",\"itemId\":\"%s\",\"type\":\"%s\"", entry->user, entry->item, entry->type);
    if (entry->has_value)
        fr_put_text(out, ",\"value\":%.17g", entry->value);
    if (entry->when)
        fr_put_text(out, ",\"time_ms\":\"%lld\"", (long long)entry->when);
    if (entry->id[0])
        fr_put_text(out, ",\"event_id\":\"%s\"", entry->id);
    fr_put_text(out, "}");
}

static void as_poison(struct fr_writer *out, const char *reason)
{
    if (strcmp(reason, "user_id") == 0)
        fr_put_text(out, "{\"user_id\":\"\",\"item_id\":\"i\"}");
    else if (strcmp(reason, "item_id") == 0)
        fr_put_text(out, "{\"user_id\":\"u\",\"item_id\":\"a\\u0000b\"}");
    else if (strcmp(reason, "value") == 0)
        fr_put_text(out, "{\"user_id\":\"u\",\"item_id\":\"i\",\"type\":\"rating\",\"value\":\"NaN\"}");
    else if (strcmp(reason, "time") == 0)
        fr_put_text(out, "{\"user_id\":\"u\",\"item_id\":\"i\",\"time_ms\":-5}");
    else if (strcmp(reason, "undecodable") == 0)
        fr_put_text(out, "{\"user_id\":");
}

void world_record(const struct entry *entry, struct fr_writer *bytes, struct record *ret_record)
{
    if (entry->kind == ENTRY_POISON)
        as_poison(bytes, entry->reason);
    else if (entry->offset % 2)
        as_json(bytes, entry);
    else
        as_protobuf(bytes, entry);
    *ret_record = (struct record){.key = fr_bytes_of(entry->user),
                                  .has_key = true,
                                  .value = fr_written(bytes),
                                  .has_value = entry->kind != ENTRY_POISON || strcmp(entry->reason, "null") != 0,
                                  .logged = entry->logged};
}

uint64_t world_print(const struct entry *entry)
{
    struct fr_writer bytes;
    struct record record;

    fr_writer_init(&bytes, 0);
    world_record(entry, &bytes, &record);
    uint64_t print = record_print(&record);
    fr_writer_release(&bytes);
    return print;
}
