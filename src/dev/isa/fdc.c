/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 82078 floppy disk controller with two drives.
 *
 * A command is a byte and its parameters, then (for some) an execution phase that moves sectors by
 * DMA or through the FIFO port, then result bytes. The parameters have an array that holds the
 * longest command; how many are taken comes from the command's row in a table, never from the guest
 * (VENOM). The transfer buffer is one sector.
 *
 * Drives take the geometry of the medium in them; the data rate the guest has set must be the
 * medium's, or it finds no address marks, as guests expect when they probe. Reads and writes go to
 * the cylinder they name, as if implied seek were always on. Everything is instantaneous but READ ID.
 *
 * Manual: Intel 82078 data sheet, 1995; section names in [brackets].
 * Not modelled: sectors other than 512 bytes, SCAN, FORMAT AND WRITE, deleted data marks (they read
 * as ordinary ones), double stepping, the motors, the FIFO threshold, tape drives.
 */
#include "core/block.h"

#include <errno.h>

enum { SRA, SRB, DOR, TDR, MSR_DSR, FIFO, FIRST_PORTS = 6, DIR_CCR = 7 };
enum { DRIVES = 2, DRIVE_NUMBERS = 4, SECTOR = 512, PARAMETERS = 20, RESULTS = 16 };

enum {
	DOR_DRIVE = 3, DOR_NO_RESET = 4, DOR_DMA_GATE = 8,
	MSR_BUSY = 0x10, MSR_NON_DMA = 0x20, MSR_TO_HOST = 0x40, MSR_READY = 0x80,
	DSR_RATE = 3, DSR_RESET = 0x80,
	SRA_INTERRUPT = 0x80, SRA_NO_DRIVE_2 = 0x40, SRA_NO_TRACK_0 = 0x10, SRA_NO_INDEX = 4,
	SRA_NO_PROTECT = 2, DIR_CHANGED = 0x80,
	ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_POLLED = 0xc0, ST0_SEEK_END = 0x20,
	ST0_EQUIPMENT = 0x10,
	ST1_END = 0x80, ST1_DATA_ERROR = 0x20, ST1_NO_DATA = 4, ST1_PROTECTED = 2, ST1_NO_MARK = 1,
	ST2_DATA_ERROR = 0x20, ST2_WRONG_CYLINDER = 0x10,
	ST3_PROTECTED = 0x40, ST3_READY = 0x20, ST3_TRACK_0 = 0x10, ST3_TWO_SIDED = 8,
	SPECIFY_NON_DMA = 1, CONFIG_DEFAULT = 0, CONFIG_POLL_OFF = 0x10,
	COMMAND_MULTI_TRACK = 0x80,
};

enum phase { PHASE_COMMAND, PHASE_PARAMETERS, PHASE_EXECUTE, PHASE_RESULT };
enum work { WORK_NONE, WORK_READ, WORK_WRITE, WORK_VERIFY, WORK_FORMAT, WORK_READ_ID };

struct geometry {
	uint32_t sectors; /* in all */
	uint8_t tracks, heads, per_track, rate;
};

enum { RATE_500, RATE_300, RATE_250, RATE_1000 };

static const struct geometry geometries[] = {
	{ 320, 40, 1, 8, RATE_250 },   { 360, 40, 1, 9, RATE_250 },  { 640, 40, 2, 8, RATE_250 },
	{ 720, 40, 2, 9, RATE_250 },   { 1440, 80, 2, 9, RATE_250 }, { 1600, 80, 2, 10, RATE_250 },
	{ 2400, 80, 2, 15, RATE_500 }, { 2880, 80, 2, 18, RATE_500 },
	{ 3360, 80, 2, 21, RATE_500 }, { 3444, 82, 2, 21, RATE_500 },
	{ 3840, 80, 2, 24, RATE_500 }, { 5760, 80, 2, 36, RATE_1000 },
};

struct drive {
	uint8_t track, head;
	bool changed; /* the disk-change line */
	bool seek_done;
	uint8_t seek_status;
};

struct fdc {
	struct dev dev;
	uint16_t port;
	uint8_t irq, dma;
	struct block *disk[DRIVES];

	uint8_t dor, tdr, rate, phase, work;
	uint8_t specify[2], config, precompensation, perpendicular, lock, sectors_per_track;
	struct drive drive[DRIVE_NUMBERS];
	uint8_t resets_to_sense; /* interrupts after a reset that were not sensed yet */
	bool interrupt;

	uint8_t command, parameter[PARAMETERS], parameters_taken, parameters_wanted;
	uint8_t result[RESULTS], results, result_at;

