# SPDX-License-Identifier: MIT
# What the toolchain files share. Before including this file they set
#   processor  CMake's name of the machine
#   triplet    how Debian names its cross compiler, and the folder of the target's libraries
#   emulator   what runs a program of the target; nothing where the build machine does
# Nothing of the build machine may be found in place of the target's.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${processor})
set(CMAKE_C_COMPILER ${triplet}-gcc)
set(root /usr/${triplet})
set(CMAKE_CROSSCOMPILING_EMULATOR ${emulator})
set(CMAKE_FIND_ROOT_PATH ${root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${root}/lib/pkgconfig)
