#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every digest and cipher (DES key wrap is random) that the program has, on sizes around those that its vector code handles
# by itself; signatures.
set -eu
head -c 300000 /usr/bin/perl >data

digests=$(openssl list -digest-commands)
for digest in $digests; do
	for size in 63 1000 300000; do
		options=
		case $digest in shake*) options="-xoflen 64" ;; esac
		# shellcheck disable=SC2086
		head -c $size data | openssl dgst "-$digest" $options 2>&1 || true
	done
done

head -c 40008 data >short
key=00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0
for cipher in $(openssl enc -list | tail -n +2 | tr ' ' '\n' | grep -Evi '(des3-|3des)wrap'); do
	openssl enc "$cipher" -K $key -iv 0102030405060708090a0b0c0d0e0f10 -in short -out sealed \
		>messages 2>&1 || { echo "$cipher is not there"; continue; }
	echo "$cipher $(sha256sum <sealed)"
	openssl enc -d "$cipher" -K $key -iv 0102030405060708090a0b0c0d0e0f10 -in sealed \
		2>>messages | cmp - short 2>>messages || echo "$cipher: not for this size"
done
openssl enc -aes-256-ctr -pbkdf2 -iter 20000 -S 0011223344556677 -pass pass:kelvin -in data |
	sha256sum

# RFC 8410's form of a private key, for X25519 and Ed25519: 16 bytes, then the secret.
private() { printf "\060\056\002\001\000\060\005\006\003\053\145\\$1\004\042\004\040$2"; }
private 160 0123456789abcdef0123456789abcdef >ed25519.der
openssl pkeyutl -sign -rawin -inkey ed25519.der -keyform DER -in data | sha256sum
private 156 0123456789abcdef0123456789abcdef >one.der
private 156 fedcba9876543210fedcba9876543210 >two.der
openssl pkey -in two.der -inform DER -pubout -out two.pub
openssl pkeyutl -derive -inkey one.der -keyform DER -peerkey two.pub | sha256sum

# Keys that are new each time: nothing of them is left to compare.
for kind in "RSA -pkeyopt rsa_keygen_bits:2048" "EC -pkeyopt ec_paramgen_curve:P-256" \
	"EC -pkeyopt ec_paramgen_curve:P-521"; do
	# shellcheck disable=SC2086
	openssl genpkey -quiet -algorithm $kind -out key.pem 2>/dev/null
	openssl pkey -in key.pem -pubout -out key.pub
	openssl dgst -sha256 -sign key.pem -out signature data
	openssl dgst -sha256 -verify key.pub -signature signature data
done
openssl prime 170141183460469231731687303715884105727
rm -f key.pem key.pub signature sealed messages
