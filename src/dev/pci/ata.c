/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ATA commands of an IDE disk.
 *
 * One table says which command a disk or a CD drive knows and what carries it out; a command for
 * the other kind of drive is aborted like an unknown one.
 *
 * Manual: ATA/ATAPI-6 (T13 1410D), clause 8; DATA SET MANAGEMENT from ATA8-ACS2.
 * Not modelled: SMART logs and self-tests, host protected area (the native size is the size).
 */
#include "dev/pci/ide.h"

#include <errno.h>
#include <stdio.h>

enum { ON_DISK = 1, ON_CD = 2 };

struct ata_command {
	uint8_t code, last, on; /* codes from code to last */
	void (*run)(struct ide_drive *drive);
};

/* Addresses ------------------------------------------------------------------------------- */

void ide_set_media(struct ide_drive *drive)
{
	uint64_t sectors = drive->drive ? block_size(drive->drive) / SECTOR : 0;

	if (!drive->is_cd && !drive->cyls) { /* [ATA 6.2.1] 16 heads, 63 sectors */
		drive->heads = 16;
		drive->secs = 63;
		drive->cyls = MAX(1, MIN(16383, sectors / (16 * 63)));
	}
	drive->now_cyls = drive->cyls;
	drive->now_heads = drive->heads ? drive->heads : 16;
	drive->now_secs = drive->secs ? drive->secs : 63;
}

static uint64_t sector_count(const struct ide_drive *drive)
{
	return block_size(drive->drive) / SECTOR;
}

static uint64_t low_address(const struct ide_drive *drive)
{
	return drive->lba[0] | drive->lba[1] << 8 | (uint64_t)drive->lba[2] << 16;
}

/* The sector a command names; UINT64_MAX when it names none. */
static uint64_t address_of(const struct ide_drive *drive, bool is_ext)
{
	uint64_t cylinder = drive->lba[1] | drive->lba[2] << 8;
	unsigned head = drive->device & DEVICE_HEAD;

	if (is_ext)
		return low_address(drive) | (uint64_t)drive->high_lba[0] << 24 |
		       (uint64_t)drive->high_lba[1] << 32 | (uint64_t)drive->high_lba[2] << 40;
	if (drive->device & DEVICE_LBA)
		return low_address(drive) | (uint64_t)head << 24;
	if (!drive->lba[0] || drive->lba[0] > drive->now_secs || head >= drive->now_heads)
		return UINT64_MAX;
	return (cylinder * drive->now_heads + head) * drive->now_secs + drive->lba[0] - 1;
}

static unsigned count_of(const struct ide_drive *drive, bool is_ext)
{
	unsigned count = is_ext ? drive->count | drive->high_count << 8 : drive->count;

	return count ? count : is_ext ? 0x10000 : 0x100;
}

/* Checks the range; false: the command was failed. */
static bool range(struct ide_drive *drive, bool is_ext, uint64_t *offset, uint64_t *bytes)
{
	uint64_t first = address_of(drive, is_ext), count = count_of(drive, is_ext);

	if (first >= sector_count(drive) || count > sector_count(drive) - first) {
		ide_fail(drive, ERROR_NOT_FOUND | ERROR_ABORT);
		return false;
	}
	*offset = first * SECTOR;
	*bytes = count * SECTOR;
	return true;
}

/* Reading and writing --------------------------------------------------------------------- */

enum transfer { EXT = 1, DMA = 2, MULTIPLE = 4, FUA = 8 };

static bool begin(struct ide_drive *drive, unsigned how, uint64_t *offset, uint64_t *bytes)
{
	drive->is_dma = false;
	if ((how & MULTIPLE) && !drive->multiple) {
		ide_fail(drive, ERROR_ABORT);
		return false;
	}
	if (!range(drive, how & EXT, offset, bytes))
		return false;
	drive->is_dma = how & DMA;
	drive->is_raw = false;
	drive->flush_after = how & FUA;
	drive->block_sectors = how & MULTIPLE ? drive->multiple : 1;
	return true;
}

static void do_read(struct ide_drive *drive, unsigned how)
{
	uint64_t offset, bytes;

	if (begin(drive, how, &offset, &bytes))
		ide_read(drive, offset, bytes);
}

