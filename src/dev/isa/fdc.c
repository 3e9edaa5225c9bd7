/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 82078 floppy disk controller with two drives.
 *
 * A command is a byte and its parameters, then (for some) an execution phase that moves sectors by
 * DMA or through the FIFO port, then result bytes. The parameters have an array that holds the
 * longest command; how many are taken comes from the command's row in a table, never from the guest
 * (VENOM). The transfer buffer is one sector.
 *
 * Here are the registers and phases; commands are in fdc_command.c, sectors in fdc_transfer.c.
 *
 * Drives take the geometry of the medium in them; the data rate the guest has set must be the
 * medium's, or it finds no address marks, as guests expect when they probe. Reads and writes go to
 * the cylinder they name, as if implied seek were always on. Everything is instantaneous but READ ID.
 *
 * Manual: Intel 82078 data sheet, 1995; section names in [brackets].
 * Not modelled: sectors other than 512 bytes, SCAN, FORMAT AND WRITE, deleted data marks (they read
 * as ordinary ones), double stepping, the motors, the FIFO threshold, tape drives.
 */
#include "dev/isa/fdc.h"

#include <errno.h>

enum { SRA, SRB, DOR, TDR, MSR_DSR, FIFO, FIRST_PORTS = 6, DIR_CCR = 7 };
enum {
	DOR_NO_RESET = 4, DOR_DMA_GATE = 8,
	MSR_BUSY = 0x10, MSR_NON_DMA = 0x20, MSR_TO_HOST = 0x40, MSR_READY = 0x80,
	DSR_RATE = 3, DSR_RESET = 0x80,
	SRA_INTERRUPT = 0x80, SRA_NO_DRIVE_2 = 0x40, SRA_NO_TRACK_0 = 0x10, SRA_NO_INDEX = 4,
	SRA_NO_PROTECT = 2, DIR_CHANGED = 0x80,
	CONFIG_DEFAULT = 0, CONFIG_POLL_OFF = 0x10,
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

struct block *fdc_disk(const struct fdc *f, unsigned unit)
{
	return unit < DRIVES ? f->disk[unit] : NULL;
}

void fdc_set_interrupt(struct fdc *f, bool on)
{
	f->interrupt = on;
	irq_set(&f->dev, f->irq, on && f->dor & DOR_DMA_GATE);
}

/* Results. */
void fdc_enter_result(struct fdc *f, unsigned count)
{
	f->work = WORK_NONE;
	f->results = (uint8_t)count;
	f->result_at = 0;
	f->phase = count ? PHASE_RESULT : PHASE_COMMAND;
}

static uint8_t give_result(struct fdc *f)
{
	uint8_t byte = f->result_at < RESULTS ? f->result[f->result_at] : 0;

	fdc_set_interrupt(f, false);
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
		fdc_take_command(f, byte);
		break;
	case PHASE_PARAMETERS:
		fdc_take_parameter(f, byte);
		break;
	case PHASE_EXECUTE:
		fdc_take_data(f, byte);
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
		return fdc_give_data(f);
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
	if (fdc_by_dma(f) || f->submitted || f->work == WORK_READ_ID || f->work == WORK_VERIFY)
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
		block_drain(fdc_disk(f, f->unit));
	f->results = f->result_at = f->parameters_taken = f->parameters_wanted = 0;
	f->resets_to_sense = 0;
	f->perpendicular &= 0x7c;
	if (!f->lock) {
		f->config = CONFIG_DEFAULT;
		f->precompensation = 0;
	}
	for (unsigned i = 0; i < DRIVE_NUMBERS; i++)
		f->drive[i].seek_done = false;
	fdc_set_interrupt(f, false);
}

static void leave_reset(struct fdc *f)
{
	f->resets_to_sense = f->config & CONFIG_POLL_OFF ? 0 : DRIVE_NUMBERS;
	fdc_set_interrupt(f, true);
}

static void write_dor(struct fdc *f, uint8_t value)
{
	bool was_running = f->dor & DOR_NO_RESET, runs = value & DOR_NO_RESET;

	f->dor = value;
	if (was_running && !runs)
		enter_reset(f);
	else if (!was_running && runs)
		leave_reset(f);
	fdc_set_interrupt(f, f->interrupt); /* the gate may have changed */
}

static uint8_t status_a(const struct fdc *f)
{
	const struct block *disk = fdc_disk(f, f->dor & DOR_DRIVE);

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

	return fdc_disk(f, unit) && f->drive[unit].changed ? DIR_CHANGED : 0;
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
	claim_timer(dev, &f->delay, fdc_on_delay);
	isa_dma_watch(dev, f->dma, fdc_on_dma_ready);
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

	if (f->phase == PHASE_PARAMETERS && !fdc_parameters_valid(f))
		return fail(err, EINVAL, "the floppy controller's parameters do not fit its command");
	if (f->phase == PHASE_RESULT && f->result_at >= f->results)
		return fail(err, EINVAL, "the floppy controller has no results left");
	if (f->phase == PHASE_EXECUTE && f->work == WORK_NONE)
		return fail(err, EINVAL, "the floppy controller executes nothing");
	if (f->phase == PHASE_EXECUTE && !fdc_transfer_valid(f))
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
