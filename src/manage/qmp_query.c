/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP's query commands. */
#include "backend/display/vnc.h"
#include "core/block.h"
#include "core/chardev.h"
#include "core/input.h"
#include "core/pci.h"
#include "host/thread.h"
#include "manage/actions.h"
#include "manage/counters.h"
#include "manage/pci_names.h"
#include "manage/qmp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

QUERY(query_commands)
{
	unsigned count;
	const struct qmp_command *commands = qmp_commands(&count);

	*result = json_object_new_array();
	for (unsigned i = 0; i < count; i++)
		json_put_text(json_add_object(*result), "name", commands[i].name);
	return 0;
}

QUERY(query_version)
{
	*result = qmp_version();
	return 0;
}

QUERY(query_status)
{
	*result = json_object_new_object();
	json_put_text(*result, "status", action_state_name(vmm));
	json_put_bool(*result, "singlestep", false);
	json_put_bool(*result, "running",
		      board_state(vmm->board) == BOARD_STATE_RUNNING && !board_is_asleep(vmm->board));
	return 0;
}

QUERY(x_query_jit)
{
	size_t count;
	struct vm_counter *rows = counters_read(vmm, &count);
	struct json_object *list;
	struct report report = { 0 };

	if (!count)
		return fail(err, ENOTSUP, "the host's KVM runs the guest and counts nothing");
	counters_print(&report, rows, count);
	*result = json_object_new_object();
	json_put_text(*result, "human-readable-text", report_text(&report));
	list = json_object_new_array();
	json_object_object_add(*result, "counters", list);
	for (size_t n = 0; n < count; n++) {
		struct json_object *row = json_add_object(list);

		json_put_text(row, "group", rows[n].group);
		json_put_text(row, "name", rows[n].name);
		if (rows[n].opcode)
			json_put_int(row, "opcode", rows[n].opcode);
		json_put_int(row, "value", (int64_t)rows[n].value);
	}
	report_free(&report);
	free(rows);
	return 0;
}

QUERY(query_name)
{
	*result = json_object_new_object();
	if (vmm->config->pc.name)
		json_put_text(*result, "name", vmm->config->pc.name);
	return 0;
}

QUERY(query_uuid)
{
	char text[40];

	uuid_print(vmm->config->pc.uuid, text);
	*result = json_object_new_object();
	json_put_text(*result, "UUID", text);
	return 0;
}

/*
 * libvirt compares this with what it may open itself, and probes again and again when they differ;
 * -accel kvm is accepted either way.
 */
QUERY(query_kvm)
{
	bool usable = !strcmp(vmm->accel_name, "kvm") || !access("/dev/kvm", R_OK | W_OK);

	*result = json_object_new_object();
	json_put_bool(*result, "enabled", usable);
	json_put_bool(*result, "present", usable);
	return 0;
}

QUERY(query_target)
{
	*result = json_object_new_object();
	json_put_text(*result, "arch", "x86_64");
	return 0;
}

QUERY(query_machines)
{
	struct json_object *machine;

	*result = json_object_new_array();
	machine = json_add_object(*result);
	json_put_text(machine, "name", "pc");
	json_put_bool(machine, "is-default", true);
	json_put_int(machine, "cpu-max", PC_MAX_VCPUS);
	json_put_bool(machine, "hotpluggable-cpus", false);
	json_put_bool(machine, "numa-mem-supported", false);
	json_put_bool(machine, "deprecated", false);
	json_put_text(machine, "default-cpu-type", "max-x86_64-cpu");
	json_put_text(machine, "default-ram-id", "pc.ram");
	return 0;
}

QUERY(query_current_machine)
{
	*result = json_object_new_object();
	json_put_bool(*result, "wakeup-suspend-support", vmm->config->pc.acpi);
	return 0;
}

