/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floppy disk controller: the table of commands, and those without a transfer.
 *
 * Manual: Intel 82078 data sheet, 1995, "Command Set/Descriptions".
 * Not modelled: see fdc.c.
 */
#include "dev/isa/fdc.h"

enum {
	ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_POLLED = 0xc0, ST0_SEEK_END = 0x20,
	ST0_EQUIPMENT = 0x10,
	ST3_PROTECTED = 0x40, ST3_READY = 0x20, ST3_TRACK_0 = 0x10, ST3_TWO_SIDED = 8,
};

static void one_result(struct fdc *f, uint8_t value)
{
	f->result[0] = value;
	fdc_enter_result(f, 1);
}

static void seek_to(struct fdc *f, unsigned unit, unsigned track, uint8_t failure)
{
	struct drive *drive = &f->drive[unit];
	bool is_there = fdc_disk(f, unit);

	if (is_there)
		drive->track = (uint8_t)MIN(track, 84u);
	if (is_there && block_size(fdc_disk(f, unit)))
		drive->changed = false;
	drive->seek_done = true;
	drive->seek_status = (uint8_t)(ST0_SEEK_END | drive->head << 2 | unit |
				       (is_there ? 0 : failure));
	f->phase = PHASE_COMMAND;
	fdc_set_interrupt(f, true);
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

		fdc_set_interrupt(f, false);
		f->result[0] = (uint8_t)(ST0_POLLED | unit);
		f->result[1] = f->drive[unit].track;
		fdc_enter_result(f, 2);
		return;
	}
	for (unsigned unit = 0; unit < DRIVE_NUMBERS; unit++) {
		if (!f->drive[unit].seek_done)
			continue;
		f->drive[unit].seek_done = false;
		fdc_set_interrupt(f, false);
		for (unsigned next = unit + 1; next < DRIVE_NUMBERS; next++)
			if (f->drive[next].seek_done)
				fdc_set_interrupt(f, true);
		f->result[0] = f->drive[unit].seek_status;
		f->result[1] = f->drive[unit].track;
		fdc_enter_result(f, 2);
		return;
	}
	one_result(f, ST0_INVALID);
}

static void do_sense_drive(struct fdc *f)
{
	unsigned unit = f->parameter[0] & DOR_DRIVE;
	const struct block *disk = fdc_disk(f, unit);

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

/* What both DUMPREG and SAVE tell: 10 bytes. */
static void put_settings(const struct fdc *f, uint8_t *to)
{
	for (unsigned i = 0; i < DRIVE_NUMBERS; i++)
		to[i] = f->drive[i].track;
	to[4] = f->specify[0];
	to[5] = f->specify[1];
	to[6] = f->sectors_per_track;
	to[7] = (uint8_t)(f->lock << 7 | f->perpendicular);
	to[8] = f->config;
	to[9] = f->precompensation;
}

static void do_dump(struct fdc *f)
{
	put_settings(f, f->result);
	fdc_enter_result(f, 10);
}

static void do_save(struct fdc *f)
{
	memset(f->result, 0, sizeof(f->result));
	put_settings(f, f->result + 2);
	fdc_enter_result(f, 15);
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
	{ 0x1f, 0x06, 8, fdc_read_data },    { 0x1f, 0x05, 8, fdc_write_data },
	{ 0x1f, 0x0c, 8, fdc_read_data },    { 0x1f, 0x09, 8, fdc_write_data },
	{ 0x9f, 0x02, 8, fdc_read_data },    { 0x1f, 0x16, 8, fdc_verify },
	{ 0xbf, 0x0d, 5, fdc_format },       { 0xbf, 0x0a, 1, fdc_read_id },
	{ 0xff, 0x03, 2, do_specify },       { 0xff, 0x04, 1, do_sense_drive },
	{ 0xff, 0x07, 1, do_recalibrate },   { 0xff, 0x08, 0, do_sense_interrupt },
	{ 0xff, 0x0e, 0, do_dump },          { 0xff, 0x0f, 2, do_seek },
	{ 0xbf, 0x8f, 2, do_relative_seek }, { 0xff, 0x10, 0, do_version },
	{ 0xff, 0x12, 1, do_perpendicular }, { 0xff, 0x13, 3, do_configure },
	{ 0x7f, 0x14, 0, do_lock },          { 0xff, 0x17, 1, do_power_down },
	{ 0xff, 0x18, 0, do_part_id },       { 0xff, 0x2e, 0, do_save },
	{ 0xff, 0x33, 1, do_nothing },       { 0xff, 0x4e, 16, do_restore },
	{ 0xff, 0x8e, 6, do_nothing }, /* DRIVE SPECIFICATION: ends early, see fdc_take_parameter */
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

void fdc_take_command(struct fdc *f, uint8_t byte)
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

void fdc_take_parameter(struct fdc *f, uint8_t byte)
{
	if (f->parameters_taken < PARAMETERS)
		f->parameter[f->parameters_taken++] = byte;
	if (f->parameters_taken >= f->parameters_wanted ||
	    (f->command == DRIVE_SPECIFICATION && byte & SPECIFICATION_DONE))
		run_command(f);
}

bool fdc_parameters_valid(const struct fdc *f)
{
	const struct command *command = find_command(f->command);

	return command && f->parameters_wanted == command->parameters &&
	       f->parameters_taken < f->parameters_wanted;
}
