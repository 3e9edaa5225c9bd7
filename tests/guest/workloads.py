#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/workloads.py KELVIN NAME... [--accel ACCEL] [--keep DIR] [-- OPTION...]

Programs of a Debian do in a guest of two vCPUs what they do natively, byte for byte: what they
print, their exit status, and the files they leave. The guest's tree is also what the native run is
chrooted into. The stress-... workloads check their own results, so they have no native run.

NAME "all" runs everything but what needs the larger image, "more" that, "list" prints the names.
The images are looked for in $KELVIN_IMAGES, where tests/guest/images/debian12-workloads leaves them;
without them this skips: exit status 77.
For QEMU's TCG: workloads.py qemu-system-x86_64 all --accel tcg -- -cpu max
"""
import argparse
import io
import os
import pathlib
import resource
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
from expect import Failed, Machine  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
IMAGES = pathlib.Path(os.environ.get("KELVIN_IMAGES") or HERE.parent.parent / "build" / "images")
DISK_BYTES = 64 << 20  # the archive of programs that goes in, and that of files that comes out

PROGRAMS = {
    "code": "sh ../../built.sh code",
    "debug": "sh ../../built.sh debug",
    "gcc": "sh ../../gcc.sh",
    "memory": "sh ../../built.sh memory",
    "node": "node ../../node.js",
    "openssl": "sh ../../openssl.sh",
    "perl": "perl ../../perl.pl",
    "python": "python3 ../../python.py",
    "sqlite": "sqlite3 -init ../../sqlite.sql :memory: .quit",
    "threads": "sh ../../built.sh threads",
    "wasm": "node ../../wasm.js",
    "xz": "sh ../../xz.sh",
}
# In the larger image.
MORE = {
    "go": "sh ../../go.sh",
    "i386": "sh ../../i386.sh",
    "java": "java -Xmx400m ../../java.java",
    "luajit": "luajit ../../luajit.lua",
    "media": "sh ../../media.sh",
    "mono": "sh ../../mono.sh",
    "numeric": "python3 ../../numeric.py",
    "php": "php -d opcache.enable_cli=1 -d opcache.jit_buffer_size=64M -d opcache.jit=tracing"
           " ../../php.php",
    "ruby": "ruby ../../ruby.rb",
    "sbcl": "sbcl --script ../../sbcl.lisp",
    "spidermonkey": "gjs ../../spidermonkey.js",
    "under": "sh ../../under.sh",
}
# Bounded by operations, not by time, so that a slow engine does as much.
STRESS = {
    "stress-cpu": "--cpu 2 --cpu-ops 1500",
    "stress-vm": "--vm 2 --vm-bytes 64M --vm-ops 80000",
    "stress-matrix": "--matrix 2 --matrix-ops 2000",
    "stress-memcpy": "--memcpy 2 --memcpy-ops 200",
    "stress-fork": "--fork 2 --fork-ops 2000",
    "stress-mmap": "--mmap 2 --mmap-bytes 32M --mmap-ops 20",
    "stress-signal": "--signal 2 --signal-ops 100000",
    "stress-futex": "--futex 2 --futex-ops 20000",
    "stress-mutex": "--mutex 4 --mutex-ops 100000",
    "stress-pthread": "--pthread 2 --pthread-ops 1500",
    "stress-membarrier": "--membarrier 1 --membarrier-ops 500",
    "stress-tlb-shootdown": "--tlb-shootdown 2 --tlb-shootdown-ops 300",
}

RUN = """#!/bin/sh
mkdir -p out/files && cd out/files
echo "workload: start"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 TZ=UTC {command} \
	</dev/null >../printed 2>&1
