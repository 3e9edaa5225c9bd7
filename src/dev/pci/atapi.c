/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ATAPI: the packet commands of a CD-ROM drive.
 *
 * A packet either fails with a sense code, is done at once, replies from the buffer, or reads
 * blocks from the disc. A disc is one data track in one session.
 *
 * Manual: SFF-8020i and MMC-3 (T10 1363-D).
 * Not modelled: audio, subchannels, multi-session discs, writing, DVD structures.
 */
#include "dev/pci/ide.h"

#include <stdio.h>

enum { KEY_NONE, KEY_NOT_READY = 2, KEY_MEDIUM_ERROR, KEY_ILLEGAL = 5, KEY_ATTENTION };
enum {
	SENSE_NO_MEDIUM = 0x3a,
	SENSE_UNKNOWN_COMMAND = 0x20,
	SENSE_OUT_OF_RANGE = 0x21,
	SENSE_BAD_FIELD = 0x24,
	SENSE_MEDIUM_CHANGED = 0x28,
	SENSE_RESET = 0x29,
	SENSE_CANNOT_SAVE = 0x39,
	SENSE_REMOVAL_PREVENTED = 0x53,
	SENSE_UNREADABLE = 0x11
};
enum { NEEDS_MEDIUM = 1, ANY_TIME = 2 /* does not report unit attention */ };
enum { EVENT_NONE, EVENT_EJECT, EVENT_NEW_MEDIA, EVENT_REMOVED };
enum { LEAD_OUT = 0xaa, CD_MAX_BLOCKS = 80 * 60 * 75 };

struct packet_command {
	uint8_t code, flags;
	void (*run)(struct ide_drive *drive, const uint8_t *packet);
};

static bool has_medium(const struct ide_drive *drive)
{
	return drive->drive && !drive->tray_open && block_size(drive->drive) >= CD_BLOCK;
}

static uint64_t block_count(const struct ide_drive *drive)
{
	return has_medium(drive) ? block_size(drive->drive) / CD_BLOCK : 0;
}

static void fail_with(struct ide_drive *drive, uint8_t key, uint8_t code, uint8_t qualifier)
{
	drive->sense_key = key;
	drive->sense_code = code;
	drive->sense_qualifier = qualifier;
	ide_fail(drive, key << 4 | ERROR_ABORT);
}

void atapi_media_failed(struct ide_drive *drive)
{
	fail_with(drive, KEY_MEDIUM_ERROR, SENSE_UNREADABLE, 0);
}

static void succeed(struct ide_drive *drive)
{
	drive->sense_key = drive->sense_code = drive->sense_qualifier = 0;
	ide_done(drive);
}

/* Sends the first `bytes` of the buffer, as many as the host has room for. */
static void reply(struct ide_drive *drive, uint32_t bytes, uint32_t room)
{
	bytes = MIN(bytes, room);
	drive->sense_key = drive->sense_code = drive->sense_qualifier = 0;
	if (bytes)
		ide_reply(drive, bytes);
	else
		ide_done(drive);
}

static uint8_t *blank_reply(struct ide_drive *drive)
{
	return memset(drive->buffer, 0, 512);
}

/* Addresses as minutes, seconds, frames; or as they are. */
static void put_address(uint8_t *to, uint64_t block, bool as_time)
{
	uint64_t frame = block + 150;

	if (!as_time) {
		store_be32(to, block);
		return;
	}
	to[0] = 0;
	to[1] = frame / 75 / 60;
	to[2] = frame / 75 % 60;
	to[3] = frame % 75;
}

/* Commands -------------------------------------------------------------------------------- */

static void test_unit_ready(struct ide_drive *drive, const uint8_t *packet)
{
	(void)packet;
	succeed(drive);
}

static void request_sense(struct ide_drive *drive, const uint8_t *packet)
{
	uint8_t *to = blank_reply(drive);

	to[0] = 0x70;
	to[2] = drive->sense_key;
	to[7] = 10;
	to[12] = drive->sense_code;
	to[13] = drive->sense_qualifier;
	reply(drive, 18, packet[4]);
}

static void put_padded(uint8_t *to, size_t room, const char *text)
{
	size_t length = strlen(text);

	memset(to, ' ', room);
	memcpy(to, text, MIN(length, room));
}

