#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tests/guest/monitor.py build/kelvin: monitors, screen, snapshots and signals of a running machine.

The guest is SeaBIOS with nothing to boot from. Every check is a line on standard output.
"""
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

PATIENCE = 60  # seconds for what an idle machine does at once, or firmware in two
failures = 0


def check(truth, what):
    global failures
    print(("ok      " if truth else "FAILED  ") + what, flush=True)
    failures += not truth


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        wait_for(lambda: self.socket.connect_ex(path) == 0)
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rb")
        self.events = []
        self.greeting = json.loads(self.file.readline())
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                return answer
            self.events.append(answer)

    def get(self, command, **arguments):
        return self.ask(command, **arguments)["return"]

    def human(self, line):
        return self.get("human-monitor-command", command_line=line)

    def has_event(self, name, **data):
        self.ask("query-status")
        return any(event["event"] == name and data.items() <= event.get("data", {}).items()
                   for event in self.events)


class Machine:
    def __init__(self, kelvin, directory, *extra):
        self.qmp_path = os.path.join(directory, "qmp")
        self.vmm = subprocess.Popen(
            [kelvin, "-accel", "soft", "-m", "32", "-nodefaults", "-vga", "std", "-display", "none",
             "-qmp", f"unix:{self.qmp_path},server=on,wait=off", *extra])
        self.qmp = Qmp(self.qmp_path)


    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.vmm.kill()
        self.vmm.wait()


def screen_of(machine, directory):
    """Pixels that are lit; SeaBIOS's messages are white on black."""
    path = os.path.join(directory, "screen.ppm")
    machine.qmp.get("screendump", filename=path)
    with open(path, "rb") as file:
        magic, size, _ = file.readline(), file.readline(), file.readline()
        pixels = file.read()
    width, height = map(int, size.split())
    check(magic == b"P6\n" and len(pixels) == 3 * width * height, "a screendump is a whole picture")
    return pixels


def first_machine(kelvin, directory):
    snapshot = os.path.join(directory, "snapshot")
    vnc = os.path.join(directory, "vnc")
    with Machine(kelvin, directory, "-vnc", f"unix:{vnc},password=on", "-name", "box",
                 "-monitor", f"unix:{directory}/hmp,server=on,wait=off") as machine:
        qmp = machine.qmp
        check("QMP" in qmp.greeting, "QMP greets")
        for command in qmp.get("query-commands"):
            if command["name"].startswith("query-"):
                check("return" in qmp.ask(command["name"]), command["name"])
        check(qmp.get("query-name") == {"name": "box"}, "the name is told")
        lit = wait_for(lambda: any(screen_of(machine, directory)))
        check(lit, "SeaBIOS writes on the screen")
        qmp.get("stop")
        check(qmp.get("query-status")["status"] == "paused", "stop stops")
        before = qmp.human("info registers")
        check(before == qmp.human("info registers"), "a stopped vCPU stands still")
        check("RIP=" in before and "EFER=" in before, "registers are told")
        qmp.get("cont")
        check(qmp.has_event("STOP") and qmp.has_event("RESUME"), "stop and cont are events")
        png = os.path.join(directory, "screen.png")
        qmp.get("screendump", filename=png, format="png")
        check(open(png, "rb").read(8) == b"\x89PNG\r\n\x1a\n", "the screen can be a PNG")
        check("return" in qmp.ask("send-key", keys=[{"type": "qcode", "data": "esc"}]),
              "keys can be sent")
        dump = os.path.join(directory, "memory")
        qmp.get("pmemsave", val=0xF0000, size=65536, filename=dump)
        check(b"SeaBIOS" in open(dump, "rb").read(), "pmemsave finds SeaBIOS")
        check_hmp(directory)
        check_vnc(vnc, qmp)
        qmp.get("system_reset")
        check(wait_for(lambda: qmp.has_event("RESET", guest=False)), "system_reset is an event")
        wait_for(lambda: any(screen_of(machine, directory)))
        qmp.get("stop")
        seen, registers = screen_of(machine, directory), qmp.human("info registers")
        qmp.get("x-savevm", filename=snapshot)
        check(qmp.get("query-status")["status"] == "paused", "savevm leaves a stopped machine so")
    return snapshot, seen, registers


def second_machine(kelvin, directory, snapshot, seen, registers):
    with Machine(kelvin, directory, "-S") as machine:
        threads = os.listdir(f"/proc/{machine.vmm.pid}/task")
        check([str(cpu["thread-id"]) in threads for cpu in machine.qmp.get("query-cpus-fast")]
              == [True], "a vCPU that waits for its start has a thread")
        machine.qmp.get("x-loadvm", filename=snapshot)
        check(machine.qmp.human("info registers") == registers, "loadvm restores the registers")
        check(screen_of(machine, directory) == seen, "loadvm restores the screen")
        machine.qmp.get("cont")
        check(machine.qmp.get("query-status")["running"], "a restored machine runs")
        bad = machine.qmp.ask("x-loadvm", filename=os.path.join(directory, "screen.png"))
        check("error" in bad, "a picture is no snapshot")
        check(machine.qmp.get("query-status")["status"] == "internal-error",
              "a machine half loaded does not run")
        machine.qmp.get("quit")
        check(machine.vmm.wait(PATIENCE) == 0, "quit ends with status 0")
        check(not os.path.exists(machine.qmp_path), "its socket is gone")


