/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a kernel without firmware.
 *
 * A loader fills a boot image: pieces of memory and the state the kernel wants to be entered in.
 * The "kernel-loader" device copies the pieces into RAM at every reset and puts a one-page ROM under
 * the reset vector (boot_rom.S) that enters the kernel.
 */
#ifndef MACHINE_BOOT_H
#define MACHINE_BOOT_H

#include "machine/acpi.h"

struct boot_piece {
	uint64_t gpa;
	struct buffer bytes; /* of a part the size alone */
	bool is_part;        /* of boot_image.elf, from `offset` on */
	size_t offset;
};

enum { BOOT_PIECES = 64 };

/* As boot_rom.S lays it out. */
struct boot_handoff {
	uint64_t entry;
	uint32_t eax, ebx, esi, esp;
	uint32_t cr3;     /* not 0: enter in 64-bit mode with these page tables */
};

struct boot_image {
	struct boot_piece piece[BOOT_PIECES];
	unsigned pieces;
	struct buffer elf; /* the kernel, if it is one */
	/* What that was unpacked from, if it was: then it is there only while it is wanted. */
	struct buffer packed;
	size_t elf_size;
	struct boot_handoff handoff;
	uint64_t facs; /* where the OS leaves its waking vector */
};

/* Where a direct boot puts its own things. */
enum {
	BOOT_EBDA = 0x9fc00,   /* reserved as firmware would */
	BOOT_TABLES = 0xf0000, /* RSDP, SMBIOS */
	BOOT_PARAMS = 0x10000,
	BOOT_COMMAND_LINE = 0x20000,
	BOOT_COMMAND_LINE_MAX = 0x10000,
	BOOT_STACK = 0x8000,
	BOOT_PAGE_TABLES = 0x60000, /* six pages: 4 GiB, one to one */
	ACPI_ROOM = 0x10000,        /* at the end of low RAM */
};

struct e820_entry {
	uint64_t base, bytes;
	uint32_t kind; /* 1 RAM, 2 reserved, 3 ACPI tables */
} __attribute__((packed));
enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_MAX = 16 };

/* The memory map; `direct`: with our ACPI area at the end of low RAM. Returns the count. */
unsigned e820_fill(struct e820_entry *table, uint64_t ram_bytes, bool direct);

/* Takes a piece over; overlapping pieces or too many are the loader's mistake (-EINVAL). */
int boot_add(struct boot_image *image, uint64_t gpa, struct buffer *bytes, struct err *err);
int boot_add_copy(struct boot_image *image, uint64_t gpa, const void *bytes, size_t size,
		  struct err *err);
/* The same of what is in image->elf, without a copy. The range must be within it. */
int boot_add_part(struct boot_image *image, uint64_t gpa, size_t offset, size_t size,
		  struct err *err);
void boot_free(struct boot_image *image);
/* A piece's bytes, good until boot_let_go(), which gives back what can be unpacked again. */
const uint8_t *boot_piece_bytes(struct boot_image *image, const struct boot_piece *piece);
void boot_let_go(struct boot_image *image);

/* Reads a whole file; a sentence names it when it cannot be had or has more than `limit` bytes. */
int read_file(const char *what, const char *path, uint64_t limit, struct buffer *out,
	      struct err *err);

/* Each recognises its kind: 1 loaded, 0 not this kind, -errno with a sentence. */
int linux_load(struct boot_image *image, const struct buffer *kernel,
	       const struct pc_options *options, struct err *err);
int multiboot_load(struct boot_image *image, const struct buffer *kernel,
		   const struct pc_options *options, struct err *err);
/* The ELF's loadable segments as pieces; `entry` is physical. Either word size, x86 only. The file
 * is taken over. */
int elf_load(struct boot_image *image, struct buffer *elf, uint64_t ram_bytes, uint64_t *entry,
	     struct err *err);
int elf_load_copy(struct boot_image *image, const struct buffer *elf, uint64_t ram_bytes,
		  uint64_t *entry, struct err *err);
bool is_elf(const uint8_t *bytes, size_t size);
/* Undoes the kernel's own compression: 1 done, 0 unknown method, -errno broken. `out` may have room
 * for so much more on the way. */
enum { UNPACK_ROOM = 8 << 20 };
int unpack(const uint8_t *from, size_t size, size_t limit, struct buffer *out, struct err *err);

/* Adds ACPI tables, RSDP and the kernel; for pc.c. */
int boot_prepare(struct boot_image *image, const struct pc_options *options, struct err *err);
/* The device; takes the image over. */
int boot_attach(struct board *board, struct boot_image *image, struct err *err);

extern const uint8_t boot_rom_start[], boot_rom_end[]; /* boot_rom.S: one page */

#endif