static void inquiry(struct ide_drive *drive, const uint8_t *packet)
{
	uint8_t *to = blank_reply(drive);

	to[0] = 5; /* CD-ROM */
	if (packet[1] & 1) {
		if (packet[2]) { /* only the list of pages, which has itself */
			fail_with(drive, KEY_ILLEGAL, SENSE_BAD_FIELD, 0);
			return;
		}
		to[3] = 1;
		reply(drive, 5, packet[4]);
		return;
	}
	to[1] = 0x80; /* removable */
	to[3] = 0x21;
	to[4] = 31;
	put_padded(to + 8, 8, "QEMU");
	put_padded(to + 16, 16, "QEMU DVD-ROM");
	put_padded(to + 32, 4, drive->ver ? drive->ver : "2.5+");
	reply(drive, 36, packet[4]);
}

static void start_stop(struct ide_drive *drive, const uint8_t *packet)
{
	bool start = packet[4] & 1, load_eject = packet[4] & 2;

	if ((packet[4] & 0xf0) || !load_eject) { /* power conditions, spinning */
		succeed(drive);
		return;
	}
	if (!start && drive->tray_locked) {
		fail_with(drive, KEY_ILLEGAL, SENSE_REMOVAL_PREVENTED, 2);
		return;
	}
	if (drive->tray_open && start && drive->drive && block_size(drive->drive)) {
		drive->medium_changed = true;
		drive->event = EVENT_NEW_MEDIA;
	} else if (!drive->tray_open && !start) {
		drive->event = EVENT_REMOVED;
	}
	drive->tray_open = !start;
	succeed(drive);
}

static void prevent_removal(struct ide_drive *drive, const uint8_t *packet)
{
	drive->tray_locked = packet[4] & 1;
	if (drive->drive)
		block_lock_tray(drive->drive, drive->tray_locked);
	succeed(drive);
}

static void read_capacity(struct ide_drive *drive, const uint8_t *packet)
{
	uint8_t *to = blank_reply(drive);

	(void)packet;
	store_be32(to, block_count(drive) - 1);
	store_be32(to + 4, CD_BLOCK);
	reply(drive, 8, 8);
}

static void read_blocks(struct ide_drive *drive, uint64_t first, uint64_t count, bool is_raw)
{
	uint64_t blocks = block_count(drive);

	if (first > blocks || count > blocks - first) {
		fail_with(drive, KEY_ILLEGAL, SENSE_OUT_OF_RANGE, 0);
		return;
	}
	drive->sense_key = drive->sense_code = drive->sense_qualifier = 0;
	drive->is_raw = is_raw;
	if (count)
		ide_read(drive, first * CD_BLOCK, count * CD_BLOCK);
	else
		ide_done(drive);
}

static void read_10(struct ide_drive *drive, const uint8_t *packet)
{
	read_blocks(drive, load_be32(packet + 2), load_be16(packet + 7), false);
}

static void read_12(struct ide_drive *drive, const uint8_t *packet)
{
	read_blocks(drive, load_be32(packet + 2), load_be32(packet + 6), false);
}

/* [MMC READ CD] byte 9 chooses the parts of a sector: user data or all of it. */
static void read_cd_parts(struct ide_drive *drive, uint64_t first, uint64_t count, uint8_t parts)
{
	switch (parts & 0xf8) {
	case 0x00:
		succeed(drive);
		break;
	case 0x10:
		read_blocks(drive, first, count, false);
		break;
	case 0xf8:
		read_blocks(drive, first, count, true);
		break;
	default:
		fail_with(drive, KEY_ILLEGAL, SENSE_BAD_FIELD, 0);
	}
}

static void read_cd(struct ide_drive *drive, const uint8_t *packet)
{
	read_cd_parts(drive, load_be32(packet + 2), load_be32(packet + 5) & 0xffffff, packet[9]);
}

static int64_t from_time(const uint8_t *msf)
{
	return ((int64_t)msf[0] * 60 + msf[1]) * 75 + msf[2] - 150;
}

static void read_cd_msf(struct ide_drive *drive, const uint8_t *packet)
{
	int64_t first = from_time(packet + 3), end = from_time(packet + 6);

	if (first < 0 || end < first)
		fail_with(drive, KEY_ILLEGAL, SENSE_BAD_FIELD, 0);
	else
		read_cd_parts(drive, first, end - first, packet[9]);
}

static void seek(struct ide_drive *drive, const uint8_t *packet)
{
	if (load_be32(packet + 2) >= block_count(drive))
		fail_with(drive, KEY_ILLEGAL, SENSE_OUT_OF_RANGE, 0);
	else
		succeed(drive);
}

