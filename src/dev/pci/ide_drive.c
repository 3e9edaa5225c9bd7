/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IDE drives: registers and data phases; the commands are in ata.c and atapi.c.
 *
 * Data moves between the host's data port (in blocks the drive announces with DRQ) or the
 * bus-master engine and a buffer, or with DMA straight between guest memory and the disk. While
 * the disk works the drive is busy; nothing is pending when the machine is reset or saved.
 *
 * Manual: ATA/ATAPI-6 (T13 1410D), clauses 8 and 9.
 * Not modelled: overlapped commands, queueing, CompactFlash and security features.
 */
#include "dev/pci/chipset.h"
#include "dev/pci/ide.h"

#include <errno.h>

#define DMA_CHUNK (1 * MIB)

enum { COMMAND_PACKET = 0xa0 };

static const struct field ide_drive_fields[] = {
	SETTING(struct ide_drive, drive, .help = "the disk or disc, by id"),
	SETTING(struct ide_drive, bus, .help = "ide.0 or ide.1"),
	SETTING(struct ide_drive, unit, .def = 255, .help = "0 or 1; 255: the first free one"),
	SETTING(struct ide_drive, bootindex, .def = UINT64_MAX,
		.help = "place in the boot order; -1: none"),
	SETTING(struct ide_drive, serial, .help = "serial number"),
	SETTING(struct ide_drive, model, .help = "model name"),
	SETTING(struct ide_drive, ver, .text_def = "2.5+", .help = "firmware revision"),
	SETTING(struct ide_drive, wwn, .help = "world-wide name"),
	SETTING(struct ide_drive, cyls, .max = 65535, .help = "cylinders; 0: from the size"),
	SETTING(struct ide_drive, heads, .max = 16, .help = "heads"),
	SETTING(struct ide_drive, secs, .max = 255, .help = "sectors per track"),
	SETTING(struct ide_drive, rotation_rate, .help = "rpm, 1 for an SSD, 0 unknown"),
	SETTING(struct ide_drive, logical_block_size, .def = 512, .min = 512, .max = 512,
		.help = "bytes; only 512 is possible"),
	SETTING(struct ide_drive, physical_block_size, .def = 512, .min = 512, .max = 32768,
		.help = "bytes the medium writes at once"),
	SETTING_AS("write-cache", struct ide_drive, write_cache, .choices = "auto,on,off",
		   .help = "off: every write is flushed"),
	SETTING(struct ide_drive, rerror, .choices = "auto,report",
		.help = "the guest is told of read errors"),
	SETTING(struct ide_drive, werror, .choices = "auto,report",
		.help = "the guest is told of write errors"),
	SETTING_AS("share-rw", struct ide_drive, share_rw, .help = "accepted, no effect"),
	STATE(struct ide_drive, feature),
	STATE(struct ide_drive, count),
	STATE(struct ide_drive, lba),
	STATE(struct ide_drive, high_feature),
	STATE(struct ide_drive, high_count),
	STATE(struct ide_drive, high_lba),
	STATE(struct ide_drive, device),
	STATE(struct ide_drive, status),
	STATE(struct ide_drive, error),
	STATE(struct ide_drive, command),
	STATE(struct ide_drive, op, .max = OP_COUNT - 1),
	STATE(struct ide_drive, is_dma),
	STATE(struct ide_drive, is_raw),
	STATE(struct ide_drive, flush_after),
	STATE(struct ide_drive, cache_on),
	STATE(struct ide_drive, multiple, .max = IDE_MAX_MULTIPLE),
	STATE(struct ide_drive, block_sectors, .max = IDE_MAX_MULTIPLE),
	STATE(struct ide_drive, now_cyls),
	STATE(struct ide_drive, now_heads),
	STATE(struct ide_drive, now_secs),
	STATE(struct ide_drive, pio_mode),
	STATE(struct ide_drive, mdma_mode),
	STATE(struct ide_drive, udma_mode),
	STATE(struct ide_drive, smart_on),
	STATE(struct ide_drive, offset),
	STATE(struct ide_drive, left),
	STATE(struct ide_drive, at, .max = IDE_BUFFER),
	STATE(struct ide_drive, block_end, .max = IDE_BUFFER),
	STATE(struct ide_drive, buffer_end, .max = IDE_BUFFER),
	STATE(struct ide_drive, buffer),
	STATE(struct ide_drive, packet),
	STATE(struct ide_drive, sense_key),
	STATE(struct ide_drive, sense_code),
	STATE(struct ide_drive, sense_qualifier),
	STATE(struct ide_drive, packet_limit),
	STATE(struct ide_drive, tray_open),
	STATE(struct ide_drive, tray_locked),
	STATE(struct ide_drive, medium_changed),
	STATE(struct ide_drive, event),
	COUNTER(struct ide_drive, reads, .help = "bytes read from the medium"),
	COUNTER(struct ide_drive, writes, .help = "bytes written to the medium"),
	{ 0 },
};

