/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ELF executables, 32- and 64-bit x86: loadable segments become boot pieces. */
#include "machine/boot.h"

#include "base/bytes.h"
#include "machine/layout.h"

#include <elf.h>
#include <errno.h>

bool is_elf(const uint8_t *bytes, size_t size)
{
	return size >= sizeof(Elf32_Ehdr) && !memcmp(bytes, ELFMAG, SELFMAG);
}

/* One segment, whatever the word size. */
struct segment {
	uint64_t offset, gva, gpa, in_file, in_memory;
	uint32_t kind;
};

static int read_segment(const uint8_t *elf, size_t size, bool is_64, uint64_t at,
			struct segment *out)
{
	if (is_64) {
		Elf64_Phdr h;

		if (at > size || sizeof(h) > size - at)
			return -ENOEXEC;
		memcpy(&h, elf + at, sizeof(h));
		*out = (struct segment){ h.p_offset, h.p_vaddr, h.p_paddr,
					 h.p_filesz, h.p_memsz, h.p_type };
	} else {
		Elf32_Phdr h;

		if (at > size || sizeof(h) > size - at)
			return -ENOEXEC;
		memcpy(&h, elf + at, sizeof(h));
		*out = (struct segment){ h.p_offset, h.p_vaddr, h.p_paddr,
					 h.p_filesz, h.p_memsz, h.p_type };
	}
	return 0;
}

static int add_segment(struct boot_image *image, const struct segment *s, uint64_t ram_bytes,
		       struct err *err)
{
	uint64_t low = low_ram(ram_bytes), size = image->elf.size;
	struct buffer bytes = { 0 };
	int error;

	if (s->offset > size || s->in_file > size - s->offset || s->in_file > s->in_memory)
		return fail(err, ENOEXEC, "the ELF kernel is truncated or damaged");
	if (s->gpa > low || s->in_memory > low - s->gpa)
		return fail(err, ENOMEM, "the ELF kernel's segment at %#llx does not fit into guest memory; give more with -m",
			    (unsigned long long)s->gpa);
	if (s->in_file == s->in_memory)
		return boot_add_part(image, s->gpa, s->offset, s->in_file, err);
	buffer_add(&bytes, image->elf.data + s->offset, s->in_file);
	buffer_add(&bytes, NULL, s->in_memory - s->in_file);
	error = boot_add(image, s->gpa, &bytes, err);
	buffer_free(&bytes);
	return error;
}

static int load_segments(struct boot_image *image, uint64_t ram_bytes, uint64_t *entry,
			 struct err *err)
{
	const uint8_t *elf = image->elf.data;
	size_t size = image->elf.size;
	bool is_64 = elf[EI_CLASS] == ELFCLASS64;
	Elf64_Ehdr header = { 0 };
	Elf32_Ehdr narrow;
	uint64_t virtual_entry;

	memcpy(&narrow, elf, sizeof(narrow));
	if (is_64 && size >= sizeof(header)) {
		memcpy(&header, elf, sizeof(header));
	} else {
		header.e_machine = narrow.e_machine;
		header.e_entry = narrow.e_entry;
		header.e_phoff = narrow.e_phoff;
		header.e_phnum = narrow.e_phnum;
		header.e_phentsize = narrow.e_phentsize;
	}
	if (header.e_machine != EM_386 && header.e_machine != EM_X86_64)
		return fail(err, ENOEXEC, "the ELF kernel is not for x86 (machine %u)",
			    header.e_machine);
	*entry = virtual_entry = header.e_entry;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		struct segment s;
		int error = read_segment(elf, size, is_64,
					 header.e_phoff + (uint64_t)i * header.e_phentsize, &s);

		if (error)
			return fail(err, ENOEXEC, "the ELF kernel is truncated or damaged");
		if (s.kind != PT_LOAD || !s.in_memory)
			continue;
		error = add_segment(image, &s, ram_bytes, err);
		if (error)
			return error;
		if (virtual_entry >= s.gva && virtual_entry - s.gva < s.in_memory)
			*entry = virtual_entry - s.gva + s.gpa;
	}
	return 0;
}

int elf_load(struct boot_image *image, struct buffer *elf, uint64_t ram_bytes, uint64_t *entry,
	     struct err *err)
{
	image->elf = *elf;
	*elf = (struct buffer){ 0 };
	return load_segments(image, ram_bytes, entry, err);
}

int elf_load_copy(struct boot_image *image, const struct buffer *elf, uint64_t ram_bytes,
		  uint64_t *entry, struct err *err)
{
	buffer_add(&image->elf, elf->data, elf->size);
	return load_segments(image, ram_bytes, entry, err);
}
