# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
#
# For the scripts beside this file, which source it: takes packages of Debian apart without
# installing them. Packages are downloaded with an apt of our own, with this host's sources but
# its own lists, so that packages of other architectures do not need the host's consent.
#
# KELVIN_PACKAGES names the directory that keeps lists and packages between runs.

store=${KELVIN_PACKAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/kelvin-packages}

say() { echo "$(basename "$0"): $*" >&2; }
die() { say "$@"; exit 1; }

for tool in apt-get apt-cache dpkg-deb; do
	command -v $tool >/dev/null || die "$tool is needed, this host does not have it"
done

# An apt command ($2...) for architecture $1.
apt_for() {
	apt_arch=$1
	apt_command=$2
	shift 2
	mkdir -p "$store/$apt_arch/lists/partial" "$store/$apt_arch/cache/archives/partial"
	touch "$store/$apt_arch/status"
	$apt_command -q -o APT::Architecture="$apt_arch" -o APT::Architectures="$apt_arch" \
		-o APT::Sandbox::User= -o Acquire::Languages=none \
		-o Dir::State="$store/$apt_arch" -o Dir::State::status="$store/$apt_arch/status" \
		-o Dir::Cache="$store/$apt_arch/cache" "$@"
}

# Brings the lists of architecture $1 up to date, once a day.
update_lists() {
	[ -n "$(find "$store/$1/updated" -mtime -1 2>/dev/null)" ] && return
	mkdir -p "$store/$1"
	say "reading the lists of packages for $1"
	apt_for "$1" apt-get update >"$store/$1.log" 2>&1 || # a source without $1 is no obstacle
		say "some lists could not be read, see $store/$1.log"
	touch "$store/$1/updated"
}

# The package that meta package $2 stands for, which is itself when it stands for none: a kernel's
# version is in its name.
real_package() {
	update_lists "$1"
	found=$(apt_for "$1" apt-cache depends "$2" 2>/dev/null |
		awk '/^ *Depends: linux-image-[0-9]/ { print $2; exit }')
	echo "${found:-$2}"
}

# Unpacks package $2 of architecture $1 into directory $3.
unpack_package() {
	name=$(real_package "$1" "$2")
	kept() { find "$store/$1" -maxdepth 1 -name "${name}_*.deb" | sort | tail -n 1; }
	if [ -z "$(kept "$1")" ]; then
		say "downloading $name for $1"
		(cd "$store/$1" && apt_for "$1" apt-get download "$name" >download.log 2>&1) ||
			die "package \"$name\" for $1 cannot be downloaded, see $store/$1/download.log"
	fi
	mkdir -p "$3"
	dpkg-deb -x "$(kept "$1")" "$3"
}
