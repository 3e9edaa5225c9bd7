#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/split_irqchip.py KELVIN [ACCEL]: kernel-irqchip=split. A guest's timer interrupts, that come
by PIT and PIC, go on however often it is stopped, saved, restored and reset."""
import os
import re
import struct
import sys
import tempfile

sys.dont_write_bytecode = True
from expect import Failed, Machine, boot_disk  # noqa: E402

ROUNDS = 25
TICKS, TURNS = 0x600, 0x604

# Interrupt 8 at 7c43; PIT counter 0 at 1 kHz; only IRQ 0 unmasked; then for ever: 2000 times
# around a loop, count a turn, halt. The handler counts a tick and ends it at the PIC.
SECTOR = bytes.fromhex(
    "fa 31c0 8ed8 8ed0 bc007c" "66c7062000437c0000" "b034e643 b0a9e640 b004e640" "b0fee621"
    "66c706000600000000 66c706040600000000" "fb" "b9d007 e2fe 66ff060406 f4 ebf3"
    "50 66ff060006 b020e620 58 cf")


def counters(machine, directory):
    path = os.path.join(directory, "counters")
    machine.qmp("pmemsave", val=TICKS, size=8, filename=path)
    with open(path, "rb") as file:
        return struct.unpack("<II", file.read())


def goes_on(machine, directory, what):
    """Ticks come, and the guest gets around its loop."""
    first = counters(machine, directory)
    machine.until(lambda: all(now >= then + 3 for now, then in
                              zip(counters(machine, directory), first)), f"ticks {what}")


def main():
    kelvin, accel = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "soft"
    with tempfile.TemporaryDirectory() as directory:
        disk, snapshot = os.path.join(directory, "disk"), os.path.join(directory, "snapshot")
        boot_disk(disk, SECTOR)
        with Machine([kelvin, "-accel", accel, "-machine", "pc,kernel-irqchip=split", "-m", "4",
                      "-nic", "none", "-drive", f"file={disk},format=raw"], 60) as machine:
            def started():
                ticks, turns = counters(machine, directory)
                return 3 < turns <= ticks + 10 and ticks < 1 << 24
            machine.until(started, "ticks")
            told = machine.qmp("human-monitor-command", **{"command-line": "info pic"})
            if not re.search(r"^pic:\s+chip 0:.* imr=254 .*base=8 ", told, re.MULTILINE):
                raise Failed(f"info pic tells of nothing but {told}")
            for _ in range(ROUNDS):
                machine.qmp("stop")
                machine.qmp("x-savevm", filename=snapshot)
                before = counters(machine, directory)
                machine.qmp("cont")
                goes_on(machine, directory, "after a stop")
                machine.qmp("stop")
                machine.qmp("x-loadvm", filename=snapshot)
                if counters(machine, directory) != before:
                    raise Failed("what was restored is not what was saved")
                machine.qmp("cont")
                goes_on(machine, directory, "after a restore")
            machine.qmp("system_reset")
            machine.until(lambda: counters(machine, directory) < before, "reset")
            machine.until(started, "ticks after a reset")
    print(f"{ROUNDS} times stopped, saved and restored")


try:
    main()
except Failed as failure:
    print(f"FAILED: {failure}")
    sys.exit(1)
