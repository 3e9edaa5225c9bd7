/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fw_cfg: items, the directory, DMA, and what a hostile guest asks of it. */
#include "dev/all.h"
#include "dev/isa/fw_cfg.h"
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SELECT = 0x510, DATA = 0x511, DMA = 0x514, AT = 0x1000, TO = 0x2000 };

static void read_item(struct rig *rig, uint16_t key, void *to, size_t bytes)
{
	uint8_t *at = to;

	rig_out(rig, SELECT, 2, key);
	while (bytes--)
		*at++ = (uint8_t)rig_in(rig, DATA, 1);
}

static uint32_t dma(struct rig *rig, uint32_t control, uint32_t length, uint64_t address)
{
	uint8_t request[16];

	store_be32(request, control);
	store_be32(request + 4, length);
	store_be64(request + 8, address);
	rig_poke(rig, AT, request, sizeof(request));
	rig_out(rig, DMA, 4, 0);
	rig_out(rig, DMA + 4, 4, __builtin_bswap32(AT));
	rig_peek(rig, AT, request, 4);
	return load_be32(request);
}

static struct rig *make(void)
{
	struct rig *rig = rig_new(&fw_cfg_class, "");

	CHECK_EQ(fw_cfg_add_file(rig_dev(rig), "etc/one", "first", 5, NULL), 0);
	CHECK_EQ(fw_cfg_add_file(rig_dev(rig), "etc/two", "second!", 7, NULL), 0);
	return rig;
}

static void firmware_finds_files_by_name(void)
{
	struct rig *rig = make();
	uint8_t dir[4 + 2 * 64];
	char text[8] = "";

	read_item(rig, 0, text, 4);
	CHECK_EQ(strcmp(text, "QEMU"), 0);
	read_item(rig, 0x19, dir, sizeof(dir));
	CHECK_EQ(load_be32(dir), 2);
	CHECK_EQ(load_be32(dir + 68), 7);
	CHECK_EQ(strcmp((char *)dir + 76, "etc/two"), 0);
	read_item(rig, load_be16(dir + 72), text, 8); /* and one past the end */
	CHECK_EQ(memcmp(text, "second!", 8), 0);
	rig_free(rig);
}

static void dma_reads_selects_and_skips(void)
{
	struct rig *rig = make();
	char text[8] = "xxxxxxx";

	CHECK_EQ(rig_in(rig, DMA, 4), __builtin_bswap32(0x51454d55));
	rig_poke(rig, TO, text, sizeof(text));
	CHECK_EQ(dma(rig, 0x21 << 16 | 8 | 4, 3, 0), 0);
	CHECK_EQ(dma(rig, 2, 6, TO), 0);
	rig_peek(rig, TO, text, sizeof(text));
	CHECK_EQ(memcmp(text, "ond!\0\0x", 8), 0);
	rig_free(rig);
}

static void names_are_checked(void)
{
	struct rig *rig = make();
	char name[16];

	CHECK_EQ(fw_cfg_add_file(rig_dev(rig), "etc/one", "", 0, NULL), -EEXIST);
	CHECK_EQ(fw_cfg_add_file(rig_dev(rig),
				 "a name that is a good deal longer than fifty-five bytes long", "",
				 0, NULL),
		 -EINVAL);
	for (unsigned i = 0; i < 254; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_EQ(fw_cfg_add_file(rig_dev(rig), name, "", 0, NULL), 0);
	}
	CHECK_EQ(fw_cfg_add_file(rig_dev(rig), "more", "", 0, NULL), -ENOSPC);
	rig_free(rig);
}

/* CVE-2016-1714: any selector, any length, any address. */
static void hostile_requests_get_an_error(void)
{
	struct rig *rig = make();
	uint8_t byte;

	for (unsigned key = 0; key < 0x10000; key += 7) {
		read_item(rig, (uint16_t)key, &byte, 1);
		dma(rig, key << 16 | 8 | 4, 0xffffffff, 0);
		dma(rig, 2, 16, TO);
	}
	CHECK_EQ(dma(rig, 0x20 << 16 | 8 | 2, 0xffffffff, TO), 1);
	CHECK_EQ(dma(rig, 0x20 << 16 | 8 | 2, 4, 0xfee00000), 1); /* a device's address */
	CHECK_EQ(dma(rig, 0x20 << 16 | 8 | 2, 4, UINT64_MAX - 1), 1);
	CHECK_EQ(dma(rig, 0x20 << 16 | 8 | 16, 4, TO), 1); /* nothing can be written */
	rig_out(rig, DMA, 4, 0xffffffff); /* the request itself is nowhere */
	rig_out(rig, DMA + 4, 4, 0xffffffff);
	rig_free(rig);
}

int main(void)
{
	firmware_finds_files_by_name();
	dma_reads_selects_and_skips();
	names_are_checked();
	hostile_requests_get_an_error();
	puts("fw_cfg: ok");
	return 0;
}
