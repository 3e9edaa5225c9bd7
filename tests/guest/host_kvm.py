#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/host_kvm.py KELVIN: the same program runs guests on the host's /dev/kvm.

Even a KVM that Kelvin would not choose for ordinary systems, because it only emulates kernel code,
runs SeaBIOS to its boot menu, boot sectors of ours in real and protected mode, and a timer through
our own interrupt controllers. Skips (77) where there is no /dev/kvm to open, or it makes no VM.
"""
import fcntl
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from expect import Failed, Machine, boot_disk  # noqa: E402

KVM_CREATE_VM = 0xae01

# Writes R to port e9 in real mode; loads a flat GDT at offset 30, enters 32-bit protected mode,
# pushes P and writes it popped; halts.
SECTOR = bytes.fromhex(
    "b052e6e9" "31c08ed8" "fa" "0f0116487c" "0f20c0" "0c01" "0f22c0" "ea1b7c0800"
    "66b81000" "8ed8" "8ed0" "bc00900000" "6a50" "58" "e6e9" "f4" "6690"
    "0000000000000000" "ffff0000009bcf00" "ffff00000093cf00" "1700307c0000")


def boot_menu(kelvin):
    with Machine([kelvin, "-accel", "kvm,prove=off", "-m", "32", "-boot", "menu=on,splash-time=20000",
                  "-nic", "none"], 100) as machine:
        machine.wait_screen("Press ESC for boot menu")
        machine.qmp("send-key", keys=[{"type": "qcode", "data": "esc"}])
        machine.wait_screen("Select boot device:")
    print("SeaBIOS shows its boot menu")


def sector(kelvin, directory):
    disk, log = os.path.join(directory, "disk"), os.path.join(directory, "log")
    boot_disk(disk, SECTOR)
    with Machine([kelvin, "-accel", "kvm,prove=off", "-m", "32", "-nic", "none",
                  "-drive", f"file={disk},format=raw", "-chardev", f"file,id=log,path={log}",
                  "-device", "isa-debugcon,chardev=log,iobase=0xe9"], 100) as machine:
        def said():
            if not os.path.exists(log):
                return False
            with open(log, "rb") as file:
                return file.read() == b"RP"
        machine.until(said, "R and P on the debug console")
    print("real and protected mode work")


def split_irqchip(kelvin):
    script = pathlib.Path(__file__).with_name("split_irqchip.py")
    if subprocess.run([sys.executable, script, kelvin, "kvm,prove=off"]).returncode:
        raise Failed("kernel-irqchip=split does not work")


def why_not():
    """None: the host's KVM makes VMs."""
    try:
        system = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    try:
        os.close(fcntl.ioctl(system, KVM_CREATE_VM, 0))
    except OSError as error:
        return f"/dev/kvm makes no VM: {error.strerror}"
    finally:
        os.close(system)
    return None


def main():
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 77
    try:
        boot_menu(sys.argv[1])
        with tempfile.TemporaryDirectory() as directory:
            sector(sys.argv[1], directory)
        split_irqchip(sys.argv[1])
    except Failed as failure:
        print(f"FAILED: {failure}")
        return 1
    return 0


sys.exit(main())
