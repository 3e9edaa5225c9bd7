// SPDX-License-Identifier: LGPL-2.1-or-later
// A JIT with faults on purpose, threads, garbage.
using System;
using System.Linq;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using System.Text;
using System.Security.Cryptography;
class P {
	static int x = 12345;
	static int C() {
		unchecked { x = x * 1103515245 + 12345; }
		return (x >> 8) & 0xffffff;
	}
	static int Fib(int n) { return n < 2 ? n : Fib(n - 1) + Fib(n - 2); }
	static object o = new object();
	static int n;
	static void Main() {
		var a = Enumerable.Range(0, 200000).Select(i => C()).ToArray();
		Array.Sort(a);
		long h = 0;
		foreach (var v in a) h = unchecked(h * 31 + v);
		Console.WriteLine(h);
		Console.WriteLine(Fib(30));
		double s = 0;
		for (int i = 1; i < 2000000; i++) s += Math.Sin(i) / i + Math.Sqrt(i);
		Console.WriteLine(s.ToString("R"));
		var sb = new StringBuilder();
		for (int i = 0; i < 50000; i++) sb.AppendFormat("{0:X}-{1:F2},", C(), i / 7.0);
		Console.WriteLine(BitConverter.ToString(
		    SHA256.Create().ComputeHash(Encoding.UTF8.GetBytes(sb.ToString()))));
		int e = 0;
		for (int i = 0; i < 5000; i++) {
			try {
				object q = i % 3 == 0 ? null : (object) "s";
				e += q.ToString().Length;
				int[] z = new int[2];
				z[i % 4] = 1;
				e += 5 / (i % 2);
			} catch (NullReferenceException) { e += 10; } catch (IndexOutOfRangeException) {
				e += 100;
			} catch (DivideByZeroException) { e += 1000; }
		}
		Console.WriteLine(e);
		Parallel.For(0, 8, k => {
			for (int i = 0; i < 50000; i++) lock (o) n++;
		});
		Console.WriteLine(n);
		var d = new Dictionary<string, int>();
		for (int i = 0; i < 100000; i++) {
			var k = (C() % 3000).ToString();
			int v;
			d.TryGetValue(k, out v);
			d[k] = v + 1;
		}
		Console.WriteLine(d.Values.Sum() + " " + d.Count);
		var l = new List<byte[]>();
		for (int i = 0; i < 5000; i++) {
			var q = new byte[20000];
			if (i % 100 == 0)
				l.Add(q);
		}
		GC.Collect();
		Console.WriteLine(l.Count);
		decimal m = 1;
		for (int i = 1; i < 25; i++) m *= i;
		Console.WriteLine(m / 7);
		Console.WriteLine(System.Numerics.BigInteger.Pow(3, 1000) % 1000000007);
	}
}
