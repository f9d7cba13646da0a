# SPDX-License-Identifier: MIT
# 32-bit x86. Debian's cross compiler instead of gcc -m32: gcc-multilib excludes the other cross compilers. Most 64-bit machines
# run its programs themselves. Its C library is not where programs look for it, so that its loader starts them.
set(processor i686)
set(triplet i686-linux-gnu)
set(emulator /usr/i686-linux-gnu/lib/ld-linux.so.2 --library-path /usr/i686-linux-gnu/lib)
execute_process(COMMAND ${emulator} --version RESULT_VARIABLE cannot OUTPUT_QUIET ERROR_QUIET)
if(cannot)
  set(emulator qemu-i386 -L /usr/i686-linux-gnu)
endif()
include(${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake)
