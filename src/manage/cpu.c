/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processor models: see cpu.h.
 *
 * A guest's CPUID is what the accelerator supports, cut down to the model's feature bits, with
 * the user's +f and -f, and each vCPU's own APIC id and topology.
 *
 * Manual: Intel SDM 2A, CPUID; KVM API, KVM_GET_SUPPORTED_CPUID.
 */
#include "manage/cpu.h"

#include "base/bytes.h"
#include "host/kvm.h"
#include "host/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENTRIES = 256, REGISTERS = 5 };
enum { LA57 = 1 << 16 }; /* leaf 7 ECX */

struct model {
	const char *name, *vendor;
	unsigned family, model, stepping;
	uint32_t basic, extended;
	uint32_t features[REGISTERS];
	const char *brand;
};

#define MODEL(name, vendor, family, model, stepping, basic, extended, features, brand) \
	{ name, vendor, family, model, stepping, basic, extended, { features }, brand },
static const struct model models[] = {
#include "manage/cpu_models.def"
};

const char *cpu_model_name(unsigned number)
{
	return !number ? "max" : number <= ARRAY_LEN(models) ? models[number - 1].name : NULL;
}

struct feature_name {
	const char *name;
	uint32_t leaf, subleaf;
	unsigned reg, bit;
};

#define FEATURE(name, leaf, subleaf, reg, bit) { #name, leaf, subleaf, reg, bit },
static const struct feature_name feature_names[] = {
#include "base/cpu_features.def"
	{ "pni", 1, 0, 2, 0 },        { "abm", 0x80000001, 0, 2, 5 },
	{ "lahf_lm", 0x80000001, 0, 2, 0 }, { "cmp_legacy", 0x80000001, 0, 2, 1 },
	{ "3dnowprefetch", 0x80000001, 0, 2, 8 }, { "i64", 0x80000001, 0, 3, 29 },
	{ "sha_ni", 7, 0, 1, 29 },    { "arch_capabilities", 7, 0, 3, 29 },
	{ "spec_ctrl", 7, 0, 3, 26 }, { "ss", 1, 0, 3, 27 },
	{ "ht", 1, 0, 3, 28 },        { "vmx", 1, 0, 2, 5 },
	{ "svm", 0x80000001, 0, 2, 2 }, { "skinit", 0x80000001, 0, 2, 12 },
	{ "npt", 0x8000000a, 0, 3, 0 }, { "invtsc", 0x80000007, 0, 3, 8 },
};

struct cpuid_table {
	uint32_t count, padding;
	struct kvm_cpuid_entry2 entry[ENTRIES];
};

void cpu_help(void)
{
	puts("Available CPUs:");
	puts("  max                everything this accelerator can do (default); also: host");
	for (unsigned i = 0; i < ARRAY_LEN(models); i++)
		printf("  %-18s %s\n", models[i].name, models[i].brand);
	puts("\nRecognized CPUID flags:");
	for (unsigned i = 0; i < ARRAY_LEN(feature_names); i++) {
		for (const char *p = feature_names[i].name; *p; p++)
			putchar(*p == '_' ? '-' : *p | (*p >= 'A' && *p <= 'Z' ? 0x20 : 0));
		putchar(i + 1 < ARRAY_LEN(feature_names) ? ' ' : '\n');
	}
}

/* "sse4.1", "SSE41" and "sse4_1" are the same. */
static bool same_name(const char *a, const char *b, size_t length)
{
	const char *end = b + length;

	for (;;) {
		while (*a == '_')
			a++;
		while (b < end && strchr("-_.", *b))
			b++;
		if (b == end || !*a)
			return b == end && !*a;
		if (((*a >= 'A' && *a <= 'Z') ? *a | 0x20 : *a) != *b)
			return false;
		a++;
		b++;
	}
}

static struct kvm_cpuid_entry2 *find(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < table->count; i++) {
		struct kvm_cpuid_entry2 *e = &table->entry[i];

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
			return e;
	}
	return NULL;
}

static uint32_t *reg_of(struct kvm_cpuid_entry2 *e, unsigned reg)
{
	return reg == 0 ? &e->eax : reg == 1 ? &e->ebx : reg == 2 ? &e->ecx : &e->edx;
}

