# What `cmake --install` puts where: headers, both libraries, the command, a CMake package and a pkg-config file. The
# prefix can be moved afterwards: nothing in it holds an absolute path.

install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/runtime/include/pleat DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
# Two export sets, so that a consumer of the shared library needs nothing else on its machine.
set_target_properties(pleat_shared PROPERTIES EXPORT_NAME pleat)
install(TARGETS pleat_shared EXPORT pleat-shared-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS pleat_static EXPORT pleat-static-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(PLEAT_CLI)
  install(TARGETS pleat RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# ---- find_package(pleat) ----
set(PLEAT_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/pleat)
foreach(kind shared static)
  install(EXPORT pleat-${kind}-targets NAMESPACE pleat:: DESTINATION ${PLEAT_CMAKE_DIR})
endforeach()
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/pleat-config.cmake.in
                              ${CMAKE_CURRENT_BINARY_DIR}/packaging/pleat-config.cmake
                              INSTALL_DESTINATION ${PLEAT_CMAKE_DIR} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/packaging/pleat-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/packaging/pleat-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/packaging/pleat-config-version.cmake DESTINATION ${PLEAT_CMAKE_DIR})

# ---- pkg-config ----
# The prefix as seen from the .pc file; an absolute folder in CMAKE_INSTALL_*DIR stays what its packager made it.
set(PLEAT_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${PLEAT_PC_DIR}")
  set(PLEAT_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH to_prefix /prefix/${PLEAT_PC_DIR} /prefix)
  string(REGEX REPLACE "/$" "" to_prefix ${to_prefix})
  set(PLEAT_PC_PREFIX "\${pcfiledir}/${to_prefix}")
endif()
foreach(dir LIB INCLUDE)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}DIR}")
    set(PLEAT_PC_${dir}DIR ${CMAKE_INSTALL_${dir}DIR})
  else()
    set(PLEAT_PC_${dir}DIR "\${prefix}/${CMAKE_INSTALL_${dir}DIR}")
  endif()
endforeach()
# What only a static link needs. The OpenMP library by its name (gomp, omp): a path would tie the file to this machine.
set(PLEAT_PC_LIBS_PRIVATE "-lm ${CMAKE_THREAD_LIBS_INIT}")
if(PLEAT_ONEDNN)
  list(TRANSFORM OpenMP_C_LIB_NAMES PREPEND -l OUTPUT_VARIABLE openmp_libraries)
  list(JOIN openmp_libraries " " openmp_libraries)
  set(PLEAT_PC_LIBS_PRIVATE "-ldnnl ${openmp_libraries} ${PLEAT_PC_LIBS_PRIVATE}")
endif()
string(STRIP "${PLEAT_PC_LIBS_PRIVATE}" PLEAT_PC_LIBS_PRIVATE)
configure_file(${CMAKE_CURRENT_LIST_DIR}/pleat.pc.in ${CMAKE_CURRENT_BINARY_DIR}/packaging/pleat.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/packaging/pleat.pc DESTINATION ${PLEAT_PC_DIR})
