# Programs: src/app/*_main.cc and bench/*_bench.cc.
function(candor_program target main library)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${main})
    add_executable(${target} ${main})
    target_link_libraries(${target} PRIVATE ${library})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  endif()
endfunction()

candor_program(candord src/app/candord_main.cc candor_app)
candor_program(candor src/app/candor_main.cc candor_app_tools)
candor_program(candor-load src/app/candor_load_main.cc candor_app)

# The simulator is a stream of small allocations; sanitizers bring an allocator of their own.
if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  target_link_libraries(candor PRIVATE PkgConfig::jemalloc)
endif()

# Starts and stops real servers, for integration tests and benchmarks.
file(GLOB test_support CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/*.cc)
add_library(candor_test_support STATIC ${test_support})
target_include_directories(candor_test_support PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(candor_test_support PUBLIC candor_sim)

if(CANDOR_BUILD_BENCH)
  file(GLOB benches CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*_bench.cc)
  foreach(bench ${benches})
    get_filename_component(target ${bench} NAME_WE)
    add_executable(${target} ${bench})
    target_link_libraries(${target} PRIVATE candor_app candor_test_support)
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
  endforeach()
  if(TARGET l1_bench)
    find_package(TBB REQUIRED)  # a peer that l1_bench measures beside ours
    target_link_libraries(l1_bench PRIVATE TBB::tbb)
  endif()
endif()

# What crosses rooms and starts real servers: tests/*_test.cc.
if(CANDOR_BUILD_TESTS)
  file(GLOB integration CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/*_test.cc)
  list(FILTER integration EXCLUDE REGEX "(_threads|/mutants|/scenarios)_test\.cc$|/history_[a-z_]*\.cc$")
  if(integration)
    add_executable(candor_integration_test ${integration})
    target_link_libraries(candor_integration_test PRIVATE candor_app candor_test_support GTest::gmock GTest::gtest_main ${RAPIDCHECK_LIBRARY})
    add_test(NAME integration COMMAND candor_integration_test --gtest_brief=1)
  endif()
  # Recorded histories of real daemons under faults: a program of its own, because it takes minutes and starts candord.
  file(GLOB histories CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/history_*test.cc)
  add_executable(candor_history_test ${histories})
  target_link_libraries(candor_history_test PRIVATE candor_test_support GTest::gtest_main)
  add_dependencies(candor_history_test candord candor)
  add_test(NAME histories COMMAND candor_history_test --gtest_brief=1)
  # The server on real event loops. A program of its own, without database clients, because it is what the thread
  # sanitizer is run on.
  add_executable(candor_server_threads_test tests/server_threads_test.cc)
  target_link_libraries(candor_server_threads_test PRIVATE candor_server candor_io GTest::gtest_main)
  target_include_directories(candor_server_threads_test PRIVATE ${CMAKE_SOURCE_DIR})
  add_test(NAME server_threads COMMAND candor_server_threads_test --gtest_brief=1)

  # The consistency code once more, with the switches of version/mutant.h in it, and the simulator around it.
  file(GLOB mutable CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/cache/*.cc ${CMAKE_SOURCE_DIR}/src/invalidation/*.cc
       ${CMAKE_SOURCE_DIR}/src/sim/*.cc ${CMAKE_SOURCE_DIR}/src/tier/disk/disk_tier.cc)
  list(FILTER mutable EXCLUDE REGEX "_test\\.cc$")
  add_executable(candor_mutants tests/mutants_test.cc tests/scenarios_test.cc ${mutable})
  target_compile_definitions(candor_mutants PRIVATE CANDOR_MUTANTS)
  target_link_libraries(candor_mutants PRIVATE candor_bus GTest::gtest_main)
endif()
