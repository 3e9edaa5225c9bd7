/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PCI transport of virtio: transitional and modern devices.
 *
 * BAR 0 (I/O) is the legacy interface, BAR 1 MSI-X, BAR 4 the modern one: common configuration at
 * 0, interrupt status at 0x1000, device configuration at 0x2000 and a doorbell of 4 bytes per queue
 * at 0x3000. Config space has a window into BAR 4 as well.
 *
 * Manual: Virtual I/O Device (VIRTIO) 1.2, sections 2 and 4.1.
 * Not modelled: packed rings, shared memory regions, queue reset, I/O-port doorbells.
 */
#include "core/board.h"
#include "dev/virtio/virtio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum {
	MODERN_BAR = 4,
	MODERN_BYTES = 0x4000,
	COMMON = 0,
	ISR = 0x1000,
	CONFIG = 0x2000,
	NOTIFY = 0x3000,
	PART_BYTES = 0x1000,
	NOTIFY_STEP = 4
};

/* Common configuration, [4.1.4.3]. */
enum {
	OFFERED_SELECT = 0x00,
	OFFERED = 0x04,
	ACCEPTED_SELECT = 0x08,
	ACCEPTED = 0x0c,
	CONFIG_VECTOR = 0x10,
	QUEUE_COUNT = 0x12,
	STATUS = 0x14,
	GENERATION = 0x15,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_VECTOR = 0x1a,
	QUEUE_ENABLE = 0x1c,
	QUEUE_NOTIFY_OFFSET = 0x1e,
	QUEUE_DESC = 0x20,
	QUEUE_AVAIL = 0x28,
	QUEUE_USED = 0x30,
	COMMON_BYTES = 0x38,
};

/* Legacy header, [4.1.4.8]; device configuration follows. */
enum {
	LEGACY_OFFERED = 0,
	LEGACY_ACCEPTED = 4,
	LEGACY_QUEUE = 8,
	LEGACY_QUEUE_SIZE = 12,
	LEGACY_QUEUE_SELECT = 14,
	LEGACY_NOTIFY = 16,
	LEGACY_STATUS = 18,
	LEGACY_ISR = 19,
	LEGACY_CONFIG_VECTOR = 20,
	LEGACY_QUEUE_VECTOR = 22,
	LEGACY_HEADER = 20,
	LEGACY_HEADER_MSIX = 24,
	LEGACY_ALIGN = 4096,
};

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
enum { CAP_VENDOR = 9, CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };
enum { CONFIG_ROOM = 256 };
enum { BETWEEN_TURNS = 100 * MICROSECOND }; /* a vCPU that waits for the lock can wake up in it */
/* disable-legacy= and what a class's name says: its disable_legacy default. */
enum { AUTO, ON, OFF };

static const struct virtio_class *class_of(const struct virtio_dev *virtio)
{
	return container_of(virtio->pci.dev.class, const struct virtio_class, pci.dev);
}

/* Interrupts ------------------------------------------------------------------------------ */

static void interrupt(struct virtio_dev *virtio, uint16_t vector, uint8_t reason)
{
	struct dev *dev = &virtio->pci.dev;

	virtio->interrupts++;
	if (pci_msix_enabled(dev)) {
		if (vector != VIRTIO_NO_VECTOR)
			pci_msix_send(dev, vector);
		return;
	}
	virtio->isr |= reason;
	pci_irq_set(dev, true);
}

void virtio_queue_interrupt(struct virtqueue *queue)
{
	interrupt(queue->virtio, queue->vector, ISR_QUEUE);
}

void virtio_config_changed(struct virtio_dev *virtio)
{
	virtio->generation++;
	if (virtio->status & STATUS_DRIVER_OK)
		interrupt(virtio, virtio->config_vector, ISR_CONFIG | ISR_QUEUE);
}

