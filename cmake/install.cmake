# SPDX-License-Identifier: MIT
# What `cmake --install` puts where: headers, both libraries, the file library, package files, the command and its page.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/batchnorm)

# One export set for each component, so that a project that wants one is not asked for what another needs.
function(bn_install_library component target name headers)
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS ${target} EXPORT batchnorm-${component} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT batchnorm-${component} NAMESPACE batchnorm:: DESTINATION ${package_dir})
  install(DIRECTORY include/batchnorm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${headers})
endfunction()

# A pkg-config file knows its prefix from its own place, so that the whole tree can be moved.
function(bn_install_pc name)
  file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  set(pc_prefix "\${pcfiledir}/${pc_prefix}")
  configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

set(core_headers PATTERN safetensors.h EXCLUDE)
bn_install_library(shared batchnorm batchnorm "${core_headers}")
# Where an OpenMP library is that the system does not look for; in the build, too, because CMake would pad another path there.
set_target_properties(batchnorm PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON BUILD_WITH_INSTALL_RPATH ON)
bn_install_library(static batchnorm_static batchnorm_static "${core_headers}")
set(pc_libs_private "-lm")
if(batchnorm_needs_openmp)
  string(APPEND pc_libs_private " ${OpenMP_C_FLAGS}")
endif()
bn_install_pc(batchnorm)

if(TARGET batchnorm_file)
  bn_install_library(file batchnorm_file file "")
  bn_install_library(file_static batchnorm_file_static file_static "")
  # finds libbatchnorm wherever both are moved; in the build, too, where they lie side by side
  set_target_properties(batchnorm_file PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
  bn_install_pc(batchnorm-file)
endif()

configure_package_config_file(cmake/batchnorm-config.cmake.in ${PROJECT_BINARY_DIR}/batchnorm-config.cmake
                              INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# 0.x promises nothing from one minor version to the next.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/batchnorm-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/batchnorm-config.cmake ${PROJECT_BINARY_DIR}/batchnorm-config-version.cmake
        DESTINATION ${package_dir})

if(TARGET batchnorm_command)
  # Its own libraries are inside. CMake would put an empty path there, which means the current directory.
  set_target_properties(batchnorm_command PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "")
  install(TARGETS batchnorm_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# Where the program that writes the page cannot run, there is none.
set(page ${PROJECT_SOURCE_DIR}/docs/batchnorm.1.scd.in)
find_program(SCDOC scdoc)
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
  bn_left_out("man page" "the program that writes it cannot run here")
elseif(TARGET batchnorm_command AND SCDOC)
  add_custom_command(OUTPUT batchnorm.1 COMMAND batchnorm_manual < ${page} > batchnorm.1.scd
                     COMMAND ${SCDOC} < batchnorm.1.scd > batchnorm.1 DEPENDS ${page} batchnorm_manual VERBATIM)
  add_custom_target(manual ALL DEPENDS batchnorm.1)
  install(FILES ${PROJECT_BINARY_DIR}/batchnorm.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  bn_found(scdoc ${SCDOC})
elseif(TARGET batchnorm_command AND NOT SCDOC)
  bn_left_out("man page" "scdoc was not found (Debian: scdoc)")
endif()
