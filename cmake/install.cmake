# `cmake --install` puts in place the programs, and the library for find_package(candor).
#
# All rooms go into one archive: users see `candor::candor`, not how the folders are cut. What the archive itself links is
# written down with the target and found again by candor-config.cmake.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(candor_library STATIC)
set_target_properties(candor_library PROPERTIES OUTPUT_NAME candor EXPORT_NAME candor LINKER_LANGUAGE CXX)
target_compile_features(candor_library PUBLIC cxx_std_23)
target_include_directories(candor_library INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# sim is for tests; everything else may be reached from the facade.
foreach(room base version budget proto tier capacity origin change bus cache invalidation monitor controller warm server io app)
  get_target_property(kind candor_${room} TYPE)
  if(kind STREQUAL "STATIC_LIBRARY")
    target_sources(candor_library PRIVATE $<TARGET_OBJECTS:candor_${room}>)
  endif()
  list(APPEND candor_library_links ${candor_${room}_links})
endforeach()
list(REMOVE_DUPLICATES candor_library_links)
target_link_libraries(candor_library INTERFACE ${candor_library_links})

configure_package_config_file(cmake/candor-config.cmake.in ${CMAKE_BINARY_DIR}/candor-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/candor)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/candor-config-version.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS candor_library EXPORT candor-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(EXPORT candor-targets NAMESPACE candor:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/candor COMPONENT library)
install(FILES ${CMAKE_BINARY_DIR}/candor-config.cmake ${CMAKE_BINARY_DIR}/candor-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/candor COMPONENT library)
install(FILES include/candor/candor.h include/candor/staleness_monitor.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/candor COMPONENT library)
# candor.h includes it by a path relative to itself.
install(FILES src/base/result.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/candor/base COMPONENT library)

foreach(program candord candor)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
  endif()
endforeach()
