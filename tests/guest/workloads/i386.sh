#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# 32-bit programs: with SSE2 and shared libraries, and with x87 and nothing newer than a Pentium.
set -eu
gcc -m32 -O2 -msse2 -mfpmath=sse -o /tmp/small ../../small.c -lpthread
/tmp/small
gcc -m32 -O1 -march=i586 -mfpmath=387 -static -o /tmp/small ../../small.c -lpthread
/tmp/small
