# SPDX-License-Identifier: MIT
# `cmake --build build --target docs`: the headers as HTML, in build/html.
find_program(DOXYGEN doxygen)
if(NOT EXISTS ${PROJECT_SOURCE_DIR}/docs/Doxyfile.in)
  return() # the sources of the Python package have no docs/
endif()
if(DOXYGEN)
  configure_file(docs/Doxyfile.in ${PROJECT_BINARY_DIR}/Doxyfile @ONLY)
  add_custom_target(docs COMMAND ${DOXYGEN} ${PROJECT_BINARY_DIR}/Doxyfile VERBATIM)
  bn_found(doxygen ${DOXYGEN})
else()
  bn_left_out("HTML documentation" "doxygen was not found (Debian: doxygen)")
endif()
