#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/systems.py KELVIN SYSTEM [--accel ACCEL] [--keep-screen DIR]: a real system boots.

Systems that come as a file are looked for in $KELVIN_GUESTS (the floppies; shared/guests beside the
repository if unset) and in $KELVIN_IMAGES (what tests/guest/images/* leave there). A system whose
image is not there is skipped: exit status 77. SYSTEM "list" prints the names.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from expect import Failed, Machine  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FLOPPIES = pathlib.Path(os.environ.get("KELVIN_GUESTS") or ROOT.parent / "shared" / "guests")
IMAGES = pathlib.Path(os.environ.get("KELVIN_IMAGES") or ROOT / "build" / "images")

systems = {}


class Skip(Exception):
    """What is missing, and how to get it."""


def system(function):
    """Registers a test: its name with dashes is the system's."""
    systems[function.__name__.replace("_", "-")] = function
    return function


class Context:
    """What a test needs to start machines."""

    def __init__(self, args, directory):
        self.kelvin, self.accel, self.keep = args.kelvin, args.accel, args.keep_screen
        self.directory, self.name = pathlib.Path(directory), args.system

    def start(self, *options, timeout=60):
        command = [self.kelvin, *(["-accel", self.accel] if self.accel else []), "-no-reboot"]
        return Machine(command + [str(option) for option in options], timeout)

    def floppy(self, name):
        """A writable copy of a floppy image, as the machine's first drive."""
        if not (FLOPPIES / name).exists():
            raise Skip(f"{FLOPPIES / name} is not there")
        copy = self.directory / name
        if not copy.exists():
            shutil.copyfile(FLOPPIES / name, copy)
            copy.chmod(0o644)
        return ["-drive", f"file={copy},format=raw,if=floppy", "-boot", "a"]

    def image(self, name):
        if not (IMAGES / name).exists():
            raise Skip(f"{IMAGES / name} is not there: see tests/guest/images")
        return IMAGES / name

    def look(self, machine, name=""):
        """Keeps a picture of the screen, for a person to look at."""
        if self.keep:
            path = pathlib.Path(self.keep).resolve() / f"{self.name}{name}.png"
            machine.qmp("screendump", filename=str(path), format="png")


# Systems on floppies.

@system
def freedos(context):
    """To its prompt; an assembler runs, and the program that it makes; a file that was written is
    there after the plug was pulled."""
    disk = context.floppy("freedos-722.img")
    with context.start("-m", 32, *disk) as machine:
        machine.wait_screen(r"A:\\>")
        machine.type("echo written by freedos>note.txt\n")
        machine.type("nasm hello.asm -o made.com\n")
        machine.wait_screen(r"made\.com\s+^A:\\>$")
        machine.type("made\n")
        machine.wait_screen("^Hello, World!")
        machine.type("cls\n")
        machine.type("type note.txt\n")
        machine.wait_screen("^written by freedos")
        context.look(machine)
    with context.start("-m", 32, *disk) as machine:
        machine.wait_screen(r"A:\\>")
        machine.type("type note.txt\n")
        machine.wait_screen("^written by freedos")


@system
def freedos_directory(context):
    """A directory of the host as its hard disk and second floppy: it reads them and runs a batch file
    there, which may write to the hard disk, of which the host sees nothing."""
    disk = context.floppy("freedos-722.img")
    shown = context.directory / "shown"
    (shown / "below").mkdir(parents=True)
    (shown / "below" / "inner.txt").write_text("from the host\n")
    (shown / "A long name.text").write_text("x" * 70000 + "\n")
    (shown / "run.bat").write_text("@echo off\r\ntype %1:\\below\\inner.txt\r\ndir %1:\r\n"
                                   "if %1 == b goto end\r\necho by the guest>c:\\below\\new.txt\r\n"
                                   "type c:\\below\\new.txt\r\n:end\r\necho end of %1\r\n")
    with context.start("-m", 32, *disk, "-drive", f"file=fat:{shown}",
                       "-drive", f"file=fat:floppy:{shown},if=floppy,index=1") as machine:
        for drive, written in ("b", ""), ("c", r"by the guest\n"):
            machine.wait_screen(r"^A:\\>$")
            machine.type(f"{drive}:run {drive}\n")
            machine.wait_screen(r"^from the host\n(.*\n)*ALONGN~1 TEX +70[,.]?001.*\n(.*\n)*" +
                                written + f"end of {drive}\n")
        context.look(machine)
    if [path.name for path in (shown / "below").iterdir()] != ["inner.txt"]:
        raise Failed("the host's directory as it was")


@system
def freedos_144(context):
    with context.start("-m", 16, *context.floppy("freedos-144.img")) as machine:
        machine.wait_screen(r"^A:\\>$")
        machine.type("ver\n")
        machine.wait_screen(r"^A:\\>ver\s+^FreeCom version")
        context.look(machine)


@system
def pcmos(context):
    """Runs DOS programs in virtual-8086 mode."""
    with context.start("-m", 8, *context.floppy("pcmos386.img")) as machine:
        for question in "New date is", "New time is":
            machine.wait_screen(question)
            machine.type("\n")
        machine.wait_screen(r"^\[A:\\\]$")
        machine.type("mos map\n")
        machine.wait_screen("USER TASK STATISTICS")
        context.look(machine)


@system
def mikeos(context):
    with context.start("-m", 16, *context.floppy("mikeos.flp")) as machine:
        machine.wait_screen("Thanks for trying out MikeOS")
        context.look(machine)
        machine.type("\n")
        machine.wait_screen("Please select a file.*\n(.*\n)*.*KERNEL.BIN")


@system
def bootos(context):
    """A 512-byte system: its prompt, and its directory."""
    with context.start("-m", 4, *context.floppy("bootos.img")) as machine:
        machine.wait_screen(r"^\$")
        machine.type("dir\n")
        machine.wait_screen(r"^bootle\n(.*\n)*\$")
        context.look(machine)


@system
def linux_24(context):
    with context.start("-m", 128, *context.floppy("linux-2.4-floppy.img")) as machine:
        machine.wait_screen("^Please press Enter")
        machine.type("\n")
        machine.wait_screen(r"^\[.*\$$")
        machine.type("uname -rm\n")
        machine.wait_screen("^2.4.20 i686$")
        context.look(machine)


# Boot loaders and firmware.

@system
def grub_cd(context):
    with context.start("-m", 64, "-cdrom", context.image("grub.iso")) as machine:
        machine.wait_screen(r"GNU GRUB(.*\n)*.*Memtest86\+(.*\n)*.*for a command-line")
        context.look(machine)


@system
def grub_floppy(context):
    drive = f"file={context.image('grub-floppy.img')},format=raw,if=floppy,snapshot=on"
    with context.start("-m", 64, "-drive", drive, "-boot", "a") as machine:
        machine.wait_screen(r"GNU GRUB(.*\n)*.*(Memtest86\+(.*\n)*.*for a command-line|grub>)")
        context.look(machine)


@system
def ipxe(context):
    """Gets an address from the user-mode network."""
    with context.start("-m", 64, "-cdrom", context.image("ipxe.iso"),
                       "-nic", "user,model=virtio-net-pci") as machine:
        machine.wait_screen("iPXE initialising devices")
        machine.wait_screen(r"Configuring.*ok")
        machine.wait_screen(r"net0: 10\.0\.2\.15")
        context.look(machine)


def u_boot(context, bits, *options):
    with context.start("-m", 256, "-bios", context.image(f"u-boot{bits}.rom"),
                       *options) as machine:
        machine.wait_serial("Hit any key")
        machine.send("\n")
        machine.wait_serial("=> ")
        machine.send("version\n")
        machine.wait_serial("U-Boot 20")


@system
def u_boot_32(context):
    """Without a VGA: this U-Boot runs its ROM in real mode with limits of 64 KiB, from where the
    ROM reads the card's memory above them. Processors fault; QEMU's TCG checks no limits."""
    u_boot(context, 32, "-vga", "none")


@system
def u_boot_64(context):
    u_boot(context, 64)


def memtest(context, bits):
    """One pass of the whole list, in the least memory it takes."""
    with context.start("-m", 16, "-cdrom", context.image(f"memtest{bits}.iso"),
                       timeout=600) as machine:
        machine.wait_screen(r"Memtest86\+ v")
        context.look(machine)
        machine.wait_screen(r"Pass: *[1-9]|P A S S|Pass complete")
        if not any(word in machine.screen() for word in ("Errors: 0", "no errors")):
            raise Failed("a pass without errors")
        context.look(machine, "-passed")


@system
def memtest_64(context):
    memtest(context, 64)


@system
def memtest_32(context):
    memtest(context, 32)


# Linux, started directly.

def kernel(context, name, cpus, architecture):
    """A Debian kernel with a busybox initramfs that says when it is there, and powers off."""
    with context.start("-m", 256, "-smp", cpus, "-kernel", context.image(f"vmlinuz-{name}"),
                       "-initrd", context.image(f"initrd-{architecture}"),
                       "-append", "console=ttyS0 panic=-1", timeout=180) as machine:
        machine.wait_serial(r"linux-guest: up")
        if machine.wait_exit():
            raise Failed("exit status 0")


KERNELS = [("686", "i386"), ("686-pae", "i386"), ("rt-686-pae", "i386"), ("amd64", "amd64"),
           ("cloud-amd64", "amd64"), ("rt-amd64", "amd64")]
for _name, _architecture in KERNELS:
    for _cpus in 1, 2:
        systems[f"linux-{_name}-smp{_cpus}"] = (
            lambda context, name=_name, cpus=_cpus, architecture=_architecture:
            kernel(context, name, cpus, architecture))


def installer(context, bits):
    with context.start("-m", 1024, "-kernel", context.image(f"installer{bits}-linux"),
                       "-initrd", context.image(f"installer{bits}-initrd.gz"),
                       "-append", "console=ttyS0 DEBIAN_FRONTEND=text", timeout=240) as machine:
        machine.wait_serial("Select a language")


@system
def installer_64(context):
    installer(context, 64)


@system
def installer_32(context):
    installer(context, 32)


@system
def xen(context):
    """A hypervisor that needs no VT, and the Linux it starts as its first domain."""
    dom0 = f"{context.image('vmlinuz-amd64')} console=hvc0,{context.image('initrd-amd64')}"
    with context.start("-m", 768, "-kernel", context.image("xen"), "-initrd", dom0, "-append",
                       "console=com1 com1=115200 dom0_mem=512M", timeout=240) as machine:
        machine.wait_serial(r"\(XEN\) Xen version|Xen version")
        machine.wait_serial("linux-guest: up")


# A complete Debian.

def debian_login(context, machine, disk):
    """Through SeaBIOS and GRUB to a shell; what is written is read back from the disk."""
    machine.wait_serial("entry will be executed")  # the end of GRUB's menu
    context.look(machine, "-grub")
    machine.send("\r")  # on a busy host GRUB's clock can be slow: it takes a millisecond's measure
    machine.wait_serial("Linux version")
    machine.wait_serial("login: ")
    machine.send("root\n")
    machine.wait_serial("[#] ")
    machine.send("findmnt -no SOURCE /; echo $((6 * 7)) >/x; sync; echo 3 >/proc/sys/vm/drop_caches;"
                 " echo x is $(cat /x)\n")
    machine.wait_serial(f"/dev/{disk}1$")
    machine.wait_serial("^x is 42$")
    context.look(machine, "-login")


def debian(context, interface, disk):
    """To a login; off by command, and by the power button. The image itself is only read."""
    overlay = context.directory / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
                    "-b", context.image("debian12.img"), overlay], check=True)
    for press_button in False, True:
        with context.start("-m", 512, "-nic", "user,model=virtio-net-pci", "-drive",
                           f"file={overlay},format=qcow2,if={interface}", timeout=240) as machine:
            debian_login(context, machine, disk)
            if press_button:
                machine.powerdown()
            else:
                machine.send("poweroff\n")
            machine.wait_serial("reboot: Power down")
            if machine.wait_exit():
                raise Failed("exit status 0 after poweroff")


@system
def debian_ide(context):
    debian(context, "ide", "sda")


@system
def debian_virtio(context):
    debian(context, "virtio", "vda")


def run(args):
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        try:
            systems[args.system](Context(args, directory))
        except Skip as why:
            print(f"skipped: {why}")
            return 77
        except Failed as failure:
            print(f"FAILED: {args.system}: {failure}")
            return 1
    print(f"{args.system}: ok in {time.monotonic() - start:.1f} s")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kelvin")
    parser.add_argument("system", choices=["list", *systems])
    parser.add_argument("--accel", help="as -accel takes it")
    parser.add_argument("--keep-screen", metavar="DIR", help="leave screendumps there")
    args = parser.parse_args()
    if args.system == "list":
        print("\n".join(systems))
        return 0
    return run(args)


sys.exit(main())