	/* Execution. */
	uint8_t unit, cylinder, head, sector, last_sector, status[3];
	uint8_t left; /* sectors to verify, ids to format */
	bool multi_track, terminal, filled /* the buffer holds what the phase needs */;
	uint8_t buffer[SECTOR];
	uint32_t at;
	struct timer delay;

	/* A request under way; never saved, a stopped board has none. */
	struct block_request request;
	struct iovec iov;
	bool submitted;

	uint64_t commands, sectors_moved;
};

static const struct field drive_fields[] = {
	STATE(struct drive, track),
	STATE(struct drive, head, .max = 1),
	STATE(struct drive, changed),
	STATE(struct drive, seek_done),
	STATE(struct drive, seek_status),
	{ 0 }
};

static const struct field fdc_fields[] = {
	SETTING_AS("iobase", struct fdc, port, .def = 0x3f0, .help = "first I/O port"),
	SETTING(struct fdc, irq, .def = 6, .max = 15, .help = "interrupt line"),
	SETTING(struct fdc, dma, .def = 2, .max = 3, .help = "DMA channel"),
	SETTING_AS("driveA", struct fdc, disk[0], .help = "disk in the first drive"),
	SETTING_AS("driveB", struct fdc, disk[1], .help = "disk in the second drive"),
	STATE(struct fdc, dor),
	STATE(struct fdc, tdr, .max = 3),
	STATE(struct fdc, rate, .max = 3),
	STATE(struct fdc, phase, .max = PHASE_RESULT),
	STATE(struct fdc, work, .max = WORK_READ_ID),
	STATE(struct fdc, specify),
	STATE(struct fdc, config),
	STATE(struct fdc, precompensation),
	STATE(struct fdc, perpendicular),
	STATE(struct fdc, lock, .max = 1),
	STATE(struct fdc, sectors_per_track),
	STATE_STRUCTS(struct fdc, drive, drive_fields),
	STATE(struct fdc, resets_to_sense, .max = DRIVE_NUMBERS),
	STATE(struct fdc, interrupt),
	STATE(struct fdc, command),
	STATE(struct fdc, parameter),
	STATE(struct fdc, parameters_taken, .max = PARAMETERS),
	STATE(struct fdc, parameters_wanted, .max = PARAMETERS),
	STATE(struct fdc, result),
	STATE(struct fdc, results, .max = RESULTS),
	STATE(struct fdc, result_at, .max = RESULTS),
	STATE(struct fdc, unit, .max = DRIVE_NUMBERS - 1),
	STATE(struct fdc, cylinder),
	STATE(struct fdc, head, .max = 1),
	STATE(struct fdc, sector),
	STATE(struct fdc, last_sector),
	STATE(struct fdc, status),
	STATE(struct fdc, left),
	STATE(struct fdc, multi_track),
	STATE(struct fdc, terminal),
	STATE(struct fdc, filled),
	STATE(struct fdc, buffer),
	STATE(struct fdc, at, .max = SECTOR),
	STATE(struct fdc, delay),
	COUNTER(struct fdc, commands, .help = "commands"),
	COUNTER(struct fdc, sectors_moved, .help = "sectors read or written"),
	{ 0 }
};

static struct fdc *to_fdc(struct dev *dev)
{
	return container_of(dev, struct fdc, dev);
}

static struct block *disk_of(const struct fdc *f, unsigned unit)
{
	return unit < DRIVES ? f->disk[unit] : NULL;
}

/* The smallest format that holds the medium; NULL: no medium, or none that fits. */
static const struct geometry *geometry_of(const struct fdc *f, unsigned unit)
{
	const struct block *disk = disk_of(f, unit);
	uint64_t sectors = disk ? block_size(disk) / SECTOR : 0;

	for (size_t i = 0; sectors && i < ARRAY_LEN(geometries); i++)
		if (sectors <= geometries[i].sectors)
			return &geometries[i];
	return NULL;
}

static bool rate_fits(const struct fdc *f, const struct geometry *g)
{
	if (g->rate == RATE_250) /* double density turns faster in a 1.2 MB drive */
		return f->rate == RATE_250 || f->rate == RATE_300;
	return f->rate == g->rate;
}

static void set_interrupt(struct fdc *f, bool on)
{
	f->interrupt = on;
	irq_set(&f->dev, f->irq, on && f->dor & DOR_DMA_GATE);
}

/* Results. */
static void enter_result(struct fdc *f, unsigned count)
{
	f->work = WORK_NONE;
	f->results = (uint8_t)count;
	f->result_at = 0;
	f->phase = count ? PHASE_RESULT : PHASE_COMMAND;
}

