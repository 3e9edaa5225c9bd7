/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bench: see rig.h. Random accesses are in rig_random.c. */
#include "rig_internal.h"

#include "core/chardev.h"
#include "core/internal.h"
#include "core/netdev.h"
#include "dev/all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct err last_error;

void check_eq(uint64_t a, uint64_t b, const char *text, const char *file, int line)
{
	if (a == b)
		return;
	printf("%s:%d: %s: %#llx and %#llx\n", file, line, text, (unsigned long long)a,
	       (unsigned long long)b);
	fflush(stdout);
	abort();
}

const char *rig_error(void)
{
	return last_error.text;
}

/* Disks in memory. */
static int disk_read(void *image, uint64_t offset, void *to, size_t bytes)
{
	struct rig_disk *disk = image;

	if (!disk->error)
		memcpy(to, disk->data + offset, bytes);
	return disk->error;
}

static int disk_write(void *image, uint64_t offset, const void *from, size_t bytes)
{
	struct rig_disk *disk = image;

	if (!disk->error)
		memcpy(disk->data + offset, from, bytes);
	return disk->error;
}

static int disk_flush(void *image)
{
	return ((struct rig_disk *)image)->error;
}

static void disk_close(void *image)
{
	(void)image;
}

static const struct block_driver disk_driver = {
	.name = "memory",
	.read = disk_read,
	.write = disk_write,
	.flush = disk_flush,
	.close = disk_close,
};

/* Chardevs that keep what was sent. */
static size_t char_send(void *peer, const uint8_t *bytes, size_t count)
{
	struct rig_char *c = peer;

	if (c->choked)
		return 0;
	if (c->count + count > sizeof(c->sent))
		c->count = 0;
	if (count > sizeof(c->sent))
		return count;
	memcpy(c->sent + c->count, bytes, count);
	c->count += count;
	for (size_t i = 0; i < count; i++)
		c->hash = c->hash * 31 + bytes[i];
	return count;
}

static void char_close(void *peer)
{
	(void)peer;
}

static const struct chardev_driver char_driver = {
	.name = "memory",
	.send = char_send,
	.close = char_close,
};

static void net_send(void *peer, const uint8_t *frame, size_t bytes)
{
	struct rig_net *net = peer;

	net->count++;
	net->bytes = MIN(bytes, sizeof(net->last));
	memcpy(net->last, frame, net->bytes);
	for (size_t i = 0; i < bytes; i++)
		net->hash = net->hash * 31 + frame[i];
}

static const struct netdev_driver net_driver = {
	.name = "memory",
	.send = net_send,
	.close = char_close,
};

static void on_line(void *tap, unsigned gsi, bool level)
{
	struct rig *rig = tap;

	if (gsi < LINES && level)
		rig->edges[gsi]++;
}

static void on_msi(void *tap, uint64_t address, uint32_t data)
{
	struct rig *rig = tap;

	rig->msi_count++;
	rig->msi_address = address;
	rig->msi_data = data;
}

static void on_request(void *observer, enum board_request request, int code)
{
	struct rig *rig = observer;

	rig->requests[request]++;
	rig->request_code = code;
}

/* A disk whose sectors begin with their numbers: private copies of one, so that making it is cheap. */
static uint8_t *make_disk(unsigned number)
{
	static int fd[RIG_DISKS];
	uint8_t *data;

	if (!fd[number]) {
		fd[number] = memfd_create("disk", MFD_CLOEXEC);
		CHECK_EQ(ftruncate(fd[number], RIG_DISK_BYTES), 0);
		data = mmap(NULL, RIG_DISK_BYTES, PROT_WRITE, MAP_SHARED, fd[number], 0);
		for (size_t b = 0; b < RIG_DISK_BYTES; b += 512)
			store_le32(data + b, (uint32_t)(b / 512 + number));
		munmap(data, RIG_DISK_BYTES);
	}
	data = mmap(NULL, RIG_DISK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd[number], 0);
	CHECK(data != MAP_FAILED);
	return data;
}