static struct ide_drive *to_drive(struct dev *dev)
{
	return container_of(dev, struct ide_drive, dev);
}

/* The end of a command -------------------------------------------------------------------- */

void ide_done(struct ide_drive *drive)
{
	drive->op = OP_NONE;
	drive->status = STATUS_READY | STATUS_SEEK;
	drive->error = 0;
	if (drive->command == COMMAND_PACKET)
		drive->count = (drive->count & ~7) | REASON_COMMAND | REASON_TO_HOST;
	if (drive->is_dma)
		ide_dma_finished(drive->channel, false);
	drive->is_dma = false;
	ide_irq(drive->channel, true);
}

void ide_fail(struct ide_drive *drive, uint8_t error)
{
	drive->op = OP_NONE;
	drive->left = 0;
	drive->status = STATUS_READY | STATUS_ERR;
	drive->error = error;
	if (drive->command == COMMAND_PACKET)
		drive->count = (drive->count & ~7) | REASON_COMMAND | REASON_TO_HOST;
	if (drive->is_dma)
		drive->channel->bm_status &= ~BM_ACTIVE;
	drive->is_dma = false;
	ide_irq(drive->channel, true);
}

static void media_failed(struct ide_drive *drive, int error)
{
	if (drive->is_cd)
		atapi_media_failed(drive);
	else
		ide_fail(drive, error == -EIO ? ERROR_MEDIA : ERROR_ABORT);
}

/* The disk -------------------------------------------------------------------------------- */

static void on_block_done(struct block_request *request, int error)
{
	struct ide_drive *drive = container_of(request, struct ide_drive, request);

	drive->in_flight = false;
	if (!drive->is_cancelled)
		drive->then(drive, error);
	else if (drive->is_mapped)
		ide_dma_unmap(drive, request->op == BLOCK_READ);
}

void ide_submit(struct ide_drive *drive, enum block_op op, uint64_t offset, uint64_t bytes,
		void (*then)(struct ide_drive *drive, int error))
{
	drive->status = STATUS_BUSY | STATUS_SEEK;
	drive->then = then;
	drive->chunk = bytes;
	drive->in_flight = true;
	drive->reads += op == BLOCK_READ ? bytes : 0;
	drive->writes += op == BLOCK_WRITE ? bytes : 0;
	drive->request = (struct block_request){
		.op = op,
		.offset = offset,
		.bytes = bytes,
		.iov = drive->iov,
		.iov_count = drive->iov_count,
		.dev = &drive->dev,
		.done = on_block_done,
	};
	block_submit(drive->drive, &drive->request);
}

void ide_settle(struct ide_drive *drive)
{
	if (drive->in_flight)
		block_drain(drive->drive);
}

void ide_cancel(struct ide_drive *drive)
{
	drive->is_cancelled = true;
	ide_settle(drive);
	drive->is_cancelled = false;
	drive->op = OP_NONE;
	drive->is_dma = false;
	drive->left = 0;
}

static void use_buffer(struct ide_drive *drive, uint64_t bytes)
{
	drive->iov[0] = (struct iovec){ drive->buffer, bytes };
	drive->iov_count = 1;
}

/* Data to the host ------------------------------------------------------------------------ */

static void next_block(struct ide_drive *drive);

/* A sector as it is on a disc: sync, address, mode 1, data; the error correction is zeros. */
static void make_raw(uint8_t *sector, uint32_t block)
{
	static const uint8_t sync[12] = { 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0 };
	uint32_t frame = block + 150;
	const uint32_t msf[3] = { frame / 75 / 60, frame / 75 % 60, frame % 75 };

	memcpy(sector, sync, sizeof(sync));
	for (unsigned i = 0; i < 3; i++)
		sector[12 + i] = msf[i] / 10 % 10 << 4 | msf[i] % 10;
	sector[15] = 1;
	memset(sector + 16 + CD_BLOCK, 0, CD_RAW_BLOCK - CD_BLOCK - 16);
}

