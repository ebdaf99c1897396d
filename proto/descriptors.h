/*
 * descriptors.h -- the published .proto files as protoc read them: one google.protobuf.FileDescriptorSet. Its field 1,
 * repeated, is a FileDescriptorProto each, every file after the ones it imports. Reflection hands them out.
 */
#ifndef FR_DESCRIPTORS_H
#define FR_DESCRIPTORS_H

#include <stddef.h>

extern const size_t freshet_descriptors_size;
extern const unsigned char freshet_descriptors[];

#endif
