# SPDX-License-Identifier: LGPL-2.1-or-later
# Strings, hashes, regular expressions, numbers and their formats, big numbers, processes.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha1_hex sha256_hex sha512_hex);
use List::Util qw(sum max shuffle reduce);
use Math::BigFloat;
use Math::BigInt;

my $state = 12345;
sub chance { $state = ($state * 1103515245 + 12345) % 2147483648; return $state; }

my %count;
my $text = join " ", map { chr(97 + chance() / 65536 % 26) x (1 + $_ % 3) . $_ % 97 } 1 .. 200000;
$count{$1}++ while $text =~ /\b([a-f]+)(?=\d*[13579]\b)/g;
print "$_ $count{$_}\n" for sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
(my $other = $text) =~ s/(\w+) (\w+)/$2 . length($1)/ge;
$other =~ tr/a-m0-4/n-z5-9/;
print sha256_hex($other), " ", md5_hex($text), " ", sha512_hex($text x 3), "\n";

my @numbers = map { (chance() - 2**30) * 10**(chance() % 40 - 20) } 1 .. 3000;
print sha1_hex(join ",", sort { $a <=> $b } @numbers), "\n";
printf "%.17g %e %g %s\n", $_, $_, $_, $_ for @numbers[0 .. 40];
printf "%.15g %.15g %.15g %.15g\n", sin $_, exp($_ / 9), sqrt $_, atan2 $_, 3 for 1 .. 40;
print unpack("H*", pack "d>f<q>Nvw", 1 / 3, 2.5, -$_, $_, $_, $_ * 1000), "\n" for 1 .. 9;
printf "%b %o %x %d\n", $_ ^ 0x5a5a, $_ << 7, ~$_, -$_ >> 3 for 1 .. 9;

my $factorial = Math::BigInt->new(300)->bfac;
print "$factorial ", Math::BigInt->new(3)->bmodpow("1" . "0" x 50, "9" x 60), "\n";
print Math::BigFloat->new(2)->bsqrt(200), " ", Math::BigFloat->bpi(150), "\n";

for my $round (1 .. 30) {
	my $answer = eval { die { round => $round } if $round % 3; $round * 2 };
	print $answer // "died in $@->{round}", "\n";
}
for my $child (1 .. 20) {
	pipe my $reader, my $writer or die;
	if (!fork) {
		print $writer sum(map { $_ * $child } 1 .. 1000), "\n";
		exit $child;
	}
	close $writer;
	print "child $child: ", <$reader>;
	wait;
	print "status ", $? >> 8, "\n";
}
my $signals = 0;
$SIG{USR1} = sub { $signals++ };
for (1 .. 500) { kill USR1 => $$; }
print "$signals signals\n";
my $deep = sub { my ($self, $n) = @_; $n < 2 ? $n : $self->($self, $n - 1) + $self->($self, $n - 2) };
print $deep->($deep, 20), "\n";