static void expand_raw(struct ide_drive *drive, uint64_t offset, uint32_t bytes)
{
	for (unsigned i = bytes / CD_BLOCK; i-- > 0;) {
		uint8_t *sector = drive->buffer + i * CD_RAW_BLOCK;

		memmove(sector + 16, drive->buffer + i * CD_BLOCK, CD_BLOCK);
		make_raw(sector, offset / CD_BLOCK + i);
	}
	drive->buffer_end = bytes / CD_BLOCK * CD_RAW_BLOCK;
}

static void after_fetch(struct ide_drive *drive, int error)
{
	if (error) {
		media_failed(drive, error);
		return;
	}
	drive->at = 0;
	drive->buffer_end = drive->chunk;
	if (drive->is_raw)
		expand_raw(drive, drive->offset, drive->chunk);
	drive->offset += drive->chunk;
	drive->left -= drive->chunk;
	drive->status = STATUS_READY | STATUS_SEEK | STATUS_DRQ;
	if (drive->is_dma)
		ide_dma_run(drive);
	else
		next_block(drive);
}

static void fetch(struct ide_drive *drive)
{
	uint64_t bytes = MIN(drive->left, drive->is_raw ? 16u * CD_BLOCK : IDE_BUFFER);

	use_buffer(drive, bytes);
	ide_submit(drive, BLOCK_READ, drive->offset, bytes, after_fetch);
}

static uint32_t block_bytes(const struct ide_drive *drive)
{
	uint32_t most = drive->is_cd ? drive->packet_limit : drive->block_sectors * SECTOR;

	return MIN(most, drive->buffer_end - drive->at);
}

/* Offers the next block of the buffer, refills it, or ends the command. */
static void next_block(struct ide_drive *drive)
{
	uint32_t bytes = block_bytes(drive);

	if (!bytes && drive->op == OP_READ && drive->left) {
		fetch(drive);
		return;
	}
	if (!bytes && drive->is_cd) {
		ide_done(drive);
		return;
	}
	drive->status = STATUS_READY | STATUS_SEEK | (bytes ? STATUS_DRQ : 0);
	drive->block_end = drive->at + bytes;
	if (!bytes) { /* [ATA 9.5] the last block has no interrupt after it */
		drive->op = OP_NONE;
		return;
	}
	if (drive->is_cd) {
		drive->count = (drive->count & ~7) | REASON_TO_HOST;
		drive->lba[1] = bytes;
		drive->lba[2] = bytes >> 8;
	}
	ide_irq(drive->channel, true);
}

void ide_reply(struct ide_drive *drive, uint32_t bytes)
{
	drive->op = OP_REPLY;
	drive->left = 0;
	drive->at = 0;
	drive->buffer_end = bytes;
	drive->status = STATUS_READY | STATUS_SEEK | STATUS_DRQ;
	if (drive->is_dma)
		ide_dma_run(drive);
	else
		next_block(drive);
}

void ide_read(struct ide_drive *drive, uint64_t offset, uint64_t bytes)
{
	drive->op = OP_READ;
	drive->offset = offset;
	drive->left = bytes;
	drive->at = drive->buffer_end = 0;
	drive->status = STATUS_READY | STATUS_SEEK | STATUS_DRQ;
	if (drive->is_dma)
		ide_dma_run(drive);
	else
		fetch(drive);
}

/* Data from the host ---------------------------------------------------------------------- */

static void expect_block(struct ide_drive *drive, bool with_irq)
{
	uint32_t bytes = block_bytes(drive);

	drive->block_end = drive->at + bytes;
	drive->status = STATUS_READY | STATUS_SEEK | STATUS_DRQ;
	if (drive->is_cd) {
		drive->count &= ~7;
		drive->lba[1] = bytes;
		drive->lba[2] = bytes >> 8;
	}
	if (with_irq)
		ide_irq(drive->channel, true);
}

static void after_flush(struct ide_drive *drive, int error)
{
	if (error)
		media_failed(drive, error);
	else
		ide_done(drive);
}

static void writes_done(struct ide_drive *drive)
{
	drive->iov_count = 0;
	if (drive->flush_after || !drive->cache_on)
		ide_submit(drive, BLOCK_FLUSH, 0, 0, after_flush);
	else
		ide_done(drive);
}