/* Leaves above the model's last are not there. */
static void drop_leaves(struct cpuid_table *table, const struct model *model)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		uint32_t leaf = table->entry[i].function;
		bool extended = leaf >= 0x80000000 && leaf < 0xc0000000;
		bool basic = leaf < 0x40000000;

		if ((basic && leaf > model->basic) || (extended && leaf > model->extended))
			continue;
		table->entry[kept++] = table->entry[i];
	}
	table->count = kept;
}

static void set_text(struct cpuid_table *table, const struct model *model)
{
	char brand[48] = "";
	struct kvm_cpuid_entry2 *e = find(table, 0, 0);

	if (e) {
		e->eax = model->basic;
		e->ebx = load_le32(model->vendor);
		e->edx = load_le32(model->vendor + 4);
		e->ecx = load_le32(model->vendor + 8);
	}
	e = find(table, 0x80000000, 0);
	if (e)
		*e = (struct kvm_cpuid_entry2){ .function = 0x80000000, .eax = model->extended };
	memcpy(brand, model->brand, MIN(strlen(model->brand), sizeof(brand) - 1));
	for (unsigned i = 0; i < 3; i++) {
		e = find(table, 0x80000002 + i, 0);
		if (!e)
			continue;
		e->eax = load_le32(brand + 16 * i);
		e->ebx = load_le32(brand + 16 * i + 4);
		e->ecx = load_le32(brand + 16 * i + 8);
		e->edx = load_le32(brand + 16 * i + 12);
	}
}

static uint32_t signature_of(unsigned family, unsigned model, unsigned stepping)
{
	unsigned low = MIN(family, 15u);

	return (family - low) << 20 | (model >> 4) << 16 | low << 8 | (model & 15) << 4 | stepping;
}

static void apply_model(struct cpuid_table *table, const struct model *model)
{
	static const struct {
		uint32_t leaf;
		unsigned reg;
	} place[REGISTERS] = { { 1, 3 }, { 1, 2 }, { 7, 1 }, { 0x80000001, 3 }, { 0x80000001, 2 } };
	struct kvm_cpuid_entry2 *e;

	drop_leaves(table, model);
	set_text(table, model);
	for (unsigned i = 0; i < REGISTERS; i++) {
		uint32_t keep = model->features[i];

		if (i == 1)
			keep |= BIT(31) | BIT(21) | BIT(24); /* hypervisor, x2APIC, TSC deadline */
		e = find(table, place[i].leaf, 0);
		if (e)
			*reg_of(e, place[i].reg) &= keep;
	}
	for (uint32_t i = 0; i < table->count; i++) {
		e = &table->entry[i];
		if (e->function == 7 && e->index)
			e->eax = e->ebx = e->ecx = e->edx = 0;
		else if (e->function == 7)
			e->eax = e->ecx = e->edx = 0;
	}
	e = find(table, 0xd, 1);
	if (e)
		e->eax = 0;
	e = find(table, 1, 0);
	if (e)
		e->eax = signature_of(model->family, model->model, model->stepping);
}

/*
 * +f of what the accelerator lacks: the guest does without, and the user is told; as in QEMU only
 * `enforce` makes it an error.
 */
static int apply_feature(struct cpuid_table *table, const struct cpuid_table *supported,
			 const char *name, size_t length, bool on, bool enforce, struct err *err)
{
	for (unsigned i = 0; i < ARRAY_LEN(feature_names); i++) {
		const struct feature_name *f = &feature_names[i];
		struct kvm_cpuid_entry2 *e, *have;

		if (!same_name(f->name, name, length))
			continue;
		e = find(table, f->leaf, f->subleaf);
		have = find((struct cpuid_table *)supported, f->leaf, f->subleaf);
		if (!on) {
			if (e)
				*reg_of(e, f->reg) &= ~BIT(f->bit);
			return 0;
		}
		if (!have || !(*reg_of(have, f->reg) >> f->bit & 1)) {
			if (enforce)
				return fail(err, ENOTSUP, "-cpu: this accelerator has no \"%.*s\"",
					    (int)length, name);
			log_line("-cpu: this accelerator has no \"%.*s\"; the guest goes without",
				 (int)length, name);
			return 0;
		}
		if (!e && table->count < ENTRIES) {
			e = &table->entry[table->count++];
			*e = *have;
			e->eax = e->ebx = e->ecx = e->edx = 0;
		}
		if (e)
			*reg_of(e, f->reg) |= BIT(f->bit);
		return 0;
	}
	return fail(err, EINVAL, "-cpu: there is no feature \"%.*s\"; -cpu help lists them",
		    (int)length, name);
}

