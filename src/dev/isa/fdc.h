/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The floppy disk controller in parts: fdc.c (registers), fdc_command.c, fdc_transfer.c. */
#ifndef DEV_FDC_H
#define DEV_FDC_H

#include "core/block.h"

enum { DRIVES = 2, DRIVE_NUMBERS = 4, SECTOR = 512, PARAMETERS = 20, RESULTS = 16 };
enum { DOR_DRIVE = 3 /* also in parameters */, RATE_500 = 0, RATE_300, RATE_250, RATE_1000 };

enum phase { PHASE_COMMAND, PHASE_PARAMETERS, PHASE_EXECUTE, PHASE_RESULT };
enum work { WORK_NONE, WORK_READ, WORK_WRITE, WORK_VERIFY, WORK_FORMAT, WORK_READ_ID };

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

/* fdc.c */
struct block *fdc_disk(const struct fdc *f, unsigned unit); /* NULL: no such drive */
void fdc_set_interrupt(struct fdc *f, bool on);
void fdc_enter_result(struct fdc *f, unsigned count); /* of bytes in `result` */

/* fdc_command.c */
void fdc_take_command(struct fdc *f, uint8_t byte);
void fdc_take_parameter(struct fdc *f, uint8_t byte);
/* From a snapshot: whether the phase of the parameters fits the command. */
bool fdc_parameters_valid(const struct fdc *f);

/* fdc_transfer.c: the commands with an execution phase */
void fdc_read_data(struct fdc *f);
void fdc_write_data(struct fdc *f);
void fdc_verify(struct fdc *f);
void fdc_format(struct fdc *f);
void fdc_read_id(struct fdc *f);
bool fdc_by_dma(const struct fdc *f);
uint8_t fdc_give_data(struct fdc *f); /* through the FIFO port, where DMA is off */
void fdc_take_data(struct fdc *f, uint8_t byte);
bool fdc_transfer_valid(const struct fdc *f); /* from a snapshot */
void fdc_on_dma_ready(struct dev *dev);
void fdc_on_delay(struct dev *dev);

#endif