static void add_backends(struct rig *rig)
{
	char id[16];

	for (unsigned i = 0; i < RIG_DISKS; i++) {
		struct block_options options = { .id = id, .serial = "rig", .file = "memory",
						 .format = "raw", .size = RIG_DISK_BYTES,
						 .removable = true };

		snprintf(id, sizeof(id), "disk%u", i);
		rig->disks[i].data = make_disk(i);
		block_new(rig->board, &disk_driver, &rig->disks[i], &options, NULL);
	}
	for (unsigned i = 0; i < RIG_CHARDEVS; i++) {
		snprintf(id, sizeof(id), "char%u", i);
		rig->chars[i].chardev = chardev_new(rig->board, id, &char_driver, &rig->chars[i],
						    NULL);
		chardev_set_open(rig->chars[i].chardev, true);
	}
	for (unsigned i = 0; i < ARRAY_LEN(rig->nets); i++) {
		snprintf(id, sizeof(id), "net%u", i);
		rig->nets[i].netdev = netdev_new(rig->board, id, &net_driver, &rig->nets[i], NULL);
	}
}

struct rig *rig_open(bool chipset)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct board_options options = { .rtc_offset = 946684799 };
	struct board_tap tap = { .line = on_line, .msi = on_msi, .tap = rig };
	struct board_observer observer = { .requested = on_request, .observer = rig };

	dev_classes_register(all_devices, all_devices_count);
	rig->board = board_new(&options, NULL);
	board_tap(rig->board, &tap);
	board_observe(rig->board, &observer);
	rig->ram = board_ram_new(rig->board, "rig.ram", RIG_RAM, NULL);
	ram_map(rig->ram, 0, 0, 0xa0000, false, NULL);
	ram_map(rig->ram, 0x100000, 0x100000, RIG_RAM - 0x100000, false, NULL);
	add_backends(rig);
	if (chipset) {
		rig_add(rig, &i440fx_class.dev, "host-bridge", "addr=00.0");
		rig_add(rig, &piix3_class.dev, "isa-bridge", "addr=01.0");
	}
	rig->dev = NULL;
	return rig;
}

struct dev *rig_add(struct rig *rig, const struct dev_class *class, const char *id,
		    const char *settings)
{
	struct dev *dev = dev_new(rig->board, class, id, settings, &last_error);

	if (!dev)
		return NULL;
	rig->dev = dev;
	rig_map_bars(rig);
	return dev;
}

static bool is_chipset(const struct dev_class *class)
{
	return class == &i440fx_class.dev || class == &piix3_class.dev;
}

struct rig *rig_new(const struct dev_class *class, const char *settings)
{
	struct rig *rig = rig_open(class->bus && !is_chipset(class));

	if (rig_add(rig, class, NULL, settings))
		return rig;
	rig_free(rig);
	return NULL;
}

void rig_free(struct rig *rig)
{
	board_free(rig->board);
	for (unsigned i = 0; i < RIG_DISKS; i++)
		munmap(rig->disks[i].data, RIG_DISK_BYTES);
	free(rig);
}

struct board *rig_board(struct rig *rig)
{
	return rig->board;
}

struct dev *rig_dev(struct rig *rig)
{
	return rig->dev;
}

void rig_reset(struct rig *rig)
{
	board_reset(rig->board);
}

static void settle(struct rig *rig)
{
	if (!rig->hold)
		board_settle(rig->board);
}

void rig_out(struct rig *rig, uint16_t port, unsigned size, uint64_t value)
{
	board_port_write(rig->board, port, size, value);
	settle(rig);
}

uint64_t rig_in(struct rig *rig, uint16_t port, unsigned size)
{
	uint64_t value = board_port_read(rig->board, port, size);

	settle(rig);
	return value;
}

