/*
 * json.c -- any protobuf message as proto3 JSON, by walking its descriptor: lowerCamelCase names, 64-bit integers as strings,
 * absent fields left out. The ids that C keeps as bytes are text (they are valid UTF-8 by contract).
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "freshet/alloc.h"

static json_t *of_message(const ProtobufCMessage *message);

static json_t *of_value(const ProtobufCFieldDescriptor *field, const void *at)
{
    char digits[32];

    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(char *const *)at ? *(char *const *)at : "");
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *data = at;
        return json_stringn((const char *)data->data, data->len);
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        return of_message(*(ProtobufCMessage *const *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_DOUBLE: {
        double value = *(const double *)at;
        return isfinite(value) ? json_real(value) : json_string(isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    }
    case PROTOBUF_C_TYPE_FLOAT:
        return json_real((double)*(const float *)at);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        snprintf(digits, sizeof(digits), "%lld", (long long)*(const int64_t *)at);
        return json_string(digits);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)*(const uint64_t *)at);
        return json_string(digits);
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at);
        return value ? json_string(value->name) : json_integer(*(const int *)at);
    }
    }
    return json_null();
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return 8;
    default:
        return 4;
    }
}

static bool is_default(const ProtobufCFieldDescriptor *field, const void *at)
{
    static const char zeros[16];

    if (field->type == PROTOBUF_C_TYPE_STRING)
        return !*(char *const *)at || !**(char *const *)at;
    if (field->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)at)->len == 0;
    return memcmp(at, zeros, size_of(field->type)) == 0;
}

static void camel(const char *name, char *room, size_t room_len)
{
    size_t len = 0;

    for (; *name && len + 1 < room_len; name++) {
        if (*name == '_' && name[1] >= 'a' && name[1] <= 'z')
            room[len++] = (char)(*++name - 'a' + 'A');
        else
            room[len++] = *name;
    }
    room[len] = '\0';
}

static bool is_map_entry(const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;

    if (field->type != PROTOBUF_C_TYPE_MESSAGE || type->n_fields != 2)
        return false;
    return !strcmp(type->fields[0].name, "key") && !strcmp(type->fields[1].name, "value") &&
           type->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static json_t *of_repeated(const ProtobufCFieldDescriptor *field, const char *items, size_t len)
{
    bool map = is_map_entry(field);
    json_t *all = map ? json_object() : json_array();

    for (size_t i = 0; i < len; i++) {
        const void *at = items + i * size_of(field->type);
        if (map) {
            const char *entry = *(const char *const *)at;
            const ProtobufCMessageDescriptor *type = field->descriptor;
            json_object_set_new(all, *(char *const *)(const void *)(entry + type->fields[0].offset),
                                of_value(&type->fields[1], entry + type->fields[1].offset));
        } else {
            json_array_append_new(all, of_value(field, at));
        }
    }
    return all;
}

static json_t *of_message(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    json_t *object = json_object();

    for (unsigned f = 0; f < type->n_fields; f++) {
        const ProtobufCFieldDescriptor *field = &type->fields[f];
        const char *at = (const char *)message + field->offset;
        char name[128];
        camel(field->name, name, sizeof(name));
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t len = *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
            if (len)
                json_object_set_new(object, name, of_repeated(field, *(const char *const *)(const void *)at, len));
            continue;
        }
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            if (*(const uint32_t *)(const void *)((const char *)message + field->quantifier_offset) != field->id)
                continue;
        } else if (is_default(field, at)) {
            continue;
        }
        json_object_set_new(object, name, of_value(field, at));
    }
    return object;
}

/* JSON asks for \u00HH below U+0020 alone, and a terminal obeys DEL and C1 too: U+009B begins what ESC [ does. They are within strings. */
static char *harmless(char *text)
{
    size_t controls = 0;

    for (const char *at = text; at && *at; at++)
        controls += cli_control_len(at) > 0;
    if (!controls)
        return text;
    char *copy = fr_alloc(strlen(text) + 6 * controls + 1), *end = copy;
    for (const char *at = text; *at;) {
        size_t len = cli_control_len(at);
        if (len)
            end += sprintf(end, "\\u00%02X", (unsigned)(unsigned char)at[len - 1]);
        else
            *end++ = *at;
        at += len ? len : 1;
    }
    *end = '\0';
    free(text);
    return copy;
}

static char *text_of(json_t *json)
{
    char *text = harmless(json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY));

    json_decref(json);
    return text;
}

char *json_text_id(struct fr_bytes id)
{
    json_t *json = json_stringn(id.at, id.len);

    return text_of(json ? json : json_null());
}

char *json_text(const ProtobufCMessage *message)
{
    return text_of(of_message(message));
}

char *json_text_all(const ProtobufCMessage *const *messages, size_t len)
{
    json_t *all = json_array();

    for (size_t i = 0; i < len; i++)
        json_array_append_new(all, of_message(messages[i]));
    return text_of(all);
}

int json_put(json_t *document)
{
    char *text = document ? harmless(json_dumps(document, JSON_PRESERVE_ORDER)) : NULL;
    int status = text ? CLI_DONE : cli_fail("what was found cannot be written as JSON");

    if (text)
        puts(text);
    cli_wrote();
    free(text);
    json_decref(document);
    return status;
}

json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

bool json_holds(const char *what, const char *text)
{
    bool good = fr_utf8_valid(text, strlen(text));

    if (!good)
        cli_fail("%s is not UTF-8, which --output json needs", what);
    return good;
}

void json_print(const ProtobufCMessage *message)
{
    char *text = json_text(message);

    puts(text ? text : "{}");
    cli_wrote();
    free(text);
}
