# SPDX-License-Identifier: MIT
# Packages of Debian, by `make deb`: libbatchnorm0 (the shared libraries), libbatchnorm-dev (headers, static libraries, package
# files) and batchnorm (the command, which has the library inside it, and its page); where MPI is, libbatchnorm-mpi0 and
# libbatchnorm-mpi-dev, so that nobody else gets MPI. `scripts/deb.sh` has the options.
if(NOT BATCHNORM_DEB)
  return()
endif()
find_program(GZIP gzip REQUIRED)

set(soname ${PROJECT_VERSION_MAJOR})
set(package_library libbatchnorm${soname})
set(package_development libbatchnorm-dev)
set(package_command batchnorm)
set(package_mpi_library libbatchnorm-mpi${soname})
set(package_mpi_development libbatchnorm-mpi-dev)
set(components library development)
if(TARGET batchnorm_command)
  list(APPEND components command)
endif()
if(TARGET batchnorm_mpi)
  list(APPEND components mpi_library mpi_development)
endif()

# Each package has its licence and its changelog; the date is that of the sources, so that the same sources give the same bytes.
if(DEFINED ENV{SOURCE_DATE_EPOCH})
  set(epoch $ENV{SOURCE_DATE_EPOCH})
else()
  execute_process(COMMAND git log -1 --format=%ct WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE epoch
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT epoch)
  string(TIMESTAMP epoch "%s" UTC)
endif()
execute_process(COMMAND date -u -R -d @${epoch} OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE)
# Whoever makes packages for others says who it is, as Debian's own tools are told.
set(maintainer "The batchnorm authors <batchnorm@localhost.localdomain>")
if(DEFINED ENV{DEBFULLNAME} AND DEFINED ENV{DEBEMAIL})
  set(maintainer "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
endif()
set(folder ${PROJECT_BINARY_DIR}/debian)
file(READ LICENSE licence)
string(REGEX REPLACE "^MIT License\n+Copyright[^\n]*\n+" "" licence "${licence}")
string(REGEX REPLACE "\n+$" "" licence "${licence}")
string(REPLACE "\n\n" "\n.\n" licence "${licence}")
string(REPLACE "\n" "\n " licence "${licence}")
file(WRITE ${folder}/copyright "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: batchnorm

Files: *
Copyright: 2026 The batchnorm authors
License: Expat
 ${licence}
")
file(WRITE ${folder}/changelog "batchnorm (${PROJECT_VERSION}) unstable; urgency=medium

  * See CHANGELOG.md of the sources.

 -- ${maintainer}  ${date}
")
execute_process(COMMAND ${GZIP} -9nf ${folder}/changelog)

file(WRITE ${folder}/triggers "activate-noawait ldconfig\n")
foreach(component IN LISTS components)
  string(TOUPPER ${component} name)
  install(FILES ${folder}/copyright ${folder}/changelog.gz COMPONENT ${component}
          DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package_${component}})
  set(CPACK_DEBIAN_${name}_PACKAGE_NAME ${package_${component}})
  set(CPACK_DEBIAN_${name}_FILE_NAME DEB-DEFAULT)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME batchnorm)
set(CPACK_PACKAGE_CONTACT "${maintainer}")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL ${components})
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}) # one of our libraries needs another
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${folder}/triggers)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${package_library} (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS pkg-config)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION science)
set(CPACK_DEBIAN_MPI_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_MPI_LIBRARY_PACKAGE_CONTROL_EXTRA ${folder}/triggers)
set(CPACK_DEBIAN_MPI_LIBRARY_PACKAGE_DEPENDS "${package_library} (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_MPI_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(mpi_development libmpich-dev)
if(pc_mpi MATCHES "Open MPI")
  set(mpi_development libopenmpi-dev)
endif()
set(CPACK_DEBIAN_MPI_DEVELOPMENT_PACKAGE_DEPENDS
    "${package_mpi_library} (= ${PROJECT_VERSION}), ${package_development} (= ${PROJECT_VERSION}), ${mpi_development}")
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "Batch normalization for C: shared libraries
 The layer of PyTorch's nn.BatchNorm1d, 2d and 3d, in training and
 evaluation, with gradients and state files, over raw buffers and strided
 tensors; and the folding of batch norms in ONNX models.")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Batch normalization for C: headers and static libraries
 What programs are compiled with that use libbatchnorm, with files for
 pkg-config and CMake.")
set(CPACK_COMPONENT_COMMAND_DESCRIPTION "Batch normalization at the command line
 Says what is wrong with the batch norms of models in ONNX, PyTorch's and
 safetensors files, folds them away, trains networks with and without them,
 and measures what they are good for.")
set(CPACK_COMPONENT_MPI_LIBRARY_DESCRIPTION "Batch normalization for C: ranks over MPI
 Processes of an MPI program that each have a part of a batch normalize it
 with the statistics of the whole.")
set(CPACK_COMPONENT_MPI_DEVELOPMENT_DESCRIPTION "Batch normalization for C: headers and static library for MPI
 What programs are compiled with that use libbatchnorm-mpi, with files for
 pkg-config and CMake.")
include(CPack)