status=$?
echo $status >../status
echo "workload: ended with status $status"
"""

NATIVELY = """
mount -t tmpfs tmpfs "$1/tmp" && mount --rbind /proc "$1/proc" && tar -x -C "$1/tmp" -f "$2" || exit
PATH=$PATH:/usr/sbin chroot "$1" sh -c "cd /tmp && ./run" >/dev/null
tar -c -C "$1/tmp" -f "$2" out
"""


class Skip(Exception):
    """What is missing, and how to get it."""


def tree_of(name):
    return IMAGES / ("workloads-more" if name in MORE else "workloads")


def command_of(name):
    if name in STRESS:
        return f"stress-ng --verify --metrics-brief --temp-path /tmp {STRESS[name]}"
    command = PROGRAMS.get(name) or MORE[name]
    if name == "memory" and " ospke" not in pathlib.Path("/proc/cpuinfo").read_text():
        return f"WITHOUT_KEYS=1 {command}"  # this host could not tell what they should do
    return command


def pack(path, name):
    """The archive that goes in: the programs, and what runs one of them."""
    with tarfile.open(path, "w") as archive:
        for file in sorted((HERE / "workloads").iterdir()):
            archive.add(file, file.name)
        text = RUN.format(command=command_of(name)).encode()
        member = tarfile.TarInfo("run")
        member.size, member.mode = len(text), 0o755
        archive.addfile(member, io.BytesIO(text))


def unpack(path):
    """{name: bytes} of the archive that came out."""
    try:
        with tarfile.open(path) as archive:
            return {member.name.removeprefix("out/"): archive.extractfile(member).read()
                    for member in archive if member.isfile() and member.name.startswith("out/")}
    except tarfile.TarError as error:
        raise Failed(f"archive of results: {error}") from None


def cpu_of_children():
    """CPU seconds of the processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cpu_until_now(pid):
    """CPU seconds of a process; 0 if it has already ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def natively(name, directory):
    """What the workload leaves on this machine, and the CPU seconds it took."""
    path = directory / "native.tar"
    pack(path, name)
    unshare = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    before = cpu_of_children()
    run = subprocess.run([*unshare, "sh", "-c", NATIVELY, "sh",
                          tree_of(name) / "root", path],
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        raise Skip(f"no native run in a mount namespace of its own: {run.stderr.strip()}")
    return unpack(path), cpu_of_children() - before


def in_guest(args, name, directory):
    """What the workload leaves in a guest, and the VMM's CPU seconds from its start on."""
    before = cpu_of_children()
    tree = tree_of(name)
    disk = directory / "guest.tar"
    pack(disk, name)
    os.truncate(disk, DISK_BYTES)
    command = [args.kelvin, *(["-accel", args.accel] if args.accel else []), "-no-reboot",
               "-smp", "2", "-m", "1024", "-nic", "none",
               "-kernel", str(tree / "vmlinuz"), "-initrd", str(tree / "initrd"),
               "-append", "console=ttyS0 quiet panic=-1",
               "-drive", f"file={tree / 'root.img'},format=raw,if=virtio,readonly=on",
               "-drive", f"file={disk},format=raw,if=virtio", *args.options]
    with Machine(command, args.timeout) as machine:
        machine.wait_serial("^workload: start")
        start = cpu_until_now(machine.vmm.pid)
        machine.wait_serial("^workload: ended with status [0-9]+$")
        if machine.wait_exit():
            raise Failed("exit status 0")
    return unpack(disk), cpu_of_children() - before - start


def keep(directory, files):
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def compare(native, guest):
    """Raises Failed with the first line of the first file that differs."""
    for name in sorted(native.keys() | guest.keys(), reverse=True):
        there, here = guest.get(name), native.get(name)
        if there == here:
            continue
        if there is None or here is None:
            raise Failed(f'only {"the guest" if here is None else "the host"} has a file "{name}"')
        for line, (a, b) in enumerate(zip(there.split(b"\n"), here.split(b"\n")), 1):
            if a != b:
                raise Failed(f'line {line} of "{name}" is\n    {a[:200]!r}, natively\n'
                             f"    {b[:200]!r}")
        raise Failed(f'"{name}" has {len(there)} bytes, natively {len(here)}')


def run(args, name):
    """Runs one workload, and returns the line to report."""
    with tempfile.TemporaryDirectory() as path:
        directory = pathlib.Path(path)
        native, native_seconds = ({}, 0) if name in STRESS else natively(name, directory)
        guest, guest_seconds = in_guest(args, name, directory)
    if args.keep:
        keep(pathlib.Path(args.keep) / name / "native", native)
        keep(pathlib.Path(args.keep) / name / "guest", guest)
    if name in STRESS:
        if guest["status"] != b"0\n":
            print(guest["printed"].decode(errors="replace"))
            raise Failed("stress-ng with status 0")
        return f"{name}: ok, {guest_seconds:.1f} s"
    compare(native, guest)
    return (f"{name}: ok, {guest_seconds:.1f} s, natively {native_seconds:.1f} s: "
            f"{guest_seconds / native_seconds:.1f}x")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [*PROGRAMS, *STRESS, *MORE]
    parser.add_argument("kelvin")
    parser.add_argument("names", nargs="+", choices=["all", "more", "list", *names], metavar="NAME")
    parser.add_argument("--accel", help="as -accel takes it")
    parser.add_argument("--keep", metavar="DIR", help="leave what was printed and made there")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for each workload")
    own = sys.argv[1:sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    args = parser.parse_args(own)
    args.options = sys.argv[len(own) + 2:]
    if "list" in args.names:
        print("\n".join(names))
        return 0
    status = 0
    groups = {"all": [*PROGRAMS, *STRESS], "more": MORE}
    for name in [name for given in args.names for name in groups.get(given, [given])]:
        try:
            if not tree_of(name).exists():
                raise Skip(f"{tree_of(name)} is not there: see tests/guest/images/debian12-workloads")
            print(run(args, name), flush=True)
        except Skip as why:
            print(f"skipped: {why}")
            return 77
        except Failed as failure:
            print(f"FAILED: {name}: {failure}", flush=True)
            status = 1
    return status


sys.exit(main())