QUERY(query_cpus_fast)
{
	const struct config *config = vmm->config;
	unsigned threads = MAX(config->threads, 1u), cores = MAX(config->cores, 1u);

	*result = json_object_new_array();
	for (unsigned i = 0; i < board_vcpu_count(vmm->board); i++) {
		struct json_object *cpu = json_add_object(*result), *place = json_object_new_object();
		char path[48];

		snprintf(path, sizeof(path), "/machine/unattached/device[%u]", i);
		json_put_int(cpu, "cpu-index", i);
		json_put_text(cpu, "qom-path", path);
		json_put_int(cpu, "thread-id", board_vcpu_thread(vmm->board, i));
		json_put_text(cpu, "target", "x86_64");
		json_put_int(place, "socket-id", i / (cores * threads));
		json_put_int(place, "core-id", i / threads % cores);
		json_put_int(place, "thread-id", i % threads);
		json_object_object_add(cpu, "props", place);
	}
	return 0;
}

QUERY(query_memory_size_summary)
{
	*result = json_object_new_object();
	json_put_int(*result, "base-memory", (int64_t)vmm->config->pc.ram_bytes);
	json_put_int(*result, "plugged-memory", 0);
	return 0;
}

/* What QEMU's schema says is always there and we have nothing for. */
static void put_zeroes(struct json_object *object, const char *const *names)
{
	for (; *names; names++)
		json_put_int(object, *names, 0);
}

static struct json_object *describe_medium(struct block *block)
{
	static const char *const limits[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd",
					      "iops_wr", "backing_file_depth", "write_threshold",
					      NULL };
	const struct block_options *options = block_options(block);
	const char *format = options->format ? options->format : "raw";
	struct json_object *medium = json_object_new_object(), *image = json_object_new_object();
	struct json_object *cache = json_object_new_object();

	json_put_text(medium, "file", options->file);
	json_put_text(medium, "drv", format);
	json_put_text(medium, "node-name", block_id(block));
	json_put_bool(medium, "ro", block_read_only(block));
	json_put_bool(medium, "encrypted", false);
	json_put_text(medium, "detect_zeroes", "off");
	put_zeroes(medium, limits);
	json_put_text(image, "filename", options->file);
	json_put_text(image, "format", format);
	json_put_int(image, "virtual-size", (int64_t)block_size(block));
	json_object_object_add(medium, "image", image);
	json_put_bool(cache, "writeback", true);
	json_put_bool(cache, "direct", false);
	json_put_bool(cache, "no-flush", options->ignore_flush);
	json_object_object_add(medium, "cache", cache);
	return medium;
}

QUERY(query_block)
{
	*result = json_object_new_array();
	board_lock(vmm->board);
	for (struct block *b = NULL; (b = block_next(vmm->board, b));) {
		struct json_object *drive = json_add_object(*result);
		struct dev *user = block_user(b);

		json_put_text(drive, "device", block_id(b));
		json_put_text(drive, "type", "unknown");
		json_put_bool(drive, "removable", block_options(b)->removable);
		json_put_bool(drive, "locked", block_tray_locked(b));
		if (block_options(b)->removable)
			json_put_bool(drive, "tray_open", !block_options(b)->file);
		if (user)
			json_put_text(drive, "qdev", user->id);
		if (block_options(b)->file)
			json_object_object_add(drive, "inserted", describe_medium(b));
	}
	board_unlock(vmm->board);
	return 0;
}

QUERY(query_named_block_nodes)
{
	*result = json_object_new_array();
	board_lock(vmm->board);
	for (struct block *b = NULL; (b = block_next(vmm->board, b));)
		if (block_options(b)->file)
			json_object_array_add(*result, describe_medium(b));
	board_unlock(vmm->board);
	return 0;
}

