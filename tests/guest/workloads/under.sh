#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A program under others that watch or translate it.
set -eu
gcc -O1 -g -o /tmp/small ../../small.c -lpthread
gcc -O2 -static -o /tmp/static ../../small.c -lpthread
gcc -m32 -O2 -static -o /tmp/static32 ../../small.c -lpthread
valgrind -q --leak-check=full /tmp/small
valgrind -q --tool=none /tmp/static
qemu-x86_64-static /tmp/static
qemu-i386-static /tmp/static32
qemu-x86_64-static -cpu max /usr/bin/python3 -c 'print(sum(i * i for i in range(20000)), 2**200)'
strace -f -o trace /tmp/small
sed 's/^[0-9]* *//' trace | grep -oE '^[a-z_0-9]+\(' | grep -vE 'futex|mmap|munmap|brk|mprotect' |
	sort | uniq -c
rm trace
guile --no-auto-compile -c '(define (f n) (if (< n 2) n (+ (f (- n 1)) (f (- n 2))))) (display (f 26))'
