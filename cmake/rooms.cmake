# candor_room(NAME): the static library candor_NAME from src/NAME/**/*.cc and, with tests on, one
# test program candor_NAME_test from *_test.cc. Files named *_main.cc, *_fuzz.cc and *_bench.cc are
# programs of their own (see programs.cmake), and tool*.cc are the commands of `candor`, a library of their own: the
# installed library is without them and without the simulator that one of them runs. A room without sources yet is an interface library.
set(candor_rooms_so_far "")
# Files that a unity build makes one object of come together or not at all; candor_mutants brings its own of this.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/tier/disk/disk_tier.cc PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
enable_testing()

function(candor_room name)
  file(GLOB_RECURSE all CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz|bench|main)\\.cc$")
  set(tools ${sources})
  list(FILTER tools INCLUDE REGEX "/tool[a-z_]*\\.cc$")
  list(FILTER sources EXCLUDE REGEX "/tool[a-z_]*\\.cc$")
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(fuzzers ${all})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")

  if(sources)
    add_library(candor_${name} STATIC ${sources})
    target_link_libraries(candor_${name} PUBLIC candor_options ${candor_rooms_so_far} ${candor_${name}_links})
  else()
    add_library(candor_${name} INTERFACE)
    target_link_libraries(candor_${name} INTERFACE candor_options ${candor_rooms_so_far} ${candor_${name}_links})
  endif()

  set(whole candor_${name})
  if(tools)
    add_library(candor_${name}_tools STATIC ${tools})
    target_link_libraries(candor_${name}_tools PUBLIC candor_${name})
    set(whole candor_${name}_tools)
  endif()

  if(CANDOR_BUILD_TESTS AND tests)
    add_executable(candor_${name}_test ${tests})
    target_link_libraries(candor_${name}_test PRIVATE ${whole} GTest::gmock GTest::gtest_main ${RAPIDCHECK_LIBRARY})
    # Tests compare what the program prints with the pages in docs/.
    target_compile_definitions(candor_${name}_test PRIVATE CANDOR_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    add_test(NAME ${name} COMMAND candor_${name}_test --gtest_brief=1)
  endif()

  if(CANDOR_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(target ${fuzzer} NAME_WE)
      add_executable(${target} ${fuzzer})
      target_compile_options(${target} PRIVATE -fsanitize=fuzzer)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
      target_link_libraries(${target} PRIVATE candor_${name})
    endforeach()
  endif()

  set(candor_rooms_so_far candor_${name} PARENT_SCOPE)
endfunction()
