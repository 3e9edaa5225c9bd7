# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs tests/perf/bench natively and in guests, and prints ratios; for the scripts beside it."""
import itertools
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
COMPILE = ["gcc", "-O2", "-static", "-D_GNU_SOURCE"]
NOTHING = f"{0:016x}"  # the check of a program that failed
KERNEL_WORK = ["syscall", "pagefault", "fork", "exec", "pipe", "futex", "yield"]


def accelerators(build):
    kelvin, tcg = str(build / "kelvin"), "qemu-system-x86_64"
    found = {
        "translator": [kelvin, "-accel", "soft"],
        "interpreter": [kelvin, "-accel", "soft,translator=off"],
    }
    if shutil.which(tcg):
        found["tcg"] = [tcg, "-accel", "tcg", "-cpu", "max"]
    return found


def compile_bench(path):
    sources = sorted((HERE / "bench").glob("*.c"))
    subprocess.run([*COMPILE, "-o", path, *sources], check=True)


def entry(name, mode, data=b"", device=(0, 0)):
    fields = [1, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


DEVICES = (entry(b"dev", 0o40755) + entry(b"dev/console", 0o20600, device=(5, 1))
           + entry(b"dev/null", 0o20666, device=(1, 3)))
TRAILER = entry(b"TRAILER!!!", 0)


def cpio(path, program):
    """An archive with /init and the devices it needs."""
    path.write_bytes(DEVICES + entry(b"init", 0o100755, program) + TRAILER)


def cpio_of(path, root):
    """An archive with all that is in a directory."""
    with path.open("wb") as file:
        file.write(DEVICES)
        for each in sorted(root.rglob("*")):
            name = bytes(each.relative_to(root))
            if each.is_symlink():
                file.write(entry(name, 0o120777, bytes(each.readlink())))
            elif each.is_dir():
                file.write(entry(name, 0o40755))
            else:
                file.write(entry(name, 0o100755, each.read_bytes()))
        file.write(TRAILER)


def cpu_seconds(pid):
    """Processor time of a process, all threads: CLOCK_PROCESS_CPUTIME_ID of another process."""
    return time.clock_gettime((~pid << 3) | 2)


class Runs:
    """What one program said: lists of wall and processor seconds by name, and check values."""

    def __init__(self):
        self.wall, self.cpu, self.checks, self.boot = {}, {}, {}, None

    def add(self, name, wall, check, cpu):
        self.wall.setdefault(name, []).append(wall)
        self.cpu.setdefault(name, []).append(cpu)
        self.checks.setdefault(name, set()).add(check)


def turns(command, in_guest, limit, runs):
    """Runs the program to its end, or kills it after limit seconds. It stops before each piece of work."""
    start, result = time.monotonic(), None
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, bufsize=0)
    watch = threading.Timer(limit, process.kill)
    watch.start()
    for line in process.stdout:
        words = line.decode("latin-1").split()
        if words[:1] != ["bench"]:
            continue
        if words[1] == "start":
            runs.boot = cpu_seconds(process.pid), time.monotonic() - start
        elif words[1] == "ready":
            if result:
                runs.add(*result, cpu_seconds(process.pid) - before)
            yield
            before, result = cpu_seconds(process.pid), None
            process.stdin.write(b"\n")
        elif words[1] == "end":
            break
        elif len(words) == 5:
            result = words[1], float(words[2]), words[3]
            if not in_guest:
                runs.add(*result, float(words[4]))
                result = None
    watch.cancel()
    process.kill()
    process.wait()


def measure(command, in_guest, limit):
    runs = Runs()
    for _ in turns(command, in_guest, limit, runs):
        pass
    return runs


def guest_command(machine, kernel, initrd, arguments, cpus=1, memory=256):
    return machine + ["-m", str(memory), "-smp", str(cpus), "-no-reboot", "-display", "none",
                      "-serial", "stdio", "-nic", "none", "-kernel", str(kernel),
                      "-initrd", str(initrd), "-append",
                      "console=ttyS0 quiet panic=-1 -- " + " ".join(arguments)]


def geomean(ratios):
    ratios = list(ratios)
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def table(native, guests, clock):
    """Prints a row for each piece of work, and the means by kind."""
    def median(runs, name):
        return statistics.median(getattr(runs, clock)[name])
    print(f"| work | native s ({clock}) | " + " | ".join(guests) + " |")
    print("|---|---|" + "---|" * len(guests))
    ratios = {guest: {} for guest in guests}
    for name, checks in native.checks.items():
        if NOTHING in checks:
            print(f"| {name} | failed |")
            continue
        cells = []
        for guest, runs in guests.items():
            if name not in runs.checks:
                cells.append("-")
                continue
            ratios[guest][name] = ratio = median(runs, name) / median(native, name)
            cells.append(f"{ratio:.2f}" + ("" if runs.checks[name] == checks else " WRONG"))
        print(f"| {name} | {median(native, name):.3f} | " + " | ".join(cells) + " |")
    for kind, in_kernel in ("user", False), ("kernel", True):
        kept = [[ratio for name, ratio in found.items() if (name in KERNEL_WORK) == in_kernel]
                for found in ratios.values()]
        if any(kept):
            cells = " | ".join(f"{geomean(each):.2f}" for each in kept)
            print(f"| geomean, {kind} | | {cells} |")
    boots = [runs.boot[clock == "wall"] if runs.boot else math.nan for runs in guests.values()]
    print("| boot to /init, s | | " + " | ".join(f"{boot:.2f}" for boot in boots) + " |", flush=True)


def find_kernel(build):
    """Debian's cloud kernel: the default guest's, or what tests/guest/images/linux made."""
    for path in (build / "guest" / "vmlinuz",
                 pathlib.Path(os.environ.get("KELVIN_IMAGES", "")) / "vmlinuz-cloud-amd64"):
        if path.exists():
            return path
    sys.exit("no kernel for the guest: make run fetches it, or tests/guest/images/linux; the "
             "latter is looked for in $KELVIN_IMAGES")


def arguments_of(parser):
    """The options that all scripts here have."""
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--only", default="", help="names of work, with commas between")
    parser.add_argument("--accel", default="translator,tcg", help="and interpreter, slow")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--wall", action="store_true", help="wall-clock times: on an idle machine")
    parser.add_argument("--limit", type=float, default=1800, help="seconds for each guest")
    return parser.parse_args()


def compare(args, native_command, initrd, memory=256):
    """Natively and in each guest that is there: the table. The first guest takes turns with what is native, as how
    fast a machine is may change; the others, which may be slow, run alone."""
    arguments = [str(args.repeat), *filter(None, args.only.split(","))]
    kernel, found = find_kernel(args.build), accelerators(args.build)
    native, guests = Runs(), {name: Runs() for name in args.accel.split(",") if name in found}
    together = [turns([*native_command, *arguments], False, args.limit, native)]
    for name, runs in guests.items():
        command = guest_command(found[name], kernel, initrd, arguments, memory=memory)
        together.append(turns(command, True, args.limit, runs))
        while together:
            together = [each for each in together if next(each, each) is not each]
    for _ in itertools.chain(*together):  # there is no guest
        pass
    table(native, guests, "wall" if args.wall else "cpu")
