#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the device fuzzer with clang's libFuzzer, beside the ordinary build, and runs it:
#	tests/fuzz/run_device.sh [libFuzzer options]
# DEVICE=name keeps it to one device.
set -e
top=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-$top/build-fuzz}
mkdir -p "$out/corpus"
sources="$top/src/base/err.c $top/src/dev/all.c $(ls "$top"/src/core/*.c "$top"/src/dev/*/*.c)
$top/src/host/log.c $top/src/host/loop.c $top/src/host/memory.c $top/src/host/thread.c
$top/tests/device/rig.c $top/tests/device/rig_random.c $top/tests/device/no_vm.c
$top/tests/fuzz/device.c"
# shellcheck disable=SC2086
clang -DLIBFUZZER -std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -fno-strict-aliasing -fwrapv \
	-I"$top/include" -I"$top/src" -I"$top/tests/device" $sources -lpthread -o "$out/fuzz_device"
exec "$out/fuzz_device" -max_len=4096 "$@" "$out/corpus"