/* One descriptor: control and track, then where it starts. */
static uint8_t *toc_entry(uint8_t *to, uint8_t control, uint8_t track, uint64_t block, bool as_time)
{
	to[0] = 0;
	to[1] = control;
	to[2] = track;
	to[3] = 0;
	put_address(to + 4, block, as_time);
	return to + 8;
}

/* [Full TOC] entries of the lead-in: point, and a time that depends on it. */
static uint8_t *raw_entry(uint8_t *to, uint8_t point, uint64_t block)
{
	memset(to, 0, 11);
	to[0] = 1;
	to[1] = 0x14;
	to[3] = point;
	if (point == 0xa0 || point == 0xa1)
		to[8] = 1; /* first and last track */
	else
		put_address(to + 7, block, true);
	return to + 11;
}

static void read_toc(struct ide_drive *drive, const uint8_t *packet)
{
	unsigned format = packet[2] & 15 ? packet[2] & 15 : packet[9] >> 6;
	bool as_time = packet[1] & 2;
	uint8_t *start = blank_reply(drive), *to = start + 4;
	uint64_t end = block_count(drive);

	start[2] = start[3] = 1; /* first and last track or session */
	if (format > 2 || (format == 0 && packet[6] > 1 && packet[6] != LEAD_OUT)) {
		fail_with(drive, KEY_ILLEGAL, SENSE_BAD_FIELD, 0);
		return;
	}
	if (format == 2) {
		to = raw_entry(to, 0xa0, 0);
		to = raw_entry(to, 0xa1, 0);
		to = raw_entry(to, 0xa2, end);
		to = raw_entry(to, 1, 0);
	} else {
		if (format == 1 || packet[6] != LEAD_OUT)
			to = toc_entry(to, 0x14, 1, 0, as_time);
		if (format == 0)
			to = toc_entry(to, 0x16, LEAD_OUT, end, as_time);
	}
	store_be16(start, to - start - 2);
	reply(drive, to - start, load_be16(packet + 7));
}

static uint8_t *feature_entry(uint8_t *to, uint16_t code, uint8_t flags, uint8_t bytes)
{
	store_be16(to, code);
	to[2] = flags;
	to[3] = bytes;
	return to + 4;
}

static void get_configuration(struct ide_drive *drive, const uint8_t *packet)
{
	enum { PROFILES = 0, CORE = 1, REMOVABLE = 3, CD_ROM = 8, DVD_ROM = 0x10 };
	uint8_t *start = blank_reply(drive), *to = start + 8;
	uint64_t blocks = block_count(drive);
	unsigned profile = !blocks ? 0 : blocks > CD_MAX_BLOCKS ? DVD_ROM : CD_ROM;
	unsigned first = load_be16(packet + 2), only = packet[1] & 3;

	if (only == 3) {
		fail_with(drive, KEY_ILLEGAL, SENSE_BAD_FIELD, 0);
		return;
	}
	store_be16(start + 6, profile);
	if (only == 2 ? first == PROFILES : first <= PROFILES) {
		to = feature_entry(to, PROFILES, 3, 8);
		store_be16(to, DVD_ROM);
		to[2] = profile == DVD_ROM;
		store_be16(to + 4, CD_ROM);
		to[6] = profile == CD_ROM;
		to += 8;
	}
	if (only == 2 ? first == CORE : first <= CORE) {
		to = feature_entry(to, CORE, 0x0b, 8);
		store_be32(to, 2); /* ATAPI */
		to[4] = 1;
		to += 8;
	}
	if (only == 2 ? first == REMOVABLE : first <= REMOVABLE) {
		to = feature_entry(to, REMOVABLE, 0x0b, 4);
		to[0] = 0x39; /* tray, ejects, locks */
		to += 4;
	}
	store_be32(start, to - start - 4);
	reply(drive, to - start, load_be16(packet + 7));
}

static void get_event_status(struct ide_drive *drive, const uint8_t *packet)
{
	enum { MEDIA = 4 };
	uint8_t *to = blank_reply(drive);

	if (!(packet[1] & 1)) { /* asynchronous notification */
		fail_with(drive, KEY_ILLEGAL, SENSE_BAD_FIELD, 0);
		return;
	}
	to[3] = 1 << MEDIA;
	if (!(packet[4] & 1 << MEDIA)) {
		store_be16(to, 2);
		to[2] = 0x80; /* no event of the classes asked for */
		reply(drive, 4, load_be16(packet + 7));
		return;
	}
	store_be16(to, 6);
	to[2] = MEDIA;
	to[4] = drive->event;
	to[5] = (drive->tray_open ? 1 : 0) | (has_medium(drive) ? 2 : 0);
	drive->event = EVENT_NONE;
	reply(drive, 8, load_be16(packet + 7));
}

