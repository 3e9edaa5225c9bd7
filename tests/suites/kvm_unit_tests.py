#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs kvm-unit-tests, built somewhere outside this tree, on a VMM.

    tests/suites/kvm_unit_tests.py --suite DIR [--suite DIR32] --vmm build/kelvin --accel soft

DIR is a checkout in which ./configure and make were run for x86_64 or i386. Each section of its
x86/unittests.cfg is one configuration: a small kernel, started on a machine of its own. The
kernel reports on the serial line and ends the machine through the debug-exit port: what it writes
there, doubled and plus one, is the VMM's exit status.

The VMM takes QEMU's options: any QEMU can be tested the same way, and its results, written with
--results, can be given to a later run as --reference. With a reference, the exit status says
whether something failed here that passes there; without one, whether something failed. With
--only, a --results file keeps what it holds about other configurations.

--quick runs a few configurations that say much in little time; all must pass. Built checkouts are
then looked for in the directory that KELVIN_KVM_UNIT_TESTS names. Where there are none the exit
status is 77: skipped.
"""
import argparse
import collections
import concurrent.futures
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

DEFAULT_TIMEOUT = 300  # the longest, access and sieve, need 60 to 130 on an idle machine
EXIT_SKIPPED = 77
STATUS_PASS, STATUS_SKIP, STATUS_ABORT = 1, 77, 127
BAD = ("FAIL", "ABORT", "TIMEOUT", "ERROR")

# The software engine is a KVM: it has these parameters, whatever the host's own KVM has.
ENGINE_PARAMETERS = {
    "/sys/module/kvm/parameters/enable_pmu": "Y",
    "/sys/module/kvm/parameters/ignore_msrs": "N",
    "/sys/module/kvm_intel/parameters/allow_smaller_maxphyaddr": "Y",
}

# What a configuration may ask of KVM's module and the engine has as an option of its own.
ENGINE_OPTIONS = {
    "/sys/module/kvm/parameters/enable_vmware_backdoor=Y": "vmware-backdoor=on",
}

QUICK = {
    "x86_64": "ioapic smptest3 smap pku pks emulator eventinj hypercall idt_test memory msr "
              "realmode setjmp syscall tsc_adjust xsave pcid-enabled umip la57 debug "
              "vmware_backdoors s3",
    "i386": "cmpxchg8b smap emulator eventinj msr realmode taskswitch taskswitch2 umip s3",
}

# Why a configuration does not pass: the first row that fits.
NOTES = (
    (r"svm.*", "needs SVM, which the engine does not offer"),
    (r"vmx.*|ept.*", "needs VMX, which the engine does not offer"),
    (r"hyperv_.*", "Hyper-V enlightenments are not offered"),
    (r"intel_iommu", "needs `-machine q35` with its IOMMU, which is not modelled"),
    (r"asyncpf", "asynchronous page faults are not offered"),
    (r"pmu_.*", "performance monitoring is not offered"),
    (r"cet", "CET is not offered"),
    (r"tsx-ctrl", "TSX is not offered"),
    (r"access_fep", "wants KVM's forced-emulation prefix; a manual test of the suite"),
)

Config = collections.namedtuple("Config", "suite arch name settings")
Result = collections.namedtuple("Result", "arch name verdict detail seconds command")


def read_configs(suite):
    """The configurations of one built suite, in the order of its list."""
    arch = read_arch(suite)
    configs = []
    for line in open(os.path.join(suite, "x86", "unittests.cfg"), encoding="utf-8"):
        line = line.strip()
        section = re.fullmatch(r"\[(.*)\]", line)
        setting = re.fullmatch(r"(\w+)\s*=\s*(.*)", line)
        if section:
            configs.append(Config(suite, arch, section[1], {}))
        elif setting and configs:
            configs[-1].settings[setting[1]] = setting[2]
    return configs


def read_arch(suite):
    for line in open(os.path.join(suite, "config.mak"), encoding="utf-8"):
        if line.startswith("ARCH="):
            return line.strip().split("=", 1)[1]
    raise SystemExit(f"{suite}/config.mak does not say ARCH=")


def file_of(config):
    return os.path.join(config.suite, "x86", config.settings["file"])


def words_of(text):
    """Splits as a shell would; the one command that the list asks for is the date."""
    return shlex.split(text.replace("`date +%s`", str(int(time.time()))))


def extra_options(config):
    """The configuration's own options, less those that would choose the accelerator."""
    text = config.settings.get("qemu_params", config.settings.get("extra_params", ""))
    return [word for word in words_of(text) if word.lstrip("-") != "enable-kvm"]