/* Settings of QEMU's that change nothing here. */
static bool is_accepted(const char *name, size_t length)
{
	static const char *const names[] = { "migratable", "check", "enforce", "pmu", "kvm",
					     "host_cache_info", "l3_cache", "hv_passthrough",
					     "host_phys_bits" /* unless phys-bits= says */ };

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (same_name(names[i], name, length))
			return true;
	return false;
}

/* family=, model=, stepping=: `index` says which. */
static int set_number(struct cpuid_table *table, unsigned index, const char *value, struct err *err)
{
	static const unsigned limit[] = { 255 + 15, 255, 15 };
	struct kvm_cpuid_entry2 *e = find(table, 1, 0);
	char *end;
	unsigned long number = strtoul(value, &end, 0);
	unsigned part[3];

	if (end == value || (*end && *end != ',') || number > limit[index])
		return fail(err, EINVAL, "-cpu: \"%.*s\" is not a number up to %u",
			    (int)strcspn(value, ","), value, limit[index]);
	if (!e)
		return 0;
	part[0] = (e->eax >> 8 & 15) + (e->eax >> 20 & 255);
	part[1] = (e->eax >> 4 & 15) | (e->eax >> 12 & 0xf0);
	part[2] = e->eax & 15;
	part[index] = (unsigned)number;
	e->eax = signature_of(part[0], part[1], part[2]);
	return 0;
}

static int set_vendor(struct cpuid_table *table, const char *value, struct err *err)
{
	struct kvm_cpuid_entry2 *e = find(table, 0, 0);

	if (strcspn(value, ",") != 12)
		return fail(err, EINVAL, "-cpu: vendor \"%.*s\" does not have 12 letters",
			    (int)strcspn(value, ","), value);
	if (e) {
		e->ebx = load_le32(value);
		e->edx = load_le32(value + 4);
		e->ecx = load_le32(value + 8);
	}
	return 0;
}

/* The width of physical addresses; bits above are reserved in the guest's page tables. */
static int set_physical_bits(struct cpuid_table *table, const char *value, struct err *err)
{
	struct kvm_cpuid_entry2 *e = find(table, 0x80000008, 0);
	char *end;
	unsigned long bits = strtoul(value, &end, 10);

	if (end == value || (*end && *end != ',') || bits < 32 || bits > 52)
		return fail(err, EINVAL, "-cpu: phys-bits \"%.*s\" is not a number from 32 to 52",
			    (int)strcspn(value, ","), value);
	if (e)
		e->eax = (e->eax & ~0xffu) | (uint32_t)bits;
	return 0;
}

/* What has a value of its own: vendor=, family=, ... False: it is no such thing. */
static bool apply_value(struct cpuid_table *table, const char *name, size_t length,
			int *error, struct err *err)
{
	static const char *const numbers[] = { "family", "model", "stepping" };
	const char *value = name + length + 1;

	if (name[length] != '=')
		return false;
	if (same_name("vendor", name, length)) {
		*error = set_vendor(table, value, err);
		return true;
	}
	if (same_name("phys_bits", name, length)) {
		*error = set_physical_bits(table, value, err);
		return true;
	}
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
		if (same_name(numbers[i], name, length)) {
			*error = set_number(table, i, value, err);
			return true;
		}
	}
	return false;
}

static int apply_text(struct cpuid_table *table, const struct cpuid_table *supported,
		      const char *text, struct err *err)
{
	bool enforce = strstr(text, ",enforce") || !strncmp(text, "enforce", 7);

	while (*text) {
		size_t part = strcspn(text, ","), name = strcspn(text, ",=");
		bool sign = *text == '+' || *text == '-', on = *text != '-';
		int error = 0;

		if (text[name] == '=')
			on = !strncmp(text + name, "=on", 3) || !strncmp(text + name, "=true", 5) ||
			     !strncmp(text + name, "=yes", 4);
		if (!is_accepted(text + sign, name - sign) &&
		    !apply_value(table, text, name, &error, err))
			error = apply_feature(table, supported, text + sign, name - sign, on,
					      enforce, err);
		if (error)
			return error;
		text += part + (text[part] == ',');
	}
	return 0;
}

