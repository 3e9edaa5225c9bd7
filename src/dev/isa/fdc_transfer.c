/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floppy disk controller: commands that move sectors, and what a medium's format is.
 *
 * A sector passes through the buffer: from the disk and then to the guest, or the other way; the
 * guest's side is the DMA controller or the FIFO port.
 *
 * Manual: Intel 82078 data sheet, 1995, "Data Transfer Commands".
 * Not modelled: see fdc.c.
 */
#include "dev/isa/fdc.h"

#include <errno.h>

enum {
	ST0_ABNORMAL = 0x40,
	ST1_END = 0x80, ST1_DATA_ERROR = 0x20, ST1_NO_DATA = 4, ST1_PROTECTED = 2, ST1_NO_MARK = 1,
	ST2_DATA_ERROR = 0x20,
	SPECIFY_NON_DMA = 1, COMMAND_MULTI_TRACK = 0x80,
};

struct geometry {
	uint32_t sectors; /* in all */
	uint8_t tracks, heads, per_track, rate;
};

static const struct geometry geometries[] = {
	{ 320, 40, 1, 8, RATE_250 },   { 360, 40, 1, 9, RATE_250 },  { 640, 40, 2, 8, RATE_250 },
	{ 720, 40, 2, 9, RATE_250 },   { 1440, 80, 2, 9, RATE_250 }, { 1600, 80, 2, 10, RATE_250 },
	{ 2400, 80, 2, 15, RATE_500 }, { 2880, 80, 2, 18, RATE_500 },
	{ 3360, 80, 2, 21, RATE_500 }, { 3444, 82, 2, 21, RATE_500 },
	{ 3840, 80, 2, 24, RATE_500 }, { 5760, 80, 2, 36, RATE_1000 },
};

/* The smallest format that holds the medium; NULL: no medium, or none that fits. */
static const struct geometry *geometry_of(const struct fdc *f, unsigned unit)
{
	const struct block *disk = fdc_disk(f, unit);
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
	fdc_enter_result(f, 7);
	fdc_set_interrupt(f, true);
}

static void finish_badly(struct fdc *f, uint8_t st1, uint8_t st2)
{
	f->status[0] |= ST0_ABNORMAL;
	f->status[1] |= st1;
	f->status[2] |= st2;
	finish(f);
}

/* Moving sectors. */
bool fdc_by_dma(const struct fdc *f)
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
	return *offset + SECTOR <= block_size(fdc_disk(f, f->unit));
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
	block_submit(fdc_disk(f, f->unit), &f->request);
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

	if (f->phase != PHASE_EXECUTE || f->submitted || !fdc_by_dma(f))
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

void fdc_on_dma_ready(struct dev *dev)
{
	pump(container_of(dev, struct fdc, dev));
}

static void ask_for_data(struct fdc *f)
{
	if (f->phase != PHASE_EXECUTE || f->submitted)
		return;
	if (fdc_by_dma(f))
		pump(f);
	else if (f->work == WORK_READ ? f->filled : f->work != WORK_VERIFY)
		fdc_set_interrupt(f, true);
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
	    block_read_only(fdc_disk(f, f->unit))) {
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

void fdc_read_data(struct fdc *f)
{
	do_transfer(f, WORK_READ);
}

void fdc_write_data(struct fdc *f)
{
	do_transfer(f, WORK_WRITE);
}

void fdc_verify(struct fdc *f)
{
	do_transfer(f, WORK_VERIFY);
}

void fdc_format(struct fdc *f)
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

void fdc_read_id(struct fdc *f)
{
	f->cylinder = f->drive[f->parameter[0] & DOR_DRIVE].track;
	f->sector = 1;
	if (begin_transfer(f, WORK_READ_ID))
		timer_arm(&f->delay, dev_now(&f->dev) + MILLISECOND);
}

void fdc_on_delay(struct dev *dev)
{
	struct fdc *f = container_of(dev, struct fdc, dev);
	const struct geometry *g = geometry_of(f, f->unit);

	if (f->phase != PHASE_EXECUTE || f->work != WORK_READ_ID)
		return;
	if (!g || f->cylinder >= g->tracks || f->head >= g->heads)
		finish_badly(f, ST1_NO_MARK, 0);
	else
		finish(f);
}

/* Data through the FIFO port, where DMA is off. */
void fdc_take_data(struct fdc *f, uint8_t byte)
{
	if (fdc_by_dma(f) || f->submitted || f->filled || f->at >= unit_bytes(f) ||
	    (f->work != WORK_WRITE && f->work != WORK_FORMAT)) {
		guest_error(&f->dev, "data written when none is asked for");
		return;
	}
	fdc_set_interrupt(f, false);
	f->buffer[f->at++] = byte;
	if (f->at == unit_bytes(f))
		write_sector(f);
}

uint8_t fdc_give_data(struct fdc *f)
{
	uint8_t byte;

	if (fdc_by_dma(f) || f->work != WORK_READ || !f->filled || f->at >= SECTOR) {
		guest_error(&f->dev, "data read when there is none");
		return 0;
	}
	fdc_set_interrupt(f, false);
	byte = f->buffer[f->at++];
	if (f->at == SECTOR)
		end_sector(f);
	return byte;
}

bool fdc_transfer_valid(const struct fdc *f)
{
	return f->work == WORK_READ_ID ||
	       (fdc_disk(f, f->unit) && f->at <= unit_bytes(f) &&
		(f->work != WORK_FORMAT || f->left));
}
