/*
 * reflection.c -- what the published .proto files say, for clients that have none at hand.
 *
 * Of google.protobuf.FileDescriptorProto only names matter here, so it is read by hand. Field numbers:
 *
 *     file     1 name   2 package   3 import*   4 message*   5 enum*   6 service*   7 extension*
 *     message  1 name   2 field*    3 message*  4 enum*      6 extension*           8 oneof*
 *     enum     1 name   2 value*    whose names live beside the enum, not in it
 *     service  1 name   2 method*
 */
#include "reflection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <grpc/reflection/v1/reflection.pb-c.h>

#include "descriptors.h"
#include "freshet/codec.h"
#include "wire.h"

enum { FILES_MAX = 16, IMPORTS_MAX = 8, SERVICES_MAX = 8, NAME_MAX_BYTES = 200 };

struct file {
    struct fr_bytes name, bytes;
    struct fr_bytes imports[IMPORTS_MAX];
    size_t imports_len;
};
struct symbol {
    char *name;
    size_t file;
};
struct reflection {
    struct file files[FILES_MAX];
    size_t files_len;
    struct symbol *symbols; /* by name */
    size_t symbols_len, symbols_cap;
};

/* ---- walking the descriptors ---- */

struct walk {
    struct reflection *reflection;
    size_t file;
};

/* The next field of length-delimited kind; others are skipped. False at the end. */
static bool next_blob(struct fr_reader *reader, uint32_t *ret_field, struct fr_bytes *ret_blob)
{
    while (fr_left(reader)) {
        uint64_t tag = fr_get_varint(reader);
        *ret_field = (uint32_t)(tag >> 3);
        switch (tag & 7) {
        case 2:
            *ret_blob = fr_get_blob(reader);
            return !reader->failed;
        case 0:
            fr_get_varint(reader);
            break;
        case 1:
            fr_get_u64(reader);
            break;
        case 5:
            fr_get_u32(reader);
            break;
        default:
            assert(!"protoc writes no groups");
        }
    }
    assert(!reader->failed);
    return false;
}

static struct fr_bytes field_of(struct fr_bytes message, uint32_t wanted)
{
    struct fr_reader reader = fr_reader_of(message.at, message.len);
    struct fr_bytes blob;
    uint32_t field;

    while (next_blob(&reader, &field, &blob))
        if (field == wanted)
            return blob;
    return (struct fr_bytes){"", 0};
}

/* Notes scope.name, and returns it in room. */
static const char *note(struct walk *walk, const char *scope, struct fr_bytes message, char room[NAME_MAX_BYTES])
{
    struct reflection *reflection = walk->reflection;
    struct fr_bytes name = field_of(message, 1);
    int len = snprintf(room, NAME_MAX_BYTES, "%s%s%.*s", scope, *scope ? "." : "", (int)name.len, name.at);

    assert(len > 0 && len < NAME_MAX_BYTES);
    fr_reserve((void **)&reflection->symbols, &reflection->symbols_cap, reflection->symbols_len + 1,
               sizeof(*reflection->symbols));
    reflection->symbols[reflection->symbols_len++] = (struct symbol){fr_strdup(room), walk->file};
    return room;
}

/* Notes every named thing in the repeated fields `fields` of a message (a set of bits). */
static void note_all(struct walk *walk, const char *scope, struct fr_bytes message, unsigned fields)
{
    struct fr_reader reader = fr_reader_of(message.at, message.len);
    char room[NAME_MAX_BYTES];
    struct fr_bytes blob;
    uint32_t field;

    while (next_blob(&reader, &field, &blob))
        if (field < 32 && fields & 1U << field)
            note(walk, scope, blob, room);
}

static void walk_enum(struct walk *walk, const char *scope, struct fr_bytes message)
{
    char room[NAME_MAX_BYTES];

    note(walk, scope, message, room);
    note_all(walk, scope, message, 1U << 2);
}

static void walk_message(struct walk *walk, const char *scope, struct fr_bytes message)
{
    struct fr_reader reader = fr_reader_of(message.at, message.len);
    char room[NAME_MAX_BYTES];
    const char *name = note(walk, scope, message, room);
    struct fr_bytes blob;
    uint32_t field;

    note_all(walk, name, message, 1U << 2 | 1U << 6 | 1U << 8);
    while (next_blob(&reader, &field, &blob)) {
        if (field == 3)
            walk_message(walk, name, blob);
        else if (field == 4)
            walk_enum(walk, name, blob);
    }
}

static void walk_file(struct walk *walk, struct file *file)
{
    struct fr_reader reader = fr_reader_of(file->bytes.at, file->bytes.len);
    struct fr_bytes blob, package = field_of(file->bytes, 2);
    char room[NAME_MAX_BYTES], scope[NAME_MAX_BYTES];
    uint32_t field;

    snprintf(scope, sizeof(scope), "%.*s", (int)package.len, package.at);
    while (next_blob(&reader, &field, &blob)) {
        if (field == 3) {
            assert(file->imports_len < IMPORTS_MAX);
            file->imports[file->imports_len++] = blob;
        } else if (field == 4) {
            walk_message(walk, scope, blob);
        } else if (field == 5) {
            walk_enum(walk, scope, blob);
        } else if (field == 6) {
            note_all(walk, note(walk, scope, blob, room), blob, 1U << 2);
        }
    }
}