static void do_write(struct ide_drive *drive, unsigned how)
{
	uint64_t offset, bytes;

	if (begin(drive, how, &offset, &bytes))
		ide_write(drive, offset, bytes);
}

static void read_sectors(struct ide_drive *drive)
{
	if (drive->is_cd) { /* [ATA 8.27] packet drives answer with their signature */
		ide_signature(drive);
		ide_fail(drive, ERROR_ABORT);
		return;
	}
	do_read(drive, drive->command == 0x24 ? EXT : 0);
}

static void read_multiple(struct ide_drive *drive)
{
	do_read(drive, MULTIPLE | (drive->command == 0x29 ? EXT : 0));
}

static void read_dma(struct ide_drive *drive)
{
	do_read(drive, DMA | (drive->command == 0x25 ? EXT : 0));
}

static void write_sectors(struct ide_drive *drive)
{
	do_write(drive, drive->command == 0x34 ? EXT : 0);
}

static void write_multiple(struct ide_drive *drive)
{
	do_write(drive, MULTIPLE | (drive->command == 0xc5 ? 0 : EXT) |
				(drive->command == 0xce ? FUA : 0));
}

static void write_dma(struct ide_drive *drive)
{
	bool is_ext = drive->command == 0x35 || drive->command == 0x3d;

	do_write(drive, DMA | (is_ext ? EXT : 0) | (drive->command == 0x3d ? FUA : 0));
}

static void verify(struct ide_drive *drive)
{
	uint64_t offset, bytes;

	if (range(drive, drive->command == 0x42, &offset, &bytes))
		ide_done(drive);
}

static void seek(struct ide_drive *drive)
{
	if (address_of(drive, false) < sector_count(drive))
		ide_done(drive);
	else
		ide_fail(drive, ERROR_NOT_FOUND);
}

static void after_flush(struct ide_drive *drive, int error)
{
	if (error)
		ide_fail(drive, ERROR_ABORT);
	else
		ide_done(drive);
}

static void flush(struct ide_drive *drive)
{
	if (drive->is_cd) {
		ide_done(drive);
		return;
	}
	drive->iov_count = 0;
	ide_submit(drive, BLOCK_FLUSH, 0, 0, after_flush);
}

/* Discards one range after the other; `at` walks the buffer. */
static void next_trim(struct ide_drive *drive, int error)
{
	(void)error; /* [ACS-2 7.10] trimming is advice */
	while (drive->at < drive->buffer_end) {
		uint64_t entry = load_le64(drive->buffer + drive->at);
		uint64_t first = entry & 0xffffffffffff, count = entry >> 48;

		drive->at += 8;
		if (!count)
			continue;
		if (first >= sector_count(drive) || count > sector_count(drive) - first) {
			ide_fail(drive, ERROR_NOT_FOUND | ERROR_ABORT);
			return;
		}
		drive->iov_count = 0;
		ide_submit(drive, BLOCK_DISCARD, first * SECTOR, count * SECTOR, next_trim);
		return;
	}
	ide_done(drive);
}

void ata_trim(struct ide_drive *drive)
{
	drive->at = 0;
	next_trim(drive, 0);
}

static void data_set_management(struct ide_drive *drive)
{
	unsigned sectors = count_of(drive, true);

	if (!(drive->feature & 1) || sectors * SECTOR > IDE_BUFFER) {
		ide_fail(drive, ERROR_ABORT);
		return;
	}
	drive->is_dma = true;
	ide_collect(drive, OP_TRIM, sectors * SECTOR);
}

/* Identity -------------------------------------------------------------------------------- */

/* [ATA 3.2.10] the first character of each pair is in the high byte; padded with spaces. */
void ide_put_text(uint16_t *words, unsigned count, const char *text)
{
	for (unsigned i = 0; i < count * 2; i++) {
		uint8_t byte = *text ? *text++ : ' ';

		words[i / 2] = i % 2 ? (words[i / 2] & 0xff00) | byte : byte << 8;
	}
}

