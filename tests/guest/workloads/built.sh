#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the C program named $1 and runs it.
set -eu
gcc -O2 -no-pie -w -o "/tmp/$1" "../../$1.c" -lpthread
exec "/tmp/$1"
