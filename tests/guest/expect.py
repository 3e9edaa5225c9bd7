#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts a virtual machine, and watches and works it as a person would, step by step.

    tests/guest/expect.py --serial 'login:' --send 'root\\n' --serial '# ' --powerdown --exit \\
        -- build/kelvin -m 512 -drive file=disk.img,format=raw

Steps are taken in the order given. The machine may be Kelvin's or QEMU's: what is added to the
command is -display none, the first serial line on standard input and output, and a QMP socket,
by which keys are pressed and the screen is read. Tests can use class Machine instead.
"""
import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

SCREEN_ADDRESS, SCREEN_COLUMNS, SCREEN_BYTES = 0xB8000, 80, 0x8000
POLL = 0.1
KEY_MS = 30  # how long a key is held, and then the rest

# QMP's names for the keys of a US keyboard, bare and with shift.
KEYS = {" ": "spc", "\n": "ret", "\t": "tab", "\b": "backspace", "\x1b": "esc", ".": "dot",
        ",": "comma", "-": "minus", "=": "equal", "/": "slash", "\\": "backslash",
        ";": "semicolon", "'": "apostrophe", "[": "bracket_left", "]": "bracket_right",
        "`": "grave_accent"}
SHIFTED = dict(zip('~!@#$%^&*()_+{}|:"<>?', "`1234567890-=[]\\;',./"))


class Failed(Exception):
    """What the machine did not do."""


def boot_disk(path, code):
    """A disk of 1 MiB whose first sector is this code."""
    with open(path, "wb") as file:
        file.write((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))


class Machine:
    """A running VMM. Use it in a with statement, so that it is gone at the end."""

    def __init__(self, command, timeout=60):
        self.timeout = timeout
        self.directory = tempfile.TemporaryDirectory()
        path = os.path.join(self.directory.name, "qmp")
        extra = ["-display", "none", "-serial", "stdio", "-qmp", f"unix:{path},server=on,wait=off"]
        self.vmm = subprocess.Popen(command + extra, stdin=subprocess.PIPE, bufsize=0,
                                    stdout=subprocess.PIPE)
        self.serial = ""
        self.seen = 0  # what comes before this place in self.serial was already waited for
        self.reader = threading.Thread(target=self._read_serial, daemon=True)
        self.reader.start()
        self.qmp_path = path
        self.qmp_link = self.qmp_file = None

    def __enter__(self):
        return self

    def _show(self):
        """What a person would want to see after a failure."""
        print("--- the end of the serial line:\n" + self.serial[-2000:])
        if self.vmm.poll() is None:
            print("--- the screen:\n" + self.screen())

    def __exit__(self, kind, *_):
        if kind is Failed:
            self._show()
        if self.qmp_file:
            self.qmp_file.close()
            self.qmp_link.close()
        self.vmm.kill()
        self.vmm.wait()
        self.reader.join(5)
        self.directory.cleanup()

    def _read_serial(self):
        while block := os.read(self.vmm.stdout.fileno(), 65536):
            self.serial += block.decode("latin-1").replace("\r", "")

    def until(self, found, what):
        """Calls found() until it returns something true."""
        end = time.monotonic() + self.timeout
        while True:
            ended = self.vmm.poll() is not None
            if ended:
                self.reader.join(5)
            if result := found():
                return result
            if ended:
                raise Failed(f"no {what}: the VMM ended with status {self.vmm.returncode}")
            if time.monotonic() > end:
                raise Failed(f"no {what} in {self.timeout:g} s")
            time.sleep(POLL)

    def qmp(self, command, **arguments):
        """Runs a QMP command and returns what it returns."""
        if not self.qmp_file:
            link = socket.socket(socket.AF_UNIX)
            link.settimeout(self.timeout)
            self.until(lambda: link.connect_ex(self.qmp_path) == 0, "QMP socket")
            self.qmp_link, self.qmp_file = link, link.makefile("rb")
            self.qmp_file.readline()  # the greeting
            self.qmp("qmp_capabilities")
        request = {"execute": command, "arguments": arguments}
        self.qmp_link.sendall(json.dumps(request).encode() + b"\n")
        while line := self.qmp_file.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise Failed(f"QMP {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise Failed(f"QMP {command}: no answer")

    def screen(self):
        """The text screen, one string with a line for each row: all of its memory, because
        systems scroll by showing a later part of it."""
        path = os.path.join(self.directory.name, "screen")
        self.qmp("pmemsave", val=SCREEN_ADDRESS, size=SCREEN_BYTES, filename=path)
        with open(path, "rb") as file:
            text = file.read()[::2].replace(b"\0", b" ").decode("cp437")
        rows = (text[i:i + SCREEN_COLUMNS] for i in range(0, len(text), SCREEN_COLUMNS))
        return "\n".join(row.rstrip() for row in rows).rstrip()

    def wait_serial(self, pattern):
        """Waits for a regular expression on the serial line, after what was waited for before."""
        def found():
            return re.compile(pattern, re.MULTILINE).search(self.serial, self.seen)
        self.seen = self.until(found, f'"{pattern}" on the serial line').end()

    def wait_screen(self, pattern):
        def found():
            if self.vmm.poll() is None:
                return re.search(pattern, self.screen(), re.MULTILINE)
            return None
        self.until(found, f'"{pattern}" on the screen')

    def send(self, text):
        """Types on the serial line."""
        self.vmm.stdin.write(text.encode("latin-1"))

    def type(self, text):
        """Types on the keyboard."""
        for character in text:
            shift = character.isupper() or character in SHIFTED
            key = SHIFTED.get(character, character.lower())
            names = (["shift"] if shift else []) + [KEYS.get(key, key)]
            self.qmp("send-key", keys=[{"type": "qcode", "data": name} for name in names],
                     **{"hold-time": KEY_MS})
            time.sleep(2 * KEY_MS / 1000)

    def powerdown(self):
        """Presses the power button."""
        self.qmp("system_powerdown")

    def wait_exit(self):
        """Waits until the VMM ends by itself, and returns its exit status."""
        try:
            return self.vmm.wait(self.timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"the VMM did not end in {self.timeout:g} s") from None


class Step(argparse.Action):
    """Keeps options that are steps in their order."""

    def __call__(self, parser, namespace, value, option_string=None):
        namespace.steps = (namespace.steps or []) + [(option_string[2:], value)]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.set_defaults(steps=[])
    parser.add_argument("--serial", action=Step, metavar="REGEX", help="wait for this line")
    parser.add_argument("--screen", action=Step, metavar="REGEX", help="wait for this text")
    parser.add_argument("--send", action=Step, metavar="TEXT", help="type on the serial line")
    parser.add_argument("--type", action=Step, metavar="TEXT", help="type on the keyboard")
    parser.add_argument("--powerdown", action=Step, nargs=0, help="press the power button")
    parser.add_argument("--exit", action=Step, nargs=0, help="wait until the VMM ends")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for each step")
    parser.add_argument("command", nargs="+", help="the VMM and its options, after --")
    return parser.parse_args()


def take(machine, action, value):
    if action in ("send", "type"):
        value = value.encode("latin-1").decode("unicode_escape")
    names = {"serial": "wait_serial", "screen": "wait_screen", "exit": "wait_exit"}
    method = getattr(machine, names.get(action, action))
    method(value) if isinstance(value, str) else method()


def main():
    args = parse_arguments()
    start = time.monotonic()
    try:
        with Machine(args.command, args.timeout) as machine:
            for action, value in args.steps:
                take(machine, action, value)
                print(f"{time.monotonic() - start:6.1f} s  {action} {value or ''}", flush=True)
    except Failed as failure:
        print(f"{time.monotonic() - start:6.1f} s  FAILED: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
