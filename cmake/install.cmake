# Installation: the library, its headers, the program, and what find_package(millrace) needs.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS millrace EXPORT millrace-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET millrace_program)
  install(TARGETS millrace_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY millrace/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/millrace
  FILES_MATCHING PATTERN "*.h" PATTERN cli EXCLUDE)
install(EXPORT millrace-targets NAMESPACE millrace::
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/millrace)
configure_package_config_file(cmake/millrace-config.cmake.in millrace-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/millrace)
write_basic_package_version_file(millrace-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/millrace-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/millrace-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/millrace)
