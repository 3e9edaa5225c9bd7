/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stopped board as one stream, and back.
 *
 * A header, then sections in this order: VM (interrupt controllers, clock), each piece of RAM (runs
 * of pages that are not zero), each device, each vCPU, end. Only the order and sizes that this file
 * writes are accepted; every length is checked before it is believed, and nothing is allocated by a
 * number from the stream beyond STATE_MAX. It needs no seeking: a pipe or socket will do.
 */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

#define MAGIC 0x50414e53564c454bull /* "KELVSNAP" */

enum { VERSION = 1, STATE_MAX = 64 << 20, NAME_LIMIT = 256, RUN_PAGES = 256 };
enum section_kind { SECTION_VM = 1, SECTION_RAM, SECTION_DEVICE, SECTION_VCPU, SECTION_END };

struct header {
	uint64_t magic;
	uint32_t version, vcpus;
	uint64_t clock;
};

struct section {
	uint32_t kind, name_bytes;
	uint64_t bytes;
};

struct run { /* of pages; bytes 0 ends */
	uint64_t offset, bytes;
};

static int put(int fd, const void *from, size_t bytes, struct err *err)
{
	int code = fd_write_all(fd, from, bytes);

	return code ? fail(err, -code, "cannot write the snapshot: %s", strerror(-code)) : 0;
}

static int get(int fd, void *to, size_t bytes, struct err *err)
{
	int code = fd_read_all(fd, to, bytes);

	if (code == -ENODATA)
		return fail(err, EINVAL, "the snapshot ends early");
	return code ? fail(err, -code, "cannot read the snapshot: %s", strerror(-code)) : 0;
}

static int put_section(int fd, enum section_kind kind, const char *name, uint64_t bytes,
		       struct err *err)
{
	struct section section = { .kind = kind, .name_bytes = (uint32_t)strlen(name),
				   .bytes = bytes };
	int code = put(fd, &section, sizeof(section), err);

	return code ? code : put(fd, name, section.name_bytes, err);
}

static void progress(struct board *board, uint64_t bytes)
{
	__atomic_fetch_add(&board->snapshot_done, bytes, __ATOMIC_RELAXED);
}

static void start_progress(struct board *board)
{
	uint64_t total = 0;

	for (struct ram *ram = board->rams; ram; ram = ram->next)
		total += ram->memory.bytes;
	__atomic_store_n(&board->snapshot_done, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&board->snapshot_total, total, __ATOMIC_RELAXED);
}

void board_snapshot_progress(struct board *board, uint64_t *done, uint64_t *total)
{
	*done = __atomic_load_n(&board->snapshot_done, __ATOMIC_RELAXED);
	*total = __atomic_load_n(&board->snapshot_total, __ATOMIC_RELAXED);
}

static bool is_zero(const uint8_t *page)
{
	return !load_le64(page) && !memcmp(page, page + 8, PAGE_BYTES - 8);
}

static int save_run(int fd, const struct ram *ram, uint64_t offset, uint64_t bytes,
		    struct err *err)
{
	struct run run = { .offset = offset, .bytes = bytes };
	int code = put(fd, &run, sizeof(run), err);

	return code ? code : put(fd, ram->memory.host + offset, bytes, err);
}

static int save_ram(struct board *board, int fd, const struct ram *ram, struct err *err)
{
	int code = put_section(fd, SECTION_RAM, ram->name, ram->memory.bytes, err);
	struct run end = { 0 };
	uint64_t at = 0, bytes;

	while (!code && at < ram->memory.bytes && shared_memory_next(&ram->memory, &at, &bytes)) {
		uint64_t stop = at + bytes;

		for (at = ALIGN_DOWN(at, PAGE_BYTES); !code && at < stop; at += PAGE_BYTES) {
			uint64_t first = at;

			while (at < stop && at - first < RUN_PAGES * PAGE_BYTES &&
			       !is_zero(ram->memory.host + at))
				at += PAGE_BYTES;
			if (at > first)
				code = save_run(fd, ram, first, at - first, err);
			if (at - first == RUN_PAGES * PAGE_BYTES)
				at -= PAGE_BYTES; /* the run was full: look at this page again */
		}
	}
	progress(board, ram->memory.bytes);
	return code ? code : put(fd, &end, sizeof(end), err);
}