void virtio_broken(struct virtio_dev *virtio, const char *fmt, ...)
{
	char text[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	guest_error(&virtio->pci.dev, "%s", text);
	if (virtio->status & STATUS_NEEDS_RESET)
		return;
	virtio->status |= STATUS_NEEDS_RESET;
	if (virtio_has(virtio, VIRTIO_F_VERSION_1))
		virtio_config_changed(virtio);
}

bool virtio_is_broken(const struct virtio_dev *virtio)
{
	return virtio->status & STATUS_NEEDS_RESET;
}

static uint8_t read_isr(struct virtio_dev *virtio)
{
	uint8_t isr = virtio->isr;

	virtio->isr = 0;
	pci_irq_set(&virtio->pci.dev, false);
	return isr;
}

/* What both interfaces do ----------------------------------------------------------------- */

static struct virtqueue *selected(struct virtio_dev *virtio)
{
	return virtio->queue_select < virtio->queue_count ? &virtio->queue[virtio->queue_select]
							  : NULL;
}

static void reset_state(struct virtio_dev *virtio)
{
	const struct virtio_class *class = class_of(virtio);

	if (class->reset)
		class->reset(virtio);
	virtio->status = virtio->isr = 0;
	virtio->accepted = 0;
	virtio->offered_select = virtio->accepted_select = 0;
	virtio->queue_select = 0;
	virtio->config_vector = VIRTIO_NO_VECTOR;
	virtio->again = 0;
	timer_stop(&virtio->next_turn);
	for (unsigned i = 0; i < virtio->queue_count; i++)
		virtq_reset(&virtio->queue[i]);
	pci_irq_set(&virtio->pci.dev, false);
}

static void set_status(struct virtio_dev *virtio, uint8_t value)
{
	const struct virtio_class *class = class_of(virtio);

	if (!value) {
		reset_state(virtio);
		return;
	}
	if ((value & ~virtio->status & STATUS_FEATURES_OK) &&
	    ((virtio->accepted & ~virtio->offered) || !virtio_has(virtio, VIRTIO_F_VERSION_1)))
		value &= ~STATUS_FEATURES_OK; /* [3.1.1] we cannot work with these */
	virtio->status = value | (virtio->status & STATUS_NEEDS_RESET);
	if (class->status_set)
		class->status_set(virtio);
}

static void set_features(struct virtio_dev *virtio, uint64_t features)
{
	const struct virtio_class *class = class_of(virtio);

	if (virtio->status & STATUS_FEATURES_OK)
		return;
	virtio->accepted = features;
	if (class->features_set)
		class->features_set(virtio);
}

static void serve(struct virtio_dev *virtio, unsigned number)
{
	const struct virtio_class *class = class_of(virtio);

	if (virtio->queue[number].enabled && class->notified && !virtio_is_broken(virtio))
		class->notified(virtio, number);
}

static void notify(struct virtio_dev *virtio, unsigned number)
{
	if (number >= virtio->queue_count || !virtio->queue[number].enabled)
		return;
	virtio->notifies++;
	serve(virtio, number);
}

void virtio_serve_again(struct virtqueue *queue)
{
	struct virtio_dev *virtio = queue->virtio;

	virtio->again |= BIT(queue->number);
	if (!virtio->next_turn.deadline) /* another queue's end of turn does not put it off */
		timer_arm(&virtio->next_turn, dev_now(&virtio->pci.dev) + BETWEEN_TURNS);
}

static void on_next_turn(struct dev *dev)
{
	struct virtio_dev *virtio = to_virtio(dev);
	uint64_t queues = virtio->again;

	virtio->again = 0;
	for (unsigned i = 0; i < virtio->queue_count; i++)
		if (queues & BIT(i))
			serve(virtio, i);
}

static uint16_t checked_vector(const struct virtio_dev *virtio, uint16_t vector)
{
	return vector < virtio->pci.msix_count ? vector : VIRTIO_NO_VECTOR;
}

static uint64_t config_read(struct virtio_dev *virtio, uint64_t offset, unsigned size)
{
	const struct virtio_class *class = class_of(virtio);
	uint8_t config[CONFIG_ROOM + 8] = { 0 };

	if (!class->get_config || offset >= class->config_bytes)
		return 0;
	class->get_config(virtio, config);
	return load_le(&config[offset], size);
}

static void config_write(struct virtio_dev *virtio, uint64_t offset, unsigned size, uint64_t value)
{
	const struct virtio_class *class = class_of(virtio);

	if (class->set_config && offset + size <= class->config_bytes)
		class->set_config(virtio, offset, size, value);
}

/* Modern ---------------------------------------------------------------------------------- */

static uint64_t common_read(struct virtio_dev *virtio, uint64_t offset, unsigned size)
{
	const struct virtqueue *queue = selected(virtio);
	uint8_t image[COMMON_BYTES + 8] = { 0 };

	if (offset >= COMMON_BYTES)
		return 0;
	store_le32(&image[OFFERED_SELECT], virtio->offered_select);
	if (virtio->offered_select < 2)
		store_le32(&image[OFFERED], virtio->offered >> virtio->offered_select * 32);
	store_le32(&image[ACCEPTED_SELECT], virtio->accepted_select);
	if (virtio->accepted_select < 2)
		store_le32(&image[ACCEPTED], virtio->accepted >> virtio->accepted_select * 32);
	store_le16(&image[CONFIG_VECTOR], virtio->config_vector);
	store_le16(&image[QUEUE_COUNT], virtio->queue_count);
	image[STATUS] = virtio->status;
	image[GENERATION] = virtio->generation;
	store_le16(&image[QUEUE_SELECT], virtio->queue_select);
	if (queue) {
		store_le16(&image[QUEUE_SIZE], queue->size);
		store_le16(&image[QUEUE_VECTOR], queue->vector);
		store_le16(&image[QUEUE_ENABLE], queue->enabled);
		store_le16(&image[QUEUE_NOTIFY_OFFSET], queue->number);
		store_le64(&image[QUEUE_DESC], queue->desc);
		store_le64(&image[QUEUE_AVAIL], queue->avail);
		store_le64(&image[QUEUE_USED], queue->used);
	}
	return load_le(&image[offset], size);
}

static void enable_queue(struct virtqueue *queue)
{
	if (queue->desc % 16 || queue->avail % 2 || queue->used % 4) {
		virtio_broken(queue->virtio, "queue %u is not aligned", queue->number);
		return;
	}
	queue->enabled = true;
}

/* An address comes whole or in halves. */
static void set_address(uint64_t *address, unsigned half, unsigned size, uint64_t value)
{
	if (size == 8)
		*address = value;
	else if (half)
		*address = (uint32_t)*address | value << 32;
	else
		*address = (*address & ~0xffffffffull) | (uint32_t)value;
}

static void queue_write(struct virtqueue *queue, unsigned offset, unsigned size, uint64_t value)
{
	if (offset == QUEUE_VECTOR) {
		queue->vector = checked_vector(queue->virtio, value);
		return;
	}
	if (queue->enabled)
		return; /* [4.1.4.3.2] too late */
	switch (offset) {
	case QUEUE_SIZE:
		if (is_power_of_two(value) && value <= queue->max)
			queue->size = value;
		else
			guest_error(&queue->virtio->pci.dev, "queue size %u", (unsigned)value);
		break;
	case QUEUE_ENABLE:
		if (value == 1)
			enable_queue(queue);
		break;
	case QUEUE_DESC:
	case QUEUE_DESC + 4:
		set_address(&queue->desc, offset & 4, size, value);
		break;
	case QUEUE_AVAIL:
	case QUEUE_AVAIL + 4:
		set_address(&queue->avail, offset & 4, size, value);
		break;
	case QUEUE_USED:
	case QUEUE_USED + 4:
		set_address(&queue->used, offset & 4, size, value);
		break;
	default:
		break;
	}
}

static void common_write(struct virtio_dev *virtio, uint64_t offset, unsigned size, uint64_t value)
{
	unsigned shift = virtio->accepted_select * 32;

	switch (offset) {
	case OFFERED_SELECT:
		virtio->offered_select = value;
		break;
	case ACCEPTED_SELECT:
		virtio->accepted_select = value;
		break;
	case ACCEPTED:
		if (virtio->accepted_select < 2)
			set_features(virtio, (virtio->accepted & ~(0xffffffffull << shift)) |
						     (uint64_t)(uint32_t)value << shift);
		break;
	case CONFIG_VECTOR:
		virtio->config_vector = checked_vector(virtio, value);
		break;
	case STATUS:
		set_status(virtio, value);
		break;
	case QUEUE_SELECT:
		virtio->queue_select = value;
		break;
	default:
		if (offset >= QUEUE_SIZE && offset < COMMON_BYTES && selected(virtio))
			queue_write(selected(virtio), offset, size, value);
		break;
	}
}

static uint64_t modern_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct virtio_dev *virtio = to_virtio(dev);

	switch (offset & ~(PART_BYTES - 1ull)) {
	case COMMON:
		return common_read(virtio, offset, size);
	case ISR:
		return offset == ISR ? read_isr(virtio) : 0;
	case CONFIG:
		return config_read(virtio, offset - CONFIG, size);
	default:
		return 0;
	}
}