static void mechanism_status(struct ide_drive *drive, const uint8_t *packet)
{
	uint8_t *to = blank_reply(drive);

	to[1] = drive->tray_open ? 0x10 : 0;
	to[5] = 1;
	reply(drive, 8, load_be16(packet + 8));
}

static void read_disc_information(struct ide_drive *drive, const uint8_t *packet)
{
	uint8_t *to = blank_reply(drive);

	if (packet[1] & 7) {
		fail_with(drive, KEY_ILLEGAL, SENSE_BAD_FIELD, 0);
		return;
	}
	store_be16(to, 32);
	to[2] = 0x0e; /* complete, last session complete */
	to[3] = to[4] = to[5] = to[6] = 1;
	to[7] = 0x20; /* unrestricted use */
	reply(drive, 34, load_be16(packet + 7));
}

static uint8_t *mode_page(uint8_t *to, uint8_t page, uint8_t bytes)
{
	memset(to, 0, bytes + 2);
	to[0] = page;
	to[1] = bytes;
	return to + 2;
}

static uint8_t *capabilities_page(const struct ide_drive *drive, uint8_t *to)
{
	to = mode_page(to, 0x2a, 20);
	to[0] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
	to[2] = 0x70; /* mode 2 forms, multi-session */
	to[4] = 0x29 | (drive->tray_locked ? 2 : 0); /* tray; locks; ejects */
	store_be16(to + 6, 706);                     /* maximum speed, kB/s: 4x */
	store_be16(to + 8, 2);                       /* volume levels */
	store_be16(to + 10, 512);                    /* KiB of buffer */
	store_be16(to + 12, 706);
	return to + 20;
}

static void mode_sense(struct ide_drive *drive, const uint8_t *packet)
{
	unsigned control = packet[2] >> 6, page = packet[2] & 0x3f;
	uint8_t *start = blank_reply(drive), *to = start + 8;

	if (control == 3) {
		fail_with(drive, KEY_ILLEGAL, SENSE_CANNOT_SAVE, 0);
		return;
	}
	if (page == 0x01 || page == 0x3f) /* error recovery */
		to = mode_page(to, 0x01, 6) + 6;
	if (page == 0x0d || page == 0x3f) { /* 60 seconds, 75 frames */
		to = mode_page(to, 0x0d, 6);
		to[3] = 60;
		to[5] = 75;
		to += 6;
	}
	if (page == 0x0e || page == 0x3f) /* audio */
		to = mode_page(to, 0x0e, 14) + 14;
	if (page == 0x2a || page == 0x3f)
		to = capabilities_page(drive, to);
	if (to == start + 8) {
		fail_with(drive, KEY_ILLEGAL, SENSE_BAD_FIELD, 0);
		return;
	}
	store_be16(start, to - start - 2);
	start[2] = drive->tray_open ? 0x71 : has_medium(drive) ? 0x01 : 0x70;
	reply(drive, to - start, load_be16(packet + 7));
}

static void mode_select(struct ide_drive *drive, const uint8_t *packet)
{
	uint32_t bytes = load_be16(packet + 7);

	if (bytes)
		ide_collect(drive, OP_PARAMETERS, bytes);
	else
		succeed(drive);
}

/* What can be set has no effect here. */
void atapi_parameters(struct ide_drive *drive)
{
	succeed(drive);
}

static const struct packet_command commands[] = {
	{ 0x00, NEEDS_MEDIUM, test_unit_ready },
	{ 0x03, ANY_TIME, request_sense },
	{ 0x12, ANY_TIME, inquiry },
	{ 0x1b, 0, start_stop },
	{ 0x1e, 0, prevent_removal },
	{ 0x25, NEEDS_MEDIUM, read_capacity },
	{ 0x28, NEEDS_MEDIUM, read_10 },
	{ 0x2b, NEEDS_MEDIUM, seek },
	{ 0x43, NEEDS_MEDIUM, read_toc },
	{ 0x46, ANY_TIME, get_configuration },
	{ 0x4a, ANY_TIME, get_event_status },
	{ 0x51, NEEDS_MEDIUM, read_disc_information },
	{ 0x55, 0, mode_select },
	{ 0x5a, 0, mode_sense },
	{ 0xa8, NEEDS_MEDIUM, read_12 },
	{ 0xb9, NEEDS_MEDIUM, read_cd_msf },
	{ 0xbb, 0, test_unit_ready }, /* SET CD SPEED */
	{ 0xbd, 0, mechanism_status },
	{ 0xbe, NEEDS_MEDIUM, read_cd },
};

