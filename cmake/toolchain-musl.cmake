# SPDX-License-Identifier: MIT
# The build machine with another C library, musl (Debian: musl-tools), whose libraries are its own as a foreign machine's are.
set(processor ${CMAKE_HOST_SYSTEM_PROCESSOR})
set(triplet musl)
set(emulator "")
# The compiler's OpenMP is that of the other C library.
set(BATCHNORM_OPENMP OFF CACHE BOOL "")
include(${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake)
