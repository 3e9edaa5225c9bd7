// SPDX-License-Identifier: LGPL-2.1-or-later
// A JIT of two stages; faults on purpose; threads; digests and checksums by vector instructions.
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import java.security.*;
import java.math.*;
public class Main {
	static int x = 12345;
	static int chance() {
		x = x * 1103515245 + 12345;
		return (x >>> 8) & 0xffffff;
	}
	interface Shape {
		double area();
	}
	record Sq(double a) implements Shape {
		public double area() { return a * a; }
	}
	record Ci(double r) implements Shape {
		public double area() { return Math.PI * r * r; }
	}
	record Tr(double a, double b) implements Shape {
		public double area() { return a * b / 2; }
	}
	static long deep(int n) { return n == 0 ? 0 : 1 + deep(n - 1); }
	static volatile int v;
	static int shared;
	static final Object lock = new Object();
	public static void main(String[] z) throws Exception {
		int[] a = new int[500000];
		for (int i = 0; i < a.length; i++) a[i] = chance();
		Arrays.sort(a);
		System.out.println(Arrays.hashCode(a));
		float[] f = new float[100000], g = new float[100000];
		for (int i = 0; i < f.length; i++) {
			f[i] = i * .5f;
			g[i] = (float)Math.sin(i);
		}
		double s = 0;
		for (int r = 0; r < 50; r++) {
			for (int i = 0; i < f.length; i++) f[i] = f[i] * g[i] + 1.5f;
		}
		for (float q : f) s += q;
		System.out.println(s);
		Shape[] sh = new Shape[3000];
		for (int i = 0; i < sh.length; i++)
			sh[i] = i % 3 == 0 ? new Sq(i) : i % 3 == 1 ? new Ci(i) : new Tr(i, 3);
		double t = 0;
		for (int r = 0; r < 500; r++)
			for (Shape q : sh) t += q.area();
		System.out.println(t);
		Map<String, Integer> m = new TreeMap<>();
		for (int i = 0; i < 100000; i++)
			m.merge(Integer.toString(chance() % 5000, 36), 1, Integer::sum);
		System.out.println(m.hashCode());
		int so = 0;
		for (int i = 0; i < 5; i++) try {
				deep(1 << 30);
			} catch (StackOverflowError e) { so++; }
		System.out.println("overflows " + so);
		int np = 0;
		for (int i = 0; i < 200000; i++) {
			try {
				Object o = i % 5 == 0 ? null : "x";
				np += o.hashCode() & 1;
			} catch (NullPointerException e) { np += 2; }
		}
		System.out.println("null " + np);
		int ae = 0;
		for (int i = 0; i < 100000; i++) {
			try {
				ae += 100 / (i % 4);
				int[] b = new int[3];
				b[i % 5] = 1;
			} catch (ArithmeticException e) {
				ae += 7;
			} catch (ArrayIndexOutOfBoundsException e) { ae += 3; }
		}
		System.out.println("exc " + ae);
		ExecutorService ex = Executors.newFixedThreadPool(4);
		List<Future<Long>> fs = new ArrayList<>();
		for (int k = 0; k < 16; k++) {
			final int kk = k;
			fs.add(ex.submit(() -> {
				long q = 0;
				for (int i = 0; i < 300000; i++) {
					q = q * 31 + i * kk;
					synchronized (lock) { shared++; }
				}
				return q;
			}));
		}
		long tot = 0;
		for (var q : fs) tot += q.get();
		ex.shutdown();
		System.out.println(tot + " " + shared);
		System.out.println(
		    IntStream.range(0, 2000000).parallel().mapToLong(i -> (long)i * i % 7).sum());
		MessageDigest md = MessageDigest.getInstance("SHA-256");
		byte[] d = new byte[3000000];
		for (int i = 0; i < d.length; i++) d[i] = (byte)i;
		System.out.println(new BigInteger(1, md.digest(d)).toString(16));
		md = MessageDigest.getInstance("MD5");
		System.out.println(new BigInteger(1, md.digest(d)).toString(16));
		var c = javax.crypto.Cipher.getInstance("AES/GCM/NoPadding");
		c.init(1, new javax.crypto.spec.SecretKeySpec(new byte[16], "AES"),
		       new javax.crypto.spec.GCMParameterSpec(128, new byte[12]));
		System.out.println(Arrays.hashCode(c.doFinal(d)));
		BigInteger b = BigInteger.ONE;
		for (int i = 1; i < 2000; i++) b = b.multiply(BigInteger.valueOf(i));
		System.out.println(b.hashCode());
		System.out.println(BigInteger.valueOf(3)
				       .modPow(b, BigInteger.TWO.pow(521).subtract(BigInteger.ONE))
				       .hashCode());
		StringBuilder sb = new StringBuilder();
		for (int i = 0; i < 200000; i++) sb.append(i * 1.1).append(',');
		System.out.println(sb.toString().hashCode());
		System.out.println(Pattern(sb));
		List<byte[]> keep = new ArrayList<>();
		for (int i = 0; i < 3000; i++) {
			byte[] q = new byte[50000];
			q[0] = (byte)i;
			if (i % 50 == 0)
				keep.add(q);
		}
		System.out.println(keep.size());
		System.gc();
		System.out.println(keep.get(3)[0]);
		long crc = 0;
		var cr = new java.util.zip.CRC32C();
		cr.update(d);
		System.out.println(cr.getValue());
		var cc = new java.util.zip.CRC32();
		cc.update(d);
		System.out.println(cc.getValue());
	}
	static int Pattern(CharSequence s) {
		var m = java.util.regex.Pattern.compile("(\\d)\\1\\.").matcher(s);
		int n = 0;
		while (m.find()) n++;
		return n;
	}
}
