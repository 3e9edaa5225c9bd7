/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PIIX3 IDE controller: two channels with two drives each, and bus-master DMA.
 *
 * Register accesses go to the selected drive of the channel, writes of the command block to both.
 * A DMA command waits until the guest starts the bus-master engine, which walks a table of
 * physical regions. Drives are devices of their own: ide-hd, ide-cd.
 *
 * Manual: Intel 82371SB (PIIX3), order 290550, sections 2.3 and 2.7; Programming Interface for
 * Bus Master IDE Controller, revision 1.0.
 * Not modelled: native PCI mode; timing registers keep their bits and change nothing.
 */
#include "dev/pci/ide.h"
#include "core/board.h"
#include "dev/pci/chipset.h"

#include <errno.h>
#include <stdlib.h>

enum { IDETIM = 0x40, IDETIM_DECODE = 0x80 /* in each high byte */ };
enum { BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4, BM_CHANNEL = 8, BM_PORTS = 16 };
enum { PRD_LAST = 0x8000, PRD_MAX = 8192, SOFT_SEGMENTS = 512 };

struct piix3_ide {
	struct pci_dev pci;
	struct ide_channel channel[2];
};

static const struct field channel_state[] = {
	STATE(struct ide_channel, device),      STATE(struct ide_channel, control),
	STATE(struct ide_channel, irq_pending), STATE(struct ide_channel, bm_command),
	STATE(struct ide_channel, bm_status),   STATE(struct ide_channel, bm_table),
	STATE(struct ide_channel, prd_next),    STATE(struct ide_channel, prd_at),
	STATE(struct ide_channel, prd_left),    STATE(struct ide_channel, prd_last),
	STATE(struct ide_channel, prd_count),   { 0 },
};

static const struct field piix3_ide_fields[] = {
	STATE_STRUCTS(struct piix3_ide, channel, channel_state),
	{ 0 },
};

static struct piix3_ide *to_ide(struct dev *dev)
{
	return container_of(dev, struct piix3_ide, pci.dev);
}

static void drive_line(struct ide_channel *channel)
{
	irq_set(channel->dev, 14 + channel->number,
		channel->irq_pending && !(channel->control & CONTROL_NO_IRQ));
}

void ide_irq(struct ide_channel *channel, bool pending)
{
	if (pending && !(channel->control & CONTROL_NO_IRQ))
		channel->bm_status |= BM_INTERRUPT;
	channel->irq_pending = pending;
	drive_line(channel);
}

/* Bus master ------------------------------------------------------------------------------ */

/* The next descriptor; 0 at the table's end, -errno if the table is not in RAM. */
static int next_prd(struct ide_channel *channel)
{
	uint8_t prd[8];

	if (channel->prd_last || channel->prd_count >= PRD_MAX)
		return 0;
	if (pci_dma_read(channel->dev, channel->prd_next, prd, sizeof(prd)))
		return -EFAULT;
	channel->prd_next += sizeof(prd);
	channel->prd_count++;
	channel->prd_at = load_le32(prd) & ~1u;
	channel->prd_left = load_le16(prd + 4) & ~1u;
	if (!channel->prd_left)
		channel->prd_left = 0x10000;
	channel->prd_last = load_le16(prd + 6) & PRD_LAST;
	return 1;
}

/* Cuts the last `bytes` off what is mapped: the table ended inside a sector. */
static void trim_tail(struct ide_drive *drive, uint64_t bytes)
{
	while (bytes) {
		struct iovec *last = &drive->iov[drive->iov_count - 1];
		size_t cut = MIN(bytes, last->iov_len);

		last->iov_len -= cut;
		bytes -= cut;
		dma_unmap(drive->channel->dev, (char *)last->iov_base + last->iov_len, cut, false);
		drive->iov_count -= last->iov_len == 0;
	}
}

static int map_piece(struct ide_drive *drive, size_t *bytes, bool to_guest)
{
	struct ide_channel *channel = drive->channel;
	void *host;

	if (drive->iov_count == IDE_SEGMENTS ||
	    !(to_pci(channel->dev)->config[PCI_COMMAND] & COMMAND_MASTER))
		return -EFAULT;
	host = dma_map(channel->dev, channel->prd_at, bytes, to_guest);
	if (!host)
		return -EFAULT;
	drive->iov[drive->iov_count++] = (struct iovec){ host, *bytes };
	channel->prd_at += *bytes;
	channel->prd_left -= *bytes;
	return 0;
}

