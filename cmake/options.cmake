# Compiler options that every target of the project shares.
add_library(candor_options INTERFACE)
target_compile_options(candor_options INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align
  -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(candor_options INTERFACE -Wthread-safety -Wno-unused-command-line-argument)
else()
  # g++ 12 reports false positives of these two inside libstdc++ when it inlines at -O2.
  target_compile_options(candor_options INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
  if(CMAKE_UNITY_BUILD)
    # It takes every .cc that a unity file includes for a header, whose unnamed namespaces others would share.
    target_compile_options(candor_options INTERFACE -Wno-subobject-linkage)
  endif()
endif()
if(CANDOR_WERROR)
  target_compile_options(candor_options INTERFACE -Werror)
endif()
target_include_directories(candor_options INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
