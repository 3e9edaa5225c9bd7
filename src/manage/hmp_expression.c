/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses as people type them: "$rip + 8", "0x7c00", "(4 * $rcx)". */
#include "host/kvm.h"
#include "manage/hmp.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NESTING = 32 };

struct parser {
	struct hmp *hmp;
	const char *at;
	const char *wrong; /* NULL: all is well */
	unsigned depth;
};

bool hmp_register(struct hmp *hmp, const char *name, size_t length, uint64_t *value)
{
	struct kvm_regs r = { 0 };
	struct kvm_sregs s = { 0 };

	board_vcpu_ioctl(hmp->vmm->board, *hmp->cpu, KVM_GET_REGS, &r);
	board_vcpu_ioctl(hmp->vmm->board, *hmp->cpu, KVM_GET_SREGS, &s);
	const struct {
		const char *name;
		uint64_t value;
	} * row, rows[] = {
		{ "ax", r.rax },          { "bx", r.rbx },          { "cx", r.rcx },
		{ "dx", r.rdx },          { "si", r.rsi },          { "di", r.rdi },
		{ "bp", r.rbp },          { "sp", r.rsp },          { "ip", r.rip },
		{ "r8", r.r8 },           { "r9", r.r9 },           { "r10", r.r10 },
		{ "r11", r.r11 },         { "r12", r.r12 },         { "r13", r.r13 },
		{ "r14", r.r14 },         { "r15", r.r15 },         { "flags", r.rflags },
		{ "cs", s.cs.selector },  { "ds", s.ds.selector },  { "es", s.es.selector },
		{ "ss", s.ss.selector },  { "fs", s.fs.selector },  { "gs", s.gs.selector },
		{ "cs.base", s.cs.base }, { "fs.base", s.fs.base }, { "gs.base", s.gs.base },
		{ "cr0", s.cr0 },         { "cr2", s.cr2 },         { "cr3", s.cr3 },
		{ "cr4", s.cr4 },         { "efer", s.efer },       { "pc", s.cs.base + r.rip },
	};

	for (row = rows; row < rows + ARRAY_LEN(rows); row++) {
		size_t n = strlen(row->name);
		bool wide = length == n + 1 && (*name == 'r' || *name == 'e') &&
			    !strncmp(name + 1, row->name, n) && row->name[0] != 'r';

		if (!wide && (length != n || strncmp(name, row->name, n)))
			continue;
		*value = wide && *name == 'e' ? (uint32_t)row->value : row->value;
		return true;
	}
	return false;
}

static uint64_t sum(struct parser *p);

static void skip(struct parser *p)
{
	while (*p->at == ' ' || *p->at == '\t')
		p->at++;
}

static uint64_t atom(struct parser *p)
{
	uint64_t value = 0;
	char *end;

	skip(p);
	if (++p->depth > NESTING) {
		p->wrong = "it is nested too deep";
	} else if (*p->at == '(') {
		p->at++;
		value = sum(p);
		if (*p->at == ')')
			p->at++;
		else if (!p->wrong)
			p->wrong = "a ) is missing";
	} else if (*p->at == '-') {
		p->at++;
		value = -atom(p);
	} else if (*p->at == '$') {
		size_t length = strspn(++p->at, "abcdefghijklmnopqrstuvwxyz0123456789.");

		if (!hmp_register(p->hmp, p->at, length, &value))
			p->wrong = "there is no such register";
		p->at += length;
	} else if (isdigit((unsigned char)*p->at)) {
		value = strtoull(p->at, &end, 0);
		p->at = end;
	} else {
		p->wrong = "a number or $register is expected";
	}
	p->depth--;
	skip(p);
	return value;
}

static uint64_t product(struct parser *p)
{
	uint64_t value = atom(p);

	while (!p->wrong && (*p->at == '*' || *p->at == '/')) {
		char operation = *p->at++;
		uint64_t right = atom(p);

		if (operation == '/' && !right)
			p->wrong = "it divides by zero";
		else
			value = operation == '*' ? value * right : value / right;
	}
	return value;
}

static uint64_t sum(struct parser *p)
{
	uint64_t value = product(p);

	while (!p->wrong && (*p->at == '+' || *p->at == '-')) {
		char operation = *p->at++;
		uint64_t right = product(p);

		value = operation == '+' ? value + right : value - right;
	}
	return value;
}

bool hmp_expression(struct hmp *hmp, const char *text, uint64_t *value)
{
	struct parser p = { .hmp = hmp, .at = text };

	*value = sum(&p);
	if (!p.wrong && *p.at)
		p.wrong = "something is left over";
	if (p.wrong)
		report_print(hmp->out, "\"%.80s\" cannot be understood: %s\n", text, p.wrong);
	return !p.wrong;
}