static void after_write(struct ide_drive *drive, int error)
{
	if (error) {
		media_failed(drive, error);
		return;
	}
	drive->offset += drive->chunk;
	drive->left -= drive->chunk;
	if (!drive->left) {
		writes_done(drive);
		return;
	}
	drive->at = 0;
	drive->buffer_end = MIN(drive->left, IDE_BUFFER);
	expect_block(drive, true);
}

void ide_write(struct ide_drive *drive, uint64_t offset, uint64_t bytes)
{
	drive->op = OP_WRITE;
	drive->offset = offset;
	drive->left = bytes;
	drive->at = 0;
	drive->buffer_end = MIN(bytes, IDE_BUFFER);
	drive->status = STATUS_READY | STATUS_SEEK | STATUS_DRQ;
	if (drive->is_dma)
		ide_dma_run(drive);
	else
		expect_block(drive, false);
}

void ide_collect(struct ide_drive *drive, enum ide_op op, uint32_t bytes)
{
	drive->op = op;
	drive->left = 0;
	drive->at = 0;
	drive->buffer_end = bytes;
	drive->status = STATUS_READY | STATUS_SEEK | STATUS_DRQ;
	if (op == OP_PACKET) /* always through the data port, without an interrupt */
		drive->block_end = bytes;
	else if (drive->is_dma)
		ide_dma_run(drive);
	else
		expect_block(drive, true);
}

static void collected(struct ide_drive *drive)
{
	switch (drive->op) {
	case OP_PACKET:
		memcpy(drive->packet, drive->buffer, PACKET_BYTES);
		drive->op = OP_NONE;
		atapi_packet(drive);
		break;
	case OP_PARAMETERS:
		atapi_parameters(drive);
		break;
	case OP_TRIM:
		ata_trim(drive);
		break;
	default: /* OP_WRITE */
		use_buffer(drive, drive->buffer_end);
		ide_submit(drive, BLOCK_WRITE, drive->offset, drive->buffer_end, after_write);
		break;
	}
}

/* The data port --------------------------------------------------------------------------- */

static bool is_to_host(const struct ide_drive *drive)
{
	return drive->op == OP_READ || drive->op == OP_REPLY;
}

uint32_t ide_data_read(struct ide_drive *drive, unsigned size)
{
	uint32_t bytes, value;

	if (!(drive->status & STATUS_DRQ) || !is_to_host(drive) || drive->is_dma)
		return 0;
	bytes = MIN(size, drive->block_end - drive->at);
	value = load_le(drive->buffer + drive->at, bytes);
	drive->at += bytes;
	if (drive->at == drive->block_end)
		next_block(drive);
	return value;
}

void ide_data_write(struct ide_drive *drive, unsigned size, uint32_t value)
{
	uint32_t bytes;

	if (!(drive->status & STATUS_DRQ) || is_to_host(drive) ||
	    (drive->is_dma && drive->op != OP_PACKET) || drive->op == OP_NONE)
		return;
	bytes = MIN(size, drive->block_end - drive->at);
	store_le(drive->buffer + drive->at, value, bytes);
	drive->at += bytes;
	if (drive->at < drive->block_end)
		return;
	if (drive->at < drive->buffer_end)
		expect_block(drive, true);
	else
		collected(drive);
}

/* DMA ------------------------------------------------------------------------------------- */

static void after_dma(struct ide_drive *drive, int error)
{
	ide_dma_unmap(drive, drive->op == OP_READ);
	if (error) {
		media_failed(drive, error);
		return;
	}
	drive->offset += drive->chunk;
	drive->left -= drive->chunk;
	drive->status = STATUS_READY | STATUS_SEEK | STATUS_DRQ;
	if (drive->left)
		ide_dma_run(drive);
	else if (drive->op == OP_WRITE)
		writes_done(drive);
	else
		ide_done(drive);
}

/* [Bus Master 3.1] a table shorter than the transfer: inactive, and no interrupt. */
static void dma_ran_dry(struct ide_drive *drive)
{
	drive->channel->bm_status &= ~BM_ACTIVE;
	drive->status = STATUS_READY | STATUS_SEEK;
	drive->op = OP_NONE;
	drive->is_dma = false;
}