int64_t ide_dma_map(struct ide_drive *drive, uint64_t wanted, unsigned unit, bool to_guest)
{
	struct ide_channel *channel = drive->channel;
	uint64_t total = 0;
	int code = 1;

	drive->iov_count = 0;
	drive->is_mapped = true;
	while (total < wanted) {
		bool many = drive->iov_count >= SOFT_SEGMENTS;
		size_t piece;

		if (many && total % unit == 0)
			break;
		if (!channel->prd_left)
			code = next_prd(channel);
		if (code <= 0)
			break;
		piece = MIN(channel->prd_left, wanted - total);
		if (many) /* end at the next boundary; the rest stays in the descriptor */
			piece = MIN(piece, unit - total % unit);
		code = map_piece(drive, &piece, to_guest);
		if (code)
			break;
		code = 1;
		total += piece;
	}
	if (code < 0) {
		ide_dma_unmap(drive, false);
		return code;
	}
	trim_tail(drive, total % unit);
	return total - total % unit;
}

void ide_dma_unmap(struct ide_drive *drive, bool to_guest)
{
	for (unsigned i = 0; i < drive->iov_count; i++)
		dma_unmap(drive->channel->dev, drive->iov[i].iov_base, drive->iov[i].iov_len,
			  to_guest);
	drive->iov_count = 0;
	drive->is_mapped = false;
}

uint32_t ide_dma_copy(struct ide_drive *drive, uint8_t *buffer, uint32_t bytes, bool to_guest)
{
	struct ide_channel *channel = drive->channel;
	uint32_t moved = 0;

	while (moved < bytes) {
		uint32_t piece;
		int code;

		if (!channel->prd_left && next_prd(channel) <= 0)
			break;
		piece = MIN(channel->prd_left, bytes - moved);
		code = to_guest
			       ? pci_dma_write(channel->dev, channel->prd_at, buffer + moved, piece)
			       : pci_dma_read(channel->dev, channel->prd_at, buffer + moved, piece);
		if (code)
			break;
		channel->prd_at += piece;
		channel->prd_left -= piece;
		moved += piece;
	}
	return moved;
}

/* [Bus Master 3.1] active stays set when the table described more than the drive had. */
void ide_dma_finished(struct ide_channel *channel, bool failed)
{
	if (failed)
		channel->bm_status |= BM_ERROR;
	if (failed || (channel->prd_last && !channel->prd_left))
		channel->bm_status &= ~BM_ACTIVE;
}

static struct ide_drive *selected(const struct ide_channel *channel)
{
	return channel->drive[channel->device & DEVICE_SECOND ? 1 : 0];
}

static void start_engine(struct ide_channel *channel)
{
	struct ide_drive *drive = selected(channel);

	channel->prd_next = channel->bm_table;
	channel->prd_left = 0;
	channel->prd_last = false;
	channel->prd_count = 0;
	channel->bm_status |= BM_ACTIVE;
	if (drive)
		ide_dma_run(drive);
}

static void stop_engine(struct ide_channel *channel)
{
	for (unsigned i = 0; i < 2; i++)
		if (channel->drive[i])
			ide_settle(channel->drive[i]);
	channel->bm_status &= ~BM_ACTIVE;
}

static uint64_t bm_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct ide_channel *channel = &to_ide(dev)->channel[offset / BM_CHANNEL];
	uint8_t image[BM_CHANNEL + 4] = {
		[BM_COMMAND] = channel->bm_command, [BM_STATUS] = channel->bm_status
	};

	store_le32(&image[BM_TABLE], channel->bm_table);
	return load_le(&image[offset % BM_CHANNEL], size);
}

static void bm_write_byte(struct ide_channel *channel, unsigned offset, uint8_t value)
{
	unsigned shift = (offset & 3) * 8;
	bool starts, stops;

	switch (offset) {
	case BM_COMMAND:
		starts = value & ~channel->bm_command & BM_START;
		stops = ~value & channel->bm_command & BM_START;
		channel->bm_command = value & (BM_START | BM_TO_MEMORY);
		if (starts)
			start_engine(channel);
		else if (stops)
			stop_engine(channel);
		break;
	case BM_STATUS:
		channel->bm_status = (value & BM_CAPABLE) | (channel->bm_status & BM_ACTIVE) |
				     (channel->bm_status & ~value & (BM_ERROR | BM_INTERRUPT));
		break;
	case BM_TABLE:
	case BM_TABLE + 1:
	case BM_TABLE + 2:
	case BM_TABLE + 3:
		channel->bm_table &= ~(0xffu << shift);
		channel->bm_table |= (uint32_t)value << shift & ~3u;
		break;
	default:
		break;
	}
}

