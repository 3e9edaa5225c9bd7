/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The human monitor's commands: rows of hmp_commands.def and hmp_info.def. */
#ifndef MANAGE_HMP_H
#define MANAGE_HMP_H

#include "manage/report.h"
#include "manage/vmm.h"

enum { HMP_ARGS = 16 };

struct hmp {
	struct vmm *vmm;
	unsigned *cpu;      /* the one commands look at */
	unsigned argc;      /* without the command's name */
	const char *argv[HMP_ARGS];
	const char *format; /* what followed '/', "" if nothing did */
	const char *rest;   /* all arguments as typed */
	struct report *out;
};

struct hmp_command {
	const char *name, *alias; /* alias "" for none */
	const char *params;       /* for people */
	unsigned min, max;        /* arguments */
	void (*run)(struct hmp *hmp);
	const char *summary;
};

#define HMP(name, alias, params, min, max, id, summary) void hmp_##id(struct hmp *hmp);
#include "manage/hmp_commands.def"
#undef HMP
#define INFO(name, id, summary) void hmp_info_##id(struct hmp *hmp);
#include "manage/hmp_info.def"
#undef INFO

/* Runs one line; the answer's lines end with "\r\n". */
void hmp_run(struct vmm *vmm, unsigned *cpu, const char *line, struct report *out);
void hmp_print_manual(struct report *out, const char *command); /* NULL: all */
void hmp_print_info_manual(struct report *out);

void hmp_complain(struct hmp *hmp, int error, const struct err *err); /* nothing when 0 */
/* hmp_expression.c: numbers, $registers, + - * / and parentheses; says what is wrong itself. */
bool hmp_expression(struct hmp *hmp, const char *text, uint64_t *value);
/* A register by name ("rip", "eax"); false: there is no such one. */
bool hmp_register(struct hmp *hmp, const char *name, size_t length, uint64_t *value);

/* hmp_walk.c: tells of each run of alike mapped pages, lowest address first. */
struct walk_run {
	uint64_t gva, gpa, bytes;
	bool user, writable;
};
enum walk_kind { WALK_PAGES /* one by one */, WALK_RUNS /* neighbours with the same rights */ };
void hmp_walk(struct hmp *hmp, enum walk_kind kind,
	      void (*each)(struct hmp *hmp, const struct walk_run *run));

#endif
