/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two 8237A DMA controllers of a PC/AT, with their page registers.
 *
 * Channels 0-3 move bytes, 5-7 words (their addresses and counts are in words); 4 is the cascade.
 * A device asks for a transfer (isa_dma_* in core/dev.h) and gets as much as the channel's count
 * allows; the guest's registers move along.
 *
 * Manual: Intel 8237A data sheet; IBM PC/AT technical reference, page registers.
 * Not modelled: memory-to-memory, software requests, cascade mode, rotating priority, bus timing.
 */
#include "core/dev.h"

enum { CHANNELS = 8, LOW_BASE = 0x00, HIGH_BASE = 0xc0, PAGE_BASE = 0x81 };

/* Registers above the channels', by number; the second chip's are two apart. */
enum { REG_COMMAND = 8, REG_REQUEST, REG_MASK_ONE, REG_MODE, REG_CLEAR_POINTER, REG_MASTER_CLEAR,
       REG_CLEAR_MASK, REG_MASK_ALL };

enum {
	MODE_TRANSFER = 0x0c, MODE_TO_MEMORY = 0x04, MODE_FROM_MEMORY = 0x08, MODE_AUTO = 0x10,
	MODE_DOWN = 0x20, COMMAND_DISABLE = 4,
};


struct channel {
	uint16_t base_address, base_count, address, count;
	uint8_t mode, page, page_high;
};

struct chip {
	uint8_t command, status, mask, request, temporary;
	bool high_byte; /* the byte pointer */
};

struct i8257 {
	struct dev dev;
	struct chip chip[2];
	struct channel channel[CHANNELS];
	uint8_t spare_page[16]; /* page ports nobody uses keep what is written: POST codes too */
	uint64_t bytes;
};

static const struct field channel_fields[] = {
	STATE(struct channel, base_address),
	STATE(struct channel, base_count),
	STATE(struct channel, address),
	STATE(struct channel, count),
	STATE(struct channel, mode),
	STATE(struct channel, page),
	STATE(struct channel, page_high),
	{ 0 }
};

static const struct field chip_fields[] = {
	STATE(struct chip, command),
	STATE(struct chip, status),
	STATE(struct chip, mask, .max = 15),
	STATE(struct chip, request, .max = 15),
	STATE(struct chip, temporary),
	STATE(struct chip, high_byte),
	{ 0 }
};

static const struct field i8257_fields[] = {
	STATE_STRUCTS(struct i8257, chip, chip_fields),
	STATE_STRUCTS(struct i8257, channel, channel_fields),
	STATE(struct i8257, spare_page),
	COUNTER(struct i8257, bytes, .help = "bytes moved"),
	{ 0 }
};

static struct i8257 *to_i8257(struct dev *dev)
{
	return container_of(dev, struct i8257, dev);
}

static bool is_ready(const struct i8257 *d, unsigned channel)
{
	const struct chip *chip = &d->chip[channel / 4];

	return !(chip->command & COMMAND_DISABLE) && !(chip->mask & BIT(channel % 4));
}

static void tell_ready(struct i8257 *d, unsigned chip)
{
	for (unsigned i = 4 * chip; i < 4 * chip + 4; i++)
		if (is_ready(d, i))
			isa_dma_ready(&d->dev, i);
}

/* The 24-bit bus address; words have their lowest page bit in the address register's place. */
static uint64_t bus_address(const struct channel *c, bool words)
{
	uint64_t page = (uint64_t)c->page_high << 24 & 0x7f000000;

	if (words)
		return page | (uint64_t)(c->page & 0xfe) << 16 | (uint64_t)c->address << 1;
	return page | (uint64_t)c->page << 16 | c->address;
}

static void reach_terminal(struct i8257 *d, unsigned channel)
{
	struct channel *c = &d->channel[channel];

	d->chip[channel / 4].status |= BIT(channel % 4);
	if (c->mode & MODE_AUTO) {
		c->address = c->base_address;
		c->count = c->base_count;
	} else {
		d->chip[channel / 4].mask |= BIT(channel % 4);
	}
}

