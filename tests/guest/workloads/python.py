# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Python's C code does in many ways: hashes, formats, floats, big numbers, threads, processes."""
import array
import bisect
import cmath
import collections
import decimal
import fractions
import functools
import hashlib
import heapq
import itertools
import json
import lzma
import math
import os
import pickle
import random
import re
import signal
import statistics
import struct
import subprocess
import sys
import threading
import unicodedata
import zlib

chance = random.Random(20)


def show(name, value):
    text = value if isinstance(value, (bytes, bytearray)) else repr(value).encode()
    print(name, len(text), hashlib.sha256(text).hexdigest(), text[:60])


def hashes():
    data = chance.randbytes(200_003)
    for name in sorted(hashlib.algorithms_guaranteed):
        made = hashlib.new(name, data)
        show(name, made.hexdigest(32) if name.startswith("shake") else made.hexdigest())
    show("pbkdf2", hashlib.pbkdf2_hmac("sha256", b"kelvin", b"salt", 10_000))
    show("scrypt", hashlib.scrypt(b"kelvin", salt=b"salt", n=4096, r=8, p=1))
    show("crc32", [zlib.crc32(data[:n]) ^ zlib.adler32(data[n:]) for n in range(0, 20_000, 37)])
    show("deflate", b"".join(zlib.compress(data[:50_000].hex().encode(), n) for n in range(1, 10)))
    show("lzma", lzma.compress(data[:30_000].hex().encode(), preset=1))


def floats():
    values = [struct.unpack("d", chance.randbytes(8))[0] for _ in range(20_000)]
    show("repr", values)
    show("parse", [float(repr(value)) == value for value in values])
    show("formats", [f"{value:.17g} {value:.3e} {value:+.8g}" for value in values])
    show("float32", [struct.pack("f", value) for value in values if abs(value) < 1e38])
    small = [value for value in values if 1e-30 < abs(value) < 1e30] + [n / 97 for n in range(2000)]
    for function in (math.sin, math.cos, math.tan, math.atan, math.asinh, math.tanh, math.cbrt,
                     math.erf, math.frexp, math.modf, math.floor, math.ceil, round, math.ulp):
        show(function.__name__, [function(value) for value in small])
    for function in math.sqrt, math.log, math.log2, math.log10, math.log1p, math.lgamma:
        show(function.__name__, [function(abs(value) + 1e-9) for value in small])
    show("exp", [(math.exp(n / 7), math.expm1(n / 1e4), 1.1 ** n) for n in range(-3000, 3000)])
    show("pow", [math.pow(a, b) for a in small[:200] if 0 < a < 100 for b in (0.5, 2, -3.3, 7.1)])
    show("fmod", [math.fmod(a, b) for a, b in zip(small, small[1:]) if b])
    show("complex", [cmath.sqrt(complex(a, b)) for a, b in zip(small, small[1:])])
    show("sums", (math.fsum(small), sum(small), statistics.fmean(small), math.hypot(*small[-50:])))
    show("hex", [value.hex() for value in values])
    show("gauss", [chance.gauss(0, 1) for _ in range(5000)])
    for wrong in (lambda: 1.0 / 0.0, lambda: math.exp(1e6), lambda: int(float("nan"))):
        try:
            wrong()
        except (ArithmeticError, ValueError) as error:
            print(error)


def numbers():
    sys.set_int_max_str_digits(0)
    show("factorial", math.factorial(3000))
    big = [chance.getrandbits(n) | 1 for n in (64, 300, 2000, 20_000)]
    for a, b in itertools.product(big, big):
        show("big", (a * b, a // b, a % b, a ^ b, math.gcd(a, b), a << 13, math.isqrt(a)))
    show("modexp", [pow(a, big[1], big[2]) for a in big])
    show("bases", [f"{value:x} {value:b} {value}" for value in big[:3]])
    decimal.getcontext().prec = 120
    one = decimal.Decimal(1)
    show("decimal", [str(f) for n in range(1, 40)
                     for f in (one / n, (one * n).sqrt(), (one / n).exp(), (one * n).ln())])
    show("fraction", functools.reduce(lambda s, n: s + fractions.Fraction(1, n), range(1, 400), 0))


def texts():
    words = ["".join(chance.choices("abcdefgäöüß €\U0001d11e", k=chance.randrange(1, 12)))
             for _ in range(20_000)]
    text = "\n".join(words)
    show("sorted", sorted(words))
    show("count", collections.Counter(text).most_common())
    show("encode", b"".join(text.encode(name) for name in ("utf-8", "utf-16", "utf-32")))
    show("normal", [unicodedata.normalize("NFKD", word).upper() for word in words[:3000]])
    show("regex", re.findall(r"(?i)\b([a-c]+)(?:[äö]|\1)+(?=\w)|(ß.{2,4}?€)$", text, re.M))
    show("sub", re.sub(r"([a-d])([e-gä]+)", lambda m: m[2] + m[1].upper(), text))
    data = {word: {"n": n, "x": n / 7, "list": list(range(n % 9))} for n, word in enumerate(words)}
    encoded = json.dumps(data)
    show("json", encoded)
    assert json.loads(encoded) == data
    for protocol in range(6):
        assert pickle.loads(pickle.dumps(data, protocol)) == data
    show("pickle", pickle.dumps(data, 4))


def structures():
    heap = []
    for n in range(30_000):
        heapq.heappush(heap, (chance.getrandbits(20), n))
        if n % 3 == 0:
            heapq.heappop(heap)
    show("heap", heap)
    ordered = []
    for _ in range(5000):
        bisect.insort(ordered, chance.getrandbits(16))
    show("bisect", ordered)
    show("array", array.array("d", (n * 0.1 for n in range(5000))).tobytes())
    grid = [[(x * y) % 7 for x in range(60)] for y in range(60)]
    show("matrix", [[sum(a * b for a, b in zip(row, column)) for column in zip(*grid)]
                    for row in grid])
    show("permutations", [hash(p) for p in itertools.permutations(range(7))])
    board = {(x, y) for x in range(40) for y in range(40) if chance.random() < 0.3}
    for _ in range(20):
        near = collections.Counter((x + i, y + j) for x, y in board for i in (-1, 0, 1)
                                   for j in (-1, 0, 1) if i or j)
        board = {cell for cell, n in near.items() if n == 3 or n == 2 and cell in board}
    show("life", sorted(board))


def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)


def threads_and_processes():
    print(depth(900))
    try:
        depth(10 ** 9)
    except RecursionError as error:
        print(error)
    sums = [0] * 4

    def work(which):
        for n in range(50_000):
            sums[which] += n * which
    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(sums)
    seen = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    turns = 0
    while len(seen) < 20:
        turns += math.isqrt(12345) == 111
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(turns > 0, len(seen) >= 20)
    for n in range(8):
        if (child := os.fork()) == 0:
            os._exit(n * 3 + depth(n))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(subprocess.run(["sort", "-rn"], input="\n".join(map(str, range(50))),
                         capture_output=True, text=True, check=True).stdout.split())


for part in hashes, floats, numbers, texts, structures, threads_and_processes:
    part()
    sys.stdout.flush()
