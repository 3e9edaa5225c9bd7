# SPDX-License-Identifier: LGPL-2.1-or-later
"""Linear algebra, vector functions, sorts, conversions: NumPy and OpenBLAS choose code by CPUID."""
import hashlib
import os
import threading

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402
from scipy import linalg, optimize, special  # noqa: E402


def show(name, values):
    values = np.ascontiguousarray(values)
    print(name, values.shape, hashlib.sha256(values.tobytes()).hexdigest()[:24])


chance = np.random.Generator(np.random.PCG64(7))
a = chance.standard_normal((300, 300))
b = chance.standard_normal((300, 300))
single = a.astype(np.float32)
numbers = chance.integers(-2**31, 2**31, 100000)

show("dgemm", a @ b)
show("sgemm", single @ single)
show("zgemm", (a + 1j * b) @ (b - 1j * a))
show("solve", np.linalg.solve(a, b))
show("svd", np.linalg.svd(a)[1])
show("eigenvalues", np.linalg.eigvalsh(a + a.T))
show("qr", np.linalg.qr(a)[1])
show("lu", linalg.lu(a)[2])
show("exponential", linalg.expm(a / 50))
for name in ("sin cos tan exp log1p sqrt arctan tanh cbrt exp2 log2 log10 arcsinh expm1 floor "
             "rint").split():
    for kind in np.float64, np.float32:
        show(name, getattr(np, name)(np.abs(a).astype(kind)))
for kind in np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64:
    v = numbers.astype(kind)
    show(f"sort {kind.__name__}", np.sort(v))
    show("order", np.argsort(v, kind="stable"))
    show("sums", [v.sum(), v.min(), v.max(), (v * 3).sum()])
    show("divide", v // 7)
    show("compare", (v > v[::-1]) & (v != 5))
    show("shift", v >> 2)
for kind in np.float16, np.float32, np.float64:
    show("convert", (numbers % 60000).astype(kind))
    show("sort", np.sort((numbers % 60000 / 7).astype(kind)))
show("fourier", np.fft.fft(a))
show("convolve", np.convolve(a[0], b[0]))
show("cumulate", np.cumsum(a))
show("einsum", np.einsum("ij,jk->ik", a, b))
show("where", np.where(a > 0, a, b))
show("bits", np.packbits(a > 0))
show("histogram", np.histogram(a, 50)[0])
show("unique", np.unique(numbers % 1000))
show("dot", [np.dot(single.ravel(), single.ravel()), np.vdot(a, b)])
with np.errstate(all="ignore"):
    show("by zero", a / np.zeros_like(a))
show("nan", np.nanmax(np.where(a > 1, np.nan, a)))
show("gamma", special.gamma(np.abs(a)))
show("minimum", optimize.minimize(lambda x: ((x - 3)**2).sum() + np.sin(x).sum(),
                                  np.zeros(8)).x.round(6))
threads = [threading.Thread(target=lambda: [a @ b for _ in range(5)]) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
