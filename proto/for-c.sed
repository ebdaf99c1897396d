# for-c.sed -- from a published .proto to one that protoc-c can compile with the same bytes on the wire.
#
#   optional T x = n;     protoc-c knows no proto3 optional: a oneof of one member carries presence too
#   string ...id = n;     protoc-c ends strings at a NUL and has no length: ids are compared as bytes with a length
#
# Ids are the fields named id, *_id, *_ids and *_items. Run with LC_ALL=C: in some languages an i is not within a-z.
s/^( *)optional +([A-Za-z0-9_.]+) +([a-z0-9_]+) *= *([0-9]+);/\1oneof \3_given { \2 \3 = \4; }/
s/^( *)(repeated +)?string +((id|[a-z0-9_]+_(id|ids|items)) *=)/\1\2bytes \3/