def command_of(config, args):
    """The same order of options as the suite's own scripts."""
    command = [args.vmm, "-no-reboot", "-nodefaults"]
    command += ["-global", "kvm-pit.lost_tick_policy=discard"]
    command += ["-device", "pc-testdev", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]
    command += ["-display", "none", "-serial", "stdio", "-device", "pci-testdev"]
    command += ["-accel", accel_of(config, args), "-kernel", file_of(config)]
    command += ["-smp", config.settings.get("smp", "1")]
    if config.settings.get("test_args"):
        command += ["-append", " ".join(words_of(config.settings["test_args"]))]
    return command + extra_options(config)


def accel_of(config, args):
    options = [ENGINE_OPTIONS[check] for check in config.settings.get("check", "").split()
               if is_engine(args.accel) and check in ENGINE_OPTIONS]
    return ",".join([args.accel] + options)


def reason_to_skip(config, args):
    """Why this configuration is not for this architecture or accelerator; None if it is."""
    settings = config.settings
    if "nodefault" in settings.get("groups", "").split() and not args.all:
        return "runs only with --all"
    if settings.get("arch", config.arch) != config.arch:
        return f"{settings['arch']} only"
    accel = "kvm" if is_engine(args.accel) else args.accel
    if settings.get("accel", accel) != accel:
        return f"{settings['accel']} only"
    for check in settings.get("check", "").split():
        path, wanted = check.split("=", 1)
        if is_engine(args.accel) and check in ENGINE_OPTIONS:
            continue
        if parameter(path, args.accel) != wanted:
            return f"{path} is not {wanted}"
    if not os.path.exists(file_of(config)):
        return f"{settings['file']} was not built"
    return None


def is_engine(accel):
    return accel.split(",")[0] == "soft"


def parameter(path, accel):
    if is_engine(accel) and path in ENGINE_PARAMETERS:
        return ENGINE_PARAMETERS[path]
    try:
        return open(path, encoding="ascii").read().strip()
    except OSError:
        return None


def time_limit(config, args):
    if args.timeout:
        return args.timeout
    return float(config.settings.get("timeout", DEFAULT_TIMEOUT))


def run_vmm(command, limit):
    """Returns the exit status (None when the time was up), what it printed, what it complained."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        vmm = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                               start_new_session=True)
        try:
            status = vmm.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(vmm.pid, signal.SIGKILL)
            vmm.wait()
            status = None
        texts = []
        for file in out, err:
            file.seek(0)
            texts.append(file.read(1 << 24).decode("utf-8", "replace").replace("\r", ""))
        return status, texts[0], texts[1]


def judge(status, printed, complained):
    """One word for how it ended, and a few more about why."""
    detail = summary_of(printed)
    if status is None:
        lines = printed.strip().splitlines()
        return "TIMEOUT", ("last line: " + lines[-1][:80]) if lines else "printed nothing"
    if status < 0:
        return "ERROR", f"the VMM died of signal {-status}"
    if status == 0:
        return "ERROR", f"{detail}, then the machine was reset or switched off"
    if status & 1 == 0 or (status == STATUS_PASS and not printed.strip() and complained.strip()):
        complaint = (complained.strip().splitlines() or ["no message"])[-1]
        return "ERROR", f"the VMM ended with status {status}: {complaint}"
    if status == STATUS_PASS:
        return "PASS", detail
    if status == STATUS_SKIP:
        return "SKIP", detail
    if status == STATUS_ABORT:
        return "ABORT", abort_reason(printed)
    failed = re.findall(r"^FAIL: (.*)$", printed, re.MULTILINE)
    return "FAIL", f"{detail}; {failed[0]}" if failed else detail


def summary_of(printed):
    """The kernel's own count of its checks, or ours where it keeps none."""
    summaries = re.findall(r"^SUMMARY: (.*)$", printed, re.MULTILINE)
    if summaries:
        return summaries[-1]
    passed = len(re.findall("^PASS:", printed, re.MULTILINE))
    failed = len(re.findall("^FAIL:", printed, re.MULTILINE))
    if passed or failed:
        return f"{passed + failed} tests" + (f", {failed} unexpected failures" if failed else "")
    return "reports no checks"