static void put_identity(const struct ide_drive *drive, uint16_t *word)
{
	const char *serial = drive->serial ? drive->serial : block_serial(drive->drive);
	char made_up[16];

	snprintf(made_up, sizeof(made_up), "QM%05u",
		 drive->channel->number * 2 + drive->position + 1u);
	ide_put_text(&word[10], 10, serial && *serial ? serial : made_up);
	ide_put_text(&word[23], 4, drive->ver ? drive->ver : "2.5+");
	ide_put_text(&word[27], 20, drive->model ? drive->model : "QEMU HARDDISK");
}

static void put_geometry(const struct ide_drive *drive, uint16_t *word)
{
	uint64_t sectors = sector_count(drive);
	uint32_t now = drive->now_cyls * drive->now_heads * drive->now_secs;
	uint32_t lba28 = MIN(sectors, 0x0fffffffu);

	word[1] = drive->cyls;
	word[3] = drive->heads;
	word[6] = drive->secs;
	word[54] = drive->now_cyls;
	word[55] = drive->now_heads;
	word[56] = drive->now_secs;
	store_le32(&word[57], now);
	store_le32(&word[60], lba28);
	store_le64(&word[100], sectors);
	for (unsigned size = drive->physical_block_size / SECTOR; size > 1; size /= 2)
		word[106]++;
	word[106] |= 0x4000 | (word[106] ? 0x2000 : 0);
}

static void identify(struct ide_drive *drive)
{
	uint16_t word[256] = {
		[0] = 0x0040,
		[5] = SECTOR,
		[20] = 3,
		[21] = 512,
		[22] = 4,
		[47] = 0x8000 | IDE_MAX_MULTIPLE,
		[48] = 1,
		[49] = 0x0b00, /* IORDY, LBA, DMA */
		[50] = 0x4000,
		[51] = 0x0200,
		[52] = 0x0200,
		[53] = 7, /* words 54-58, 64-70 and 88 are valid */
		[62] = 7,
		[63] = 7,
		[64] = 3,
		[65] = 120,
		[66] = 120,
		[67] = 120,
		[68] = 120,
		[69] = 0x4000,
		[80] = 0x00f0,
		[81] = 0x0016,
		[82] = 0x4021, /* NOP, write cache, SMART */
		[83] = 0x7400, /* FLUSH CACHE (EXT), 48-bit addresses */
		[84] = 0x4000,
		[85] = 0x4000,
		[86] = 0x3400,
		[87] = 0x4000,
		[88] = 0x003f,
		[93] = 0x6001,
		[105] = IDE_BUFFER / SECTOR,
		[169] = 1, /* TRIM */
	};
	uint8_t sum = 0;

	if (drive->is_cd) {
		ide_signature(drive);
		ide_fail(drive, ERROR_ABORT);
		return;
	}
	put_identity(drive, word);
	put_geometry(drive, word);
	word[59] = drive->multiple ? 0x100 | drive->multiple : 0;
	word[85] |= (drive->cache_on ? 0x20 : 0) | (drive->smart_on ? 1 : 0);
	word[63] |= drive->mdma_mode < 3 ? 0x100 << drive->mdma_mode : 0;
	word[88] |= drive->udma_mode < 6 ? 0x100 << drive->udma_mode : 0;
	word[217] = drive->rotation_rate;
	if (drive->wwn) {
		word[84] |= 0x100;
		word[87] |= 0x100;
		for (unsigned i = 0; i < 4; i++)
			word[108 + i] = drive->wwn >> (48 - 16 * i);
	}
	word[255] = 0xa5;
	memcpy(drive->buffer, word, SECTOR);
	for (unsigned i = 0; i < SECTOR - 1; i++)
		sum += drive->buffer[i];
	drive->buffer[SECTOR - 1] = -sum;
	drive->is_dma = false;
	drive->block_sectors = 1;
	ide_reply(drive, SECTOR);
}

/* Settings -------------------------------------------------------------------------------- */

static bool set_transfer_mode(struct ide_drive *drive)
{
	unsigned mode = drive->count & 7;

	switch (drive->count >> 3) {
	case 0: /* default PIO */
	case 1: /* PIO with flow control */
		drive->pio_mode = mode;
		return mode <= 4;
	case 4:
		drive->mdma_mode = mode;
		drive->udma_mode = 0xff;
		return mode <= 2;
	case 8:
		drive->udma_mode = mode;
		drive->mdma_mode = 0xff;
		return mode <= 5;
	default:
		return false;
	}
}