static void one_result(struct fdc *f, uint8_t value)
{
	f->result[0] = value;
	enter_result(f, 1);
}

static void finish(struct fdc *f)
{
	uint8_t st0 = f->status[0] | (uint8_t)(f->head << 2) | f->unit;

	timer_stop(&f->delay);
	f->result[0] = st0;
	f->result[1] = f->status[1];
	f->result[2] = f->status[2];
	f->result[3] = f->cylinder;
	f->result[4] = f->head;
	f->result[5] = f->sector;
	f->result[6] = 2;
	enter_result(f, 7);
	set_interrupt(f, true);
}

static void finish_badly(struct fdc *f, uint8_t st1, uint8_t st2)
{
	f->status[0] |= ST0_ABNORMAL;
	f->status[1] |= st1;
	f->status[2] |= st2;
	finish(f);
}

/* Moving sectors. */
static bool by_dma(const struct fdc *f)
{
	return !(f->specify[1] & SPECIFY_NON_DMA);
}

/* The byte offset of the sector at hand; false: the medium has none such. */
static bool locate(const struct fdc *f, uint64_t *offset)
{
	const struct geometry *g = geometry_of(f, f->unit);
	uint64_t sector;

	if (!g || f->cylinder >= g->tracks || f->head >= g->heads || !f->sector ||
	    f->sector > g->per_track)
		return false;
	sector = (f->cylinder * (uint64_t)g->heads + f->head) * g->per_track + f->sector - 1u;
	*offset = sector * SECTOR;
	return *offset + SECTOR <= block_size(disk_of(f, f->unit));
}

static void on_done(struct block_request *request, int error);

static void submit(struct fdc *f, enum block_op op)
{
	uint64_t offset;

	if (!locate(f, &offset)) {
		finish_badly(f, ST1_NO_DATA, 0);
		return;
	}
	f->iov = (struct iovec){ .iov_base = f->buffer, .iov_len = SECTOR };
	f->request = (struct block_request){ .op = op, .offset = offset, .bytes = SECTOR,
					     .iov = &f->iov, .iov_count = 1, .dev = &f->dev,
					     .done = on_done };
	f->submitted = true;
	block_submit(disk_of(f, f->unit), &f->request);
}

/* [Transfer termination] steps to the next sector; false: that was the last one. */
static bool next_sector(struct fdc *f)
{
	f->sectors_moved++;
	if (f->sector != f->last_sector) {
		f->sector++;
		return true;
	}
	f->sector = 1;
	if (f->multi_track && f->head == 0) {
		f->head = 1;
		return true;
	}
	if (f->multi_track)
		f->head = 0;
	f->cylinder++;
	return false;
}

static void begin_sector(struct fdc *f)
{
	f->at = 0;
	f->filled = false;
	if (f->work == WORK_READ || f->work == WORK_VERIFY)
		submit(f, BLOCK_READ);
}

/* One sector is through. */
static void end_sector(struct fdc *f)
{
	bool more = next_sector(f);

	if (f->work == WORK_VERIFY) {
		if (!--f->left)
			finish(f);
		else if (more)
			begin_sector(f);
		else
			finish_badly(f, ST1_END, 0);
	} else if (f->terminal) {
		finish(f);
	} else if (more) {
		begin_sector(f);
	} else {
		finish_badly(f, ST1_END, 0);
	}
}

static void format_next(struct fdc *f)
{
	f->at = 0;
	f->filled = false;
	if (--f->left == 0 || f->terminal)
		finish(f);
}

/* The buffer has what the disk gets. */
static void write_sector(struct fdc *f)
{
	f->filled = true;
	if (f->work == WORK_FORMAT) {
		f->cylinder = f->buffer[0];
		f->head = f->buffer[1] & 1;
		f->sector = f->buffer[2];
		memset(f->buffer, f->parameter[4], SECTOR);
	} else if (f->at < SECTOR) {
		memset(f->buffer + f->at, 0, SECTOR - f->at); /* [TC] the rest is filled with zeros */
	}
	submit(f, BLOCK_WRITE);
}

static uint32_t unit_bytes(const struct fdc *f)
{
	return f->work == WORK_FORMAT ? 4 : SECTOR;
}

