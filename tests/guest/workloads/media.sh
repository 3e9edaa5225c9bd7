#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Video, sound and pictures, coded and decoded: vector code of every width. What is left is digests.
set -eu
video() { # $1: a name for it, $2: its file, the rest: how to code it
	name=$1 file=$2
	shift 2
	ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=352x288:rate=25 -t 0.6 "$@" \
		-bitexact "/tmp/$file"
	ffmpeg -nostdin -loglevel error -i "/tmp/$file" -f framemd5 -bitexact "$name.md5"
}
sound() {
	ffmpeg -nostdin -loglevel error -f lavfi -i "anoisesrc=d=3:seed=5:c=pink" "$@" \
		-bitexact "/tmp/sound" && sha256sum </tmp/sound && rm /tmp/sound
}
video x264 a.mkv -c:v libx264 -preset medium -threads 1
video x264-threads b.mkv -c:v libx264 -preset fast -threads 2 -x264-params sliced-threads=1
video x265 c.mkv -c:v libx265 -preset fast -x265-params log-level=none:pools=none:frame-threads=1
video vp9 d.webm -c:v libvpx-vp9 -deadline realtime -cpu-used 5 -threads 1
video mpeg4 e.avi -c:v mpeg4 -q 4 -threads 1
video mjpeg f.avi -c:v mjpeg -q 3
video ffv1 g.avi -c:v ffv1
video filters h.nut -vf scale=640:480:flags=lanczos,hqdn3d,unsharp,gblur=2 -c:v rawvideo
sound -c:a flac -f flac
sound -c:a aac -threads 1 -f adts
sound -c:a libmp3lame -f mp3
sound -c:a libopus -f ogg
sound -af "aresample=44100,equalizer=f=1000:width_type=h:width=200:g=-10" -f s16le
ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=352x288 -frames:v 1 /tmp/picture.png
cwebp -quiet -q 80 /tmp/picture.png -o picture.webp
dwebp -quiet picture.webp -pam -o - | sha256sum
head -c 2000000 /usr/bin/perl >/tmp/data
for packer in "zstd -q -5" "zstd -q -15 -T2" "lz4 -q -9" "brotli -q 6" bzip2; do
	$packer -c /tmp/data | sha256sum
	$packer -c /tmp/data | ${packer%% *} -dc | cmp - /tmp/data
done
