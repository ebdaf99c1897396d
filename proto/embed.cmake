# cmake -D IN=set.pb -D OUT=set.c -D NAME=freshet_descriptors -P embed.cmake: the bytes of a file as a C array.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "(................................................)" "\\1\n    " hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "#include \"descriptors.h\"\n\nconst size_t ${NAME}_size = ${size};\n"
                  "const unsigned char ${NAME}[${size}] = {\n    ${bytes}\n};\n")
