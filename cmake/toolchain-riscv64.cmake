# SPDX-License-Identifier: MIT
# Programs run under qemu-user.
set(processor riscv64)
set(triplet riscv64-linux-gnu)
set(emulator qemu-riscv64 -L /usr/riscv64-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake)
