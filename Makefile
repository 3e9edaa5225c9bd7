# SPDX-License-Identifier: LGPL-2.1-or-later
# Forwards to meson and the scripts in tools/; nothing is decided here.

BUILD ?= build

all: packages
	@tools/build $(BUILD)

# Debian packages that the build, the default guest and the tests need.
packages:
	@tools/packages

# The main job: the default guest, on the best accelerator that works.
run: all
	@tools/run-guest $(BUILD)

# Everything under tests/; the last line counts.
check: all
	@tools/check $(BUILD)

# Speed, as ratios; see docs/perf.md.
perf: all
	@$(BUILD)/tests/perf/insns
	@tests/perf/run $(BUILD)
	@tests/perf/programs $(BUILD)
	@tests/perf/parallel $(BUILD)
	@tests/perf/systems $(BUILD)

# PREFIX, DESTDIR as usual. QEMU_ALIAS=1 also installs qemu-system-x86_64 as another name.
install: all
	@tools/install $(BUILD)

clean:
	rm -rf $(BUILD) $(BUILD)-asan

.PHONY: all packages run check perf install clean
