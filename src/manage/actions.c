/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What monitors do to a machine: see actions.h. */
#include "manage/actions.h"

#include "backend/block/open.h"
#include "backend/display/screendump.h"
#include "backend/display/vnc.h"
#include "base/bytes.h"
#include "core/input.h"
#include "core/netdev.h"
#include "host/kvm.h"
#include "host/memory.h"
#include "manage/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int action_screendump(struct vmm *vmm, const char *path, const char *format, struct err *err)
{
	enum picture_format picture = PICTURE_PPM;

	if (format && !strcmp(format, "png"))
		picture = PICTURE_PNG;
	else if (format && strcmp(format, "ppm"))
		return fail(err, EINVAL, "picture format \"%s\" is not there; use ppm or png", format);
	return screendump(vmm->board, path, picture, err);
}

/* Complete or not at all: it gets its name when it is whole. */
int action_save(struct vmm *vmm, const char *path, struct err *err)
{
	char *part = must_format("%s.part", path);
	bool was_running = vmm_pause(vmm);
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error;

	if (fd < 0) {
		error = fail(err, errno, "cannot write \"%s\": %s", part, strerror(errno));
		goto out;
	}
	error = board_save(vmm->board, fd, err);
	if (close(fd) && !error)
		error = fail(err, errno, "cannot write \"%s\": %s", part, strerror(errno));
	if (!error && rename(part, path))
		error = fail(err, errno, "cannot write \"%s\": %s", path, strerror(errno));
	if (error)
		unlink(part);
out:
	vmm_resume(vmm, was_running);
	free(part);
	return error;
}

int action_load(struct vmm *vmm, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;
	bool was_running;

	if (fd < 0)
		return fail(err, errno, "cannot read \"%s\": %s", path, strerror(errno));
	was_running = vmm_pause(vmm);
	error = board_load(vmm->board, fd, err);
	close(fd);
	if (error) /* half of it is in place: nothing that could go on */
		board_set_state(vmm->board, BOARD_STATE_FAILED);
	else
		vmm_resume(vmm, was_running);
	return error;
}

uint64_t action_translate(struct vmm *vmm, unsigned vcpu, uint64_t gva)
{
	struct kvm_translation translation = { .linear_address = gva & ~(uint64_t)(PAGE_BYTES - 1) };

	if (board_vcpu_ioctl(vmm->board, vcpu, KVM_TRANSLATE, &translation) < 0 ||
	    !translation.valid)
		return UINT64_MAX;
	return translation.physical_address + gva % PAGE_BYTES;
}

/* Reads a piece of one page: memory, or the registers of the device that is there instead. */
static void read_physical(struct board *board, uint64_t gpa, uint8_t *to, size_t bytes)
{
	if (!board_memory_read(board, gpa, to, bytes))
		return;
	while (bytes) {
		unsigned size = gpa % 4 || bytes < 4 ? 1 : 4;

		store_le(to, board_mmio_read(board, gpa, size), size);
		gpa += size, to += size, bytes -= size;
	}
}

int action_read(struct vmm *vmm, int vcpu, uint64_t address, void *to, size_t bytes,
		struct err *err)
{
	while (bytes) {
		size_t piece = MIN(bytes, (size_t)(PAGE_BYTES - address % PAGE_BYTES));
		uint64_t gpa = vcpu < 0 ? address : action_translate(vmm, (unsigned)vcpu, address);

		if (gpa == UINT64_MAX)
			return fail(err, EFAULT, "nothing is mapped at virtual address %#llx",
				    (unsigned long long)address);
		read_physical(vmm->board, gpa, to, piece);
		to = (uint8_t *)to + piece;
		address += piece;
		bytes -= piece;
	}
	return 0;
}

int action_memory_to_file(struct vmm *vmm, int vcpu, uint64_t address, uint64_t bytes,
			  const char *path, struct err *err)
{
	uint8_t page[PAGE_BYTES];
	bool was_running = vmm_pause(vmm);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), error = 0;

	if (fd < 0)
		error = fail(err, errno, "cannot write \"%s\": %s", path, strerror(errno));
	while (bytes && !error) {
		size_t piece = MIN(bytes, (uint64_t)sizeof(page));

		error = action_read(vmm, vcpu, address, page, piece, err);
		if (!error) {
			error = fd_write_all(fd, page, piece);
			if (error)
				fail(err, -error, "cannot write \"%s\": %s", path, strerror(-error));
		}
		address += piece;
		bytes -= piece;
	}
	if (fd >= 0)
		close(fd);
	vmm_resume(vmm, was_running);
	return error;
}

