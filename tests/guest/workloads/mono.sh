#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
mcs -r:System.Numerics.dll -out:/tmp/mono.exe ../../mono.cs
exec mono /tmp/mono.exe
