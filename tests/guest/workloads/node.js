// SPDX-License-Identifier: LGPL-2.1-or-later
// What makes a JIT work: functions that become hot, assumptions that turn out wrong, code that is
// made at run time, garbage, regular expressions, workers that share memory.
"use strict";
const crypto = require("crypto");
const zlib = require("zlib");
const { Worker, isMainThread, workerData, parentPort } = require("worker_threads");

let state = 12345;
const chance = () => (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff);

function show(name, value) {
	const text = Buffer.isBuffer(value) ? value : typeof value === "string" ? value : JSON.stringify(value);
	const sum = crypto.createHash("sha256").update(text).digest("hex");
	console.log(name, text.length, sum, text.toString("latin1").slice(0, 50));
}

function integers() {
	let a = 0, b = 1;
	for (let i = 0; i < 20000000; i++) {
		a = (a + Math.imul(b, i)) | 0;
		b = (b ^ (a >>> 3)) + (i & 7) | 0;
	}
	show("integers", [a, b, Math.clz32(a), a % 1000, (b >>> 0) / 3]);
	const sieve = new Uint8Array(2000000);
	let count = 0;
	for (let i = 2; i < sieve.length; i++) {
		if (sieve[i]) continue;
		count++;
		for (let j = i * 2; j < sieve.length; j += i) sieve[j] = 1;
	}
	show("sieve", [count]);
}

function floats() {
	const out = [];
	for (let i = 1; i < 20000; i++) {
		const x = i / 37;
		out.push(Math.sin(x), Math.cos(x), Math.tan(x), Math.exp(x / 99), Math.log(x), Math.pow(x, 1.3),
			Math.atan2(x, 3), Math.sqrt(x), Math.cbrt(x), Math.hypot(x, i), Math.fround(x), Math.tanh(x),
			Math.round(x - 200), Math.trunc(-x), Math.floor(-x), Math.sign(x), x % 1.7);
	}
	show("floats", out);
	const view = new DataView(new ArrayBuffer(8));
	const texts = [];
	for (let i = 0; i < 20000; i++) {
		view.setInt32(0, chance() << 1);
		view.setInt32(4, chance());
		const value = view.getFloat64(0);
		texts.push(String(value), value.toExponential(5), (value | 0).toString(36));
		if (!Object.is(Number(String(value)), value) && value === value) throw new Error("not read back");
	}
	show("decimal", texts.join());
	const n = 90, matrix = () => Float64Array.from({ length: n * n }, (_, i) => Math.sin(i));
	const p = matrix(), q = matrix(), r = new Float64Array(n * n);
	for (let i = 0; i < n; i++)
		for (let j = 0; j < n; j++) {
			let sum = 0;
			for (let k = 0; k < n; k++) sum += p[i * n + k] * q[k * n + j];
			r[i * n + j] = sum;
		}
	show("matrix", Buffer.from(r.buffer));
}

// Types change after the code was made for others: it must be left in the middle.
function deoptimized() {
	const add = (a, b) => a + b;
	const out = [];
	for (const values of [[1, 2], [1.5, 2.25], ["a", 1], [2 ** 31 - 1, 1], [{}, []], [1n, 2n], [null, true],
		[undefined, 3], [-0, -0], [2 ** 53, 1], ["x", "y"]]) {
		let last;
		for (let i = 0; i < 30000; i++) last = add(values[0], values[1]);
		out.push(String(last));
	}
	class Point { constructor(x) { this.x = x; } get length() { return this.x * 2; } }
	class Other extends Point { get length() { return super.length + 1; } }
	const measure = list => list.reduce((sum, one) => sum + one.length, 0);
	for (const make of [i => new Point(i), i => new Other(i), i => ({ length: i }), i => "x".repeat(i % 9), i => [i]])
		for (let round = 0; round < 30; round++)
			out.push(measure(Array.from({ length: 100 }, (_, i) => make(i + round))));
	Point.prototype.extra = 1;
	Object.defineProperty(Point.prototype, "length", { get() { return 5; } });
	out.push(measure([new Point(1), new Other(2)]));
	const array = [];
	for (let i = 0; i < 50000; i++) array.push(i & 15 ? i : i / 3);
	array[60000] = "hole";
	out.push(array.length, array.indexOf("hole"), array.filter(x => x !== undefined).length);
	show("deoptimized", out);
}

function thrown() {
	let caught = 0, finals = 0;
	const wrong = [() => null.x, () => undefined(), () => { throw 7; }, () => new Array(-1), () => 1n + 1,
		() => JSON.parse("{"), () => decodeURIComponent("%"), () => Symbol() + "", i => i];
	for (let i = 0; i < 60000; i++) {
		try {
			caught += wrong[i % wrong.length](i) & 1;
		} catch (error) {
			caught += error === 7 ? 3 : error.message.length;
		} finally {
			finals++;
		}
	}
	const deep = n => n + deep(n + 1);
	let overflows = 0;
	for (let i = 0; i < 5; i++)
		try { deep(0); } catch (error) { overflows += error instanceof RangeError; }
	show("thrown", [caught, finals, overflows]);
}

// New machine code all the time, where other code was.
function generated() {
	let sum = 0;
	for (let i = 0; i < 1500; i++) {
		const f = new Function("n", `let s = ${i}; for (let k = 0; k < n; k++) s = (s * ${i % 13 + 2} + k) % ${1000 + i}; return s;`);
		sum += f(i < 1400 ? 40 : 20000);
	}
	const source = Array.from({ length: 300 }, (_, i) => `function f${i}(x) { return x ${"+-*^"[i & 3]} ${i} }`).join("\n");
	const all = eval(source + "; [" + Array.from({ length: 300 }, (_, i) => "f" + i).join() + "]");
	for (let round = 0; round < 600; round++)
		for (const f of all) sum = (sum + f(round)) | 0;
	show("generated", [sum]);
}

