# SPDX-License-Identifier: MIT
# Programs run under qemu-user.
set(processor aarch64)
set(triplet aarch64-linux-gnu)
set(emulator qemu-aarch64 -L /usr/aarch64-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake)
