#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/boot_order.py build/kelvin: firmware boots from what it is told to.

Each disk's boot sector writes the disk's letter to the debug console and halts.
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

failures = 0


def boot_sector(letter):
    # mov al, letter; out 0xe9, al; cli; hlt; jmp to hlt
    code = b"\xb0" + letter.encode() + b"\xe6\xe9\xfa\xf4\xeb\xfd"
    return code.ljust(510, b"\0") + b"\x55\xaa"


def boots(kelvin, directory, expected, what, *arguments, resets=0):
    global failures
    log, qmp = os.path.join(directory, "log"), os.path.join(directory, "qmp")
    open(log, "w").close()
    vmm = subprocess.Popen([kelvin, "-accel", "soft", "-m", "32", "-nodefaults", "-display", "none",
                            "-chardev", f"file,id=log,path={log}", "-qmp",
                            f"unix:{qmp},server=on,wait=off",
                            "-device", "isa-debugcon,chardev=log,iobase=0xe9", *arguments])
    for number in range(1, resets + 2):
        end = time.monotonic() + 60
        while time.monotonic() < end and os.path.getsize(log) < number:
            time.sleep(0.05)
        if number <= resets:
            with socket.socket(socket.AF_UNIX) as monitor:
                monitor.settimeout(60)
                monitor.connect(qmp)
                answers = monitor.makefile("rb")
                for command in ("qmp_capabilities", "system_reset"):
                    monitor.sendall(json.dumps({"execute": command}).encode())
                    while b'"return"' not in answers.readline():
                        pass
    vmm.kill()
    vmm.wait()
    with open(log) as file:
        said = file.read()
    print(f"{'ok      ' if said == expected else 'FAILED  '}{what}: {said}")
    failures += said != expected


def main():
    kelvin = sys.argv[1]
    with tempfile.TemporaryDirectory() as directory:
        disks = {}
        for letter in "abc":
            path = disks[letter] = os.path.join(directory, letter)
            with open(path, "wb") as file:
                file.write(boot_sector(letter).ljust(1474560, b"\0"))
        a, b, c = (disks[letter] for letter in "abc")
        run = lambda *rest, **more: boots(kelvin, directory, *rest, **more)
        run("a", "-hda alone", "-drive", f"file={a},format=raw")
        run("b", "-boot order=a prefers the floppy", "-drive", f"file={a},format=raw", "-drive",
            f"if=floppy,file={b},format=raw", "-boot", "a")
        run("ba", "-boot once=a lasts until the first reset", "-drive", f"file={a},format=raw",
            "-drive", f"if=floppy,file={b},format=raw", "-boot", "order=c,once=a", resets=1)
        run("c", "bootindex prefers the virtio disk", "-drive", f"file={a},format=raw", "-drive",
            f"if=none,id=v,file={c},format=raw", "-device", "virtio-blk-pci,drive=v,bootindex=1")
        run("b", "bootindex finds IDE units", "-drive", f"if=none,id=x,file={a},format=raw", "-drive",
            f"if=none,id=y,file={b},format=raw", "-device", "ide-hd,drive=x,bus=ide.0,unit=0,bootindex=2",
            "-device", "ide-hd,drive=y,bus=ide.1,unit=1,bootindex=1")
    sys.exit(failures > 0)


main()
