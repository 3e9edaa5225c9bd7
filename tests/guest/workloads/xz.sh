#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Compresses part of the compiler, by one thread and by two, and gets it back.
set -eu
head -c 1200000 /usr/lib/gcc/x86_64-linux-gnu/12/cc1 >plain
for options in "-6" "-1 --block-size=500000 -T2" "-2e --x86 --lzma2" "-3 --check=sha256"; do
	# shellcheck disable=SC2086
	xz -c $options plain >packed
	sha256sum packed
	xz -dc packed | cmp - plain
done
gzip -9nc plain | sha256sum
gzip -9nc plain | gzip -dc | cmp - plain
rm plain packed