/* Moves what the DMA controller will take now; goes on when it calls again. */
static void pump(struct fdc *f)
{
	uint32_t room = unit_bytes(f);
	size_t moved;

	if (f->phase != PHASE_EXECUTE || f->submitted || !by_dma(f))
		return;
	if (f->work == WORK_READ && f->filled) {
		moved = isa_dma_to_memory(&f->dev, f->dma, f->buffer + f->at, SECTOR - f->at,
					  &f->terminal);
		f->at += (uint32_t)moved;
		if (f->at == SECTOR || f->terminal)
			end_sector(f);
	} else if ((f->work == WORK_WRITE || f->work == WORK_FORMAT) && !f->filled) {
		moved = isa_dma_from_memory(&f->dev, f->dma, f->buffer + f->at, room - f->at,
					    &f->terminal);
		f->at += (uint32_t)moved;
		if (f->at == room || (f->terminal && f->work == WORK_WRITE))
			write_sector(f);
		else if (f->terminal)
			finish(f);
	}
}

static void on_dma_ready(struct dev *dev)
{
	pump(to_fdc(dev));
}

static void ask_for_data(struct fdc *f)
{
	if (f->phase != PHASE_EXECUTE || f->submitted)
		return;
	if (by_dma(f))
		pump(f);
	else if (f->work == WORK_READ ? f->filled : f->work != WORK_VERIFY)
		set_interrupt(f, true);
}

static void on_done(struct block_request *request, int error)
{
	struct fdc *f = container_of(request, struct fdc, request);

	f->submitted = false;
	if (f->phase != PHASE_EXECUTE) /* it was reset meanwhile */
		return;
	if (error) {
		finish_badly(f, error == -EROFS ? ST1_PROTECTED : ST1_DATA_ERROR,
			     error == -EROFS ? 0 : ST2_DATA_ERROR);
		return;
	}
	f->filled = f->work == WORK_READ;
	if (f->work == WORK_FORMAT)
		format_next(f);
	else if (f->work != WORK_READ)
		end_sector(f);
	ask_for_data(f);
}

/* Start of a transfer; what is wrong with drive and medium is told in the results. */
static bool begin_transfer(struct fdc *f, enum work work)
{
	const struct geometry *g;

	f->unit = f->parameter[0] & DOR_DRIVE;
	f->head = f->parameter[0] >> 2 & 1;
	f->drive[f->unit].head = f->head;
	memset(f->status, 0, sizeof(f->status));
	f->terminal = f->multi_track = f->filled = false;
	f->at = 0;
	f->work = work;
	f->phase = PHASE_EXECUTE;
	g = geometry_of(f, f->unit);
	if (!g || !rate_fits(f, g)) {
		finish_badly(f, ST1_NO_MARK, 0);
		return false;
	}
	if ((work == WORK_WRITE || work == WORK_FORMAT) &&
	    block_read_only(disk_of(f, f->unit))) {
		finish_badly(f, ST1_PROTECTED, 0);
		return false;
	}
	return true;
}

static void do_transfer(struct fdc *f, enum work work)
{
	uint64_t offset;

	f->cylinder = f->parameter[1];
	f->sector = f->parameter[3];
	f->last_sector = f->parameter[5];
	f->left = f->parameter[0] & 0x80 ? f->parameter[7] : 0; /* VERIFY's count; 0 is 256 */
	f->sectors_per_track = f->last_sector;
	if (!begin_transfer(f, work))
		return;
	f->multi_track = f->command & COMMAND_MULTI_TRACK;
	if ((f->command & 0x1f) == 0x02) /* READ TRACK begins behind the index hole */
		f->sector = 1;
	if (work == WORK_VERIFY && !f->left)
		f->left = (uint8_t)(f->last_sector - f->sector + 1 +
				    (f->multi_track && !f->head ? f->last_sector : 0));
	if (f->parameter[2] != f->head || f->parameter[4] != 2 || !locate(f, &offset)) {
		finish_badly(f, ST1_NO_DATA, 0);
		return;
	}
	f->drive[f->unit].track = f->cylinder;
	begin_sector(f);
	ask_for_data(f);
}

static void do_read(struct fdc *f)
{
	do_transfer(f, WORK_READ);
}

static void do_write(struct fdc *f)
{
	do_transfer(f, WORK_WRITE);
}

static void do_verify(struct fdc *f)
{
	do_transfer(f, WORK_VERIFY);
}

static void do_format(struct fdc *f)
{
	const struct geometry *g = geometry_of(f, f->parameter[0] & DOR_DRIVE);

	f->cylinder = f->drive[f->parameter[0] & DOR_DRIVE].track;
	f->sector = 1;
	f->left = f->sectors_per_track = f->parameter[2];
	if (!begin_transfer(f, WORK_FORMAT))
		return;
	if (f->parameter[1] != 2 || !f->left || f->left > g->per_track) {
		finish_badly(f, ST1_NO_MARK, 0); /* a format this medium does not have */
		return;
	}
	ask_for_data(f);
}

