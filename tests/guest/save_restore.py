#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/save_restore.py KELVIN GUEST-DIR CPUS ACCEL: saved and restored amid its work, the default
guest ends it right.

The work is to fill a virtio and an IDE disk, chunk by chunk with a sleep between them, in stages.
Amid each the machine is stopped and saved, and the disks are copied; it goes on for some chunks,
and then from what was saved: in the same process with the disks' content put back, or in a new one.
At the end both disks hold what they should, in the files and as the guest reads them; its clock
never went back. Skips without a guest.
"""
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
from expect import Failed, Machine  # noqa: E402

STAGES, STAGE_CHUNKS, CHUNK_BYTES = 6, 10, 64 << 10
CHUNKS = STAGES * STAGE_CHUNKS
DISKS = ["vda", "sda"]
# What is typed is echoed: "" keeps it apart from what is said.
FUNCTIONS = r"""
fill() {
last=0
for i in $(seq $2 $3); do
yes "$1 $i" | head -c %d >/tmp/$1
dd if=/tmp/$1 of=/dev/$1 bs=%d seek=$i conv=notrunc,fsync status=none || echo "$1 FAI""LED"
usleep 3000
read now idle </proc/uptime
[ ${now%%.*} -ge $last ] || echo "FAI""LED: the clock went back"
last=${now%%.*}
echo "$1 has chunk $i."
done
}
stage() { fill vda $1 $2 & fill sda $1 $2 & wait; }
""" % (CHUNK_BYTES, CHUNK_BYTES)


def expected(disk):
    """What `disk` holds in the end."""
    chunks = [f"{disk} {i}\n".encode() for i in range(CHUNKS)]
    return b"".join((chunk * CHUNK_BYTES)[:CHUNK_BYTES] for chunk in chunks)


class Bench:
    """A machine, its disks, and the directory all is in."""

    def __init__(self, directory, kelvin, guest, cpus, accel):
        self.directory = directory
        self.command = [kelvin, "-accel", accel, "-m", "192", "-smp", cpus, "-no-reboot",
                        "-nic", "none", "-kernel", str(guest / "vmlinuz"),
                        "-initrd", str(guest / "initrd"),
                        "-append", "console=ttyS0 quiet panic=-1 kelvin.quiet",
                        "-drive", f"if=virtio,format=raw,file={self.path('vda')}",
                        "-drive", f"if=ide,index=0,format=raw,file={self.path('sda')}"]
        for disk in DISKS:
            with open(self.path(disk), "wb") as file:
                file.truncate(CHUNKS * CHUNK_BYTES)

    def path(self, name):
        return os.path.join(self.directory, name)

    def machine(self, resume):
        return Machine(self.command + (["-loadvm", self.path("snapshot")] if resume else []), 200)

    def save(self, machine):
        machine.qmp("stop")
        machine.qmp("x-savevm", filename=self.path("snapshot"))
        for disk in DISKS:
            shutil.copyfile(self.path(disk), self.path(disk + ".saved"))
        machine.qmp("cont")

    def put_back(self):
        for disk in DISKS:
            shutil.copyfile(self.path(disk + ".saved"), self.path(disk))

    def check(self, machine):
        """What the guest read, and what it left."""
        for disk in DISKS:
            content = expected(disk)
            if f"{hashlib.md5(content).hexdigest()}  /dev/{disk}" not in machine.serial:
                raise Failed(f"wrong content of {disk}, as the guest reads it")
            with open(self.path(disk), "rb") as file:
                if file.read() != content:
                    raise Failed(f"wrong content of {disk}")


def begin(bench, machine, stage):
    """Saves when the guest is amid the stage, and lets it go on."""
    first = stage * STAGE_CHUNKS
    machine.send(f"stage {first} {first + STAGE_CHUNKS - 1}\n")
    machine.wait_serial(rf"vda has chunk {first + 1}\.")
    bench.save(machine)
    machine.wait_serial(rf"vda has chunk {first + 4}\.")


def end(machine, stage):
    """The shell reads this when the stage has ended, whether that was before the save or after."""
    machine.send(f'echo "stage"" {stage} ends"\n')
    machine.wait_serial(f"^stage {stage} ends$")
    if "FAILED" in machine.serial:
        raise Failed("the guest met an error")


def in_one_process(bench, stage):
    """Two stages; the second ends in the next process."""
    with bench.machine(resume=stage > 0) as machine:
        if stage:
            end(machine, stage - 1)
        else:
            machine.wait_serial("kelvin-guest: ready")
            machine.wait_serial("# ")
            machine.send(FUNCTIONS)
        begin(bench, machine, stage)
        machine.qmp("stop")
        bench.put_back()
        machine.qmp("x-loadvm", filename=bench.path("snapshot"))
        machine.qmp("cont")
        end(machine, stage)
        begin(bench, machine, stage + 1)
    bench.put_back()


def main():
    guest = pathlib.Path(sys.argv[2])
    if not (guest / "vmlinuz").exists():
        print(f"skipped: no guest in {guest}; guest/build makes it")
        return 77
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory, sys.argv[1], guest, sys.argv[3], sys.argv[4])
        for stage in range(0, STAGES, 2):
            in_one_process(bench, stage)
        with bench.machine(resume=True) as machine:
            end(machine, STAGES - 1)
            machine.send("echo 3 >/proc/sys/vm/drop_caches; md5sum /dev/vda /dev/sda; poweroff\n")
            machine.wait_exit()
            bench.check(machine)
    print(f"{STAGES} times saved and restored at work")
    return 0


try:
    sys.exit(main())
except Failed as failure:
    print(f"FAILED: {failure}")
    sys.exit(1)