static void dma_medium(struct ide_drive *drive)
{
	bool to_guest = drive->op == OP_READ;
	int64_t bytes = ide_dma_map(drive, MIN(drive->left, DMA_CHUNK),
				    drive->is_cd ? CD_BLOCK : SECTOR, to_guest);

	if (bytes < 0) {
		ide_dma_finished(drive->channel, true);
		media_failed(drive, -EFAULT);
	} else if (!bytes) {
		dma_ran_dry(drive);
	} else {
		ide_submit(drive, to_guest ? BLOCK_READ : BLOCK_WRITE, drive->offset, bytes,
			   after_dma);
	}
}

static void dma_buffer(struct ide_drive *drive)
{
	uint32_t bytes = drive->buffer_end - drive->at;

	if (ide_dma_copy(drive, drive->buffer + drive->at, bytes, is_to_host(drive)) < bytes) {
		dma_ran_dry(drive);
		return;
	}
	drive->at = drive->buffer_end;
	if (!is_to_host(drive))
		collected(drive);
	else if (drive->left)
		fetch(drive);
	else
		ide_done(drive);
}

void ide_dma_run(struct ide_drive *drive)
{
	if (!drive->is_dma || drive->in_flight || drive->op == OP_NONE || drive->op == OP_PACKET ||
	    !(drive->channel->bm_command & BM_START) || !(drive->channel->bm_status & BM_ACTIVE))
		return;
	if ((drive->op == OP_READ && !drive->is_raw) || drive->op == OP_WRITE)
		dma_medium(drive);
	else
		dma_buffer(drive);
}

/* Registers ------------------------------------------------------------------------------- */

void ide_signature(struct ide_drive *drive)
{
	drive->count = drive->lba[0] = drive->error = 1;
	drive->lba[1] = drive->is_cd ? 0x14 : 0;
	drive->lba[2] = drive->is_cd ? 0xeb : 0;
	drive->device &= ~(DEVICE_HEAD | DEVICE_LBA);
	drive->status = drive->is_cd ? 0 : STATUS_READY | STATUS_SEEK;
}

uint8_t ide_register_read(struct ide_drive *drive, unsigned index, bool high)
{
	switch (index) {
	case 0:
		return ide_data_read(drive, 1);
	case 1:
		return high ? drive->high_feature : drive->error;
	case 2:
		return high ? drive->high_count : drive->count;
	case 3:
	case 4:
	case 5:
		return high ? drive->high_lba[index - 3] : drive->lba[index - 3];
	case 6:
		return drive->device | 0xa0;
	default:
		return drive->status;
	}
}

static void push(uint8_t *now, uint8_t *high, uint8_t value)
{
	*high = *now;
	*now = value;
}

void ide_register_write(struct ide_drive *drive, unsigned index, uint8_t value)
{
	enum { DEVICE_RESET = 0x08 };

	if (index == 6)
		drive->device = value;
	if (index == 7 && drive->is_cd && value == DEVICE_RESET) {
		ide_cancel(drive);
		ide_signature(drive);
		return;
	}
	if (drive->status & (STATUS_BUSY | STATUS_DRQ))
		return; /* [ATA 8.2] not while a command runs */
	switch (index) {
	case 1:
		push(&drive->feature, &drive->high_feature, value);
		break;
	case 2:
		push(&drive->count, &drive->high_count, value);
		break;
	case 3:
	case 4:
	case 5:
		push(&drive->lba[index - 3], &drive->high_lba[index - 3], value);
		break;
	case 7:
		drive->command = value;
		ata_command(drive);
		break;
	default:
		break;
	}
}

/* Life cycle ------------------------------------------------------------------------------ */

static void drive_reset(struct dev *dev)
{
	struct ide_drive *drive = to_drive(dev);

	ide_cancel(drive);
	ide_set_media(drive);
	drive->feature = drive->high_feature = drive->high_count = drive->device = 0;
	memset(drive->high_lba, 0, sizeof(drive->high_lba));
	drive->multiple = drive->is_cd ? 0 : IDE_MAX_MULTIPLE;
	drive->block_sectors = 1;
	drive->is_raw = drive->flush_after = false;
	drive->cache_on = drive->write_cache != 2;
	drive->pio_mode = drive->mdma_mode = 0xff;
	drive->udma_mode = 5;
	drive->smart_on = true;
	drive->at = drive->block_end = drive->buffer_end = 0;
	drive->packet_limit = 0xfffe;
	atapi_reset(drive);
	ide_signature(drive);
}

