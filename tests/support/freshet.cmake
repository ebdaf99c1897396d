# Those that take longest, here or under a sanitizer, are begun first, so that none is left alone at the end; and have the time that
# a minute and a half of ThreadSanitizer takes on a machine that is busy with other things.
set(FR_LONG_TESTS feed/faults feed/kafka feed/silence feed/heard feed/away engine/faults engine/estimates engine/blend engine/score engine/compose)

# fr_test(base/epoch fr_base): builds tests/unit/base/epoch_test.c with cmocka and registers it as base/epoch.
# fr_fuzz(decode fr_feed): builds tests/fuzz/decode_fuzz.c as a libFuzzer target (only with FR_FUZZ).
function(fr_test name)
  if(NOT BUILD_TESTING)
    return() # ops/build: cmocka may not be there
  endif()
  string(REPLACE "/" "_" target ${name})
  add_executable(${target}_test ${CMAKE_SOURCE_DIR}/tests/unit/${name}_test.c)
  target_include_directories(${target}_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/tests/support)
  target_link_libraries(${target}_test PRIVATE ${ARGN} cmocka m)
  set_target_properties(${target}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${target}_test)
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 ENVIRONMENT "FRESHET_SOURCE=${CMAKE_SOURCE_DIR}")
  if(name IN_LIST FR_LONG_TESTS)
    set_tests_properties(${name} PROPERTIES COST 1 TIMEOUT 1200)
  endif()
endfunction()

function(fr_fuzz name)
  if(FR_FUZZ)
    add_executable(${name}_fuzz ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}_fuzz.c)
    target_include_directories(${name}_fuzz PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${name}_fuzz PRIVATE ${ARGN})
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
