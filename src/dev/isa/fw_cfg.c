/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fw_cfg: what the board leaves for firmware, as items by number and files by name.
 *
 * The guest writes an item's number to the selector port and reads its bytes one by one from the
 * data port; or it puts a request in memory and its address, big-endian, into the DMA port.
 *
 * Manual: QEMU's docs/specs/fw_cfg; Linux's drivers/firmware/qemu_fw_cfg.c relies on the same.
 * Not modelled: writing items (a DMA write answers with the error bit).
 */
#include "dev/isa/fw_cfg.h"

#include <errno.h>
#include <stdlib.h>

enum { SELECTOR = 0, DATA = 1, PORTS = 2, DMA_OFFSET = 4, DMA_PORTS = 8 };
enum { SLOTS = 0x120, LOCAL = 0x8000, WRITE_BIT = 0x4000, NAME_BYTES = 56, DIR_ENTRY = 64 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
enum { ID_TRADITIONAL = 1, ID_DMA = 2 };
enum { FILL_MAX = 16 << 20 }; /* zeros past an item's end in one request; more is no firmware's */

#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

struct item {
	uint8_t *data;
	uint32_t bytes;
};

struct fw_cfg {
	struct dev dev;
	uint16_t port;
	bool dma_enabled;

	uint16_t selected;
	uint32_t offset;
	uint32_t dma_high;

	struct item items[2][SLOTS]; /* generic, architecture's */
	uint16_t files;
	uint64_t dma_requests;
};

static const struct field fw_cfg_fields[] = {
	SETTING_AS("iobase", struct fw_cfg, port, .def = 0x510, .help = "first I/O port"),
	SETTING(struct fw_cfg, dma_enabled, .def = true, .help = "offers the DMA port"),
	STATE(struct fw_cfg, selected),
	STATE(struct fw_cfg, offset),
	STATE(struct fw_cfg, dma_high),
	COUNTER(struct fw_cfg, dma_requests, .help = "DMA requests"),
	{ 0 }
};

static struct fw_cfg *to_fw_cfg(struct dev *dev)
{
	return container_of(dev, struct fw_cfg, dev);
}

/* NULL: there is no such number. An item nobody added is empty. */
static struct item *find_item(struct fw_cfg *fw, uint16_t key)
{
	unsigned number = key & ~(LOCAL | WRITE_BIT);

	return number < SLOTS ? &fw->items[!!(key & LOCAL)][number] : NULL;
}

static void set_item(struct fw_cfg *fw, uint16_t key, const void *data, size_t bytes)
{
	struct item *item = find_item(fw, key);

	free(item->data);
	item->data = malloc(bytes ? bytes : 1);
	item->bytes = item->data ? (uint32_t)bytes : 0;
	if (item->data)
		memcpy(item->data, data, bytes);
}

void fw_cfg_add_item(struct dev *dev, uint16_t key, const void *data, size_t bytes)
{
	if (find_item(to_fw_cfg(dev), key) && bytes <= UINT32_MAX)
		set_item(to_fw_cfg(dev), key, data, bytes);
}

/* The directory: a count, then size, number and name of each, all big-endian. */
static bool name_is_taken(const struct item *dir, const char *name)
{
	for (uint32_t at = 4; at + DIR_ENTRY <= dir->bytes; at += DIR_ENTRY)
		if (!strncmp((const char *)dir->data + at + 8, name, NAME_BYTES))
			return true;
	return false;
}

int fw_cfg_add_file(struct dev *dev, const char *name, const void *data, size_t bytes,
		    struct err *err)
{
	struct fw_cfg *fw = to_fw_cfg(dev);
	struct item *dir = find_item(fw, FW_CFG_FILE_DIR);
	uint16_t key = (uint16_t)(FW_CFG_FILE_FIRST + fw->files);
	uint8_t *grown, *entry;

	if (strlen(name) >= NAME_BYTES || bytes > UINT32_MAX)
		return fail(err, EINVAL, "fw_cfg file name \"%s\" is too long", name);
	if (name_is_taken(dir, name))
		return fail(err, EEXIST, "there is a fw_cfg file \"%s\" already", name);
	if (key >= SLOTS)
		return fail(err, ENOSPC, "the fw_cfg directory is full");
	grown = realloc(dir->data, dir->bytes + DIR_ENTRY);
	if (!grown)
		return fail(err, ENOMEM, "no memory for fw_cfg file \"%s\"", name);
	dir->data = grown;
	entry = grown + dir->bytes;
	dir->bytes += DIR_ENTRY;
	memset(entry, 0, DIR_ENTRY);
	store_be32(entry, (uint32_t)bytes);
	store_be16(entry + 4, key);
	strcpy((char *)entry + 8, name);
	store_be32(dir->data, ++fw->files);
	set_item(fw, key, data, bytes);
	return 0;
}

static void select_item(struct fw_cfg *fw, uint16_t key)
{
	fw->selected = key;
	fw->offset = 0;
}

/* What is left of the selected item; *bytes is shortened to that. */
static const uint8_t *rest(struct fw_cfg *fw, uint32_t *bytes)
{
	const struct item *item = find_item(fw, fw->selected);
	uint32_t left = item && fw->offset < item->bytes ? item->bytes - fw->offset : 0;

	*bytes = MIN(*bytes, left);
	return *bytes ? item->data + fw->offset : NULL;
}

static uint8_t next_byte(struct fw_cfg *fw)
{
	uint32_t one = 1;
	const uint8_t *at = rest(fw, &one);

	fw->offset += one;
	return at ? *at : 0;
}

static uint64_t fw_cfg_read(struct dev *dev, uint64_t offset, unsigned size)
{
	if (offset == DATA && size == 1)
		return next_byte(to_fw_cfg(dev));
	return read_as_zero(dev, offset, size);
}

static void fw_cfg_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	if (offset == SELECTOR && size == 2)
		select_item(to_fw_cfg(dev), (uint16_t)value);
}