static void bm_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct ide_channel *channel = &to_ide(dev)->channel[offset / BM_CHANNEL];

	for (unsigned i = 0; i < size; i++)
		bm_write_byte(channel, offset % BM_CHANNEL + i, value >> i * 8);
}

static const struct region bm_ports = {
	.name = "ide-bus-master",
	.min_size = 1,
	.max_size = 4,
	.read = bm_read,
	.write = bm_write,
};

/* Command and control blocks -------------------------------------------------------------- */

static uint64_t block_read(struct ide_channel *channel, unsigned offset, unsigned size)
{
	struct ide_drive *drive = selected(channel);
	uint64_t value = 0;

	if (!drive) /* nobody drives the bus; zero status is what probing expects */
		return 0;
	if (offset == 0 && size > 1)
		return ide_data_read(drive, size);
	for (unsigned i = 0; i < size; i++) {
		uint8_t byte =
			ide_register_read(drive, offset + i, channel->control & CONTROL_HIGH_BYTES);

		value |= (uint64_t)byte << i * 8;
		if (offset + i == 7)
			ide_irq(channel, false);
	}
	return value;
}

static void block_write_byte(struct ide_channel *channel, unsigned offset, uint8_t value)
{
	struct ide_drive *drive;

	channel->control &= ~CONTROL_HIGH_BYTES;
	if (offset == 6)
		channel->device = value;
	if (offset == 7) {
		drive = selected(channel);
		ide_irq(channel, false);
		if (value == 0x90) /* EXECUTE DEVICE DIAGNOSTIC is for both */
			drive = channel->drive[0] ? channel->drive[0] : channel->drive[1];
		if (drive)
			ide_register_write(drive, offset, value);
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		if (channel->drive[i])
			ide_register_write(channel->drive[i], offset, value);
}

static void block_write(struct ide_channel *channel, unsigned offset, unsigned size, uint64_t value)
{
	struct ide_drive *drive = selected(channel);

	if (offset == 0 && size > 1) {
		if (drive)
			ide_data_write(drive, size, value);
		return;
	}
	for (unsigned i = 0; i < size && offset + i < 8; i++)
		if (offset + i)
			block_write_byte(channel, offset + i, value >> i * 8);
}

static uint64_t control_read(struct ide_channel *channel)
{
	struct ide_drive *drive = selected(channel);

	return drive ? ide_register_read(drive, 7, false) : 0; /* leaves the interrupt alone */
}

static void control_write(struct ide_channel *channel, uint8_t value)
{
	uint8_t was = channel->control;

	channel->control = value;
	for (unsigned i = 0; i < 2; i++) {
		if (!channel->drive[i])
			continue;
		if (value & ~was & CONTROL_RESET)
			ide_cancel(channel->drive[i]);
		if (value & CONTROL_RESET)
			channel->drive[i]->status = STATUS_BUSY | STATUS_SEEK;
		else if (was & CONTROL_RESET)
			ide_signature(channel->drive[i]);
	}
	if (value & ~was & CONTROL_RESET) {
		channel->irq_pending = false;
		channel->device = 0;
	}
	drive_line(channel);
}

/* Handlers know the device only; a channel each. */
static uint64_t block_read_0(struct dev *dev, uint64_t offset, unsigned size)
{
	return block_read(&to_ide(dev)->channel[0], offset, size);
}

static uint64_t block_read_1(struct dev *dev, uint64_t offset, unsigned size)
{
	return block_read(&to_ide(dev)->channel[1], offset, size);
}

static void block_write_0(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	block_write(&to_ide(dev)->channel[0], offset, size, value);
}

static void block_write_1(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	block_write(&to_ide(dev)->channel[1], offset, size, value);
}

static uint64_t control_read_0(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)offset, (void)size;
	return control_read(&to_ide(dev)->channel[0]);
}

static uint64_t control_read_1(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)offset, (void)size;
	return control_read(&to_ide(dev)->channel[1]);
}

static void control_write_0(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	(void)offset, (void)size;
	control_write(&to_ide(dev)->channel[0], value);
}

static void control_write_1(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	(void)offset, (void)size;
	control_write(&to_ide(dev)->channel[1], value);
}

static const struct region block_ports[2] = {
	{ "ide-primary", 1, 4, block_read_0, block_write_0 },
	{ "ide-secondary", 1, 4, block_read_1, block_write_1 },
};
static const struct region control_ports[2] = {
	{ "ide-primary-control", 1, 1, control_read_0, control_write_0 },
	{ "ide-secondary-control", 1, 1, control_read_1, control_write_1 },
};