QUERY(query_blockstats)
{
	static const char *const unknown[] = {
		"rd_total_time_ns", "wr_total_time_ns", "flush_total_time_ns",
		"unmap_total_time_ns", "unmap_bytes", "rd_merged", "wr_merged", "unmap_merged",
		"failed_flush_operations", "failed_unmap_operations", "invalid_rd_operations",
		"invalid_wr_operations", "invalid_flush_operations", "invalid_unmap_operations",
		"wr_highest_offset", "failed_wr_operations", NULL,
	};

	*result = json_object_new_array();
	board_lock(vmm->board);
	for (struct block *b = NULL; (b = block_next(vmm->board, b));) {
		struct json_object *drive = json_add_object(*result), *stats = json_object_new_object();
		struct block_statistics counted = { 0 };

		block_query(b, &counted);
		json_put_text(drive, "device", block_id(b));
		json_put_text(drive, "node-name", block_id(b));
		if (block_user(b))
			json_put_text(drive, "qdev", block_user(b)->id);
		put_zeroes(stats, unknown);
		json_put_int(stats, "rd_operations", (int64_t)counted.read_ops);
		json_put_int(stats, "rd_bytes", (int64_t)counted.read_bytes);
		json_put_int(stats, "wr_operations", (int64_t)counted.write_ops);
		json_put_int(stats, "wr_bytes", (int64_t)counted.write_bytes);
		json_put_int(stats, "flush_operations", (int64_t)counted.flush_ops);
		json_put_int(stats, "unmap_operations", (int64_t)counted.discard_ops);
		json_put_int(stats, "failed_rd_operations", (int64_t)counted.failed);
		json_put_bool(stats, "account_invalid", false);
		json_put_bool(stats, "account_failed", true);
		json_object_object_add(stats, "timed_stats", json_object_new_array());
		json_object_object_add(drive, "stats", stats);
	}
	board_unlock(vmm->board);
	return 0;
}

QUERY(query_chardev)
{
	*result = json_object_new_array();
	for (struct chardev *c = NULL; (c = chardev_next(vmm->board, c));) {
		struct json_object *stream = json_add_object(*result);
		char name[300];

		snprintf(name, sizeof(name), "%s%s",
			 chardev_is_open(c) || strchr(chardev_driver_name(c), ':') == NULL ?
				 "" : "disconnected:",
			 chardev_driver_name(c));
		json_put_text(stream, "label", chardev_id(c));
		json_put_text(stream, "filename", name);
		json_put_bool(stream, "frontend-open", chardev_user(c) != NULL);
	}
	return 0;
}

static void put_regions(struct json_object *device, const struct pci_dev *pci)
{
	struct json_object *regions = json_object_new_array();

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &pci->bar[i];
		struct json_object *region;

		if (!bar->size)
			continue;
		region = json_add_object(regions);
		json_put_int(region, "bar", i);
		json_put_text(region, "type", bar->is_io ? "io" : "memory");
		json_put_int(region, "address",
			     bar->address == UINT64_MAX ? -1 : (int64_t)bar->address);
		json_put_int(region, "size", (int64_t)bar->size);
		if (!bar->is_io) {
			json_put_bool(region, "prefetch", bar->prefetch);
			json_put_bool(region, "mem_type_64", bar->is_64);
		}
	}
	json_object_object_add(device, "regions", regions);
}

static void put_pci_device(struct json_object *device, const struct pci_dev *pci)
{
	struct json_object *class = json_object_new_object(), *id = json_object_new_object();
	unsigned code = load_le16(pci->config + PCI_CLASS);

	json_put_int(device, "bus", 0);
	json_put_int(device, "slot", pci->devfn >> 3);
	json_put_int(device, "function", pci->devfn & 7);
	json_put_int(class, "class", code);
	json_put_text(class, "desc", pci_class_name(code));
	json_object_object_add(device, "class_info", class);
	json_put_int(id, "vendor", load_le16(pci->config + PCI_VENDOR_ID));
	json_put_int(id, "device", load_le16(pci->config + PCI_DEVICE_ID));
	json_put_int(id, "subsystem-vendor", load_le16(pci->config + PCI_SUBVENDOR_ID));
	json_put_int(id, "subsystem", load_le16(pci->config + PCI_SUBSYSTEM_ID));
	json_object_object_add(device, "id", id);
	json_put_int(device, "irq", pci->config[PCI_IRQ_LINE]);
	json_put_int(device, "irq_pin", pci->config[PCI_IRQ_PIN]);
	json_put_text(device, "qdev_id", pci->dev.id);
	put_regions(device, pci);
}