static unsigned bits_for(unsigned count)
{
	return count > 1 ? 32 - __builtin_clz(count - 1) : 0;
}

/* Leaves that differ from vCPU to vCPU: APIC ids and who shares what. */
static void set_topology(struct cpuid_table *table, const struct config *config, unsigned index)
{
	unsigned threads = config->threads, per_socket = config->cores * threads;
	struct kvm_cpuid_entry2 *e = find(table, 1, 0);

	if (e) {
		e->ebx = (e->ebx & 0xffff) | index << 24 | MIN(per_socket, 255u) << 16;
		e->edx = per_socket > 1 ? e->edx | BIT(28) : e->edx & ~BIT(28);
	}
	for (uint32_t i = 0; i < table->count; i++) {
		e = &table->entry[i];
		if (e->function == 4 && (e->eax & 31)) {
			unsigned shared = (e->eax >> 5 & 7) < 3 ? threads : per_socket;

			e->eax = (e->eax & 0x3fff) | (MAX(per_socket, 1u) - 1) << 26 |
				 (shared - 1) << 14;
		} else if ((e->function == 0xb || e->function == 0x1f) && e->index < 2) {
			e->eax = e->index ? bits_for(per_socket) : bits_for(threads);
			e->ebx = e->index ? per_socket : threads;
			e->ecx = e->index | (e->index + 1) << 8;
			e->edx = index;
		} else if (e->function == 0xb || e->function == 0x1f) {
			e->eax = e->ebx = 0;
			e->edx = index;
		} else if (e->function == 0x80000008) {
			e->ecx = per_socket > 1 ? per_socket - 1 : 0;
		}
	}
}

static void set_address_bits(struct cpuid_table *table)
{
	struct kvm_cpuid_entry2 *e = find(table, 7, 0);

	if (e && !(e->ecx & LA57)) {
		e = find(table, 0x80000008, 0);
		if (e)
			e->eax = (e->eax & ~0xff00u) | 48 << 8;
	}
}

static int choose(struct cpuid_table *table, const struct cpuid_table *supported,
		  const char *text, struct err *err)
{
	size_t name = strcspn(text, ",");
	int error;

	*table = *supported;
	/* 5-level paging makes every walk longer and guests take it wherever it is offered, so it
	 * has to be asked for: +la57. */
	if (find(table, 7, 0))
		find(table, 7, 0)->ecx &= ~LA57;
	if (!(name == 3 && !strncmp(text, "max", 3)) && !(name == 4 && !strncmp(text, "host", 4))) {
		const struct model *model = NULL;

		for (unsigned i = 0; i < ARRAY_LEN(models); i++)
			if (strlen(models[i].name) == name && !strncmp(models[i].name, text, name))
				model = &models[i];
		if (!model)
			return fail(err, EINVAL, "there is no processor model \"%.*s\"; -cpu help lists them",
				    (int)name, text);
		apply_model(table, model);
	}
	error = apply_text(table, supported, text + name + (text[name] == ','), err);
	set_address_bits(table);
	return error;
}

int cpu_configure(struct board *board, struct kvm *system, const struct config *config,
		  struct err *err)
{
	struct cpuid_table *supported = calloc(1, sizeof(*supported));
	struct cpuid_table *table = calloc(1, sizeof(*table));
	int error;

	if (!supported || !table)
		abort();
	supported->count = ENTRIES;
	error = kvm_ioctl(system, KVM_GET_SUPPORTED_CPUID, supported);
	if (error)
		error = fail(err, -error, "%s does not tell which CPUID it supports: %s",
			     kvm_name(system), strerror(-error));
	if (!error)
		error = choose(table, supported, config->cpu ? config->cpu : "max", err);
	for (unsigned i = 0; i < board_vcpu_count(board) && !error; i++) {
		set_topology(table, config, i);
		error = board_vcpu_ioctl(board, i, KVM_SET_CPUID2, table);
		if (error)
			error = fail(err, -error, "%s refuses the CPUID of vCPU %u: %s",
				     kvm_name(system), i, strerror(-error));
	}
	free(supported);
	free(table);
	return error;
}