function garbage() {
	let tree = null;
	const make = d => d ? { left: make(d - 1), right: make(d - 1), name: "node" + d } : null;
	const size = t => t ? 1 + size(t.left) + size(t.right) : 0;
	let total = 0;
	for (let i = 0; i < 40; i++) {
		const next = make(13);
		if (i % 7 === 0) tree = next;
		total += size(next) + size(tree);
	}
	const map = new Map(), weak = new WeakMap();
	for (let i = 0; i < 200000; i++) {
		const key = "k" + (chance() % 50000);
		map.set(key, (map.get(key) || 0) + i);
		weak.set({}, i);
	}
	show("garbage", [total, map.size, [...map.values()].reduce((a, b) => (a + b) % 1000003, 0)]);
	const objects = Array.from({ length: 60000 }, (_, i) => ({ id: i, key: chance(), text: "t" + i % 100 }));
	objects.sort((a, b) => a.key - b.key || a.id - b.id);
	const text = JSON.stringify(objects);
	show("json", text);
	show("sorted", JSON.parse(text).sort((a, b) => a.text < b.text ? -1 : a.text > b.text ? 1 : a.id - b.id));
}

function texts() {
	let text = "";
	for (let i = 0; i < 60000; i++) text += String.fromCharCode(97 + (chance() >> 8) % 6) + (i % 11 ? "" : i + "\n");
	const out = [];
	for (const pattern of [/(a+)b(?=c)/g, /^(?<first>[a-c]+)(\d+)$/gm, /([a-f])\1{2,}/gi, /(?<!a)b[^c\n]{2,5}?d/g,
		/\b\d*[13579]\b/gu, /(?:ab|cd|ef)+|fe*/g]) {
		let hits = 0, last;
		for (const match of text.matchAll(pattern)) { hits++; last = match[0] + match.index; }
		out.push(hits, last, text.replace(pattern, (whole, a) => "<" + a + ">").length);
	}
	show("regex", out);
	show("unicode", "äß€\u{1d11e}İ".repeat(300).normalize("NFD").toUpperCase().split("").reverse().join(""));
	show("sort", text.split("\n").sort().join());
}

function numbers() {
	let a = 1n, b = 1n;
	for (let i = 0; i < 3000; i++) [a, b] = [b, a + b];
	let power = 1n, base = 7n;
	for (let e = 1n << 200n; e; e >>= 1n) { if (e & 1n) power = power * base % b; base = base * base % b; }
	show("bigint", [String(a), String(b / 12345678901234567890n), String(power), BigInt.asIntN(64, b).toString(16)]);
}

function encrypted() {
	const data = Buffer.alloc(300001, i => i);
	for (let i = 0; i < data.length; i++) data[i] = chance() >> 9;
	for (const name of ["md5", "sha1", "sha512", "sha3-256", "blake2b512", "ripemd160"])
		show(name, crypto.createHmac(name, "key").update(data).digest());
	for (const name of ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"]) {
		const key = data.subarray(0, name === "aes-128-gcm" ? 16 : 32);
		const cipher = crypto.createCipheriv(name, key, data.subarray(40, 52), { authTagLength: 16 });
		show(name, Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]));
	}
	show("scrypt", crypto.scryptSync("kelvin", "salt", 64, { N: 4096 }));
	const text = Buffer.from(data.toString("hex"));
	for (const pack of ["gzipSync", "brotliCompressSync", "deflateRawSync"])
		show(pack, zlib[pack](text.subarray(0, 100000), { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5 } }));
	if (!zlib.gunzipSync(zlib.gzipSync(text)).equals(text)) throw new Error("not unpacked");
}

async function later() {
	function* count(n) { for (let i = 0; i < n; i++) yield i * i; }
	async function* slowly(n) { for (const x of count(n)) { await null; yield x; } }
	let sum = 0;
	for await (const x of slowly(20000)) sum += x;
	const done = await Promise.allSettled(Array.from({ length: 1000 }, async (_, i) => {
		await null;
		if (i % 3 === 0) throw i;
		return i;
	}));
	show("later", [sum, done.filter(d => d.status === "rejected").length]);
}

// Four threads, a counter and a lock in memory that they share.
const TURNS = 20000;
function shared(cells) {
	for (let i = 0; i < TURNS; i++) {
		Atomics.add(cells, 0, 1);
		while (Atomics.compareExchange(cells, 1, 0, 1) !== 0) Atomics.wait(cells, 1, 1, 1);
		cells[2] += 1;
		Atomics.store(cells, 1, 0);
		if (i % 100 === 0) Atomics.notify(cells, 1);
	}
}
async function workers() {
	const cells = new Int32Array(new SharedArrayBuffer(64));
	await Promise.all(Array.from({ length: 4 }, () => new Promise((resolve, reject) => {
		const worker = new Worker(__filename, { workerData: cells });
		worker.on("error", reject);
		worker.on("exit", resolve);
	})));
	show("workers", [cells[0], cells[2]]);
}

async function main() {
	for (const part of [integers, floats, deoptimized, thrown, generated, garbage, texts, numbers, encrypted, later, workers])
		await part();
}

if (isMainThread)
	main();
else
	shared(workerData);