void rig_write(struct rig *rig, uint64_t gpa, unsigned size, uint64_t value)
{
	board_mmio_write(rig->board, gpa, size, value);
	settle(rig);
}

uint64_t rig_read(struct rig *rig, uint64_t gpa, unsigned size)
{
	uint64_t value = board_mmio_read(rig->board, gpa, size);

	settle(rig);
	return value;
}

void rig_poke(struct rig *rig, uint64_t gpa, const void *from, size_t bytes)
{
	CHECK_EQ(board_memory_write(rig->board, gpa, from, bytes), 0);
}

void rig_peek(struct rig *rig, uint64_t gpa, void *to, size_t bytes)
{
	CHECK_EQ(board_memory_read(rig->board, gpa, to, bytes), 0);
}

uint8_t *rig_ram(struct rig *rig)
{
	return ram_host(rig->ram);
}

static bool is_pci(const struct dev *dev)
{
	for (const struct bus_class *bus = dev->class->bus; bus; bus = bus->parent)
		if (bus == &pci_bus_class)
			return true;
	return false;
}

uint32_t rig_config_read(struct rig *rig, unsigned offset, unsigned size)
{
	return is_pci(rig->dev)
		       ? pci_config_read(rig->board, 0, to_pci(rig->dev)->devfn, offset, size)
		       : UINT32_MAX;
}

void rig_config_write(struct rig *rig, unsigned offset, unsigned size, uint32_t value)
{
	if (is_pci(rig->dev))
		pci_config_write(rig->board, 0, to_pci(rig->dev)->devfn, offset, size, value);
	settle(rig);
}

/* Memory BARs from 0xc0000000, 64 MiB apart per BAR at least; ports from 0xc000. */
void rig_map_bars(struct rig *rig)
{
	struct pci_dev *pci;

	if (!is_pci(rig->dev))
		return;
	pci = to_pci(rig->dev);
	for (unsigned i = 0; i < PCI_ROM_BAR; i++) {
		const struct pci_bar *bar = &pci->bar[i];
		uint64_t size = MAX(bar->size, 4096);

		if (!bar->size)
			continue;
		if (bar->is_io) {
			rig->bars[i] = 0xc000 + ((pci->devfn & 15) << 10) + (i << 8);
		} else {
			if (!rig->next_bar)
				rig->next_bar = 0xc0000000;
			rig->next_bar = ALIGN_UP(rig->next_bar, size);
			rig->bars[i] = rig->next_bar;
			rig->next_bar += size;
		}
		rig_config_write(rig, PCI_BAR0 + 4 * i, 4, (uint32_t)rig->bars[i]);
		if (bar->is_64)
			rig_config_write(rig, PCI_BAR0 + 4 * i + 4, 4,
					 (uint32_t)(rig->bars[i] >> 32));
	}
	rig_config_write(rig, PCI_COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER);
}

uint64_t rig_bar(struct rig *rig, unsigned number)
{
	return rig->bars[number];
}

bool rig_irq(struct rig *rig, unsigned gsi)
{
	return board_line(rig->board, gsi);
}

unsigned rig_irq_edges(struct rig *rig, unsigned gsi)
{
	return rig->edges[gsi];
}

unsigned rig_msi_count(struct rig *rig)
{
	return rig->msi_count;
}

bool rig_msi_last(struct rig *rig, uint64_t *address, uint32_t *data)
{
	*address = rig->msi_address;
	*data = rig->msi_data;
	return rig->msi_count;
}

void rig_advance(struct rig *rig, uint64_t ns)
{
	board_clock_advance(rig->board, ns);
	settle(rig);
}

void rig_hold_disks(struct rig *rig, bool hold)
{
	rig->hold = hold;
	settle(rig);
}

void rig_settle(struct rig *rig)
{
	board_settle(rig->board);
}

uint8_t *rig_disk(struct rig *rig, unsigned number)
{
	return rig->disks[number].data;
}