static void do_read_id(struct fdc *f)
{
	f->cylinder = f->drive[f->parameter[0] & DOR_DRIVE].track;
	f->sector = 1;
	if (begin_transfer(f, WORK_READ_ID))
		timer_arm(&f->delay, dev_now(&f->dev) + MILLISECOND);
}

static void on_delay(struct dev *dev)
{
	struct fdc *f = to_fdc(dev);
	const struct geometry *g = geometry_of(f, f->unit);

	if (f->phase != PHASE_EXECUTE || f->work != WORK_READ_ID)
		return;
	if (!g || f->cylinder >= g->tracks || f->head >= g->heads)
		finish_badly(f, ST1_NO_MARK, 0);
	else
		finish(f);
}

/* Commands without a transfer. */
static void seek_to(struct fdc *f, unsigned unit, unsigned track, uint8_t failure)
{
	struct drive *drive = &f->drive[unit];
	bool is_there = disk_of(f, unit);

	if (is_there)
		drive->track = (uint8_t)MIN(track, 84u);
	if (is_there && block_size(disk_of(f, unit)))
		drive->changed = false;
	drive->seek_done = true;
	drive->seek_status = (uint8_t)(ST0_SEEK_END | drive->head << 2 | unit |
				       (is_there ? 0 : failure));
	f->phase = PHASE_COMMAND;
	set_interrupt(f, true);
}

static void do_recalibrate(struct fdc *f)
{
	seek_to(f, f->parameter[0] & DOR_DRIVE, 0, ST0_ABNORMAL | ST0_EQUIPMENT);
}

static void do_seek(struct fdc *f)
{
	f->drive[f->parameter[0] & DOR_DRIVE].head = f->parameter[0] >> 2 & 1;
	seek_to(f, f->parameter[0] & DOR_DRIVE, f->parameter[1], 0);
}

static void do_relative_seek(struct fdc *f)
{
	unsigned unit = f->parameter[0] & DOR_DRIVE, track = f->drive[unit].track;
	unsigned steps = f->parameter[1];
	bool inwards = f->command & 0x40;

	seek_to(f, unit, inwards ? track + steps : track - MIN(track, steps), 0);
}

static void do_sense_interrupt(struct fdc *f)
{
	if (f->resets_to_sense) {
		unsigned unit = DRIVE_NUMBERS - f->resets_to_sense--;

		set_interrupt(f, false);
		f->result[0] = (uint8_t)(ST0_POLLED | unit);
		f->result[1] = f->drive[unit].track;
		enter_result(f, 2);
		return;
	}
	for (unsigned unit = 0; unit < DRIVE_NUMBERS; unit++) {
		if (!f->drive[unit].seek_done)
			continue;
		f->drive[unit].seek_done = false;
		set_interrupt(f, false);
		for (unsigned next = unit + 1; next < DRIVE_NUMBERS; next++)
			if (f->drive[next].seek_done)
				set_interrupt(f, true);
		f->result[0] = f->drive[unit].seek_status;
		f->result[1] = f->drive[unit].track;
		enter_result(f, 2);
		return;
	}
	one_result(f, ST0_INVALID);
}

static void do_sense_drive(struct fdc *f)
{
	unsigned unit = f->parameter[0] & DOR_DRIVE;
	const struct block *disk = disk_of(f, unit);

	f->drive[unit].head = f->parameter[0] >> 2 & 1;
	one_result(f, (uint8_t)((f->parameter[0] & 7) | ST3_TWO_SIDED | ST3_READY |
				(f->drive[unit].track ? 0 : ST3_TRACK_0) |
				(disk && block_read_only(disk) ? ST3_PROTECTED : 0)));
}

static void do_specify(struct fdc *f)
{
	memcpy(f->specify, f->parameter, 2);
	f->phase = PHASE_COMMAND;
}

static void do_configure(struct fdc *f)
{
	f->config = f->parameter[1];
	f->precompensation = f->parameter[2];
	f->phase = PHASE_COMMAND;
}

static void do_perpendicular(struct fdc *f)
{
	if (f->parameter[0] & 0x80)
		f->perpendicular = f->parameter[0] & 0x7f;
	else
		f->perpendicular = (f->perpendicular & 0x7c) | (f->parameter[0] & 3);
	f->phase = PHASE_COMMAND;
}

static void do_lock(struct fdc *f)
{
	f->lock = f->command >> 7;
	one_result(f, (uint8_t)(f->lock << 4));
}

static void do_version(struct fdc *f)
{
	one_result(f, 0x90);
}

static void do_part_id(struct fdc *f)
{
	one_result(f, 0x41);
}