void atapi_packet(struct ide_drive *drive)
{
	const struct packet_command *command = commands;
	uint8_t packet[PACKET_BYTES];

	memcpy(packet, drive->packet, sizeof(packet));
	while (command < commands + ARRAY_LEN(commands) && command->code != packet[0])
		command++;
	if (command == commands + ARRAY_LEN(commands)) {
		fail_with(drive, KEY_ILLEGAL, SENSE_UNKNOWN_COMMAND, 0);
		return;
	}
	if (drive->medium_changed && !(command->flags & ANY_TIME)) {
		drive->medium_changed = false;
		fail_with(drive, KEY_ATTENTION, SENSE_MEDIUM_CHANGED, 0);
		return;
	}
	if ((command->flags & NEEDS_MEDIUM) && !has_medium(drive)) {
		fail_with(drive, KEY_NOT_READY, SENSE_NO_MEDIUM, drive->tray_open ? 2 : 0);
		return;
	}
	command->run(drive, packet);
}

/* [SFF-8020i 5.1] the byte count register limits each block; it counts pairs. */
void atapi_begin(struct ide_drive *drive)
{
	unsigned limit = (drive->lba[1] | drive->lba[2] << 8) & ~1u;

	drive->is_dma = drive->feature & 1;
	drive->is_raw = false;
	drive->packet_limit = limit ? limit : 0xfffe;
	drive->count = (drive->count & ~7) | REASON_COMMAND;
	ide_collect(drive, OP_PACKET, PACKET_BYTES);
}

void atapi_identify(struct ide_drive *drive)
{
	uint16_t word[256] = {
		[0] = 0x85c0, /* packet device, CD-ROM, removable, 12-byte packets */
		[20] = 3,      [21] = 512,    [22] = 4,      [48] = 1,      [49] = 0x0b00,
		[53] = 7,      [62] = 7,      [63] = 7,      [64] = 3,      [65] = 180,
		[66] = 180,    [67] = 300,    [68] = 300,    [71] = 30,     [72] = 30,
		[80] = 0x001e, [82] = 0x0210, [83] = 0x4000, [84] = 0x4000, [85] = 0x0210,
		[87] = 0x4000, [88] = 0x003f, [93] = 0x6001,
	};
	char made_up[16];

	snprintf(made_up, sizeof(made_up), "QM%05u",
		 drive->channel->number * 2 + drive->position + 1u);
	ide_put_text(&word[10], 10, drive->serial && *drive->serial ? drive->serial : made_up);
	ide_put_text(&word[23], 4, drive->ver ? drive->ver : "2.5+");
	ide_put_text(&word[27], 20, drive->model && *drive->model ? drive->model : "QEMU DVD-ROM");
	word[63] |= drive->mdma_mode < 3 ? 0x100 << drive->mdma_mode : 0;
	word[88] |= drive->udma_mode < 6 ? 0x100 << drive->udma_mode : 0;
	memcpy(drive->buffer, word, sizeof(word));
	drive->is_dma = false;
	drive->packet_limit = SECTOR;
	ide_reply(drive, sizeof(word));
}

void atapi_medium_changed(struct dev *dev)
{
	struct ide_drive *drive = container_of(dev, struct ide_drive, dev);
	bool present = block_size(drive->drive) > 0;

	drive->tray_open = false;
	drive->medium_changed = present;
	drive->event = present ? EVENT_NEW_MEDIA : EVENT_REMOVED;
}

void atapi_reset(struct ide_drive *drive)
{
	memset(drive->packet, 0, sizeof(drive->packet));
	drive->sense_key = drive->sense_code = drive->sense_qualifier = 0;
	drive->tray_open = drive->tray_locked = drive->medium_changed = false;
	drive->event = EVENT_NONE;
	if (drive->is_cd && drive->drive)
		block_lock_tray(drive->drive, false);
}
