<?php
// SPDX-License-Identifier: LGPL-2.1-or-later
// The tracing JIT, digests, sorting, regular expressions.
function fibonacci($n) { return $n < 2 ? $n : fibonacci($n - 1) + fibonacci($n - 2); }

$state = 12345;
function chance()
{
	global $state;
	return $state = ($state * 1103515245 + 12345) % 2147483648;
}

function escapes($real, $imaginary)
{
	$x = $y = 0;
	for ($n = 0; $n < 200 && $x * $x + $y * $y < 4; $n++) {
		$next = $x * $x - $y * $y + $real;
		$y = 2 * $x * $y + $imaginary;
		$x = $next;
	}
	return $n;
}

echo fibonacci(27), "\n";
$numbers = [];
for ($i = 0; $i < 200000; $i++)
	$numbers[] = chance();
sort($numbers);
$text = implode(",", $numbers);
echo md5($text), " ", preg_match_all('/\b1\d*7,/', $text), " ", strlen(gzcompress($text, 9)), "\n";
$sum = 0.0;
for ($i = 1; $i < 2000000; $i++)
	$sum += sin($i) / $i;
printf("%.17g\n", $sum);
$picture = [];
for ($y = 0; $y < 120; $y++)
	for ($x = 0; $x < 120; $x++)
		$picture[] = escapes($x / 60 - 1.5, $y / 60 - 1);
echo crc32(implode(",", $picture)), "\n";
$count = [];
foreach ($numbers as $number)
	@$count["k" . $number % 999]++;
ksort($count);
echo md5(json_encode($count)), " ", intdiv(7, -2), " ", 7 % -3, "\n";
$most = PHP_INT_MAX;
$most++;
var_dump($most);
foreach (hash_algos() as $name)
	echo hash($name, str_repeat("kelvin", 1000)), "\n";