static void modern_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct virtio_dev *virtio = to_virtio(dev);

	switch (offset & ~(PART_BYTES - 1ull)) {
	case COMMON:
		common_write(virtio, offset, size, value);
		break;
	case CONFIG:
		config_write(virtio, offset - CONFIG, size, value);
		break;
	case NOTIFY:
		notify(virtio, (offset - NOTIFY) / NOTIFY_STEP);
		break;
	default:
		break;
	}
}

static const struct region modern_region = {
	.name = "virtio-modern",
	.min_size = 1,
	.max_size = 8,
	.read = modern_read,
	.write = modern_write,
};

/* Legacy ---------------------------------------------------------------------------------- */

static unsigned legacy_header(struct virtio_dev *virtio)
{
	return pci_msix_enabled(&virtio->pci.dev) ? LEGACY_HEADER_MSIX : LEGACY_HEADER;
}

/* [2.7.2] one page number gives all three parts; 0 takes the queue away. */
static void set_legacy_queue(struct virtqueue *queue, uint32_t page)
{
	uint64_t desc = (uint64_t)page * LEGACY_ALIGN;

	if (!page) {
		reset_state(queue->virtio);
		return;
	}
	queue->desc = desc;
	queue->avail = desc + 16ull * queue->size;
	queue->used = ALIGN_UP(queue->avail + 6 + 2ull * queue->size, LEGACY_ALIGN);
	queue->enabled = true;
}