static const struct region fw_cfg_ports = {
	.name = "fw_cfg",
	.min_size = 1,
	.max_size = 2,
	.read = fw_cfg_read,
	.write = fw_cfg_write,
};

static int fill_zeroes(struct dev *dev, uint64_t to, uint32_t bytes)
{
	static const uint8_t zeroes[4096];

	if (bytes > FILL_MAX)
		return -EINVAL;
	while (bytes) {
		uint32_t now = MIN(bytes, (uint32_t)sizeof(zeroes));

		if (dma_write(dev, to, zeroes, now))
			return -EFAULT;
		to += now, bytes -= now;
	}
	return 0;
}

static uint32_t do_request(struct fw_cfg *fw, uint32_t control, uint32_t length, uint64_t to)
{
	uint32_t bytes = length;
	const uint8_t *from;

	if (control & DMA_SELECT)
		select_item(fw, (uint16_t)(control >> 16));
	if (control & DMA_WRITE)
		return DMA_ERROR;
	if (!(control & (DMA_READ | DMA_SKIP)))
		return 0;
	from = rest(fw, &bytes);
	fw->offset += bytes;
	if (!(control & DMA_READ))
		return 0;
	if (bytes && dma_write(&fw->dev, to, from, bytes))
		return DMA_ERROR;
	return fill_zeroes(&fw->dev, to + bytes, length - bytes) ? DMA_ERROR : 0;
}

static void run_dma(struct fw_cfg *fw, uint64_t address)
{
	uint8_t request[16], answer[4];

	fw->dma_requests++;
	if (dma_read(&fw->dev, address, request, sizeof(request)))
		return;
	store_be32(answer, do_request(fw, load_be32(request), load_be32(request + 4),
				      load_be64(request + 8)));
	dma_write(&fw->dev, address, answer, sizeof(answer));
}

static uint64_t dma_port_read(struct dev *dev, uint64_t offset, unsigned size)
{
	uint64_t signature = __builtin_bswap64(DMA_SIGNATURE);

	return offset + size <= DMA_PORTS ? bits_of(signature >> 8 * offset, 0, 8 * size) : 0;
}

static void dma_port_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct fw_cfg *fw = to_fw_cfg(dev);
	uint32_t word = __builtin_bswap32((uint32_t)value);

	if (size != 4) {
		guest_error(dev, "DMA address written in pieces of %u bytes", size);
	} else if (offset == 0) {
		fw->dma_high = word;
	} else if (offset == 4) {
		uint64_t address = (uint64_t)fw->dma_high << 32 | word;

		fw->dma_high = 0;
		run_dma(fw, address);
	}
}

static const struct region dma_ports = {
	.name = "fw_cfg-dma",
	.min_size = 1,
	.max_size = 4,
	.read = dma_port_read,
	.write = dma_port_write,
};

static int fw_cfg_attach(struct dev *dev, struct err *err)
{
	struct fw_cfg *fw = to_fw_cfg(dev);
	uint8_t id[4] = { ID_TRADITIONAL | (fw->dma_enabled ? ID_DMA : 0) };
	uint8_t none[4] = { 0 };
	int code = claim_ports(dev, &fw_cfg_ports, fw->port, PORTS, err);

	if (!code && fw->dma_enabled)
		code = claim_ports(dev, &dma_ports, (uint16_t)(fw->port + DMA_OFFSET), DMA_PORTS,
				   err);
	if (code)
		return code;
	set_item(fw, FW_CFG_SIGNATURE, "QEMU", 4);
	set_item(fw, FW_CFG_ID, id, sizeof(id));
	set_item(fw, FW_CFG_FILE_DIR, none, sizeof(none));
	return 0;
}

static void fw_cfg_reset(struct dev *dev)
{
	select_item(to_fw_cfg(dev), FW_CFG_SIGNATURE);
	to_fw_cfg(dev)->dma_high = 0;
}

static void fw_cfg_detach(struct dev *dev)
{
	struct fw_cfg *fw = to_fw_cfg(dev);

	for (unsigned i = 0; i < SLOTS; i++) {
		free(fw->items[0][i].data);
		free(fw->items[1][i].data);
	}
}

const struct dev_class fw_cfg_class = {
	.name = "fw_cfg",
	.summary = "what the board leaves for firmware",
	.size = sizeof(struct fw_cfg),
	.fields = fw_cfg_fields,
	.board_only = true,
	.attach = fw_cfg_attach,
	.reset = fw_cfg_reset,
	.detach = fw_cfg_detach,
};