/* A data phase must fit the buffer and the medium. */
static int drive_restored(struct dev *dev, struct err *err)
{
	struct ide_drive *drive = to_drive(dev);
	uint64_t size = drive->drive ? block_size(drive->drive) : 0;
	uint64_t unit = drive->is_cd ? CD_BLOCK : SECTOR;
	bool moves = drive->op == OP_READ || drive->op == OP_WRITE;

	if (drive->at > drive->block_end || drive->block_end > drive->buffer_end)
		drive->block_end = drive->at = drive->buffer_end;
	if (!drive->now_heads || !drive->now_secs || (drive->multiple & (drive->multiple - 1)) ||
	    !drive->block_sectors || drive->packet_limit < 2 || drive->packet_limit % 2)
		return fail(err, EINVAL, "impossible drive state");
	if (moves && (drive->left % unit || drive->offset % unit || drive->offset > size ||
		      drive->left > size - drive->offset || drive->buffer_end % unit ||
		      (drive->op == OP_WRITE &&
		       (!drive->left || drive->is_cd || drive->buffer_end > drive->left))))
		return fail(err, EINVAL, "a transfer in the saved state is outside the medium");
	if (drive->op == OP_PACKET && (!drive->is_cd || drive->buffer_end < PACKET_BYTES))
		return fail(err, EINVAL, "impossible packet state");
	if ((drive->op == OP_PARAMETERS && !drive->is_cd) || (drive->op == OP_TRIM && drive->is_cd))
		return fail(err, EINVAL, "a transfer in the saved state does not suit the drive");
	if (drive->status & STATUS_BUSY) /* saved drives are busy only while reset is held */
		drive->op = OP_NONE;
	return 0;
}

static int drive_attach(struct ide_drive *drive, struct err *err)
{
	int code = 0;

	if (drive->drive)
		code = block_claim(drive->drive, &drive->dev, err);
	if (!code)
		code = ide_attach_drive(drive, err);
	if (!code)
		ide_set_media(drive);
	return code;
}

static int hd_attach(struct dev *dev, struct err *err)
{
	struct ide_drive *drive = to_drive(dev);

	if (!drive->drive)
		return fail(err, EINVAL, "an ide-hd needs drive=");
	if (!block_size(drive->drive))
		return fail(err, EINVAL, "disk \"%s\" is empty", block_id(drive->drive));
	if (block_read_only(drive->drive))
		return fail(err, EROFS, "an ide-hd cannot use read-only \"%s\"",
			    block_id(drive->drive));
	return drive_attach(drive, err);
}

static int cd_attach(struct dev *dev, struct err *err)
{
	struct ide_drive *drive = to_drive(dev);
	int code;

	drive->is_cd = true;
	code = drive_attach(drive, err);
	if (!code && drive->drive)
		block_watch_medium(drive->drive, dev, atapi_medium_changed);
	return code;
}

static void drive_detach(struct dev *dev)
{
	ide_cancel(to_drive(dev));
	ide_detach_drive(to_drive(dev));
}

const struct dev_class ide_hd_class = {
	.name = "ide-hd",
	.summary = "IDE hard disk",
	.plugs_into = "IDE",
	.size = sizeof(struct ide_drive),
	.fields = ide_drive_fields,
	.attach = hd_attach,
	.reset = drive_reset,
	.restored = drive_restored,
	.detach = drive_detach,
};

const struct dev_class ide_cd_class = {
	.name = "ide-cd",
	.summary = "IDE CD-ROM drive",
	.plugs_into = "IDE",
	.size = sizeof(struct ide_drive),
	.fields = ide_drive_fields,
	.attach = cd_attach,
	.reset = drive_reset,
	.restored = drive_restored,
	.detach = drive_detach,
};

static bool is_drive(const struct dev *dev)
{
	return dev->class == &ide_hd_class || dev->class == &ide_cd_class;
}

bool ide_drive_position(const struct dev *dev, unsigned *channel, unsigned *unit)
{
	const struct ide_drive *drive = container_of(dev, struct ide_drive, dev);

	if (!is_drive(dev) || !drive->channel)
		return false;
	*channel = drive->channel->number;
	*unit = drive->position;
	return true;
}

bool ide_drive_geometry(const struct dev *dev, uint32_t chs[3])
{
	const struct ide_drive *drive = container_of(dev, struct ide_drive, dev);

	if (dev->class != &ide_hd_class)
		return false;
	chs[0] = drive->cyls;
	chs[1] = drive->heads;
	chs[2] = drive->secs;
	return true;
}
