// SPDX-License-Identifier: LGPL-2.1-or-later
// WebAssembly, assembled here: arithmetic in all its types, vectors, tables, and every trap. V8 notices
// accesses outside of a memory by their page faults, and changes the code of functions as they get hot.
"use strict";

const I32 = 0x7f, I64 = 0x7e, F32 = 0x7d, F64 = 0x7c;

function unsigned(value) {
	const bytes = [];
	do {
		bytes.push(value & 0x7f | (value > 0x7f ? 0x80 : 0));
		value >>>= 7;
	} while (value);
	return bytes;
}
const vector = items => [...unsigned(items.length), ...items.flat()];
const section = (id, items) => { const body = vector(items); return [id, ...unsigned(body.length), ...body]; };

// functions: { name, takes, gives, locals, code }. A memory of `pages`, a table with every function.
function assemble(functions, pages) {
	const types = functions.map(f => [0x60, ...vector(f.takes.map(t => [t])), ...vector(f.gives.map(t => [t]))]);
	const exported = functions.map((f, i) => [...vector([...Buffer.from(f.name)].map(b => [b])), 0, ...unsigned(i)]);
	const bodies = functions.map(f => {
		const body = [...vector((f.locals || []).map(t => [1, t])), ...f.code, 0x0b];
		return [...unsigned(body.length), ...body];
	});
	const elements = [[0, 0x41, 0, 0x0b, ...vector(functions.map((_, i) => unsigned(i)))]];
	return Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...section(1, types),
		...section(3, functions.map((_, i) => unsigned(i))), ...section(4, [[0x70, 0, ...unsigned(functions.length)]]),
		...section(5, [[1, pages, pages + 4]]), ...section(7, [...exported, [1, 0x6d, 2, 0]]),
		...section(9, elements), ...section(10, bodies)]);
}

const get = i => [0x20, i], set = i => [0x21, i];
const functions = [];
const binary = (name, type, code, gives = type) =>
	functions.push({ name, takes: [type, type], gives: [gives], code: [...get(0), ...get(1), code] });
const unary = (name, takes, gives, ...code) =>
	functions.push({ name, takes: [takes], gives: [gives], code: [...get(0), ...code] });
for (let code = 0x6a; code <= 0x78; code++) binary("i32_" + code.toString(16), I32, code);
for (let code = 0x46; code <= 0x4f; code++) binary("i32_" + code.toString(16), I32, code);
for (let code = 0x7c; code <= 0x8a; code++) binary("i64_" + code.toString(16), I64, code);
for (let code = 0x51; code <= 0x5a; code++) binary("i64_" + code.toString(16), I64, code, I32);
for (let code = 0x92; code <= 0x98; code++) binary("f32_" + code.toString(16), F32, code);
for (let code = 0xa0; code <= 0xa6; code++) binary("f64_" + code.toString(16), F64, code);
for (let code = 0x61; code <= 0x66; code++) binary("f64_" + code.toString(16), F64, code, I32);
for (let code = 0x67; code <= 0x69; code++) unary("i32_" + code.toString(16), I32, I32, code);
for (let code = 0x79; code <= 0x7b; code++) unary("i64_" + code.toString(16), I64, I64, code);
for (let code = 0x99; code <= 0x9f; code++) unary("f64_" + code.toString(16), F64, F64, code);
for (let code = 0x8b; code <= 0x91; code++) unary("f32_" + code.toString(16), F32, F32, code);
unary("trunc_i32", F64, I32, 0xaa);
unary("trunc_u32", F64, I32, 0xab);
unary("trunc_i64", F64, I64, 0xb0);
unary("trunc_u64", F64, I64, 0xb1);
unary("sat_i32", F64, I32, 0xfc, 2);
unary("sat_u64", F64, I64, 0xfc, 7);
unary("from_i64", I64, F64, 0xb9);
unary("from_u64", I64, F64, 0xba);
unary("from_u64_32", I64, F32, 0xb5);
unary("bits", F64, I64, 0xbd);
unary("load8", I32, I32, 0x2d, 0, 0);
unary("load64", I32, I64, 0x29, 0, 0);
unary("load_far", I32, I32, 0x28, 2, 0xf0, 0xff, 0xff, 0xff, 0x0f);
unary("grow", I32, I32, 0x40, 0);
functions.push({ name: "store64", takes: [I32, I64], gives: [], code: [...get(0), ...get(1), 0x37, 0, 0] });
functions.push({ name: "unreachable", takes: [], gives: [], code: [0] });
functions.push({ name: "call", takes: [I32, I32, I32], gives: [I32], code: [...get(0), ...get(1), ...get(2), 0x11, 0, 0] });
functions.push({ name: "recurse", takes: [I32], gives: [I32],
	code: [...get(0), 0x41, 1, 0x6a, 0x10, ...unsigned(functions.length)] });