static uint64_t legacy_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct virtio_dev *virtio = to_virtio(dev);
	const struct virtqueue *queue = selected(virtio);
	uint8_t image[LEGACY_HEADER_MSIX + 8] = { 0 };

	if (offset >= legacy_header(virtio))
		return config_read(virtio, offset - legacy_header(virtio), size);
	if (offset == LEGACY_ISR)
		return read_isr(virtio);
	store_le32(&image[LEGACY_OFFERED], virtio->offered);
	store_le32(&image[LEGACY_ACCEPTED], virtio->accepted);
	if (queue) {
		store_le32(&image[LEGACY_QUEUE], queue->enabled ? queue->desc / LEGACY_ALIGN : 0);
		store_le16(&image[LEGACY_QUEUE_SIZE], queue->max);
		store_le16(&image[LEGACY_QUEUE_VECTOR], queue->vector);
	}
	store_le16(&image[LEGACY_QUEUE_SELECT], virtio->queue_select);
	image[LEGACY_STATUS] = virtio->status;
	store_le16(&image[LEGACY_CONFIG_VECTOR], virtio->config_vector);
	return load_le(&image[offset], size);
}

static void legacy_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct virtio_dev *virtio = to_virtio(dev);

	if (offset >= legacy_header(virtio)) {
		config_write(virtio, offset - legacy_header(virtio), size, value);
		return;
	}
	switch (offset) {
	case LEGACY_ACCEPTED:
		set_features(virtio, value & virtio->offered & 0xffffffff);
		break;
	case LEGACY_QUEUE:
		if (selected(virtio))
			set_legacy_queue(selected(virtio), value);
		break;
	case LEGACY_QUEUE_SELECT:
		virtio->queue_select = value;
		break;
	case LEGACY_NOTIFY:
		notify(virtio, value);
		break;
	case LEGACY_STATUS:
		set_status(virtio, value & ~STATUS_FEATURES_OK);
		break;
	case LEGACY_CONFIG_VECTOR:
		virtio->config_vector = checked_vector(virtio, value);
		break;
	case LEGACY_QUEUE_VECTOR:
		if (selected(virtio))
			selected(virtio)->vector = checked_vector(virtio, value);
		break;
	default:
		break;
	}
}