static void do_dump(struct fdc *f)
{
	for (unsigned i = 0; i < DRIVE_NUMBERS; i++)
		f->result[i] = f->drive[i].track;
	f->result[4] = f->specify[0];
	f->result[5] = f->specify[1];
	f->result[6] = f->sectors_per_track;
	f->result[7] = (uint8_t)(f->lock << 7 | f->perpendicular);
	f->result[8] = f->config;
	f->result[9] = f->precompensation;
	enter_result(f, 10);
}

static void do_save(struct fdc *f)
{
	memset(f->result, 0, sizeof(f->result));
	for (unsigned i = 0; i < DRIVE_NUMBERS; i++)
		f->result[2 + i] = f->drive[i].track;
	f->result[6] = f->specify[0];
	f->result[7] = f->specify[1];
	f->result[8] = f->sectors_per_track;
	f->result[9] = (uint8_t)(f->lock << 7 | f->perpendicular);
	f->result[10] = f->config;
	f->result[11] = f->precompensation;
	enter_result(f, 15);
}

static void do_restore(struct fdc *f)
{
	for (unsigned i = 0; i < DRIVE_NUMBERS; i++)
		f->drive[i].track = MIN(f->parameter[3 + i], 84);
	f->specify[0] = f->parameter[7];
	f->specify[1] = f->parameter[8];
	f->sectors_per_track = f->parameter[9];
	f->lock = f->parameter[10] >> 7;
	f->perpendicular = f->parameter[10] & 0x7f;
	f->config = f->parameter[11];
	f->precompensation = f->parameter[12];
	f->phase = PHASE_COMMAND;
}

static void do_power_down(struct fdc *f)
{
	one_result(f, f->parameter[0]);
}

static void do_nothing(struct fdc *f)
{
	f->phase = PHASE_COMMAND;
}

static const struct command {
	uint8_t mask, value, parameters;
	void (*run)(struct fdc *f);
} commands[] = {
	{ 0x1f, 0x06, 8, do_read },          { 0x1f, 0x05, 8, do_write },
	{ 0x1f, 0x0c, 8, do_read },          { 0x1f, 0x09, 8, do_write },
	{ 0x9f, 0x02, 8, do_read },          { 0x1f, 0x16, 8, do_verify },
	{ 0xbf, 0x0d, 5, do_format },        { 0xbf, 0x0a, 1, do_read_id },
	{ 0xff, 0x03, 2, do_specify },       { 0xff, 0x04, 1, do_sense_drive },
	{ 0xff, 0x07, 1, do_recalibrate },   { 0xff, 0x08, 0, do_sense_interrupt },
	{ 0xff, 0x0e, 0, do_dump },          { 0xff, 0x0f, 2, do_seek },
	{ 0xbf, 0x8f, 2, do_relative_seek }, { 0xff, 0x10, 0, do_version },
	{ 0xff, 0x12, 1, do_perpendicular }, { 0xff, 0x13, 3, do_configure },
	{ 0x7f, 0x14, 0, do_lock },          { 0xff, 0x17, 1, do_power_down },
	{ 0xff, 0x18, 0, do_part_id },       { 0xff, 0x2e, 0, do_save },
	{ 0xff, 0x33, 1, do_nothing },       { 0xff, 0x4e, 16, do_restore },
	{ 0xff, 0x8e, 6, do_nothing }, /* DRIVE SPECIFICATION: ends early, see take_parameter */
};

enum { DRIVE_SPECIFICATION = 0x8e, SPECIFICATION_DONE = 0x80 };

static const struct command *find_command(uint8_t byte)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if ((byte & commands[i].mask) == commands[i].value)
			return &commands[i];
	return NULL;
}

static void run_command(struct fdc *f)
{
	f->commands++;
	find_command(f->command)->run(f);
}

static void take_command(struct fdc *f, uint8_t byte)
{
	const struct command *command = find_command(byte);

	f->command = byte;
	f->parameters_taken = 0;
	if (!command) {
		guest_error(&f->dev, "unknown command %#x", byte);
		one_result(f, ST0_INVALID);
		return;
	}
	f->parameters_wanted = command->parameters;
	f->phase = PHASE_PARAMETERS;
	if (!f->parameters_wanted)
		run_command(f);
}

static void take_parameter(struct fdc *f, uint8_t byte)
{
	if (f->parameters_taken < PARAMETERS)
		f->parameter[f->parameters_taken++] = byte;
	if (f->parameters_taken >= f->parameters_wanted ||
	    (f->command == DRIVE_SPECIFICATION && byte & SPECIFICATION_DONE))
		run_command(f);
}