static int symbol_order(const void *a, const void *b)
{
    return strcmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

struct reflection *reflection_new(void)
{
    struct reflection *reflection = fr_zalloc(1, sizeof(*reflection));
    struct fr_reader reader = fr_reader_of(freshet_descriptors, freshet_descriptors_size);
    struct fr_bytes blob;
    uint32_t field;

    while (next_blob(&reader, &field, &blob)) {
        struct file *file = &reflection->files[reflection->files_len];
        struct walk walk = {reflection, reflection->files_len++};
        assert(field == 1 && reflection->files_len <= FILES_MAX);
        file->bytes = blob;
        file->name = field_of(blob, 1);
        walk_file(&walk, file);
    }
    qsort(reflection->symbols, reflection->symbols_len, sizeof(*reflection->symbols), symbol_order);
    return reflection;
}

void reflection_free(struct reflection *reflection)
{
    if (!reflection)
        return;
    for (size_t i = 0; i < reflection->symbols_len; i++)
        free(reflection->symbols[i].name);
    free(reflection->symbols);
    free(reflection);
}

/* ---- answers ---- */

typedef Grpc__Reflection__V1__ServerReflectionRequest request_message;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_message;

static void respond(struct fr_arena *arena, const response_message *response, struct answer *answer)
{
    *answer = (struct answer){.code = RPC_CODE_OK, .bytes = wire_pack(arena, &response->base)};
}

static void respond_error(struct fr_arena *arena, response_message *response, enum rpc_code code, const char *text,
                          struct answer *answer)
{
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;

    error.error_code = (int32_t)code;
    error.error_message = wire_text(text);
    response->message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    response->error_response = &error;
    respond(arena, response, answer);
}

static size_t file_named(const struct reflection *reflection, struct fr_bytes name)
{
    size_t i = 0;

    while (i < reflection->files_len && !fr_bytes_equal(reflection->files[i].name, name))
        i++;
    return i;
}

/* The file first, then, once each, whatever it imports. */
static void add_file(const struct reflection *reflection, size_t index, bool added[FILES_MAX],
                     Grpc__Reflection__V1__FileDescriptorResponse *list)
{
    const struct file *file = &reflection->files[index];

    if (added[index])
        return;
    added[index] = true;
    list->file_descriptor_proto[list->n_file_descriptor_proto++] = wire_data(file->bytes);
    for (size_t i = 0; i < file->imports_len; i++)
        add_file(reflection, file_named(reflection, file->imports[i]), added, list);
}

static void respond_file(const struct reflection *reflection, struct fr_arena *arena, response_message *response,
                         size_t index, struct answer *answer)
{
    Grpc__Reflection__V1__FileDescriptorResponse list = GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    ProtobufCBinaryData files[FILES_MAX];
    bool added[FILES_MAX] = {false};

    list.file_descriptor_proto = files;
    add_file(reflection, index, added, &list);
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    response->file_descriptor_response = &list;
    respond(arena, response, answer);
}

static void respond_services(struct fr_arena *arena, response_message *response, enum rpc_listener listener,
                             struct answer *answer)
{
    Grpc__Reflection__V1__ListServiceResponse list = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    Grpc__Reflection__V1__ServiceResponse room[SERVICES_MAX], *pointers[SERVICES_MAX];
    const char *before = "";

    list.service = pointers;
    for (int i = 0; i < RPC_UNKNOWN; i++) { /* methods of a service stand together in the table */
        const struct rpc_method *method = &rpc_methods[i];
        if (!(method->listeners & listener) || strcmp(method->service, before) == 0)
            continue;
        assert(list.n_service < SERVICES_MAX);
        pointers[list.n_service] = &room[list.n_service];
        grpc__reflection__v1__service_response__init(pointers[list.n_service]);
        pointers[list.n_service++]->name = wire_text(before = method->service);
    }
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    response->list_services_response = &list;
    respond(arena, response, answer);
}

static void respond_symbol(const struct reflection *reflection, struct fr_arena *arena, response_message *response,
                           char *name, struct answer *answer)
{
    struct symbol key = {.name = name};
    const struct symbol *found = bsearch(&key, reflection->symbols, reflection->symbols_len, sizeof(key), symbol_order);

    if (found)
        respond_file(reflection, arena, response, found->file, answer);
    else
        respond_error(arena, response, RPC_CODE_NOT_FOUND, "there is no such symbol", answer);
}

void reflection_answer(const struct reflection *reflection, struct fr_arena *arena, enum rpc_listener listener,
                       struct fr_bytes request, struct answer *ret_answer)
{
    response_message response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    bool large;
    request_message *asked = wire_unpack(arena, &grpc__reflection__v1__server_reflection_request__descriptor, request,
                                         16 * request.len + (64U << 10), &large);

    if (!asked) {
        answer_refuse(ret_answer, RPC_CODE_INVALID_ARGUMENT, "the request is not a ServerReflectionRequest");
        return;
    }
    response.valid_host = asked->host;
    response.original_request = asked;
    switch (asked->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        respond_services(arena, &response, listener, ret_answer);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME: {
        size_t index = file_named(reflection, fr_bytes_of(asked->file_by_filename));
        if (index < reflection->files_len)
            respond_file(reflection, arena, &response, index, ret_answer);
        else
            respond_error(arena, &response, RPC_CODE_NOT_FOUND, "there is no such file", ret_answer);
        break;
    }
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        respond_symbol(reflection, arena, &response, asked->file_containing_symbol, ret_answer);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        respond_error(arena, &response, RPC_CODE_NOT_FOUND, "there are no extensions", ret_answer);
        break;
    default:
        respond_error(arena, &response, RPC_CODE_INVALID_ARGUMENT, "message_request is not set", ret_answer);
    }
}
