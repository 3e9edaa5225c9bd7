/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IDE, split by idea: ide.c the controller and its bus-master engine, ide_drive.c registers and
 * data transfer of one drive, ata.c a disk's commands, atapi.c a CD drive's packets.
 */
#ifndef DEV_PCI_IDE_H
#define DEV_PCI_IDE_H

#include "core/block.h"
#include "core/pci.h"

enum { SECTOR = 512, CD_BLOCK = 2048, CD_RAW_BLOCK = 2352, PACKET_BYTES = 12 };
enum { IDE_BUFFER = 128 * SECTOR, IDE_SEGMENTS = 1024, IDE_MAX_MULTIPLE = 16 };

enum {
	STATUS_ERR = 0x01,
	STATUS_DRQ = 0x08,
	STATUS_SEEK = 0x10,
	STATUS_FAULT = 0x20,
	STATUS_READY = 0x40,
	STATUS_BUSY = 0x80
};
enum { ERROR_ABORT = 0x04, ERROR_NOT_FOUND = 0x10, ERROR_MEDIA = 0x40 };
enum { DEVICE_HEAD = 0x0f, DEVICE_SECOND = 0x10, DEVICE_LBA = 0x40 };
enum { CONTROL_NO_IRQ = 2, CONTROL_RESET = 4, CONTROL_HIGH_BYTES = 0x80 };
enum { REASON_COMMAND = 1, REASON_TO_HOST = 2 }; /* ATAPI: the count register */

/* What the data phase moves. */
enum ide_op {
	OP_NONE,
	OP_READ,       /* medium to host */
	OP_WRITE,      /* host to medium */
	OP_REPLY,      /* buffer to host */
	OP_PACKET,     /* host to buffer: a command packet */
	OP_PARAMETERS, /* host to buffer: MODE SELECT */
	OP_TRIM,       /* host to buffer: ranges to discard */
	OP_COUNT,
};

struct ide_channel;

struct ide_drive {
	struct dev dev;
	/* settings */
	struct block *drive;
	char *bus, *serial, *model, *ver;
	uint8_t unit;
	int64_t bootindex;
	uint32_t cyls, heads, secs;
	uint64_t wwn;
	uint16_t rotation_rate;
	uint32_t logical_block_size, physical_block_size;
	uint8_t write_cache; /* auto, on, off */
	uint8_t rerror, werror;
	bool share_rw;
	/* wiring */
	bool is_cd;
	struct ide_channel *channel;
	uint8_t position; /* 0 or 1 on the channel */
	/* registers */
	uint8_t feature, count, lba[3], high_feature, high_count, high_lba[3];
	uint8_t device, status, error, command;
	/* data phase */
	uint8_t op;
	bool is_dma, is_raw, flush_after, cache_on;
	uint8_t multiple, block_sectors;        /* set by SET MULTIPLE; of the running command */
	uint16_t now_cyls, now_heads, now_secs; /* INITIALIZE DEVICE PARAMETERS */
	uint8_t pio_mode, mdma_mode, udma_mode; /* chosen with SET FEATURES; 0xff: none */
	bool smart_on;
	uint64_t offset, left;              /* on the medium, bytes */
	uint32_t at, block_end, buffer_end; /* in the buffer */
	uint8_t buffer[IDE_BUFFER];
	/* packets */
	uint8_t packet[PACKET_BYTES], sense_key, sense_code, sense_qualifier;
	uint16_t packet_limit; /* bytes per DRQ block */
	bool tray_open, tray_locked, medium_changed;
	uint8_t event; /* pending media event, GET EVENT STATUS NOTIFICATION */
	/* in flight; nothing of it outlives a reset, save or detach */
	struct block_request request;
	bool in_flight, is_cancelled, is_mapped; /* mapped: iov is guest memory */
	void (*then)(struct ide_drive *drive, int error);
	struct iovec iov[IDE_SEGMENTS];
	unsigned iov_count;
	uint64_t chunk;
	uint64_t reads, writes;
};

struct ide_channel {
	struct dev *dev; /* the controller */
	uint8_t number;
	struct ide_drive *drive[2];
	/* state */
	uint8_t device, control;
	bool irq_pending;
	uint8_t bm_command, bm_status;
	uint32_t bm_table; /* as the guest set it */
	uint32_t prd_next, prd_at, prd_left;
	bool prd_last;
	uint16_t prd_count; /* descriptors fetched: a table is 64 KiB at most */
};

enum { BM_START = 1, BM_TO_MEMORY = 8 };
enum { BM_ACTIVE = 1, BM_ERROR = 2, BM_INTERRUPT = 4, BM_CAPABLE = 0x60 };

extern const struct pci_class piix3_ide_class;

/* ide.c */
void ide_irq(struct ide_channel *channel, bool pending);
/* Maps the next part of the guest's buffer into drive->iov: up to `wanted` bytes, a multiple of
 * `unit`. Returns the bytes, 0 at the table's end, -errno for a table or buffer that is no RAM. */
int64_t ide_dma_map(struct ide_drive *drive, uint64_t wanted, unsigned unit, bool to_guest);
void ide_dma_unmap(struct ide_drive *drive, bool to_guest);
/* By copy, for small replies. Returns bytes moved. */
uint32_t ide_dma_copy(struct ide_drive *drive, uint8_t *buffer, uint32_t bytes, bool to_guest);
void ide_dma_finished(struct ide_channel *channel, bool failed);
int ide_attach_drive(struct ide_drive *drive, struct err *err);
void ide_detach_drive(struct ide_drive *drive);

/* ide_drive.c */
uint8_t ide_register_read(struct ide_drive *drive, unsigned index, bool high);
void ide_register_write(struct ide_drive *drive, unsigned index, uint8_t value);
uint32_t ide_data_read(struct ide_drive *drive, unsigned size);
void ide_data_write(struct ide_drive *drive, unsigned size, uint32_t value);
void ide_cancel(struct ide_drive *drive); /* waits for the disk, then forgets the command */
void ide_settle(struct ide_drive *drive); /* waits for the disk */
void ide_signature(struct ide_drive *drive);
void ide_dma_run(struct ide_drive *drive); /* the engine was started, or there is more to do */
/* What commands end or begin with. */
void ide_done(struct ide_drive *drive); /* success, with interrupt */
void ide_fail(struct ide_drive *drive, uint8_t error);
void ide_submit(struct ide_drive *drive, enum block_op op, uint64_t offset, uint64_t bytes,
		void (*then)(struct ide_drive *drive, int error));
void ide_reply(struct ide_drive *drive, uint32_t bytes); /* send what is in the buffer */
void ide_read(struct ide_drive *drive, uint64_t offset, uint64_t bytes);
void ide_write(struct ide_drive *drive, uint64_t offset, uint64_t bytes);
void ide_collect(struct ide_drive *drive, enum ide_op op, uint32_t bytes); /* host to buffer */

/* ata.c */
void ata_command(struct ide_drive *drive);
void ata_trim(struct ide_drive *drive);      /* ranges are in the buffer */
void ide_set_media(struct ide_drive *drive); /* geometry from size and settings */
void ide_put_text(uint16_t *words, unsigned count, const char *text);

/* atapi.c */
void atapi_identify(struct ide_drive *drive);
void atapi_begin(struct ide_drive *drive);      /* PACKET was written */
void atapi_packet(struct ide_drive *drive);     /* the packet has arrived */
void atapi_parameters(struct ide_drive *drive); /* so have MODE SELECT's */
void atapi_media_failed(struct ide_drive *drive);
void atapi_medium_changed(struct dev *dev);
void atapi_reset(struct ide_drive *drive);

#endif