/* Data through the FIFO port, where DMA is off. */
static void take_data(struct fdc *f, uint8_t byte)
{
	if (by_dma(f) || f->submitted || f->filled || f->at >= unit_bytes(f) ||
	    (f->work != WORK_WRITE && f->work != WORK_FORMAT)) {
		guest_error(&f->dev, "data written when none is asked for");
		return;
	}
	set_interrupt(f, false);
	f->buffer[f->at++] = byte;
	if (f->at == unit_bytes(f))
		write_sector(f);
}

static uint8_t give_data(struct fdc *f)
{
	uint8_t byte;

	if (by_dma(f) || f->work != WORK_READ || !f->filled || f->at >= SECTOR) {
		guest_error(&f->dev, "data read when there is none");
		return 0;
	}
	set_interrupt(f, false);
	byte = f->buffer[f->at++];
	if (f->at == SECTOR)
		end_sector(f);
	return byte;
}

static uint8_t give_result(struct fdc *f)
{
	uint8_t byte = f->result_at < RESULTS ? f->result[f->result_at] : 0;

	set_interrupt(f, false);
	if (++f->result_at >= f->results)
		f->phase = PHASE_COMMAND;
	return byte;
}

static void fifo_write(struct fdc *f, uint8_t byte)
{
	if (!(f->dor & DOR_NO_RESET))
		return;
	switch (f->phase) {
	case PHASE_COMMAND:
		take_command(f, byte);
		break;
	case PHASE_PARAMETERS:
		take_parameter(f, byte);
		break;
	case PHASE_EXECUTE:
		take_data(f, byte);
		break;
	default:
		guest_error(&f->dev, "byte %#x written while results wait", byte);
	}
}

static uint8_t fifo_read(struct fdc *f)
{
	if (f->phase == PHASE_RESULT)
		return give_result(f);
	if (f->phase == PHASE_EXECUTE)
		return give_data(f);
	guest_error(&f->dev, "FIFO read while it is empty");
	return 0;
}

static uint8_t main_status(const struct fdc *f)
{
	if (!(f->dor & DOR_NO_RESET))
		return 0;
	switch (f->phase) {
	case PHASE_COMMAND:
		return MSR_READY;
	case PHASE_PARAMETERS:
		return MSR_READY | MSR_BUSY;
	case PHASE_RESULT:
		return MSR_READY | MSR_TO_HOST | MSR_BUSY;
	}
	if (by_dma(f) || f->submitted || f->work == WORK_READ_ID || f->work == WORK_VERIFY)
		return MSR_BUSY;
	if (f->work == WORK_READ)
		return MSR_BUSY | MSR_NON_DMA | (f->filled ? MSR_READY | MSR_TO_HOST : 0);
	return MSR_BUSY | MSR_NON_DMA | MSR_READY;
}

/* [Reset] what is under way is let go; a locked configuration survives a reset by software. */
static void enter_reset(struct fdc *f)
{
	f->phase = PHASE_COMMAND;
	f->work = WORK_NONE;
	timer_stop(&f->delay);
	if (f->submitted)
		block_drain(disk_of(f, f->unit));
	f->results = f->result_at = f->parameters_taken = f->parameters_wanted = 0;
	f->resets_to_sense = 0;
	f->perpendicular &= 0x7c;
	if (!f->lock) {
		f->config = CONFIG_DEFAULT;
		f->precompensation = 0;
	}
	for (unsigned i = 0; i < DRIVE_NUMBERS; i++)
		f->drive[i].seek_done = false;
	set_interrupt(f, false);
}

static void leave_reset(struct fdc *f)
{
	f->resets_to_sense = f->config & CONFIG_POLL_OFF ? 0 : DRIVE_NUMBERS;
	set_interrupt(f, true);
}

static void write_dor(struct fdc *f, uint8_t value)
{
	bool was_running = f->dor & DOR_NO_RESET, runs = value & DOR_NO_RESET;

	f->dor = value;
	if (was_running && !runs)
		enter_reset(f);
	else if (!was_running && runs)
		leave_reset(f);
	set_interrupt(f, f->interrupt); /* the gate may have changed */
}

static uint8_t status_a(const struct fdc *f)
{
	const struct block *disk = disk_of(f, f->dor & DOR_DRIVE);

	return (f->interrupt ? SRA_INTERRUPT : 0) | (f->disk[1] ? 0 : SRA_NO_DRIVE_2) |
	       (f->drive[f->dor & DOR_DRIVE].track ? SRA_NO_TRACK_0 : 0) | SRA_NO_INDEX |
	       (disk && block_read_only(disk) ? 0 : SRA_NO_PROTECT);
}

