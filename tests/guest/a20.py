#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/a20.py KELVIN [ACCEL]: the A20 gate, by port 92, the keyboard controller and the BIOS.

A boot sector writes to 0:500 and to ffff:510, and says on port e9 whether these are two places (+) or
one (-): at first, with A20 off by port 92, on, off and on by the keyboard controller's commands DD
and DF, by its output port (D1), by the BIOS's 2400 and 2401. The first time that it is off it also
says what port 92 and the output port read (their bit 1), and calls code at ffff:7cxx, which says f.
It ends with the gate off: a reset has to open it.
"""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
from expect import Failed, Machine, boot_disk  # noqa: E402

SECTOR = bytes.fromhex(
    "fa31c08ed88ed0bc007c488ec0fbe86600e49224fde692e85d00e492e87400b0d0e664e460e86b00"
    "9aac7cffffe4920c02e692e84100b0dde664e83a00b0dfe664e83300b0d1e664b0dde660e82800b0"
    "d1e664b0dfe660e81d00b80024cd15e81500b80124cd15e80d00e49224fde692b02ee6e9f4ebfdc7"
    "060005341226c70610052143b02d813e000534127502b02be6e9c3d0e824010430e6e9c3b066e6e9"
    "cb")
EXPECTED = b"+-00f+-+-+-+."


def main():
    kelvin, accel = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "soft"
    with tempfile.TemporaryDirectory() as directory:
        disk, log = os.path.join(directory, "disk"), os.path.join(directory, "log")
        boot_disk(disk, SECTOR)

        def said():
            with open(log, "rb") as file:
                return file.read()

        with Machine([kelvin, "-accel", accel, "-m", "4", "-nic", "none",
                      "-drive", f"file={disk},format=raw", "-chardev", f"file,id=log,path={log}",
                      "-device", "isa-debugcon,chardev=log,iobase=0xe9"], 60) as machine:
            machine.until(lambda: os.path.exists(log) and said().endswith(b"."), "end of the sector")
            if said() != EXPECTED:
                raise Failed(f"not {EXPECTED} but {said()}")
            machine.qmp("stop")
            machine.qmp("x-savevm", filename=os.path.join(directory, "snapshot"))
            machine.qmp("x-loadvm", filename=os.path.join(directory, "snapshot"))
            machine.qmp("cont")
            machine.qmp("system_reset")
            machine.until(lambda: said() == 2 * EXPECTED, "the same again after a reset")
    print("the gate opens and closes")


try:
    main()
except Failed as failure:
    print(f"FAILED: {failure}")
    sys.exit(1)