static void set_features(struct ide_drive *drive)
{
	bool known = true;

	switch (drive->feature) {
	case 0x02: /* write cache on */
	case 0x82: /* off */
		if (drive->feature == 0x82 && !drive->is_cd) {
			drive->cache_on = false;
			flush(drive);
			return;
		}
		drive->cache_on = true;
		break;
	case 0x03:
		known = set_transfer_mode(drive);
		break;
	case 0x05: /* power management, acoustics, read-ahead, defaults: accepted, no effect */
	case 0x85:
	case 0x42:
	case 0xc2:
	case 0x55:
	case 0xaa:
	case 0x66:
	case 0xcc:
	case 0x67:
		break;
	default:
		known = false;
	}
	if (known)
		ide_done(drive);
	else
		ide_fail(drive, ERROR_ABORT);
}

static void set_multiple(struct ide_drive *drive)
{
	if (drive->count > IDE_MAX_MULTIPLE || (drive->count & (drive->count - 1))) {
		ide_fail(drive, ERROR_ABORT);
		return;
	}
	drive->multiple = drive->count;
	ide_done(drive);
}

static void initialize_parameters(struct ide_drive *drive)
{
	uint64_t cylinders;

	if (!drive->count) {
		ide_fail(drive, ERROR_ABORT);
		return;
	}
	drive->now_heads = (drive->device & DEVICE_HEAD) + 1;
	drive->now_secs = drive->count;
	cylinders = sector_count(drive) / (drive->now_heads * drive->now_secs);
	drive->now_cyls = MIN(cylinders, 65535u);
	ide_done(drive);
}

static void native_size(struct ide_drive *drive)
{
	bool is_ext = drive->command == 0x27;
	uint64_t last = sector_count(drive) - 1;

	if (!is_ext)
		last = MIN(last, 0x0fffffffu);
	for (unsigned i = 0; i < 3; i++) {
		drive->lba[i] = last >> 8 * i;
		if (is_ext)
			drive->high_lba[i] = last >> (24 + 8 * i);
	}
	if (!is_ext)
		drive->device = (drive->device & ~DEVICE_HEAD) | (last >> 24 & DEVICE_HEAD);
	ide_done(drive);
}

static void check_power(struct ide_drive *drive)
{
	drive->count = 0xff; /* active */
	ide_done(drive);
}

static void nothing(struct ide_drive *drive)
{
	ide_done(drive);
}

static void diagnose(struct ide_drive *drive)
{
	struct ide_channel *channel = drive->channel;

	for (unsigned i = 0; i < 2; i++)
		if (channel->drive[i]) {
			ide_signature(channel->drive[i]);
			channel->drive[i]->device &= ~DEVICE_SECOND;
		}
	channel->device &= ~DEVICE_SECOND;
	ide_irq(channel, true);
}

/* SMART: a healthy drive with the attributes tools look at. ---------------------------------- */

static void smart_data(struct ide_drive *drive, bool thresholds)
{
	/* id, flags, value, worst, threshold */
	static const uint8_t attributes[][5] = {
		{ 1, 3, 100, 100, 6 },  { 3, 3, 100, 100, 0 }, { 4, 2, 100, 100, 20 },
		{ 5, 3, 100, 100, 36 }, { 9, 3, 100, 100, 0 }, { 12, 3, 100, 100, 0 },
		{ 190, 3, 69, 69, 50 },
	};
	uint8_t *data = drive->buffer, sum = 0;

	memset(data, 0, SECTOR);
	data[0] = 1;
	for (unsigned i = 0; i < ARRAY_LEN(attributes); i++) {
		uint8_t *to = data + 2 + 12 * i;

		to[0] = attributes[i][0];
		to[1] = thresholds ? attributes[i][4] : attributes[i][1];
		if (thresholds)
			continue;
		to[3] = attributes[i][2];
		to[4] = attributes[i][3];
		if (to[0] == 190) /* temperature */
			to[5] = 31;
	}
	if (!thresholds) {
		data[363] = 0;
		data[368] = 3; /* saves attributes */
		data[370] = 1;
	}
	for (unsigned i = 0; i < SECTOR - 1; i++)
		sum += data[i];
	data[SECTOR - 1] = -sum;
	drive->is_dma = false;
	drive->block_sectors = 1;
	ide_reply(drive, SECTOR);
}