def abort_reason(printed):
    """The line that says what happened, before the registers and the stack."""
    for line in printed.splitlines():
        if re.match(r"Unhandled|ABORT|.*assert", line):
            return line.strip()[:100]
    return "no reason given"


def run(config, args):
    skip = reason_to_skip(config, args)
    if skip:
        return Result(config.arch, config.name, "SKIP", skip, 0.0, "")
    command = command_of(config, args)
    start = time.monotonic()
    try:
        verdict, detail = judge(*run_vmm(command, time_limit(config, args)))
    except OSError as error:
        verdict, detail = "ERROR", str(error)
    seconds = time.monotonic() - start
    if args.verbose:
        print(shlex.join(command))
    return Result(config.arch, config.name, verdict, detail, seconds, shlex.join(command))


def write_results(path, results):
    with open(path, "w", encoding="utf-8") as file:
        for r in results:
            fields = r.arch, r.name, r.verdict, r.detail.replace("\t", " "), f"{r.seconds:.1f}"
            print(*fields, r.command, sep="\t", file=file)


def read_results(path):
    """The results of an earlier run by architecture and name."""
    results = {}
    for line in open(path, encoding="utf-8"):
        arch, name, verdict, detail, seconds, command = line.rstrip("\n").split("\t")
        results[arch, name] = Result(arch, name, verdict, detail, float(seconds), command)
    return results


def is_for_other_arch(result):
    return result.verdict == "SKIP" and re.fullmatch(r"(x86_64|i386) only", result.detail)


def note_of(result):
    """What a reader wants to know: the number of checks, or why there is none."""
    if result.verdict == "PASS":
        return result.detail
    for pattern, note in NOTES:
        if re.fullmatch(pattern, result.name):
            return note
    return result.detail


REPORT_HEAD = """# kvm-unit-tests

Written by `tests/suites/kvm_unit_tests.py`; not to be edited. The suite is built outside this
tree, once with `./configure --arch=x86_64`, once with `--arch=i386`. The table comes from

    run="tests/suites/kvm_unit_tests.py --suite DIR64 --suite DIR32"
    $run --vmm qemu-system-x86_64 --accel tcg --results tcg.txt
    $run --accel soft,translator=off --results interpreter.txt
    $run --reference tcg.txt --interpreter interpreter.txt --report docs/conformance.md

and `KELVIN_KVM_UNIT_TESTS=DIR meson test --suite suites` runs a quick part. Configurations that the
suite has for one architecture only are listed for that one. A pass that reports no checks says only
that the guest came to its end.
"""