def third_machine(kelvin, directory, snapshot, seen):
    with Machine(kelvin, directory, "-S", "-loadvm", snapshot) as machine:
        check(screen_of(machine, directory) == seen, "-loadvm restores the screen")
        machine.qmp.get("cont")
        check_sleep(machine.qmp, directory)
        machine.vmm.send_signal(signal.SIGTERM)
        check(machine.vmm.wait(PATIENCE) == 0, "SIGTERM ends with status 0")
        rest = machine.qmp.file.read()
        check(b"host-signal" in rest, "SIGTERM is an event")


def check_sleep(qmp, directory):
    """Suspend to RAM, as an operating system would ask for it, once firmware has set up the ports."""
    asleep = {"status": "suspended", "singlestep": False, "running": False}
    snapshot = os.path.join(directory, "asleep")
    check("error" in qmp.ask("system_wakeup"), "nobody is woken who does not sleep")
    qmp.human("o /w 0x604 0x2400")
    check(wait_for(lambda: qmp.has_event("SUSPEND")), "falling asleep is an event")
    check(qmp.get("query-status") == asleep, "the machine is suspended")
    qmp.get("x-savevm", filename=snapshot)
    qmp.get("x-loadvm", filename=snapshot)
    check(qmp.get("query-status") == asleep, "and so it is from its snapshot")
    qmp.get("stop")
    qmp.get("cont")
    check(qmp.get("query-status") == asleep, "cont does not wake it")
    qmp.get("system_wakeup")
    check(wait_for(lambda: qmp.has_event("WAKEUP")), "system_wakeup does")
    check(wait_for(lambda: qmp.get("query-status")["running"]), "it runs again")


def check_hmp(directory):
    hmp = socket.socket(socket.AF_UNIX)
    hmp.connect(os.path.join(directory, "hmp"))
    text = b""

    def until(what):
        nonlocal text
        end = time.monotonic() + PATIENCE
        while what not in text and time.monotonic() < end:
            if select.select([hmp], [], [], 1)[0]:
                text += hmp.recv(65536)
        return what in text

    check(until(b"(qemu) "), "the human monitor prompts")
    hmp.sendall(b"info status\n")
    check(until(b"VM status: running"), "info status tells")
    hmp.sendall(b"info pci\ninfo qtree\ninfo mtree\ninfo lapic\ninfo pic\nhelp\n")
    check(until(b"quit"), "help lists quit")
    hmp.close()


def exactly(peer, count):
    got = b""
    while len(got) < count and (more := peer.recv(count - len(got))):
        got += more
    return got


def vnc_connect(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(PATIENCE)
    peer.connect(path)
    exactly(peer, 12)
    peer.sendall(b"RFB 003.008\n")
    return peer, exactly(peer, exactly(peer, 1)[0])


def check_vnc(path, qmp):
    """One client without the password, one that never reads, and one that talks nonsense."""
    peer, kinds = vnc_connect(path)
    check(kinds == b"\x02", "VNC insists on a password")
    peer.sendall(b"\x02")
    exactly(peer, 16)
    qmp.get("change-vnc-password", password="secret")
    peer.sendall(bytes(16))
    check(struct.unpack(">I", exactly(peer, 4))[0] != 0, "a wrong one is refused")
    peer.close()
    slow, _ = vnc_connect(path)
    noisy = socket.socket(socket.AF_UNIX)
    noisy.connect(path)
    noisy.sendall(random.Random(1).randbytes(5000))
    check(qmp.get("query-vnc"), "hostile VNC clients do not hold the monitor up")
    slow.close()
    noisy.close()


def check_daemon(kelvin, directory):
    pidfile = os.path.join(directory, "pid")
    command = [kelvin, "-accel", "soft", "-m", "16", "-nodefaults", "-display", "none", "-daemonize",
               "-qmp", f"unix:{directory}/daemon,server=on,wait=off", "-pidfile", pidfile,
               "-name", "box,process=kelvin-box,debug-threads=on"]
    done = subprocess.run(command, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    check(done.returncode == 0 and os.path.exists(pidfile), "-daemonize returns when all is there")
    with open(pidfile) as file:
        number = int(file.read())
    qmp = Qmp(os.path.join(directory, "daemon"))
    check(qmp.get("query-status")["running"], "the daemon runs")
    with open(f"/proc/{number}/comm") as file:
        check(file.read() == "kelvin-box\n", "ps shows the name it was given")
    os.kill(number, signal.SIGTERM)
    check(wait_for(lambda: not os.path.exists(pidfile)), "it takes its pidfile away")


def check_cdrom(kelvin, directory):
    """An ordinary machine has an empty CD-ROM drive, where a medium can be put."""
    path, disc = os.path.join(directory, "ordinary"), os.path.join(directory, "disc")
    with open(disc, "wb") as file:
        file.truncate(1 << 20)
    vmm = subprocess.Popen([kelvin, "-accel", "soft", "-S", "-display", "none", "-serial", "null",
                            "-qmp", f"unix:{path},server=on,wait=off"])
    qmp = Qmp(path)
    drives = qmp.get("query-block")
    check([drive["device"] for drive in drives] == ["ide1-cd0"] and "inserted" not in drives[0],
          "the CD-ROM drive is there and empty")
    answer = qmp.ask("blockdev-change-medium", device="ide1-cd0", filename=disc)
    check("return" in answer and "inserted" in qmp.get("query-block")[0], "a medium is put in")
    vmm.kill()
    vmm.wait()


def main():
    kelvin = sys.argv[1]
    with tempfile.TemporaryDirectory() as directory:
        snapshot, seen, registers = first_machine(kelvin, directory)
        second_machine(kelvin, directory, snapshot, seen, registers)
        third_machine(kelvin, directory, snapshot, seen)
        check_daemon(kelvin, directory)
        check_cdrom(kelvin, directory)
    sys.exit(failures > 0)


main()
