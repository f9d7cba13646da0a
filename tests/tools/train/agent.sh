#!/bin/sh
# SPDX-License-Identifier: MIT
# agent.sh [OPTION...] ADDRESS COMMAND...: in the place of ssh, for an mpirun. The machines are network namespaces, named after
# the last part of their addresses, and each has a host name of its own.
while [ "${1#-}" != "$1" ]; do shift; done
space=$BATCHNORM_TEST_SPACE-${1##*.}
shift
exec ip netns exec "$space" unshare --uts sh -c "hostname $space && $*"