// sum = 0; do { sum = (sum * 31 + n) ^ (sum >> 7); mem[n & 0xfff] = sum; } while (--n)
functions.push({ name: "loop", takes: [I32], gives: [I64], locals: [I64], code: [0x03, 0x40,
	...get(1), 0x42, 31, 0x7e, ...get(0), 0xad, 0x7c, ...get(1), 0x42, 7, 0x87, 0x85, ...set(1),
	...get(0), 0x41, 0xf8, 0x1f, 0x71, ...get(1), 0x37, 3, 0,
	...get(0), 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, ...get(1)] });
// Of 16 bytes each at 0 and 16: a vector operation, to 32.
const simd = (name, ...code) => functions.push({ name, takes: [], gives: [], code: [0x41, 32, 0x41, 0, 0xfd, 0, 0, 0,
	0x41, 16, 0xfd, 0, 0, 0, 0xfd, ...code, 0xfd, 0x0b, 0, 0] });
const VECTORS = [0x0e, 0x23, 0x27, 0x2d, 0x37, 0x41, 0x47, 0x4e, 0x50, 0x65, 0x66, 0x6e, 0x6f, 0x71, 0x73, 0x76, 0x78, 0x7b,
	0x82, 0x85, 0x8e, 0x8f, 0x91, 0x95, 0x9b, 0x9c, 0xae, 0xb1, 0xb5, 0xb9, 0xba, 0xbc, 0xce, 0xd1, 0xd5,
	0xd8, 0xde, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5];
for (const code of VECTORS) simd("v_" + code.toString(16), ...unsigned(code));

const module_ = new WebAssembly.Module(assemble(functions, 1));
const { exports: e } = new WebAssembly.Instance(module_);
const attempt = (f, ...args) => {
	try {
		const result = f(...args);
		return Object.is(result, -0) ? "-0" : String(result);
	} catch (error) {
		return error.constructor.name + ": " + error.message;
	}
};

const values = {
	[I32]: [0, 1, -1, 7, 31, 33, 0x7fffffff, -0x80000000, 0x12345678],
	[I64]: [0n, 1n, -1n, 63n, 65n, 0x7fffffffffffffffn, -0x8000000000000000n, 0x123456789abcdefn],
	[F32]: [0, -0, 1.5, -2.25, 1e-45, 3.4e38, Infinity, -Infinity, NaN, 2147483648],
	[F64]: [0, -0, 1.5, -2.5, 5e-324, 1.7e308, Infinity, -Infinity, NaN, 2147483648, -2147483649, 1e19, 9.2e18, 4294967295.5],
};
const special = new Set(["load_far", "load8", "load64", "store64", "grow", "call", "recurse", "loop", "unreachable"]);
for (const f of functions) {
	if (special.has(f.name) || f.name.startsWith("v_")) continue;
	const results = [];
	for (const a of values[f.takes[0]])
		for (const b of f.takes.length > 1 ? values[f.takes[1]] : [0])
			results.push(attempt(e[f.name], a, b));
	console.log(f.name, results.join(" "));
}

// Until the optimizing compiler has had its turn, and then once more with everything.
for (let round = 0; round < 3000; round++) {
	e.i32_6d(1000, round | 1);
	e.f64_a3(round, 3);
	e.load64(round);
}
const bytes = new Uint8Array(e.m.buffer);
for (const [first, second] of [[1, 3], [200, 77], [127, 255], [63, 66]]) {
	for (let i = 0; i < 32; i++) bytes[i] = i < 16 ? first * (i + 1) : second + i * i;
	for (const code of VECTORS) {
		e["v_" + code.toString(16)]();
		console.log("vector", code.toString(16), Buffer.from(bytes.slice(32, 48)).toString("hex"));
	}
}
console.log(e.loop(30000000), e.loop(5));
let traps = 0;
for (let i = 0; i < 20000; i++) {
	for (const [f, ...args] of [[e.load8, 65536 + i], [e.load64, 65529], [e.store64, -8, 1n], [e.load_far, i]])
		try { f(...args); } catch (error) { traps += error instanceof WebAssembly.RuntimeError; }
	bytes[i & 0xff] = e.load8(i & 0xff) + 1;
}
console.log(traps, attempt(e.load8, 65535), attempt(e.load8, 65536), attempt(e.load64, 65528), attempt(e.load_far, 0));
console.log(attempt(e.unreachable), attempt(e.call, 9, 4, 0), attempt(e.call, 9, 4, 200), attempt(e.call, 9, 4, 2000));
for (let i = 0; i < 5; i++) console.log(attempt(e.recurse, 1));
console.log(e.grow(2), e.grow(0), e.grow(100), e.m.buffer.byteLength, attempt(e.load8, 100000), attempt(e.load8, 196608));

// Many modules: code is made, run, and made again in its place.
let sum = 0;
for (let i = 1; i < 300; i++) {
	const code = [...get(0), 0x41, i % 60, 0x6c, 0x41, i % 7, 0x6a];
	const made = assemble([{ name: "f", takes: [I32], gives: [I32], code }], 1);
	const { exports } = new WebAssembly.Instance(new WebAssembly.Module(made));
	for (let k = 0; k < 50; k++) sum = (sum + exports.f(k)) | 0;
}
console.log(sum);