def write_report(path, results, reference, interpreter):
    def cell(text):
        return text.replace("|", "\\|").replace("<", "\\<")

    def verdict(others, r):
        return others[r.arch, r.name].verdict if (r.arch, r.name) in others else ""

    results = [r for r in results if not is_for_other_arch(r)]
    columns = [("Kelvin", {(r.arch, r.name): r for r in results})]
    columns += [("interpreter only", interpreter)] if interpreter else []
    columns += [("QEMU TCG", reference)] if reference else []
    with open(path, "w", encoding="utf-8") as file:
        print(REPORT_HEAD, file=file)
        for name, others in columns:
            known = [others[r.arch, r.name] for r in results if (r.arch, r.name) in others]
            print(f"- {name}: {count(known)}, of {len(known)}.", file=file)
        worse = [r for r in results
                 if verdict(reference, r) == "PASS" and r.verdict != "PASS"]
        if reference:
            names = ", ".join(f"{r.name} ({r.arch})" for r in worse) or "none"
            print(f"- Pass there and not here: {names}.", file=file)
        print("\n| configuration | arch |", *(f"{name} |" for name, _ in columns), "checks, or why |",
              file=file)
        print("|---" * (len(columns) + 3) + "|", file=file)
        for r in results:
            print(f"| {r.name} | {r.arch} |", *(f"{verdict(o, r)} |" for _, o in columns),
                  f"{cell(note_of(r))} |", file=file)


def count(results):
    totals = collections.Counter(r.verdict for r in results)
    return ", ".join(f"{totals[v]} {v}" for v in ("PASS", "SKIP") + BAD if totals[v])


def is_built(directory):
    return os.path.exists(os.path.join(directory, "config.mak"))


def find_suites(args):
    """Those of the command line, or all in the directory that the environment names."""
    top = os.environ.get("KELVIN_KVM_UNIT_TESTS")
    suites = args.suite or []
    if not suites and top and os.path.isdir(top):
        suites = [top] + [entry.path for entry in sorted(os.scandir(top), key=lambda e: e.name)]
    return [s for s in suites if is_built(s)]


def is_wanted(config, args):
    if args.quick and config.name not in QUICK.get(config.arch, "").split():
        return False
    return re.search(args.only, config.name)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--suite", action="append", help="a built checkout")
    parser.add_argument("--vmm", default="build/kelvin")
    parser.add_argument("--accel", default="soft")
    parser.add_argument("--jobs", type=int, default=2, help="machines at a time")
    parser.add_argument("--only", default="", help="regular expression on configuration names")
    parser.add_argument("--quick", action="store_true", help="a few that must pass")
    parser.add_argument("--all", action="store_true", help="also those marked as manual")
    parser.add_argument("--timeout", type=float, help="seconds for each, instead of its own")
    parser.add_argument("--reference", help="results of another VMM to compare with")
    parser.add_argument("--interpreter", help="results without the translator, for the report")
    parser.add_argument("--results", help="write results for a later --reference here")
    parser.add_argument("--report", help="write a table in Markdown here")
    parser.add_argument("--verbose", action="store_true", help="print each command")
    return parser.parse_args()


def run_all(configs, reference, args):
    results = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for r in pool.map(lambda config: run(config, args), configs):
            results.append(r)
            was = reference[r.arch, r.name].verdict if (r.arch, r.name) in reference else r.verdict
            note = f" [reference: {was}]" if was != r.verdict else ""
            print(f"{r.verdict:7} {r.arch:6} {r.name} ({r.seconds:.1f} s, {r.detail}){note}",
                  flush=True)
    print(f"kvm-unit-tests: {count(results)}")
    return results


def main():
    args = parse_arguments()
    suites = find_suites(args)
    if not suites:
        print("kvm-unit-tests: skipped: not installed")
        return EXIT_SKIPPED
    configs = [c for s in suites for c in read_configs(s) if is_wanted(c, args)]
    reference = read_results(args.reference) if args.reference else {}
    interpreter = read_results(args.interpreter) if args.interpreter else {}
    results = run_all(configs, reference, args)
    if args.quick:
        return int(any(r.verdict != "PASS" for r in results))

    failed = [r for r in results if r.verdict in BAD]
    if args.only and args.results and os.path.exists(args.results):
        known = read_results(args.results)
        known.update({(r.arch, r.name): r for r in results})
        results = list(known.values())
    if args.results:
        write_results(args.results, results)
    if args.report:
        write_report(args.report, results, reference, interpreter)
    excused = {key for key, r in reference.items() if r.verdict in BAD}
    return int(any((r.arch, r.name) not in excused for r in failed))


if __name__ == "__main__":
    sys.exit(main())