static const struct region legacy_region = {
	.name = "virtio-legacy",
	.min_size = 1,
	.max_size = 4,
	.read = legacy_read,
	.write = legacy_write,
};

/* PCI configuration ----------------------------------------------------------------------- */

enum { WINDOW_BAR = 4, WINDOW_OFFSET = 8, WINDOW_BYTES = 12, WINDOW_DATA = 16, WINDOW_END = 20 };

/* [4.1.4.9] true if the window's data is touched and it points into BAR 4. */
static bool window_hit(struct virtio_dev *virtio, unsigned offset, unsigned size, uint32_t *at,
		       uint32_t *bytes)
{
	unsigned cap = virtio->config_access;
	const uint8_t *config = &virtio->pci.config[cap];

	if (!cap || offset >= cap + WINDOW_END || offset + size <= cap + WINDOW_DATA)
		return false;
	*at = load_le32(&config[WINDOW_OFFSET]);
	*bytes = load_le32(&config[WINDOW_BYTES]);
	return config[WINDOW_BAR] == MODERN_BAR && (*bytes == 1 || *bytes == 2 || *bytes == 4) &&
	       *at <= MODERN_BYTES - *bytes;
}

void virtio_config_read(struct dev *dev, unsigned offset, unsigned size)
{
	struct virtio_dev *virtio = to_virtio(dev);
	uint32_t at, bytes;

	if (window_hit(virtio, offset, size, &at, &bytes))
		store_le32(&virtio->pci.config[virtio->config_access + WINDOW_DATA],
			   modern_read(dev, at, bytes));
}

void virtio_config_written(struct dev *dev, unsigned offset, unsigned size)
{
	struct virtio_dev *virtio = to_virtio(dev);
	uint32_t at, bytes;

	if (window_hit(virtio, offset, size, &at, &bytes))
		modern_write(
			dev, at, bytes,
			load_le(&virtio->pci.config[virtio->config_access + WINDOW_DATA], bytes));
}

static uint8_t add_part(struct virtio_dev *virtio, uint8_t type, uint32_t offset, unsigned size)
{
	struct dev *dev = &virtio->pci.dev;
	uint8_t at = pci_add_capability(dev, CAP_VENDOR, size);
	uint8_t *cap = &virtio->pci.config[at];

	if (!at)
		return 0;
	cap[2] = size;
	cap[3] = type;
	cap[4] = MODERN_BAR;
	store_le32(&cap[8], offset);
	store_le32(&cap[12], PART_BYTES);
	return at;
}

static int add_modern(struct virtio_dev *virtio, struct err *err)
{
	uint8_t notify_cap, window;

	add_part(virtio, CAP_COMMON, COMMON, 16);
	add_part(virtio, CAP_ISR, ISR, 16);
	add_part(virtio, CAP_DEVICE, CONFIG, 16);
	notify_cap = add_part(virtio, CAP_NOTIFY, NOTIFY, 20);
	window = add_part(virtio, CAP_PCI, 0, WINDOW_END);
	if (!window)
		return fail(err, ENOSPC, "no configuration space left for virtio");
	store_le32(&virtio->pci.config[notify_cap + 16], NOTIFY_STEP);
	memset(&virtio->pci.config[window + WINDOW_BAR], 0, WINDOW_END - WINDOW_BAR);
	virtio->pci.writable[window + WINDOW_BAR] = 0xff;
	memset(&virtio->pci.writable[window + WINDOW_OFFSET], 0xff, WINDOW_END - WINDOW_OFFSET);
	virtio->config_access = window;
	return pci_claim_bar64(&virtio->pci.dev, MODERN_BAR, &modern_region, MODERN_BYTES, true,
			       err);
}

