# SPDX-License-Identifier: MIT
# The manual page, with the options of every verb. Where the program that writes the page cannot run, there is none.
set(page ${PROJECT_SOURCE_DIR}/docs/batchnorm.1.scd.in)
find_program(SCDOC scdoc)
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
  bn_left_out("man page" "the program that writes it cannot run here")
elseif(TARGET batchnorm_command AND SCDOC)
  add_custom_command(OUTPUT batchnorm.1 COMMAND batchnorm_manual < ${page} > batchnorm.1.scd
                     COMMAND ${SCDOC} < batchnorm.1.scd > batchnorm.1 DEPENDS ${page} batchnorm_manual VERBATIM)
  add_custom_target(manual ALL DEPENDS batchnorm.1)
  bn_found(scdoc ${SCDOC})
elseif(TARGET batchnorm_command AND NOT SCDOC)
  bn_left_out("man page" "scdoc was not found (Debian: scdoc)")
endif()
