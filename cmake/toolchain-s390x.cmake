# SPDX-License-Identifier: MIT
# Programs run under qemu-user.
set(processor s390x)
set(triplet s390x-linux-gnu)
set(emulator qemu-s390x -L /usr/s390x-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake)
