#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/observe.py build/kelvin: what the engine tells of a small guest: logs, perf's map,
counters.

The guest is a multiboot kernel of a few instructions, made here.
"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time

LOAD = 0x100000
failures = 0


def check(truth, what):
    global failures
    print(("ok      " if truth else "FAILED  ") + what, flush=True)
    failures += not truth


HOT_LOOP = bytes.fromhex(
    "b9 00 00 10 00"  # mov ecx, 0x100000
    "01 c8 49 75 fb"  # 1: add eax, ecx; dec ecx; jnz 1b
    "be 00 10 00 00"  # mov esi, 0x1000
    "31 c0 0f a2"     # 2: xor eax, eax; cpuid
    "4e 75 f9")       # dec esi; jnz 2b
ILLEGAL = bytes.fromhex("0f 0b")  # ud2
HALT = bytes.fromhex("fa f4 eb fd")  # cli; 1: hlt; jmp 1b
HEADER_BYTES = 32


def kernel(directory, code):
    """A multiboot image whose first instruction is at LOAD + HEADER_BYTES."""
    magic, flags = 0x1BADB002, 0x10000
    header = struct.pack("<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, LOAD, LOAD,
                         LOAD + HEADER_BYTES + len(code), 0, LOAD + HEADER_BYTES)
    path = os.path.join(directory, "kernel")
    with open(path, "wb") as file:
        file.write(header + code)
    return path


def command(kelvin, image, *extra):
    return [kelvin, "-accel", "soft", "-m", "32", "-nodefaults", "-vga", "none", "-display", "none",
            "-no-reboot", "-kernel", image, *extra]


def log_of(kelvin, directory, image, items):
    path = os.path.join(directory, items)
    subprocess.run(command(kelvin, image, "-d", items, "-D", path), stdin=subprocess.DEVNULL,
                   timeout=100)
    with open(path, encoding="ascii") as file:
        return file.read()


def logs(kelvin, directory):
    image = kernel(directory, HOT_LOOP + ILLEGAL)
    at = LOAD + HEADER_BYTES + len(HOT_LOOP)
    text = log_of(kelvin, directory, image, "int")
    line = re.search(rf"^INT 0: v=06 e=0000 i=0 cpl=0 IP=[0-9a-f]{{4}}:{at:016x} pc={at:016x} "
                     r"SP=[0-9a-f]{4}:[0-9a-f]{16} fault$", text, re.M)
    check(line, "-d int: the illegal instruction's exception")
    check(text.endswith("Triple fault\n"), "-d int: what could not be delivered")
    check("IN:" not in text and "Trace" not in text, "-d int: and nothing else")

    text = log_of(kelvin, directory, image, "in_asm,out_asm")
    check(f"IN: guest 0x{LOAD + HEADER_BYTES:x} cpl0 (4 insns)\n" in text,
          "-d in_asm: the first block")
    check(re.search(rf"^0x{at:08x}:  0f 0b  ", text, re.M), "-d in_asm: the illegal instruction")
    translation = re.search(rf"^OUT: \[size=(\d+)\] guest 0x{LOAD + HEADER_BYTES + 5:x} cpl0 "
                            r"\(3 insns\)\n(0x[0-9a-f]{8,}: ( [0-9a-f]{2})+.*\n)+", text, re.M)
    check(translation and int(translation[1]) > 8, "-d out_asm: the loop's host code")
    check("OUT: [size=" in text and "kelvin: enter" in text, "-d out_asm: the way in")

    text = log_of(kelvin, directory, kernel(directory, HOT_LOOP[10:] + ILLEGAL), "exec,mmu")
    loop = f"Trace 0: {LOAD + HEADER_BYTES + 5:016x} cpl=0 bits=32 insns="
    # 0x1000 turns, of which the first is told with the block before.
    check(text.count(loop) >= 0xfff, "-d exec: each turn of the loop, translated or not")
    check(re.search(rf"^{loop}\d+ interpreted$", text, re.M) and
          re.search(rf"^{loop}\d+ translated$", text, re.M), "-d exec: both kinds")
    check(f"MMU 0: x {LOAD + HEADER_BYTES:016x} -> {LOAD + HEADER_BYTES:x} " in text,
          "-d mmu: the page of the code")


def perf_map(kelvin, directory):
    image = kernel(directory, HOT_LOOP + ILLEGAL)
    vmm = subprocess.Popen(command(kelvin, image, "-perfmap"), stdin=subprocess.DEVNULL)
    path = f"/tmp/perf-{vmm.pid}.map"
    try:
        vmm.wait(100)
        with open(path, encoding="ascii") as file:
            lines = file.read().splitlines()
    finally:
        vmm.kill()
        if os.path.exists(path):
            os.unlink(path)
    form = re.compile(r"([0-9a-f]+) ([0-9a-f]+) (guest 0x[0-9a-f]+ cpl[0-3] \(\d+ insns\)|kelvin: .+)")
    parts = [form.fullmatch(line) for line in lines]
    check(all(parts), "-perfmap: each line has an address, a size and a name")
    names = [part[3] for part in parts if part]
    check(f"guest 0x{LOAD + HEADER_BYTES + 5:x} cpl0 (3 insns)" in names, "-perfmap: the loop")
    check("kelvin: single instruction" in names, "-perfmap: the engine's own pieces")
    places = sorted((int(part[1], 16), int(part[2], 16)) for part in parts if part)
    check(all(size and at + size <= next for (at, size), (next, _) in zip(places, places[1:])),
          "-perfmap: no two overlap")


def counters(kelvin, directory):
    vmm = subprocess.Popen(command(kelvin, kernel(directory, HOT_LOOP + HALT), "-qmp", "stdio"),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(execute, **arguments):
        vmm.stdin.write(json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n")
        vmm.stdin.flush()
        while True:
            answer = json.loads(vmm.stdout.readline())
            if "return" in answer:
                return answer["return"]

    def value(group, name):
        rows = ask("x-query-jit")["counters"]
        return sum(row["value"] for row in rows if (row["group"], row["name"]) == (group, name))

    try:
        ask("qmp_capabilities")
        end = time.monotonic() + 60
        # All of the second loop but the turns before it was translated.
        while value("not-translated", "cpuid") < 0xf00 and time.monotonic() < end:
            time.sleep(0.1)
        check(0xf00 <= value("not-translated", "cpuid") <= 0x1000, "x-query-jit: CPUID, turn by turn")
        check(0 < value("translator", "blocks-translated") < 100, "x-query-jit: blocks")
        check(0 < value("translator", "cache-bytes") < value("translator", "cache-limit-bytes"),
              "x-query-jit: the cache")
        check(0 < value("translator", "jumps-linked") < 100, "x-query-jit: links")
        cpuids = value("not-translated", "cpuid")  # there may be more in a moment
        check(value("translator", "single-instructions") >= cpuids,
              "x-query-jit: single instructions")
        check(0 < value("memory", "tlb-misses") < 10000, "x-query-jit: TLB")
        text = ask("human-monitor-command", **{"command-line": "info jit"})
        check(re.search(r"^  blocks-translated +[1-9][0-9]*\r?$", text, re.M), "info jit: blocks")
        check(re.search(r"^single instructions: not translated:\r?\n  cpuid \(fa2\) +[0-9]+\r?$", text, re.M),
              "info jit: the most frequent instruction first")
        ask("quit")
        vmm.wait(60)
    finally:
        vmm.kill()


def main():
    with tempfile.TemporaryDirectory() as directory:
        counters(sys.argv[1], directory)
        logs(sys.argv[1], directory)
        perf_map(sys.argv[1], directory)
    return failures != 0


sys.exit(main())