static struct block *find_drive(struct vmm *vmm, const char *name, struct err *err)
{
	struct block *block = block_find(vmm->board, name);
	struct dev *dev = dev_find(vmm->board, name);

	for (struct block *b = NULL; !block && dev && (b = block_next(vmm->board, b));)
		if (block_user(b) == dev)
			block = b;
	if (!block)
		fail(err, ENODEV, "Device '%s' not found", name);
	return block;
}

int action_eject(struct vmm *vmm, const char *drive, bool force, struct err *err)
{
	struct block *block = find_drive(vmm, drive, err);
	int error;

	if (!block)
		return -err->code;
	board_lock(vmm->board);
	error = block_eject(block, force, err);
	board_unlock(vmm->board);
	return error;
}

int action_change(struct vmm *vmm, const char *drive, const struct change_medium *change,
		  struct err *err)
{
	struct block *block = find_drive(vmm, drive, err);
	struct block_spec spec = { .file = change->path, .format = change->format };
	const char *mode = change->read_only_mode;
	int error = 0;

	if (!block)
		return -err->code;
	board_lock(vmm->board);
	spec.id = block_id(block);
	spec.removable = true;
	spec.read_only = mode && strcmp(mode, "retain") ? !strcmp(mode, "read-only") :
							  block_read_only(block);
	if (change->force && block_options(block)->file)
		error = block_eject(block, true, err);
	if (!error)
		error = block_change_medium(block, &spec, err);
	board_unlock(vmm->board);
	return error;
}

static int key_by_text(const char *text)
{
	char *end;
	unsigned long number;

	if (*text < '0' || *text > '9' || !text[1])
		return input_key_by_name(text);
	number = strtoul(text, &end, 0);
	return *end || !number || number > 255 ? -1 : (int)number;
}

int action_send_keys(struct vmm *vmm, const char *text, unsigned hold_ms, struct err *err)
{
	unsigned keys[TYPIST_KEYS], count = 0;
	char name[32];

	while (*text) {
		size_t length = strcspn(text, "-");
		int key;

		snprintf(name, sizeof(name), "%.*s", (int)MIN(length, sizeof(name) - 1), text);
		if (!length && *text == '-') { /* "ctrl--" is ctrl and minus */
			snprintf(name, sizeof(name), "minus");
			length = 1;
		} else if (!strcmp(name, "<")) {
			snprintf(name, sizeof(name), "less");
		}
		key = key_by_text(name);
		if (key < 0)
			return fail(err, EINVAL, "there is no key \"%s\"", name);
		if (count == TYPIST_KEYS)
			return fail(err, EINVAL, "more than %d keys at once", TYPIST_KEYS);
		keys[count++] = (unsigned)key;
		text += length;
		text += *text == '-';
	}
	return typist_press(vmm->typist, keys, count, hold_ms ? hold_ms : TYPIST_HOLD_MS, err);
}

int action_vnc_password(struct vmm *vmm, const char *password, struct err *err)
{
	if (!vmm->vnc)
		return fail(err, EINVAL, "there is no VNC server; start one with -vnc");
	return vnc_set_password(vmm->vnc, password, err);
}

int action_set_link(struct vmm *vmm, const char *name, bool up, struct err *err)
{
	struct netdev *netdev = netdev_find(vmm->board, name);

	if (!netdev)
		return fail(err, ENODEV, "Device '%s' not found", name);
	board_lock(vmm->board);
	netdev_set_link(netdev, up);
	board_unlock(vmm->board);
	return 0;
}

const char *action_state_name(const struct vmm *vmm)
{
	switch (board_state(vmm->board)) {
	case BOARD_STATE_PRELAUNCH:
		return "prelaunch";
	case BOARD_STATE_RUNNING:
		return board_is_asleep(vmm->board) ? "suspended" : "running";
	case BOARD_STATE_PAUSED:
		return "paused";
	case BOARD_STATE_SHUTDOWN:
		return "shutdown";
	case BOARD_STATE_PANICKED:
		return "guest-panicked";
	case BOARD_STATE_FAILED:
		break;
	}
	return "internal-error";
}

void uuid_print(const uint8_t *uuid, char *to)
{
	for (unsigned i = 0; i < 16; i++)
		to += sprintf(to, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      uuid[i]);
}
