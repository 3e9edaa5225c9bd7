#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/bad_input.py build/kelvin: wrong command lines, images and kernels.

Each must end with status 1 and one line on standard error that names the culprit, quickly. Last,
questions: each is answered on standard output.
"""
import os
import socket
import subprocess
import sys
import tempfile

BASE = ["-accel", "soft", "-nodefaults", "-display", "none"]
TIMEOUT = 60  # a busy machine is slow


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return path


def make_files(directory):
    """Files to be wrong with, by name."""
    path = lambda name: os.path.join(directory, name)
    qcow2 = b"QFI\xfb" + (3).to_bytes(4, "big") + b"\xff" * 96
    bzimage = bytearray(0x2000)
    bzimage[0x1F1] = 4
    bzimage[0x202:0x206] = b"HdrS"
    bzimage[0x206:0x208] = (0x20F).to_bytes(2, "little")
    bzimage[0x214:0x218] = (0xFFF00000).to_bytes(4, "little")
    return {
        "empty": write(path("empty"), b""),
        "noise": write(path("noise"), bytes(range(256)) * 20),
        "elf": write(path("elf"), b"\x7fELF\x02\x01\x01" + bytes(20)),
        "elf_arm": write(path("elf_arm"), b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xb7\0" + bytes(100)),
        "qcow2": write(path("qcow2"), qcow2),
        "short_qcow2": write(path("short_qcow2"), qcow2[:20]),
        "bzimage": write(path("bzimage"), bytes(bzimage)),
        "odd": write(path("odd"), bytes(1000)),
        "disk": write(path("disk"), bytes(1 << 20)),
        "snapshot": write(path("snapshot"), b"KELVSNAP" + bytes(100)),
        "dir": directory,
        "missing": path("missing"),
        "nowhere": path("no/where"),
    }


def cases(f):
    """(arguments, what the sentence must contain); "-" in front: no BASE."""
    yield ["-frobnicate"], "-frobnicate"
    yield ["-m"], "-m"
    yield ["-m", "lots"], "lots"
    yield ["-m", "64K"], "-m"
    yield ["-m", "900T"], ""
    yield ["-smp", "1000"], "1000"
    yield ["-smp", "2,sockets=3"], "sockets"
    yield ["-M", "q36"], "q36"
    yield ["-cpu", "frob"], "frob"
    yield ["-cpu", "max,+frob"], "frob"
    yield ["-accel", "frob"], "frob"
    yield ["-uuid", "x"], "x"
    yield ["-boot", "q"], "q"
    yield ["-rtc", "base=yesterday"], "yesterday"
    yield ["-device", "frob"], "frob"
    yield ["-device", "ide-hd,frob=1"], "frob"
    yield ["-device", "ide-hd,drive=none"], "none"
    yield ["-device", "ide-hd"], "drive"
    yield ["-device", "VGA,bus=frob.0"], "frob.0"
    yield ["-device", "VGA,addr=99"], "99"
    yield ["-device", "VGA,id=a", "-device", "pvpanic,id=a"], "\"a\""
    yield ["-device", "i440FX"], "i440FX"
    yield ["-global", "x"], "x"
    yield ["-netdev", "user"], "id"
    yield ["-netdev", "frob,id=n"], "frob"
    yield ["-netdev", "user,id=n", "-netdev", "user,id=n"], "\"n\""
    yield ["-nic", "user,model=frob"], "frob"
    yield ["-chardev", "null"], "id"
    yield ["-chardev", "frob,id=c"], "frob"
    yield ["-chardev", "file,id=c"], "path"
    yield ["-chardev", "file,id=c,path=" + f["nowhere"]], f["nowhere"]
    yield ["-chardev", "socket,id=c,path=" + f["missing"]], f["missing"]
    yield ["-chardev", "null,id=c", "-chardev", "null,id=c"], "\"c\""
    yield ["-serial", "frob"], "frob"
    yield ["-serial", "chardev:none"], "none"
    yield ["-serial", "null"] * 5, "-serial"
    yield ["-monitor", "chardev:none"], "none"
    yield ["-mon", "chardev=none"], "none"
    yield ["-mon", "mode=control"], "chardev"
    yield ["-chardev", "null,id=c", "-mon", "chardev=c,mode=frob"], "frob"
    yield ["-chardev", "null,id=c", "-mon", "chardev=c", "-serial", "chardev:c"], "\"c\""
    yield ["-vnc", "frob"], "frob"
    yield ["-vnc", ":99999"], "99999"
    yield ["-vnc", "unix:" + f["nowhere"]], f["nowhere"]
    yield ["-vga", "voodoo"], "voodoo"
    yield ["-display", "frob"], "frob"
    yield ["-drive", "file=" + f["missing"]], f["missing"]
    yield ["-drive", "file=" + f["dir"]], f["dir"]
    yield ["-drive", "file=" + f["disk"] + ",if=frob"], "frob"
    yield ["-drive", "file=" + f["disk"] + ",format=frob"], "frob"
    yield ["-drive", "file=" + f["disk"] + ",index=9"], "9"
    yield ["-drive", "file=" + f["disk"] + ",cache=frob"], "frob"
    yield ["-drive", "file=" + f["disk"] + ",media=frob"], "frob"
    yield ["-drive", "file=" + f["disk"] + ",frob=1"], "frob"
    yield ["-drive", "file=" + f["disk"] + ",werror=stop"], "werror=stop"
    yield ["-drive", "file=" + f["disk"] + ",rerror=ignore"], "rerror=ignore"
    yield ["-drive", "if=none,id=d,werror=report,rerror=report"], "file"
    yield ["-device", "virtio-blk-pci,werror=stop"], "werror"
    yield ["-device", "ide-hd,rerror=ignore"], "rerror"
    yield ["-drive", "if=none,id=d"], "file"
    yield ["-hda", f["disk"], "-drive", "index=0,file=" + f["disk"]], "0"
    yield ["-drive", "format=qcow2,file=" + f["qcow2"]], f["qcow2"]
    yield ["-drive", "file=" + f["short_qcow2"]], f["short_qcow2"]
    yield ["-blockdev", "driver=qcow2,node-name=n,file=none"], "none"
    yield ["-cdrom", f["missing"]], f["missing"]
    yield ["-kernel", f["missing"]], f["missing"]
    yield ["-kernel", f["empty"]], f["empty"]
    yield ["-kernel", f["noise"]], f["noise"]
    yield ["-kernel", f["elf"]], f["elf"]
    yield ["-kernel", f["elf_arm"]], "x86"
    yield ["-kernel", f["bzimage"]], f["bzimage"]
    yield ["-kernel", f["dir"]], f["dir"]
    yield ["-append", "x"], "-kernel"
    yield ["-bios", f["missing"]], f["missing"]
    yield ["-bios", f["odd"]], f["odd"]
    yield ["-bios", f["empty"]], f["empty"]
    yield ["-fw_cfg", "name=opt/x"], "-fw_cfg"
    yield ["-fw_cfg", "name=opt/x,file=" + f["missing"]], f["missing"]
    yield ["-fw_cfg", "name=" + "x" * 80 + ",string=y"], "xxx"
    yield ["-object", "frob,id=x"], "frob"
    yield ["-loadvm", f["missing"]], f["missing"]
    yield ["-loadvm", f["snapshot"]], "snapshot"
    yield ["-loadvm", f["empty"]], "snapshot"
    yield ["-pidfile", f["nowhere"], "-S"], f["nowhere"]
    yield ["-D", f["nowhere"], "-S"], f["nowhere"]
    yield ["-daemonize", "-serial", "stdio"], "stdio"
    yield ["-daemonize", "-kernel", f["missing"]], f["missing"]
    yield ["-", f["missing"]], f["missing"]
    yield ["-", "-M", "pc", "-device", "ide-hd"], "drive"
    yield ["-", "run"], "image"
    yield ["-", "run", f["missing"]], f["missing"]
    yield ["-", "run", f["disk"], "--frob"], "--frob"
    yield ["-", "run", f["disk"], "--memory"], "--memory"


def questions():
    """(arguments, a word of the answer)"""
    yield ["-help"], "\n  -S\n"
    yield ["-version"], "7.2.0"
    yield ["run", "--help"], "--memory"
    yield ["run", "disk.img", "--cpus", "2", "--help"], "--memory"
    yield ["-M", "help"], "pc "
    yield ["-accel", "help"], "soft"
    yield ["-cpu", "help"], "max"
    yield ["-device", "help"], "\"ide-hd\", bus IDE"
    yield ["-device", "isa-serial,help"], "chardev="
    yield ["-device", "pc-testdev,help"], "no options"
    yield ["-chardev", "help"], "socket"
    yield ["-netdev", "help"], "user"
    yield ["-object", "help"], "rng-random"
    yield ["-vga", "help"], "std"
    yield ["-display", "help"], "vnc"
    yield ["-d", "help"], "in_asm"


def check_question(kelvin, arguments, expected):
    done = subprocess.run([kelvin] + arguments, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=TIMEOUT, text=True)
    if done.returncode or done.stderr:
        return f"status {done.returncode}, {done.stderr.strip()[:300]}"
    return None if expected in done.stdout else f"does not say \"{expected}\""


def check(kelvin, arguments, expected):
    command = [kelvin] + (arguments[1:] if arguments[0] == "-" else BASE + arguments)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=TIMEOUT, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return "did not end"
    lines = done.stderr.splitlines()
    if done.returncode != 1:
        return f"status {done.returncode}, {done.stderr.strip()[:300]}"
    if len(lines) != 1 or not lines[0].startswith("kelvin: "):
        usage = arguments[:2] == ["-", "run"] and "usage" in done.stderr
        return None if usage else f"{len(lines)} lines: {done.stderr.strip()[:300]}"
    return None if expected in lines[0] else f"does not say \"{expected}\": {lines[0]}"


def main():
    kelvin = sys.argv[1]
    failed = count = 0
    with (tempfile.TemporaryDirectory() as directory, socket.socket() as taken,
          socket.socket() as silent):
        for link in (taken, silent):
            link.bind(("127.0.0.1", 0))
        taken.listen()
        port, nobodys = taken.getsockname()[1], silent.getsockname()[1]
        more = [(["-chardev", f"socket,id=c,host=127.0.0.1,port={port},server,nowait"], str(port)),
                (["-chardev", f"socket,id=c,host=localhost,port={nobodys}"], "localhost")]
        tries = [(check, *case) for case in [*cases(make_files(directory)), *more]]
        tries += [(check_question, *question) for question in questions()]
        for ask, arguments, expected in tries:
            wrong = ask(kelvin, arguments, expected)
            count += 1
            if wrong:
                failed += 1
                print(f"{' '.join(arguments)}: {wrong}")
    print(f"{count - failed} of {count} wrong inputs and questions are answered well")
    sys.exit(failed > 0)


main()