static int save_device(int fd, struct dev *dev, struct err *err)
{
	size_t bytes = dev_save(dev, NULL, 0);
	uint8_t *state = must_alloc(bytes + 4);
	int code;

	store_le32(state, dev->class->state_version);
	dev_save(dev, state + 4, bytes);
	code = put_section(fd, SECTION_DEVICE, dev->id, bytes + 4, err);
	if (!code)
		code = put(fd, state, bytes + 4, err);
	free(state);
	return code;
}

static int save_vm(struct board *board, int fd, struct err *err)
{
	struct vm_state *state = must_alloc(sizeof(*state));
	int code = vm_state_get(board, state, err);

	if (!code)
		code = put_section(fd, SECTION_VM, "vm", sizeof(*state), err);
	if (!code)
		code = put(fd, state, sizeof(*state), err);
	free(state);
	return code;
}

static int save_vcpu(struct board *board, int fd, unsigned index, struct err *err)
{
	struct vcpu_state *state = must_alloc(sizeof(*state));
	int code = vcpu_state_get(board, index, state, err);
	char name[16];

	snprintf(name, sizeof(name), "%u", index);
	if (!code)
		code = put_section(fd, SECTION_VCPU, name, sizeof(*state), err);
	if (!code)
		code = put(fd, state, sizeof(*state), err);
	free(state);
	return code;
}

int board_save(struct board *board, int fd, struct err *err)
{
	struct header header = { .magic = MAGIC, .version = VERSION };
	int code;

	board_lock(board);
	if (board->running && board->system) {
		code = fail(err, EBUSY, "the machine must stand still to be saved");
		goto out;
	}
	start_progress(board);
	blocks_drain(board);
	header.vcpus = board->vcpu_count;
	header.clock = board->clock;
	code = put(fd, &header, sizeof(header), err);
	if (!code)
		code = save_vm(board, fd, err);
	for (struct ram *ram = board->rams; ram && !code; ram = ram->next)
		code = save_ram(board, fd, ram, err);
	for (struct dev *dev = board->devs; dev && !code; dev = dev->next)
		code = save_device(fd, dev, err);
	for (unsigned i = 0; i < board->vcpu_count && !code; i++)
		code = save_vcpu(board, fd, i, err);
	if (!code)
		code = put_section(fd, SECTION_END, "", 0, err);
out:
	board_unlock(board);
	return code;
}

/* Reads a section's head and insists on what must come now; `bytes` UINT64_MAX: any. */
static int get_section(int fd, enum section_kind kind, const char *name, uint64_t bytes,
		       uint64_t *actual, struct err *err)
{
	struct section section;
	char text[NAME_LIMIT + 1] = "";
	int code = get(fd, &section, sizeof(section), err);

	if (code)
		return code;
	if (section.kind != kind || section.name_bytes > NAME_LIMIT)
		return fail(err, EINVAL, "the snapshot does not have \"%s\" here", name);
	code = get(fd, text, section.name_bytes, err);
	if (code)
		return code;
	if (strlen(text) != section.name_bytes || strcmp(text, name))
		return fail(err, EINVAL, "the snapshot has \"%s\" where this machine has \"%s\"",
			    text, name);
	if (bytes != UINT64_MAX && section.bytes != bytes)
		return fail(err, EINVAL, "\"%s\" has another size in the snapshot", name);
	*actual = section.bytes;
	return 0;
}

static int load_runs(int fd, struct ram *ram, struct err *err)
{
	uint64_t size = ram->memory.bytes;

	for (;;) {
		struct run run;
		int code = get(fd, &run, sizeof(run), err);

		if (code || !run.bytes)
			return code;
		if (run.offset > size || run.bytes > size - run.offset)
			return fail(err, EINVAL, "the snapshot has pages past the end of \"%s\"",
				    ram->name);
		code = get(fd, ram->memory.host + run.offset, run.bytes, err);
		if (code)
			return code;
	}
}

