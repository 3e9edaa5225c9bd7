# SPDX-License-Identifier: LGPL-2.1-or-later
# What Perl programs do: lines, hashes, regular expressions, sorting.
use strict;
use warnings;

my ($state, %count, @lines) = (1);
for (1 .. 150000) {
	$state = ($state * 1103515245 + 12345) & 0x7fffffff;
	push @lines, sprintf("%s user%d logged in from 10.%d.%d.%d", $state & 0x10000 ? "info" : "warn",
		$state % 977, $state >> 8 & 255, $state >> 12 & 255, $state >> 16 & 255);
}
my $warnings = 0;
for (@lines) {
	$count{$2} += length $3 if /^(\w+) (user\d+) logged in from ([\d.]+)$/;
	$warnings++ if /^warn/;
	s/10\.(\d+)\./net-$1-/;
	my @parts = split /[ .-]/;
	$count{$parts[-1]}++;
}
my @order = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print "$warnings @order[0 .. 9]\n";
my $text = join "\n", @lines;
my $hits = () = $text =~ /net-\d+5-\d+/g;
(my $upper = $text) =~ tr/a-z/A-Z/;
print "$hits ", unpack("%32C*", $upper), " ", join(",", map { sprintf "%.6f", sin $_ } 1 .. 3), "\n";
