# Installation: the library, its headers, the program, and what find_package(millrace) needs.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS millrace EXPORT millrace-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET millrace_program)
  # A package brings libraries along, in lib/millrace (tools/package). They need each other, which
  # only the older of the two kinds of run path covers.
  set_target_properties(millrace_program PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/millrace")
  target_link_options(millrace_program PRIVATE -Wl,--disable-new-dtags)
  install(TARGETS millrace_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
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