/* `bytes` in one direction, no more than the count allows; the address wraps within its page. */
static size_t move(struct i8257 *d, struct channel *c, bool words, uint8_t *buffer, size_t bytes,
		   bool to_memory)
{
	unsigned unit = words ? 2 : 1;
	uint32_t units = (uint32_t)(bytes / unit), done = 0;

	while (done < units) {
		uint32_t run = MIN(units - done, (uint32_t)(0x10000 - c->address));
		uint64_t address = bus_address(c, words);
		uint8_t *at = buffer + done * unit;

		if (c->mode & MODE_DOWN)
			run = 1;
		if (to_memory)
			dma_write(&d->dev, address, at, run * unit);
		else if (dma_read(&d->dev, address, at, run * unit))
			memset(at, 0xff, run * unit);
		c->address = (uint16_t)(c->mode & MODE_DOWN ? c->address - run : c->address + run);
		done += run;
	}
	return units * unit;
}

static size_t transfer(struct dev *dev, unsigned channel, void *buffer, size_t bytes,
		       bool to_memory, bool *terminal)
{
	struct i8257 *d = to_i8257(dev);
	struct channel *c = &d->channel[channel % CHANNELS];
	bool words = channel >= 4;
	uint8_t kind = c->mode & MODE_TRANSFER;
	size_t most = ((size_t)c->count + 1) * (words ? 2 : 1);

	if (channel >= CHANNELS || !is_ready(d, channel))
		return 0;
	bytes = MIN(bytes, most);
	if (words)
		bytes &= ~(size_t)1;
	if (kind == (to_memory ? MODE_TO_MEMORY : MODE_FROM_MEMORY))
		bytes = move(d, c, words, buffer, bytes, to_memory);
	else if (kind != 0) /* 0: verify, nothing moves but the count */
		return 0;
	d->bytes += bytes;
	c->count = (uint16_t)(c->count - (words ? bytes / 2 : bytes));
	*terminal = bytes == most;
	if (*terminal)
		reach_terminal(d, channel);
	return bytes;
}

static const struct isa_dma i8257_dma = { .transfer = transfer };

static uint8_t read_half(struct chip *chip, uint16_t value)
{
	chip->high_byte = !chip->high_byte;
	return (uint8_t)(chip->high_byte ? value : value >> 8);
}

static void write_half(struct chip *chip, uint16_t *base, uint16_t *current, uint8_t value)
{
	if (chip->high_byte)
		*base = (uint16_t)((*base & 0xff) | value << 8);
	else
		*base = (*base & 0xff00) | value;
	*current = *base;
	chip->high_byte = !chip->high_byte;
}

static uint8_t chip_read(struct i8257 *d, unsigned number, unsigned reg)
{
	struct chip *chip = &d->chip[number];
	const struct channel *c = &d->channel[4 * number + reg / 2 % 4];
	uint8_t status;

	if (reg < REG_COMMAND)
		return read_half(chip, reg & 1 ? c->count : c->address);
	switch (reg) {
	case REG_COMMAND: /* reads the status, and clears what reached its count */
		status = chip->status | (uint8_t)(chip->request << 4);
		chip->status &= 0xf0;
		return status;
	case REG_MASTER_CLEAR:
		return chip->temporary;
	case REG_MASK_ALL:
		return chip->mask | 0xf0;
	default:
		return 0xff;
	}
}

static void master_clear(struct chip *chip)
{
	*chip = (struct chip){ .mask = 15 };
}

