# SPDX-License-Identifier: MIT
# libbatchnorm, shared and static, from one set of objects.

# Room 4 once for every instruction set, and its kernels once for every element type of each. Multiply-add instructions are for
# the kernels to add with; -ffp-contract=off keeps the compiler from fusing products into sums.
set(isa_flags_generic "")
set(isa_flags_neon "")
set(isa_flags_avx2 -mavx2 -mfma -mf16c)
set(isa_flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c -mprefer-vector-width=512)
if(NOT BATCHNORM_SIMD)
  set(isas generic)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(isas generic avx2 avx512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(isas neon)
else()
  set(isas generic)
endif()

file(GLOB sources CONFIGURE_DEPENDS src/api/*.c src/sync/*.c src/plan/*.c src/parallel/*.c)
add_library(batchnorm_objects OBJECT ${sources} src/kernel/dispatch.c)
target_include_directories(batchnorm_objects PRIVATE include src)
# Numbers of channels are computed in loops that GCC makes vectors of at -O3 only, and only where a comparison may be made for
# nothing: here, and in table.c below.
set(vector_loops "${optimize_3};-fno-trapping-math")
file(GLOB plan CONFIGURE_DEPENDS src/plan/*.c)
set_source_files_properties(${plan} PROPERTIES COMPILE_OPTIONS "${vector_loops}")
set(objects $<TARGET_OBJECTS:batchnorm_objects>)

foreach(isa IN LISTS isas)
  set(units ${isa})
  foreach(type IN ITEMS f32 f64 bf16 f16)
    add_library(batchnorm_kernel_${isa}_${type} OBJECT src/kernel/verbs.c)
    target_compile_definitions(batchnorm_kernel_${isa}_${type} PRIVATE BNK_TYPE=${type})
    list(APPEND units ${isa}_${type})
  endforeach()
  add_library(batchnorm_kernel_${isa} OBJECT src/kernel/table.c)
  foreach(unit IN LISTS units)
    target_include_directories(batchnorm_kernel_${unit} PRIVATE include src)
    target_compile_definitions(batchnorm_kernel_${unit} PRIVATE BNK_ISA=${isa})
    target_compile_options(batchnorm_kernel_${unit} PRIVATE ${optimize_2} ${isa_flags_${isa}})
    list(APPEND kernel_objects $<TARGET_OBJECTS:batchnorm_kernel_${unit}>)
  endforeach()
  target_compile_options(batchnorm_kernel_${isa} PRIVATE ${vector_loops})
  string(TOUPPER ${isa} name)
  set_property(SOURCE src/kernel/dispatch.c APPEND PROPERTY COMPILE_DEFINITIONS BNK_HAVE_${name})
endforeach()
list(APPEND objects ${kernel_objects})
list(JOIN isas " " text)
bn_found("instruction sets" "${text}")

# Kept in a variable: the package file of an OpenMP build must look for OpenMP again, for the static library.
set(batchnorm_needs_openmp OFF)
if(BATCHNORM_OPENMP)
  find_package(OpenMP COMPONENTS C QUIET)
  if(OpenMP_C_FOUND)
    set(batchnorm_needs_openmp ON)
    target_link_libraries(batchnorm_objects PRIVATE OpenMP::OpenMP_C)
    bn_found(OpenMP "${OpenMP_C_VERSION} (${OpenMP_C_FLAGS})")
  else()
    bn_left_out(OpenMP "the compiler has none; calls run on the caller's threads or on one")
  endif()
else()
  bn_left_out(OpenMP "switched off")
endif()
if(NOT batchnorm_needs_openmp)
  add_compile_options(-Wno-unknown-pragmas) # for the rooms that follow
endif()

# Only batchnorm_* is exported, each under the version node that goes with the SOVERSION.
set(batchnorm_map ${PROJECT_SOURCE_DIR}/cmake/batchnorm.map)
function(bn_shared_properties target)
  set_target_properties(${target} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                                             LINK_DEPENDS ${batchnorm_map})
  target_link_options(${target} PRIVATE "LINKER:--version-script=${batchnorm_map}")
endfunction()

function(bn_public_headers target)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                 $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

add_library(batchnorm SHARED ${objects})
bn_shared_properties(batchnorm)
add_library(batchnorm_static STATIC ${objects})
set_target_properties(batchnorm_static PROPERTIES OUTPUT_NAME batchnorm)
foreach(target IN ITEMS batchnorm batchnorm_static)
  set_target_properties(${target} PROPERTIES ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
                                             LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  bn_public_headers(${target})
  target_link_libraries(${target} PRIVATE m)
  if(batchnorm_needs_openmp)
    target_link_libraries(${target} PRIVATE OpenMP::OpenMP_C)
  endif()
endforeach()
add_library(batchnorm::batchnorm_static ALIAS batchnorm_static)
if(BATCHNORM_SHARED)
  add_library(batchnorm::batchnorm ALIAS batchnorm)
else()
  add_library(batchnorm::batchnorm ALIAS batchnorm_static)
endif()

# Where an OpenMP library is that the system does not look for; in the build, too, because CMake would pad another path there.
set_target_properties(batchnorm PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON BUILD_WITH_INSTALL_RPATH ON)
# The kind that is not wanted is made only where tests or the command need it.
function(bn_only_wanted shared static)
  if(NOT BATCHNORM_SHARED)
    set_target_properties(${shared} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  if(NOT BATCHNORM_STATIC)
    set_target_properties(${static} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()
bn_only_wanted(batchnorm batchnorm_static)

# What the libraries beside it have in common: batchnorm_<name> and batchnorm_<name>_static are libbatchnorm-<name>. The shared
# one finds libbatchnorm wherever both are moved; in the build, too, where they lie side by side.
function(bn_library_beside name)
  set(shared batchnorm_${name})
  foreach(target IN ITEMS ${shared} ${shared}_static)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME batchnorm-${name} ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
                                               LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
    bn_public_headers(${target})
    add_library(batchnorm::${target} ALIAS ${target})
  endforeach()
  bn_shared_properties(${shared})
  set_target_properties(${shared} PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
  bn_only_wanted(${shared} ${shared}_static)
endfunction()

# For tests of the rooms: inside one static link hidden symbols and the inner headers can be reached.
add_library(batchnorm_rooms INTERFACE)
target_include_directories(batchnorm_rooms INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(batchnorm_rooms INTERFACE batchnorm_static m)
