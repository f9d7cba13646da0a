# SPDX-License-Identifier: MIT
# Flags of everything in this tree. The first two keep the bits equal on every instruction set: no contraction to FMA, and
# nothing that lets a compiler reorder float arithmetic.
add_compile_options(-ffp-contract=off -fno-math-errno -Wall -Wextra)

# Files of more than 2 GiB on 32-bit machines, wherever one is opened or examined.
add_compile_definitions(_FILE_OFFSET_BITS=64)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# On 32-bit x86 compilers compute in x87 registers unless told otherwise: wider than the types, and so other bits. SSE2 has no
# such registers.
include(CheckCSourceCompiles)
set(width_is_right "
#include <float.h>
#if defined __i386__ && FLT_EVAL_METHOD != 0
#error \"wider than the types\"
#endif
int main(void) { return 0; }")
check_c_source_compiles("${width_is_right}" BATCHNORM_FLOATS_AS_TYPED)
if(NOT BATCHNORM_FLOATS_AS_TYPED)
  set(sse2 -msse2 -mfpmath=sse)
  list(JOIN sse2 " " CMAKE_REQUIRED_FLAGS)
  check_c_source_compiles("${width_is_right}" BATCHNORM_FLOATS_AS_TYPED_WITH_SSE2)
  unset(CMAKE_REQUIRED_FLAGS)
  if(NOT BATCHNORM_FLOATS_AS_TYPED_WITH_SSE2)
    message(FATAL_ERROR "On 32-bit x86, batchnorm needs floating point in SSE2 (-msse2 -mfpmath=sse): x87 registers give other "
                        "bits. ${CMAKE_C_COMPILER} does not have it, or other flags (\"${CMAKE_C_FLAGS}\") forbid it.")
  endif()
  add_compile_options(${sse2})
  bn_found("floating point" "SSE2 in place of x87")
endif()

if(top_level AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

if(BATCHNORM_WERROR)
  add_compile_options(-Werror)
endif()

if(BATCHNORM_SANITIZE STREQUAL "address")
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(BATCHNORM_SANITIZE STREQUAL "thread")
  set(sanitize -fsanitize=thread)
elseif(BATCHNORM_SANITIZE)
  message(FATAL_ERROR "BATCHNORM_SANITIZE is \"${BATCHNORM_SANITIZE}\"; it must be empty, address or thread")
endif()
# Levels of optimization that some sources have whatever the build type says. A sanitizer finds the same at -O1, and
# gcc then compiles kernels with its checks in a third of the time.
set(optimize_2 -O2)
set(optimize_3 $<$<NOT:$<CONFIG:Debug>>:-O3>)
if(BATCHNORM_SANITIZE)
  set(optimize_2 -O1)
  set(optimize_3 "")
  add_compile_options($<$<NOT:$<CONFIG:Debug>>:-O1> ${sanitize})
  add_link_options(${sanitize})
  bn_found(sanitizer ${BATCHNORM_SANITIZE})
endif()
# What a mistake could be used for is stopped: a stack that grows past its guard, buffers that are written past their ends,
# tables of pointers that are written at run time. A sanitizer has its own checks. The second needs optimization, and a system
# that defines it already is left alone.
if(BATCHNORM_HARDEN AND NOT BATCHNORM_SANITIZE)
  include(CheckCCompilerFlag)
  include(CheckLinkerFlag)
  check_c_compiler_flag("-Werror -fstack-clash-protection" BATCHNORM_HAVE_STACK_CLASH)
  check_c_compiler_flag("-Werror -fstack-protector-strong" BATCHNORM_HAVE_STACK_PROTECTOR)
  check_linker_flag(C "LINKER:-z,relro,-z,now" BATCHNORM_HAVE_RELRO)
  check_c_source_compiles("
#ifdef _FORTIFY_SOURCE
#error \"there already\"
#endif
int main(void) { return 0; }" BATCHNORM_FORTIFY_IS_FREE)
  if(BATCHNORM_HAVE_STACK_CLASH)
    add_compile_options(-fstack-clash-protection)
  endif()
  if(BATCHNORM_HAVE_STACK_PROTECTOR)
    add_compile_options(-fstack-protector-strong)
  endif()
  if(BATCHNORM_FORTIFY_IS_FREE AND CMAKE_BUILD_TYPE MATCHES "^(Release|RelWithDebInfo|MinSizeRel)$")
    add_compile_definitions(_FORTIFY_SOURCE=2)
  endif()
  if(BATCHNORM_HAVE_RELRO)
    add_link_options(LINKER:-z,relro,-z,now)
  endif()
endif()
bn_found(compiler "${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}")