static void smart(struct ide_drive *drive)
{
	enum { READ_DATA = 0xd0, READ_THRESHOLDS, AUTOSAVE, ENABLE = 0xd8, DISABLE, STATUS };
	bool keyed = drive->lba[1] == 0x4f && drive->lba[2] == 0xc2;

	if (!keyed || (!drive->smart_on && drive->feature != ENABLE)) {
		ide_fail(drive, ERROR_ABORT);
		return;
	}
	switch (drive->feature) {
	case READ_DATA:
	case READ_THRESHOLDS:
		smart_data(drive, drive->feature == READ_THRESHOLDS);
		return;
	case ENABLE:
	case DISABLE:
		drive->smart_on = drive->feature == ENABLE;
		break;
	case AUTOSAVE:
	case STATUS: /* the key stays as it is: no threshold exceeded */
		break;
	default:
		ide_fail(drive, ERROR_ABORT);
		return;
	}
	ide_done(drive);
}

/* The list -------------------------------------------------------------------------------- */

static const struct ata_command commands[] = {
	{ 0x06, 0x06, ON_DISK, data_set_management },
	{ 0x10, 0x1f, ON_DISK, nothing }, /* RECALIBRATE */
	{ 0x20, 0x21, ON_DISK | ON_CD, read_sectors },
	{ 0x24, 0x24, ON_DISK, read_sectors },
	{ 0x25, 0x25, ON_DISK, read_dma },
	{ 0x27, 0x27, ON_DISK, native_size },
	{ 0x29, 0x29, ON_DISK, read_multiple },
	{ 0x30, 0x31, ON_DISK, write_sectors },
	{ 0x34, 0x34, ON_DISK, write_sectors },
	{ 0x35, 0x35, ON_DISK, write_dma },
	{ 0x39, 0x39, ON_DISK, write_multiple },
	{ 0x3d, 0x3d, ON_DISK, write_dma },
	{ 0x40, 0x42, ON_DISK, verify },
	{ 0x70, 0x7f, ON_DISK, seek },
	{ 0x90, 0x90, ON_DISK | ON_CD, diagnose },
	{ 0x91, 0x91, ON_DISK, initialize_parameters },
	{ 0x94, 0x97, ON_DISK | ON_CD, nothing }, /* power states, as ATA-3 coded them */
	{ 0x98, 0x98, ON_DISK | ON_CD, check_power },
	{ 0x99, 0x99, ON_DISK | ON_CD, nothing },
	{ 0xa0, 0xa0, ON_CD, atapi_begin },
	{ 0xa1, 0xa1, ON_CD, atapi_identify },
	{ 0xb0, 0xb0, ON_DISK, smart },
	{ 0xc4, 0xc4, ON_DISK, read_multiple },
	{ 0xc5, 0xc5, ON_DISK, write_multiple },
	{ 0xc6, 0xc6, ON_DISK, set_multiple },
	{ 0xc8, 0xc9, ON_DISK, read_dma },
	{ 0xca, 0xcb, ON_DISK, write_dma },
	{ 0xce, 0xce, ON_DISK, write_multiple },
	{ 0xe0, 0xe3, ON_DISK | ON_CD, nothing }, /* standby, idle */
	{ 0xe5, 0xe5, ON_DISK | ON_CD, check_power },
	{ 0xe6, 0xe6, ON_DISK | ON_CD, nothing }, /* sleep */
	{ 0xe7, 0xe7, ON_DISK | ON_CD, flush },
	{ 0xea, 0xea, ON_DISK, flush },
	{ 0xec, 0xec, ON_DISK | ON_CD, identify },
	{ 0xef, 0xef, ON_DISK | ON_CD, set_features },
	{ 0xf8, 0xf8, ON_DISK, native_size },
};

void ata_command(struct ide_drive *drive)
{
	unsigned on = drive->is_cd ? ON_CD : ON_DISK;

	drive->is_dma = false;
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		if (drive->command >= commands[i].code && drive->command <= commands[i].last &&
		    (commands[i].on & on)) {
			commands[i].run(drive);
			return;
		}
	ide_fail(drive, ERROR_ABORT);
}