static void chip_write(struct i8257 *d, unsigned number, unsigned reg, uint8_t value)
{
	struct chip *chip = &d->chip[number];
	struct channel *c = &d->channel[4 * number + reg / 2 % 4];
	uint8_t bit = (uint8_t)BIT(value & 3);

	if (reg < REG_COMMAND) {
		if (reg & 1)
			write_half(chip, &c->base_count, &c->count, value);
		else
			write_half(chip, &c->base_address, &c->address, value);
		return;
	}
	switch (reg) {
	case REG_COMMAND:
		chip->command = value;
		break;
	case REG_REQUEST:
		chip->request = value & 4 ? chip->request | bit : chip->request & ~bit;
		break;
	case REG_MASK_ONE:
		chip->mask = value & 4 ? chip->mask | bit : chip->mask & ~bit;
		break;
	case REG_MODE:
		d->channel[4 * number + (value & 3)].mode = value;
		break;
	case REG_CLEAR_POINTER:
		chip->high_byte = false;
		break;
	case REG_MASTER_CLEAR:
		master_clear(chip);
		break;
	case REG_CLEAR_MASK:
		chip->mask = 0;
		break;
	case REG_MASK_ALL:
		chip->mask = value & 15;
		break;
	}
	tell_ready(d, number);
}

static uint64_t low_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return chip_read(to_i8257(dev), 0, (unsigned)offset);
}

static void low_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	chip_write(to_i8257(dev), 0, (unsigned)offset, (uint8_t)value);
}

static uint64_t high_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return chip_read(to_i8257(dev), 1, (unsigned)offset / 2);
}

static void high_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	chip_write(to_i8257(dev), 1, (unsigned)offset / 2, (uint8_t)value);
}

/* Which channel a page port is for: 0x81 is 2's, 0x82 3's, 0x83 1's, 0x87 0's, ... -1: nobody's. */
static int page_channel(unsigned port)
{
	static const int8_t channels[16] = {
		-1, 2, 3, 1, -1, -1, -1, 0, -1, 6, 7, 5, -1, -1, -1, 4,
	};

	return channels[port & 15];
}

static uint64_t page_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct i8257 *d = to_i8257(dev);
	unsigned port = (unsigned)offset + PAGE_BASE;
	int channel = page_channel(port);

	return channel < 0 ? d->spare_page[port & 15] : d->channel[channel].page;
}

static void page_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct i8257 *d = to_i8257(dev);
	unsigned port = (unsigned)offset + PAGE_BASE;
	int channel = page_channel(port);

	d->spare_page[port & 15] = (uint8_t)value;
	if (channel >= 0) {
		d->channel[channel].page = (uint8_t)value;
		d->channel[channel].page_high = 0;
	}
}

static const struct region low_ports = {
	.name = "dma1", .min_size = 1, .max_size = 1, .read = low_read, .write = low_write,
};

static const struct region high_ports = {
	.name = "dma2", .min_size = 1, .max_size = 1, .read = high_read, .write = high_write,
};

static const struct region page_ports = {
	.name = "dma-pages", .min_size = 1, .max_size = 1, .read = page_read, .write = page_write,
};

static int i8257_attach(struct dev *dev, struct err *err)
{
	int code = claim_ports(dev, &low_ports, LOW_BASE, 16, err);

	if (!code)
		code = claim_ports(dev, &high_ports, HIGH_BASE, 32, err);
	if (!code)
		code = claim_ports(dev, &page_ports, PAGE_BASE, 15, err);
	if (!code)
		isa_dma_claim(dev, &i8257_dma);
	return code;
}

static void i8257_reset(struct dev *dev)
{
	struct i8257 *d = to_i8257(dev);

	master_clear(&d->chip[0]);
	master_clear(&d->chip[1]);
	memset(d->channel, 0, sizeof(d->channel));
	memset(d->spare_page, 0, sizeof(d->spare_page));
}

const struct dev_class i8257_class = {
	.name = "i8257",
	.summary = "DMA controllers of a PC/AT",
	.size = sizeof(struct i8257),
	.fields = i8257_fields,
	.board_only = true,
	.attach = i8257_attach,
	.reset = i8257_reset,
};
