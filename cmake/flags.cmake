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
if(BATCHNORM_SANITIZE)
  add_compile_options(${sanitize})
  add_link_options(${sanitize})
  bn_found(sanitizer ${BATCHNORM_SANITIZE})
endif()
bn_found(compiler "${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}")
