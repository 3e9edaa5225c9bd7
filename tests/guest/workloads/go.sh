#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cp ../../main.go /tmp/kelvin.go
export GOCACHE=/tmp/go-cache GO111MODULE=off
go build -o /tmp/go-program /tmp/kelvin.go
exec /tmp/go-program