QUERY(query_pci)
{
	struct json_object *bus, *devices = json_object_new_array();

	*result = json_object_new_array();
	bus = json_add_object(*result);
	json_put_int(bus, "bus", 0);
	board_lock(vmm->board);
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		struct dev *dev = pci_find(vmm->board, 0, (uint8_t)devfn);

		if (dev)
			put_pci_device(json_add_object(devices), to_pci(dev));
	}
	board_unlock(vmm->board);
	json_object_object_add(bus, "devices", devices);
	return 0;
}

QUERY(query_mice)
{
	struct dev *dev = input_pointer(vmm->board);
	struct json_object *mouse;

	*result = json_object_new_array();
	if (!dev)
		return 0;
	mouse = json_add_object(*result);
	json_put_text(mouse, "name", dev->class->summary);
	json_put_int(mouse, "index", 0);
	json_put_bool(mouse, "current", true);
	json_put_bool(mouse, "absolute", input_wants_absolute(vmm->board));
	return 0;
}

static void put_address(struct json_object *object, const struct vnc_status *status)
{
	json_put_text(object, "host", status->host);
	json_put_text(object, "service", status->service);
	json_put_text(object, "family",
		      status->is_unix ? "unix" : status->is_ipv6 ? "ipv6" : "ipv4");
}

QUERY(query_vnc)
{
	struct json_object *clients = json_object_new_array();
	struct vnc_status status;

	*result = json_object_new_object();
	json_put_bool(*result, "enabled", vmm->vnc != NULL);
	if (vmm->vnc) {
		vnc_status(vmm->vnc, &status);
		put_address(*result, &status);
		json_put_text(*result, "auth", status.password ? "vnc" : "none");
	}
	for (unsigned i = 0; vmm->vnc && vnc_client(vmm->vnc, i, &status); i++) {
		struct json_object *client = json_add_object(clients);

		put_address(client, &status);
		json_put_bool(client, "websocket", false);
	}
	json_object_object_add(*result, "clients", clients);
	return 0;
}

static void put_type(struct json_object *types, const char *name, const char *parent)
{
	struct json_object *type = json_add_object(types);

	json_put_text(type, "name", name);
	json_put_text(type, "parent", parent);
}

QUERY(qom_list_types)
{
	size_t count;
	const struct dev_class *const *classes = dev_classes(&count);

	*result = json_object_new_array();
	put_type(*result, "tcg-accel", "accel");
	put_type(*result, "kvm-accel", "accel");
	put_type(*result, "rng-random", "rng-backend");
	for (size_t i = 0; i < count; i++)
		put_type(*result, classes[i]->name,
			 classes[i]->bus == &pci_bus_class ? "pci-device" : "device");
	return 0;
}

static const char *type_name(const struct field *field)
{
	switch (field->type) {
	case FIELD_BOOL:
		return "bool";
	case FIELD_U8:
		return "uint8";
	case FIELD_U16:
		return "uint16";
	case FIELD_U32:
		return "uint32";
	case FIELD_U64:
		return field->is_size ? "size" : "uint64";
	case FIELD_I64:
		return "int64";
	default:
		return "str";
	}
}

static void put_property(struct json_object *list, const struct field *field)
{
	struct json_object *property = json_add_object(list);

	json_put_text(property, "name", field->name);
	json_put_text(property, "type", field->choices ? "str" : type_name(field));
	if (field->help)
		json_put_text(property, "description", field->help);
	if (field->type == FIELD_BOOL)
		json_put_bool(property, "default-value", field->def);
	else if (field->type <= FIELD_I64 && !field->choices)
		json_put_int(property, "default-value", (int64_t)field->def);
}

QUERY(device_list_properties)
{
	const char *name = qmp_text(args, "typename");
	const struct dev_class *class = dev_class_find(name);
	const struct field *row;

	if (!class)
		return fail(err, ENODEV, "Device '%.60s' not found", name);
	*result = json_object_new_array();
	for (unsigned i = 0; (row = dev_class_fields(class, i)); i++)
		for (; row->name; row++)
			if (row->role == FIELD_SETTING)
				put_property(*result, row);
	return 0;
}