static int load_ram(struct board *board, int fd, struct ram *ram, struct err *err)
{
	uint64_t bytes;
	int code = get_section(fd, SECTION_RAM, ram->name, ram->memory.bytes, &bytes, err);

	if (code)
		return code;
	shared_memory_clear(&ram->memory);
	code = load_runs(fd, ram, err);
	ram_load_cleared(ram);
	if (!code)
		progress(board, ram->memory.bytes);
	return code;
}

static int load_device(int fd, struct dev *dev, struct err *err)
{
	uint64_t bytes;
	uint8_t *state;
	int code = get_section(fd, SECTION_DEVICE, dev->id, UINT64_MAX, &bytes, err);

	if (code)
		return code;
	if (bytes < 4 || bytes > STATE_MAX)
		return fail(err, EINVAL, "state of \"%s\" has a bad size", dev->id);
	state = try_alloc(bytes);
	if (!state)
		return fail(err, ENOMEM, "no memory for the state of \"%s\"", dev->id);
	code = get(fd, state, bytes, err);
	if (!code && load_le32(state) > dev->class->state_version)
		code = fail(err, EINVAL, "state of \"%s\" is of a newer version", dev->id);
	if (!code)
		code = dev_load(dev, state + 4, bytes - 4, err);
	free(state);
	return code;
}

static int load_vm(struct board *board, int fd, struct err *err)
{
	struct vm_state *state = must_alloc(sizeof(*state));
	uint64_t bytes;
	int code = get_section(fd, SECTION_VM, "vm", sizeof(*state), &bytes, err);

	if (!code)
		code = get(fd, state, sizeof(*state), err);
	if (!code)
		code = vm_state_set(board, state, err);
	free(state);
	return code;
}

static int load_vcpu(struct board *board, int fd, unsigned index, struct err *err)
{
	struct vcpu_state *state = must_alloc(sizeof(*state));
	uint64_t bytes;
	char name[16];
	int code;

	snprintf(name, sizeof(name), "%u", index);
	code = get_section(fd, SECTION_VCPU, name, sizeof(*state), &bytes, err);
	if (!code)
		code = get(fd, state, sizeof(*state), err);
	if (!code)
		code = vcpu_state_set(board, index, state, false, err);
	free(state);
	return code;
}

static int load_header(struct board *board, int fd, struct err *err)
{
	struct header header;
	int code = get(fd, &header, sizeof(header), err);

	if (code)
		return code;
	if (header.magic != MAGIC)
		return fail(err, EINVAL, "this is no snapshot of ours");
	if (header.version != VERSION)
		return fail(err, EINVAL, "snapshot version %u is not known", header.version);
	if (header.vcpus != board->vcpu_count)
		return fail(err, EINVAL, "the snapshot has %u vCPUs, this machine %u", header.vcpus,
			    board->vcpu_count);
	if (header.clock > (uint64_t)INT64_MAX)
		return fail(err, EINVAL, "the snapshot's clock is out of range");
	board->clock = header.clock;
	return 0;
}

int board_load(struct board *board, int fd, struct err *err)
{
	uint64_t bytes;
	int code;

	board_lock(board);
	if (board->running && board->system) {
		code = fail(err, EBUSY, "the machine must stand still to be loaded");
		goto out;
	}
	keep_power_on_state(board); /* a reset does not go back to the snapshot */
	start_progress(board);
	blocks_drain(board);
	code = load_header(board, fd, err);
	if (!code)
		code = load_vm(board, fd, err);
	for (struct ram *ram = board->rams; ram && !code; ram = ram->next)
		code = load_ram(board, fd, ram, err);
	for (struct dev *dev = board->devs; dev && !code; dev = dev->next)
		code = load_device(fd, dev, err);
	for (unsigned i = 0; i < board->vcpu_count && !code; i++)
		code = load_vcpu(board, fd, i, err);
	if (!code)
		code = get_section(fd, SECTION_END, "", 0, &bytes, err);
out:
	board_unlock(board);
	return code;
}
