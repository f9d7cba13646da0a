# SPDX-License-Identifier: MIT
# Programs run under qemu-user.
set(processor arm)
set(triplet arm-linux-gnueabihf)
set(emulator qemu-arm -L /usr/arm-linux-gnueabihf)
include(${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake)
