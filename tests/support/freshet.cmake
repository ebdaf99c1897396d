# Those that take longest, here or under a sanitizer, are begun first, so that none is left alone at the end; and have the time that
# a minute and a half of ThreadSanitizer takes on a machine that is busy with other things.
set(FR_LONG_TESTS feed/faults feed/kafka feed/silence feed/heard feed/away engine/faults engine/estimates engine/blend engine/score engine/compose)

# Under a sanitizer a test's own file takes five times as long to compile as it takes to run: it is compiled for that, and what it
# tests as everywhere; but for those of the models, which recount much. gold links in half the time; the programs themselves are
# linked as everywhere.
set(FR_TEST_OPTIONS "")
if(FR_SANITIZE)
  set(FR_TEST_OPTIONS -O0)
endif()
set(FR_TEST_LINK_OPTIONS "")
find_program(FR_GOLD ld.gold)
if(FR_GOLD)
  set(FR_TEST_LINK_OPTIONS -fuse-ld=gold)
endif()

# Threads meet in these, which are all that ops/test runs under ThreadSanitizer each time (label and target: threads). Those of one
# thread, that ask what has settled, and the long property tests of the same few would only be slow there.
set(FR_THREADS "^(base|engine|feed|serve|admin|storage)/")
set(FR_ONE_THREAD engine/arrange engine/arrange_pools engine/budget engine/changes engine/compose engine/dedup engine/disk_gate
    engine/histories_disk engine/quality engine/score engine/tail engine/tournament engine/weights)
add_custom_target(threads)

# fr_test(base/epoch fr_base): builds tests/unit/base/epoch_test.c with cmocka and registers it as base/epoch.
# fr_fuzz(decode fr_base FILES decode.c): builds tests/fuzz/decode_fuzz.c as a libFuzzer target (only with FR_FUZZ), with these files of
# a library most of which it does not call: the rest need not be built once more for it.
function(fr_test name)
  if(NOT BUILD_TESTING)
    return() # ops/build: cmocka may not be there
  endif()
  string(REPLACE "/" "_" target ${name})
  add_executable(${target}_test ${CMAKE_SOURCE_DIR}/tests/unit/${name}_test.c)
  target_include_directories(${target}_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/tests/support)
  if(NOT name MATCHES "^model/")
    target_compile_options(${target}_test PRIVATE ${FR_TEST_OPTIONS})
  endif()
  target_link_libraries(${target}_test PRIVATE ${ARGN} cmocka m)
  target_link_options(${target}_test PRIVATE ${FR_TEST_LINK_OPTIONS})
  set_target_properties(${target}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${target}_test)
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 ENVIRONMENT "FRESHET_SOURCE=${CMAKE_SOURCE_DIR}")
  if(name MATCHES "${FR_THREADS}" AND NOT name IN_LIST FR_ONE_THREAD)
    set_tests_properties(${name} PROPERTIES LABELS threads)
    add_dependencies(threads ${target}_test)
  endif()
  if(name IN_LIST FR_LONG_TESTS)
    set_tests_properties(${name} PROPERTIES COST 1 TIMEOUT 1200)
  endif()
endfunction()

function(fr_fuzz name)
  if(FR_FUZZ)
    cmake_parse_arguments(with "" "" FILES ${ARGN})
    add_executable(${name}_fuzz ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}_fuzz.c ${with_FILES})
    target_include_directories(${name}_fuzz PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${name}_fuzz PRIVATE ${with_UNPARSED_ARGUMENTS})
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name}_fuzz PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  endif()
endfunction()

# fr_faulty_test(engine/faults fr_engine): an fr_test whose file calls, the libraries' too, go through tests/support/faultfs.c.
function(fr_faulty_test name)
  fr_test(${name} ${ARGN})
  string(REPLACE "/" "_" target ${name}_test)
  if(TARGET ${target})
    target_sources(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support/faultfs.c)
    target_compile_definitions(${target} PRIVATE POWERLOSS="${CMAKE_BINARY_DIR}/tests/powerloss")
    set_target_properties(${target} PROPERTIES ENABLE_EXPORTS ON)
    add_dependencies(${target} powerloss)
  endif()
endfunction()
