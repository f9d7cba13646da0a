# SPDX-License-Identifier: MIT
# What `cmake --install` puts where: headers, the libraries, package files, the command and its page. Its components are what
# package.cmake makes packages of: library, development and command.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/batchnorm)

# What the components' names begin with: what needs MPI goes into packages of its own, mpi_library and mpi_development.
set(kind "")

# One export set for each component, so that a project that wants one is not asked for what another needs.
function(bn_install_library component target name headers)
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS ${target} EXPORT batchnorm-${component}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${kind}development
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${kind}library NAMELINK_COMPONENT ${kind}development
          INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT batchnorm-${component} NAMESPACE batchnorm:: DESTINATION ${package_dir} COMPONENT ${kind}development)
  install(FILES ${headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/batchnorm COMPONENT ${kind}development)
endfunction()

# A pkg-config file knows its prefix from its own place, so that the whole tree can be moved.
function(bn_install_pc name)
  file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  set(pc_prefix "\${pcfiledir}/${pc_prefix}")
  configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
          COMPONENT ${kind}development)
endfunction()

file(GLOB core_headers include/batchnorm/*.h)
list(FILTER core_headers EXCLUDE REGEX "/(safetensors|model|mpi)\\.h$")
set(pc_libs_private "-lm")
if(batchnorm_needs_openmp)
  string(APPEND pc_libs_private " ${OpenMP_C_FLAGS}")
endif()
if(BATCHNORM_SHARED)
  bn_install_library(shared batchnorm batchnorm "${core_headers}")
  bn_install_pc(batchnorm)
endif()
if(BATCHNORM_STATIC)
  bn_install_library(static batchnorm_static batchnorm_static "${core_headers}")
  bn_install_pc(batchnorm-static)
endif()
if(TARGET batchnorm_file AND BATCHNORM_SHARED)
  bn_install_library(file batchnorm_file file include/batchnorm/safetensors.h)
  bn_install_pc(batchnorm-file)
endif()
if(TARGET batchnorm_file_static AND BATCHNORM_STATIC)
  bn_install_library(file_static batchnorm_file_static file_static include/batchnorm/safetensors.h)
  bn_install_pc(batchnorm-file-static)
endif()
# The command needs the library of models, too, so that its target may be there where it was not asked for.
if(BATCHNORM_BUILD_MODEL AND BATCHNORM_SHARED)
  bn_install_library(model batchnorm_model model include/batchnorm/model.h)
  bn_install_pc(batchnorm-model)
endif()
if(BATCHNORM_BUILD_MODEL AND BATCHNORM_STATIC)
  bn_install_library(model_static batchnorm_model_static model_static include/batchnorm/model.h)
  bn_install_pc(batchnorm-model-static)
endif()
set(kind mpi_)
if(TARGET batchnorm_mpi)
  get_target_property(pc_mpi batchnorm_mpi MPI_VERSION)
endif()
if(TARGET batchnorm_mpi AND BATCHNORM_SHARED)
  bn_install_library(mpi batchnorm_mpi mpi include/batchnorm/mpi.h)
  bn_install_pc(batchnorm-mpi)
endif()
if(TARGET batchnorm_mpi_static AND BATCHNORM_STATIC)
  bn_install_library(mpi_static batchnorm_mpi_static mpi_static include/batchnorm/mpi.h)
  bn_install_pc(batchnorm-mpi-static)
endif()

configure_package_config_file(cmake/batchnorm-config.cmake.in ${PROJECT_BINARY_DIR}/batchnorm-config.cmake
                              INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# 0.x promises nothing from one minor version to the next.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/batchnorm-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/batchnorm-config.cmake ${PROJECT_BINARY_DIR}/batchnorm-config-version.cmake
        DESTINATION ${package_dir} COMPONENT development)

if(TARGET batchnorm_command)
  install(TARGETS batchnorm_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
endif()
if(TARGET batchnorm_keras)
  install(TARGETS batchnorm_keras RUNTIME DESTINATION ${CMAKE_INSTALL_LIBDIR}/batchnorm COMPONENT command)
endif()
if(TARGET batchnorm_command_mpi)
  install(TARGETS batchnorm_command_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/batchnorm COMPONENT mpi_library)
endif()
if(TARGET manual AND BATCHNORM_DEB)
  install(CODE "execute_process(COMMAND gzip -9nkf ${PROJECT_BINARY_DIR}/batchnorm.1)" COMPONENT command)
  install(FILES ${PROJECT_BINARY_DIR}/batchnorm.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
elseif(TARGET manual)
  install(FILES ${PROJECT_BINARY_DIR}/batchnorm.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
endif()
