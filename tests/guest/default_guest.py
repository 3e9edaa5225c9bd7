#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/default_guest.py KELVIN GUEST-DIR CPUS ACCEL: the default guest boots and its
self-check passes, with a virtio disk, a network card and an entropy source. Skips without a guest."""
import pathlib
import re
import subprocess
import sys
import tempfile


def main():
    kelvin, guest, cpus, accel = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    if not (guest / "vmlinuz").exists():
        print(f"skipped: no guest in {guest}; guest/build makes it")
        return 77
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(64 << 20)
        command = [kelvin, "-accel", accel, "-m", "512", "-smp", cpus, "-nographic", "-no-reboot",
                   "-kernel", guest / "vmlinuz", "-initrd", guest / "initrd",
                   "-drive", f"if=virtio,format=raw,file={disk.name}",
                   "-device", "virtio-rng-pci", "-nic", "user,model=virtio-net-pci",
                   "-append", "console=ttyS0 quiet panic=-1 kelvin.selfcheck "
                              f"kelvin.cpus={cpus} kelvin.expect=disk,net,rng"]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=400)
    text = run.stdout.decode("utf-8", "replace")
    print(text)
    wanted = ["kelvin-guest: self-check passed", f"check cpus: ok {cpus} online",
              "check disk: ok vda 64 MiB", "check net: ok 10.0.2.15/24, gateway 10.0.2.2 answers"]
    missing = [line for line in wanted if not re.search("^" + re.escape(line) + "\r?$", text, re.M)]
    for line in missing:
        print(f"FAILED: did not say \"{line}\"")
    return 1 if missing or run.returncode else 0


sys.exit(main())
