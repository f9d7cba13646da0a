# SPDX-License-Identifier: MIT
# What was found and what is left out, told once at the end of the configuration.

# bn_found(<what> <detail>)
function(bn_found what detail)
  set_property(GLOBAL APPEND PROPERTY BN_FOUND "  ${what}: ${detail}")
endfunction()

# bn_left_out(<what> <why>)
function(bn_left_out what why)
  set_property(GLOBAL APPEND PROPERTY BN_LEFT_OUT "  ${what}: ${why}")
endfunction()

function(bn_report)
  foreach(list IN ITEMS BN_FOUND BN_LEFT_OUT)
    get_property(lines GLOBAL PROPERTY ${list})
    list(JOIN lines "\n" ${list})
    if(NOT ${list})
      set(${list} "  nothing")
    endif()
  endforeach()
  message(STATUS "batchnorm ${PROJECT_VERSION}\nbuilt with:\n${BN_FOUND}\nleft out:\n${BN_LEFT_OUT}")
endfunction()