static uint64_t fdc_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct fdc *f = to_fdc(dev);

	switch (offset) {
	case SRA:
		return status_a(f);
	case SRB:
		return 0xc0 | (f->dor & 1) << 5 | (f->dor >> 4 & 3);
	case DOR:
		return f->dor;
	case TDR:
		return f->tdr;
	case MSR_DSR:
		return main_status(f);
	default:
		return fifo_read(f);
	}
}

static void fdc_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct fdc *f = to_fdc(dev);

	switch (offset) {
	case DOR:
		write_dor(f, (uint8_t)value);
		break;
	case TDR:
		f->tdr = value & 3;
		break;
	case MSR_DSR:
		f->rate = value & DSR_RATE;
		if (value & DSR_RESET && f->dor & DOR_NO_RESET) { /* ends by itself */
			enter_reset(f);
			leave_reset(f);
		}
		break;
	case FIFO:
		fifo_write(f, (uint8_t)value);
		break;
	}
}

/* [DIR] the change line of the selected drive. */
static uint64_t dir_read(struct dev *dev, uint64_t offset, unsigned size)
{
	const struct fdc *f = to_fdc(dev);
	unsigned unit = f->dor & DOR_DRIVE;

	return disk_of(f, unit) && f->drive[unit].changed ? DIR_CHANGED : 0;
}

static void ccr_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	to_fdc(dev)->rate = value & DSR_RATE;
}

static const struct region fdc_ports = {
	.name = "fdc",
	.min_size = 1,
	.max_size = 1,
	.read = fdc_read,
	.write = fdc_write,
};

static const struct region dir_port = {
	.name = "fdc-dir",
	.min_size = 1,
	.max_size = 1,
	.read = dir_read,
	.write = ccr_write,
};

static void on_medium(struct dev *dev)
{
	struct fdc *f = to_fdc(dev);

	/* Which of the two it was does not matter: the guest looks again at both. */
	f->drive[0].changed = f->drive[1].changed = true;
}

static int fdc_attach(struct dev *dev, struct err *err)
{
	struct fdc *f = to_fdc(dev);
	int code = claim_ports(dev, &fdc_ports, f->port, FIRST_PORTS, err);

	if (!code)
		code = claim_ports(dev, &dir_port, f->port + DIR_CCR, 1, err);
	for (unsigned i = 0; i < DRIVES && !code; i++) {
		if (!f->disk[i])
			continue;
		code = block_claim(f->disk[i], dev, err);
		block_watch_medium(f->disk[i], dev, on_medium);
	}
	claim_timer(dev, &f->delay, on_delay);
	isa_dma_watch(dev, f->dma, on_dma_ready);
	f->drive[0].changed = f->drive[1].changed = true;
	return code;
}

static void fdc_reset(struct dev *dev)
{
	struct fdc *f = to_fdc(dev);

	f->lock = 0;
	enter_reset(f);
	f->dor = DOR_NO_RESET | DOR_DMA_GATE;
	f->tdr = 0;
	f->rate = RATE_250;
	f->perpendicular = 0;
	memset(f->specify, 0, sizeof(f->specify));
	for (unsigned i = 0; i < DRIVE_NUMBERS; i++) {
		f->drive[i].track = f->drive[i].head = 0;
		f->drive[i].changed = true;
	}
}

static int fdc_restored(struct dev *dev, struct err *err)
{
	struct fdc *f = to_fdc(dev);
	const struct command *command = find_command(f->command);
	bool needs_disk = f->phase == PHASE_EXECUTE && f->work != WORK_READ_ID;

	if (f->phase == PHASE_PARAMETERS &&
	    (!command || f->parameters_wanted != command->parameters ||
	     f->parameters_taken >= f->parameters_wanted))
		return fail(err, EINVAL, "the floppy controller's parameters do not fit its command");
	if (f->phase == PHASE_RESULT && f->result_at >= f->results)
		return fail(err, EINVAL, "the floppy controller has no results left");
	if (f->phase == PHASE_EXECUTE && f->work == WORK_NONE)
		return fail(err, EINVAL, "the floppy controller executes nothing");
	if (needs_disk && (!disk_of(f, f->unit) || f->at > unit_bytes(f) ||
			   (f->work == WORK_FORMAT && !f->left)))
		return fail(err, EINVAL, "a floppy transfer in the saved state is damaged");
	return 0;
}

const struct dev_class isa_fdc_class = {
	.name = "isa-fdc",
	.summary = "82078 floppy disk controller",
	.size = sizeof(struct fdc),
	.fields = fdc_fields,
	.attach = fdc_attach,
	.reset = fdc_reset,
	.restored = fdc_restored,
};
