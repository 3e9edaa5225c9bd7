// SPDX-License-Identifier: LGPL-2.1-or-later
// SpiderMonkey: another JIT than node's.
let x = 12345;
function c() {
	x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
	return x;
}
let a = [];
for (let i = 0; i < 300000; i++) a.push(c());
a.sort((p, q) => p - q);
let h = 0;
for (const v of a) h = (Math.imul(h, 31) + v) | 0;
print(h);
let s = 0;
for (let i = 1; i < 3000000; i++) s += Math.sin(i) / i;
print(s);
function f(o) { return o.a + o.b }
let t = 0;
const shapes = [ {a : 1, b : 2}, {b : 2, a : 1}, {a : 1.5, b : "x"}, {a : 1, b : 2, c : 3} ];
for (let i = 0; i < 2000000; i++) { t += f(shapes[i % 4]).toString().length; }
print(t);
print([..."abc".repeat(2000) ].map((q, i) => q + i).join("").replace(/(\d)b/g, "$1-").length);
let e = 0;
for (let i = 0; i < 20000; i++) {
	try {
		if (i % 3 == 0)
			null.x;
	} catch (q) { e++ }
}
print(e);
const m = new Map();
for (let i = 0; i < 100000; i++) {
	const k = "k" + a[i] % 777;
	m.set(k, (m.get(k) || 0) + 1);
}
print(m.size);
print((2n ** 500n % 1000000007n).toString());
const f64 = new Float64Array(1000).map((_, i) => i / 3);
let g = 0;
for (let r = 0; r < 2000; r++)
	for (let i = 0; i < 1000; i++) g += f64[i] * r;
print(g);
for (let k = 0; k < 200; k++) {
	const fn = new Function("q", "let s=0; for(let i=0;i<500;i++) s+=i*q+" + k + "; return s");
	if (k % 50 == 0)
		print(fn(k));
}
const w = new Uint8Array([
	0,  97, 115, 109, 1,   0, 0,  0,  1,  6, 1,   96, 1, 127, 1, 127, 3,  2, 1,  0,
	7,  5,	1,   1,	  102, 0, 0,  10, 30, 1, 28,  1,  1, 127, 3, 64,  32, 1, 32, 0,
	32, 0,	108, 106, 33,  1, 32, 0,  65, 1, 107, 34, 0, 13,  0, 11,  32, 1, 11
]);
try {
	print(new WebAssembly.Instance(new WebAssembly.Module(w)).exports.f(100000));
} catch (q) { print("wasm: " + q.name) }