void rig_fail_disk(struct rig *rig, unsigned number, int error)
{
	rig->disks[number].error = error;
}

static struct block *find_disk(struct rig *rig, unsigned number)
{
	char id[16];

	snprintf(id, sizeof(id), "disk%u", number);
	return block_find(rig->board, id);
}

void rig_eject(struct rig *rig, unsigned number)
{
	CHECK_EQ(block_eject(find_disk(rig, number), true, NULL), 0);
}

void rig_insert(struct rig *rig, unsigned number, uint64_t bytes, bool read_only)
{
	struct block_options options = { .file = "memory", .format = "raw", .size = bytes,
					 .read_only = read_only, .removable = true };

	CHECK(bytes <= RIG_DISK_BYTES);
	CHECK_EQ(block_insert(find_disk(rig, number), &disk_driver, &rig->disks[number], &options,
			      NULL),
		 0);
}

const uint8_t *rig_sent(struct rig *rig, unsigned chardev, size_t *count)
{
	*count = rig->chars[chardev].count;
	return rig->chars[chardev].sent;
}

void rig_forget_sent(struct rig *rig, unsigned chardev)
{
	rig->chars[chardev].count = 0;
}

size_t rig_type(struct rig *rig, unsigned chardev, const void *bytes, size_t count)
{
	struct chardev *c = rig->chars[chardev].chardev;
	size_t room = MIN(count, chardev_room(c));

	if (room)
		chardev_deliver(c, bytes, room);
	settle(rig);
	return room;
}

void rig_choke(struct rig *rig, unsigned chardev, bool choke)
{
	rig->chars[chardev].choked = choke;
	if (!choke)
		chardev_can_send(rig->chars[chardev].chardev);
}

unsigned rig_frames(struct rig *rig)
{
	return rig->nets[0].count;
}

const uint8_t *rig_frame_last(struct rig *rig, size_t *bytes)
{
	*bytes = rig->nets[0].bytes;
	return rig->nets[0].last;
}

void rig_receive(struct rig *rig, const void *frame, size_t bytes)
{
	netdev_deliver(rig->nets[0].netdev, frame, bytes);
	settle(rig);
}

unsigned rig_requests(struct rig *rig, enum board_request request)
{
	return rig->requests[request];
}

int rig_request_code(struct rig *rig)
{
	return rig->request_code;
}

uint64_t rig_guest_errors(struct rig *rig)
{
	return rig->dev->guest_errors;
}

void rig_copy(struct rig *to, struct rig *from)
{
	struct err err = { 0 };
	int fd = memfd_create("snapshot", 0);

	board_settle(from->board);
	for (unsigned i = 0; i < ARRAY_LEN(from->nets); i++)
		netdev_forget(from->nets[i].netdev);
	for (unsigned i = 0; i < RIG_DISKS; i++)
		for (size_t b = 0; b < RIG_DISK_BYTES; b += 4096) /* only what differs */
			if (memcmp(to->disks[i].data + b, from->disks[i].data + b, 4096))
				memcpy(to->disks[i].data + b, from->disks[i].data + b, 4096);
	if (board_save(from->board, fd, &err) || lseek(fd, 0, SEEK_SET) ||
	    board_load(to->board, fd, &err)) {
		printf("snapshot: %s\n", err.text);
		abort();
	}
	close(fd);
	to->board->chance = from->board->chance;
	to->msi_count = from->msi_count;
	memcpy(to->edges, from->edges, sizeof(to->edges));
	memcpy(to->requests, from->requests, sizeof(to->requests));
	for (unsigned i = 0; i < RIG_CHARDEVS; i++)
		to->chars[i].hash = from->chars[i].hash;
	for (unsigned i = 0; i < ARRAY_LEN(from->nets); i++) {
		to->nets[i].count = from->nets[i].count;
		to->nets[i].hash = from->nets[i].hash;
	}
}