/* Life cycle ------------------------------------------------------------------------------ */

void virtio_add_queue(struct virtio_dev *virtio, unsigned size)
{
	struct virtqueue *queue = &virtio->queue[virtio->queue_count];

	queue->virtio = virtio;
	queue->number = virtio->queue_count++;
	queue->max = size;
	virtq_reset(queue);
}

static unsigned vector_count(const struct virtio_dev *virtio)
{
	unsigned wanted = virtio->vectors == UINT32_MAX ? virtio->queue_count + 1 : virtio->vectors;

	return MIN(wanted, (unsigned)PCI_MSIX_MAX);
}

int virtio_finish(struct virtio_dev *virtio, uint64_t features, struct err *err)
{
	struct dev *dev = &virtio->pci.dev;
	unsigned bytes = 32;
	int code = 0;

	virtio->offered = features | VIRTIO_F_ANY_LAYOUT;
	virtio->offered |= virtio->event_idx ? VIRTIO_F_EVENT_IDX : 0;
	virtio->offered |= virtio->indirect_desc ? VIRTIO_F_INDIRECT : 0;
	virtio->offered |= virtio->has_modern ? VIRTIO_F_VERSION_1 : 0;
	virtio->config_vector = VIRTIO_NO_VECTOR;
	while (bytes < (unsigned)LEGACY_HEADER_MSIX + class_of(virtio)->config_bytes)
		bytes *= 2;
	if (vector_count(virtio))
		code = pci_add_msix(dev, 1, vector_count(virtio), err);
	if (!code && virtio->has_modern)
		code = add_modern(virtio, err);
	if (!code && virtio->has_legacy)
		code = pci_claim_bar(dev, 0, &legacy_region, bytes, true, err);
	return code;
}

/* A name ending in -non-transitional or -transitional decides; else disable-legacy does. */
static void choose_interfaces(struct virtio_dev *virtio)
{
	const char *name = virtio->pci.dev.class->name;
	bool only_modern = strstr(name, "-non-transitional");
	bool both = !only_modern && strstr(name, "-transitional");

	virtio->has_modern = both || only_modern || !virtio->disable_modern;
	virtio->has_legacy = both || (!only_modern && virtio->disable_legacy != ON);
}

static int virtio_prepare(struct dev *dev, struct err *err)
{
	static const uint16_t legacy_id[] = { [VIRTIO_NET] = 0x1000,
					      [VIRTIO_BLOCK] = 0x1001,
					      [VIRTIO_CONSOLE] = 0x1003,
					      [VIRTIO_ENTROPY] = 0x1005,
					      [VIRTIO_BALLOON] = 0x1002 };
	struct virtio_dev *virtio = to_virtio(dev);
	uint16_t type = class_of(virtio)->type;
	uint8_t *config = virtio->pci.config;

	claim_timer(dev, &virtio->next_turn, on_next_turn);
	choose_interfaces(virtio);
	if (!virtio->has_modern && !virtio->has_legacy)
		return fail(err, EINVAL, "disable-modern and disable-legacy leave nothing");
	if (virtio->iommu_platform == ON || virtio->packed == ON)
		return fail(err, ENOTSUP, "%s is not modelled",
			    virtio->packed == ON ? "packed" : "iommu_platform");
	store_le16(&config[PCI_VENDOR_ID], 0x1af4);
	store_le16(&config[PCI_DEVICE_ID], virtio->has_legacy ? legacy_id[type] : 0x1040 + type);
	store_le16(&config[PCI_SUBVENDOR_ID], 0x1af4);
	store_le16(&config[PCI_SUBSYSTEM_ID], virtio->has_legacy ? type : 0x1100);
	config[PCI_REVISION] = virtio->has_legacy ? 0 : 1;
	config[PCI_IRQ_PIN] = 1;
	return 0;
}