/* Drives come and go ---------------------------------------------------------------------- */

/* bus= is "ide.0", "ide.1" or just the number; not given: the first channel with room. */
static int wanted_channel(const char *bus, struct err *err)
{
	size_t length = bus ? strlen(bus) : 0;

	if (!length)
		return -1;
	if (bus[length - 1] == '0' || bus[length - 1] == '1')
		if (length == 1 || (length > 1 && bus[length - 2] == '.'))
			return bus[length - 1] - '0';
	return fail(err, ENODEV, "no IDE bus \"%s\"", bus);
}

int ide_attach_drive(struct ide_drive *drive, struct err *err)
{
	struct dev *controller = board_devices(drive->dev.board);
	int bus = wanted_channel(drive->bus, err);

	if (bus < -1)
		return bus;
	while (controller && controller->class != &piix3_ide_class.dev)
		controller = controller->next;
	if (!controller)
		return fail(err, ENODEV, "there is no IDE controller for \"%s\"", drive->dev.id);
	for (unsigned place = 0; place < 4; place++) {
		struct ide_channel *channel = &to_ide(controller)->channel[place / 2];

		if (channel->drive[place % 2] || (bus >= 0 && (unsigned)bus != place / 2) ||
		    (drive->unit < 2 && drive->unit != place % 2))
			continue;
		channel->drive[place % 2] = drive;
		drive->channel = channel;
		drive->position = place % 2;
		return 0;
	}
	return fail(err, EBUSY, "no free place for \"%s\" on the IDE bus", drive->dev.id);
}

void ide_detach_drive(struct ide_drive *drive)
{
	if (drive->channel)
		drive->channel->drive[drive->position] = NULL;
}

/* Life cycle ------------------------------------------------------------------------------ */

static void ide_reset(struct dev *dev)
{
	struct piix3_ide *ide = to_ide(dev);
	uint8_t *config = ide->pci.config;

	store_le16(&config[PCI_STATUS], 0x0280);
	/* Channels decode from the start: a kernel that is booted without firmware looks here. */
	memset(&config[IDETIM], 0, 8);
	config[IDETIM + 1] = config[IDETIM + 3] = IDETIM_DECODE;
	for (unsigned i = 0; i < 2; i++) {
		struct ide_channel *channel = &ide->channel[i];

		channel->device = channel->control = 0;
		channel->bm_command = channel->bm_status = 0;
		channel->bm_table = channel->prd_next = channel->prd_at = channel->prd_left = 0;
		channel->prd_last = false;
		channel->prd_count = 0;
		ide_irq(channel, false);
	}
}

static int ide_restored(struct dev *dev, struct err *err)
{
	struct piix3_ide *ide = to_ide(dev);

	for (unsigned i = 0; i < 2; i++) {
		if (ide->channel[i].prd_left > 0x10000)
			return fail(err, ERANGE, "impossible DMA descriptor");
		drive_line(&ide->channel[i]);
	}
	return 0;
}

static int ide_attach(struct dev *dev, struct err *err)
{
	static const uint16_t block_base[2] = { 0x1f0, 0x170 }, control_base[2] = { 0x3f6, 0x376 };
	struct piix3_ide *ide = to_ide(dev);
	int code = 0;

	memset(&ide->pci.writable[IDETIM], 0xff, 5);
	for (unsigned i = 0; i < 2 && !code; i++) {
		ide->channel[i].dev = dev;
		ide->channel[i].number = i;
		code = claim_ports(dev, &block_ports[i], block_base[i], 8, err);
		if (!code)
			code = claim_ports(dev, &control_ports[i], control_base[i], 1, err);
	}
	return code ? code : pci_claim_bar(dev, 4, &bm_ports, BM_PORTS, true, err);
}

static void ide_detach(struct dev *dev)
{
	for (unsigned place = 0; place < 4; place++) {
		struct ide_drive *drive = to_ide(dev)->channel[place / 2].drive[place % 2];

		if (!drive)
			continue;
		ide_cancel(drive);
		drive->channel = NULL;
	}
}

const struct pci_class piix3_ide_class = {
	.dev = {
		.name = "piix3-ide",
		.summary = "Intel PIIX3 IDE controller",
		.size = sizeof(struct piix3_ide),
		.fields = piix3_ide_fields,
		.bus = &pci_bus_class,
		.board_only = true,
		.attach = ide_attach,
		.reset = ide_reset,
		.restored = ide_restored,
		.detach = ide_detach,
	},
	.ids = {
		.vendor = 0x8086,
		.device = 0x7010,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = 0x0101,
		.prog_if = 0x80,
	},
};
