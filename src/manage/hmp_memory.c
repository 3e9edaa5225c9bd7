/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The human monitor's commands on memory, ports and numbers. */
#include "base/bytes.h"
#include "core/board.h"
#include "host/kvm.h"
#include "manage/actions.h"
#include "manage/disassemble.h"
#include "manage/hmp.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 65536 };

struct format {
	unsigned count, size; /* size 0: not said */
	char kind;            /* x d u o c, or i */
};

static bool read_format(struct hmp *hmp, struct format *format)
{
	const char *at = hmp->format;
	char *end;

	*format = (struct format){ .count = 1, .kind = 'x' };
	if (isdigit((unsigned char)*at)) {
		format->count = (unsigned)MIN(strtoul(at, &end, 10), (unsigned long)COUNT_MAX);
		at = end;
	}
	for (; *at; at++) {
		const char *size = strchr("bhwg", *at);

		if (strchr("xduoci", *at)) {
			format->kind = *at;
		} else if (size) {
			format->size = 1u << (size - "bhwg");
		} else {
			report_print(hmp->out, "format \"%s\" has a letter other than x d u o c i b h w g\n",
				     hmp->format);
			return false;
		}
	}
	if (format->kind == 'i' && !can_disassemble())
		report_print(hmp->out, "this build has no disassembler; use /x\n");
	return format->kind != 'i' || can_disassemble();
}

static void print_value(struct hmp *hmp, const struct format *format, uint64_t value)
{
	unsigned size = format->size ? format->size : 8;
	int shift = 64 - 8 * (int)size;

	switch (format->kind) {
	case 'd':
		report_print(hmp->out, "%lld", (long long)(value << shift) >> shift);
		break;
	case 'u':
		report_print(hmp->out, "%llu", (unsigned long long)value);
		break;
	case 'o':
		report_print(hmp->out, "0%0*llo", (int)(size * 8 + 2) / 3, (unsigned long long)value);
		break;
	case 'c':
		if (isprint((int)(value & 0xff)))
			report_print(hmp->out, "'%c'", (int)(value & 0xff));
		else
			report_print(hmp->out, "'\\x%02x'", (unsigned)(value & 0xff));
		break;
	default:
		report_print(hmp->out, "0x%0*llx", (int)size * 2, (unsigned long long)value);
	}
}

/* Of the code the vCPU runs now: 64, 32 or 16. */
static unsigned code_bits(struct hmp *hmp)
{
	struct kvm_sregs sregs = { 0 };

	if (board_vcpu_ioctl(hmp->vmm->board, *hmp->cpu, KVM_GET_SREGS, &sregs) < 0)
		return 64;
	return sregs.cs.l ? 64 : sregs.cs.db ? 32 : 16;
}

static void dump_code(struct hmp *hmp, int vcpu, uint64_t address, unsigned count)
{
	unsigned bits = code_bits(hmp);
	struct err err = { 0 };
	int error = 0;

	while (count-- && !error) {
		char text[96];
		uint8_t bytes[15];
		unsigned got = 0, length;

		while (got < sizeof(bytes) &&
		       !action_read(hmp->vmm, vcpu, address + got, bytes + got, 1, &err))
			got++;
		error = got ? 0 : -err.code;
		length = disassemble(bytes, got, address, bits, text);
		if (!error)
			report_print(hmp->out, "0x%08llx:  %s\n", (unsigned long long)address,
				     length ? text : "(bad)");
		address += length ? length : 1;
	}
	hmp_complain(hmp, error, &err);
}

static void dump(struct hmp *hmp, int vcpu)
{
	struct format format;
	struct err err = { 0 };
	uint64_t address;
	unsigned per_line;
	int error = 0;

	if (!read_format(hmp, &format) || !hmp_expression(hmp, hmp->rest, &address))
		return;
	if (format.kind == 'i') {
		dump_code(hmp, vcpu, address, format.count);
		return;
	}
	if (!format.size)
		format.size = format.kind == 'c' ? 1 : 4;
	per_line = format.kind == 'c' ? 8 : 16 / format.size;
	for (unsigned i = 0; i < format.count && !error; i++, address += format.size) {
		uint8_t bytes[8] = { 0 };

		error = action_read(hmp->vmm, vcpu, address, bytes, format.size, &err);
		if (error)
			break;
		if (i % per_line == 0)
			report_print(hmp->out, "%s%016llx:", i ? "\n" : "",
				     (unsigned long long)address);
		report_print(hmp->out, " ");
		print_value(hmp, &format, load_le(bytes, format.size));
	}
	if (hmp->out->size && hmp->out->text[hmp->out->size - 1] != '\n')
		report_print(hmp->out, "\n");
	hmp_complain(hmp, error, &err);
}

void hmp_x(struct hmp *hmp)
{
	bool was_running = vmm_pause(hmp->vmm);

	dump(hmp, (int)*hmp->cpu);
	vmm_resume(hmp->vmm, was_running);
}

void hmp_xp(struct hmp *hmp)
{
	dump(hmp, -1);
}

void hmp_print(struct hmp *hmp)
{
	struct format format;
	uint64_t value;

	if (!read_format(hmp, &format) || !hmp_expression(hmp, hmp->rest, &value))
		return;
	if (format.kind == 'x') {
		report_print(hmp->out, "%#llx\n", (unsigned long long)value);
		return;
	}
	print_value(hmp, &format, value);
	report_print(hmp->out, "\n");
}

static bool port_arguments(struct hmp *hmp, struct format *format, uint64_t *port)
{
	if (!read_format(hmp, format) || !hmp_expression(hmp, hmp->argv[0], port))
		return false;
	if (!format->size)
		format->size = 1;
	if (*port <= 0xffff && format->size <= 4)
		return true;
	report_print(hmp->out, "a port is 0 to 0xffff, b, h or w wide\n");
	return false;
}

void hmp_port_in(struct hmp *hmp)
{
	struct format format;
	uint64_t port;

	if (!port_arguments(hmp, &format, &port))
		return;
	report_print(hmp->out, "port%c[0x%04llx] = ", " bh w"[format.size], (unsigned long long)port);
	print_value(hmp, &format, board_port_read(hmp->vmm->board, (uint16_t)port, format.size));
	report_print(hmp->out, "\n");
}

void hmp_port_out(struct hmp *hmp)
{
	struct format format;
	uint64_t port, value;

	if (port_arguments(hmp, &format, &port) && hmp_expression(hmp, hmp->argv[1], &value))
		board_port_write(hmp->vmm->board, (uint16_t)port, format.size, value);
}

void hmp_gva2gpa(struct hmp *hmp)
{
	uint64_t gva, gpa;

	if (!hmp_expression(hmp, hmp->rest, &gva))
		return;
	gpa = action_translate(hmp->vmm, *hmp->cpu, gva);
	if (gpa == UINT64_MAX)
		report_print(hmp->out, "Unmapped\n");
	else
		report_print(hmp->out, "gpa: %#llx\n", (unsigned long long)gpa);
}

static void save(struct hmp *hmp, int vcpu)
{
	struct err err = { 0 };
	uint64_t address, size;

	if (hmp_expression(hmp, hmp->argv[0], &address) && hmp_expression(hmp, hmp->argv[1], &size))
		hmp_complain(hmp, action_memory_to_file(hmp->vmm, vcpu, address, size,
							hmp->argv[2], &err), &err);
}

void hmp_memsave(struct hmp *hmp)
{
	save(hmp, (int)*hmp->cpu);
}

void hmp_pmemsave(struct hmp *hmp)
{
	save(hmp, -1);
}