static void virtio_reset(struct dev *dev)
{
	reset_state(to_virtio(dev));
}

static int virtio_restored(struct dev *dev, struct err *err)
{
	struct virtio_dev *virtio = to_virtio(dev);

	virtio->config_vector = checked_vector(virtio, virtio->config_vector);
	for (unsigned i = 0; i < virtio->queue_count; i++) {
		struct virtqueue *queue = &virtio->queue[i];

		if (!is_power_of_two(queue->size) || queue->size > queue->max)
			return fail(err, ERANGE, "queue %u cannot have %u entries", i, queue->size);
		queue->vector = checked_vector(virtio, queue->vector);
		queue->in_flight = 0;
	}
	return class_of(virtio)->restored ? class_of(virtio)->restored(virtio, err) : 0;
}

static const struct field queue_state[] = {
	STATE(struct virtqueue, enabled),
	STATE(struct virtqueue, size),
	STATE(struct virtqueue, vector),
	STATE(struct virtqueue, desc),
	STATE(struct virtqueue, avail),
	STATE(struct virtqueue, used),
	STATE(struct virtqueue, last_avail),
	STATE(struct virtqueue, used_index),
	STATE(struct virtqueue, signalled),
	STATE(struct virtqueue, signalled_valid),
	{ 0 },
};

static const struct field virtio_fields[] = {
	SETTING_AS("disable-legacy", struct virtio_dev, disable_legacy, .choices = "auto,on,off",
		   .help = "leave out the legacy interface"),
	SETTING_AS("disable-modern", struct virtio_dev, disable_modern,
		   .help = "leave out the modern interface"),
	SETTING(struct virtio_dev, event_idx, .def = 1, .help = "notifications by index"),
	SETTING(struct virtio_dev, indirect_desc, .def = 1, .help = "indirect descriptors"),
	SETTING(struct virtio_dev, vectors, .def = UINT32_MAX,
		.help = "MSI-X vectors; 0: none; unset: one per queue and one more"),
	SETTING(struct virtio_dev, ats, .help = "accepted, no effect"),
	SETTING_AS("page-per-vq", struct virtio_dev, page_per_vq, .help = "accepted, no effect"),
	SETTING(struct virtio_dev, iommu_platform, .choices = "auto,on,off",
		.help = "not modelled: \"on\" is refused"),
	SETTING(struct virtio_dev, packed, .choices = "auto,on,off",
		.help = "not modelled: \"on\" is refused"),
	SETTING(struct virtio_dev, ioeventfd, .choices = "auto,on,off",
		.help = "accepted, no effect"),
	STATE(struct virtio_dev, accepted),
	STATE(struct virtio_dev, offered_select),
	STATE(struct virtio_dev, accepted_select),
	STATE(struct virtio_dev, queue_select),
	STATE(struct virtio_dev, config_vector),
	STATE(struct virtio_dev, status),
	STATE(struct virtio_dev, isr),
	STATE(struct virtio_dev, generation),
	STATE(struct virtio_dev, again, .since = 1),
	STATE(struct virtio_dev, next_turn, .since = 1),
	STATE_STRUCTS(struct virtio_dev, queue, queue_state),
	COUNTER(struct virtio_dev, notifies, .help = "times the driver rang a doorbell"),
	COUNTER(struct virtio_dev, interrupts, .help = "interrupts sent"),
	{ 0 },
};

const struct bus_class virtio_bus_class = {
	.name = "PCI",
	.parent = &pci_bus_class,
	.fields = virtio_fields,
	.prepare = virtio_prepare,
	.reset = virtio_reset,
	.restored = virtio_restored,
};
