/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the human monitor tells about the machine: "info ...". */
#include "backend/display/vnc.h"
#include "core/block.h"
#include "core/chardev.h"
#include "core/input.h"
#include "core/netdev.h"
#include "core/pci.h"
#include "manage/actions.h"
#include "manage/counters.h"
#include "manage/hmp.h"
#include "manage/pci_names.h"

#include <stdlib.h>
#include <string.h>

void hmp_info_version(struct hmp *hmp)
{
	report_print(hmp->out, "7.2.0 (Kelvin " KELVIN_VERSION ")\n");
}

void hmp_info_name(struct hmp *hmp)
{
	if (hmp->vmm->config->pc.name)
		report_print(hmp->out, "%s\n", hmp->vmm->config->pc.name);
}

void hmp_info_uuid(struct hmp *hmp)
{
	char text[40];

	uuid_print(hmp->vmm->config->pc.uuid, text);
	report_print(hmp->out, "%s\n", text);
}

void hmp_info_status(struct hmp *hmp)
{
	const char *state = action_state_name(hmp->vmm);
	bool running = !strcmp(state, "running"), paused = !strcmp(state, "paused");

	report_print(hmp->out, "VM status: %s%s%s%s\n", running ? "running" : "paused",
		     running || paused ? "" : " (", running || paused ? "" : state,
		     running || paused ? "" : ")");
}

void hmp_info_kvm(struct hmp *hmp)
{
	bool kvm = !strcmp(hmp->vmm->accel_name, "kvm");

	report_print(hmp->out, "kvm support: %s\n",
		     kvm ? "enabled" : "disabled (the software engine runs the guest)");
}

void hmp_info_jit(struct hmp *hmp)
{
	size_t count;
	struct vm_counter *rows = counters_read(hmp->vmm, &count);

	if (!count)
		report_print(hmp->out, "the host's KVM runs the guest and counts nothing\n");
	counters_print(hmp->out, rows, count);
	free(rows);
}

void hmp_info_mtree(struct hmp *hmp)
{
	board_describe_memory(hmp->vmm->board, report_line, hmp->out);
}

void hmp_info_roms(struct hmp *hmp)
{
	for (struct ram *ram = NULL; (ram = board_ram_next(hmp->vmm->board, ram));)
		report_print(hmp->out, "%-24s %llu KiB\n", ram_name(ram),
			     (unsigned long long)ram_size(ram) / KIB);
}

static void print_device(struct hmp *hmp, struct dev *dev)
{
	const struct field *row;
	char value[200];

	report_print(hmp->out, "dev: %s, id \"%s\", bus %s\n", dev->class->name, dev->id,
		     dev_class_bus_name(dev->class));
	for (unsigned i = 0; (row = dev_class_fields(dev->class, i)); i++) {
		for (; row->name; row++) {
			if (row->role == FIELD_STATE)
				continue;
			fields_print(row, dev, value, sizeof(value));
			report_print(hmp->out, "  %s = %s\n", row->name, value);
		}
	}
	if (dev->guest_errors)
		report_print(hmp->out, "  guest errors = %llu\n",
			     (unsigned long long)dev->guest_errors);
}

void hmp_info_qtree(struct hmp *hmp)
{
	board_lock(hmp->vmm->board);
	for (struct dev *dev = board_devices(hmp->vmm->board); dev; dev = dev->next)
		print_device(hmp, dev);
	board_unlock(hmp->vmm->board);
}

static void print_bar(struct hmp *hmp, unsigned number, const struct pci_bar *bar)
{
	const char *kind = bar->is_io ? "I/O" : bar->is_64 ? "64 bit memory" : "32 bit memory";

	report_print(hmp->out, "      BAR%u: %s%s ", number, kind,
		     bar->prefetch ? " prefetchable" : "");
	if (bar->address == UINT64_MAX)
		report_print(hmp->out, "not mapped, %#llx bytes.\n", (unsigned long long)bar->size);
	else
		report_print(hmp->out, "at %#llx [%#llx].\n", (unsigned long long)bar->address,
			     (unsigned long long)(bar->address + bar->size - 1));
}

static void print_pci(struct hmp *hmp, const struct pci_dev *pci)
{
	report_print(hmp->out, "  Bus  0, device %3u, function %u:\n    %s: PCI device %04x:%04x\n",
		     pci->devfn >> 3, pci->devfn & 7,
		     pci_class_name(load_le16(pci->config + PCI_CLASS)),
		     load_le16(pci->config + PCI_VENDOR_ID), load_le16(pci->config + PCI_DEVICE_ID));
	report_print(hmp->out, "      PCI subsystem %04x:%04x\n",
		     load_le16(pci->config + PCI_SUBVENDOR_ID),
		     load_le16(pci->config + PCI_SUBSYSTEM_ID));
	if (pci->config[PCI_IRQ_PIN])
		report_print(hmp->out, "      IRQ %u, pin %c\n", pci->config[PCI_IRQ_LINE],
			     'A' + (pci->config[PCI_IRQ_PIN] - 1) % 4);
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (pci->bar[i].size)
			print_bar(hmp, i, &pci->bar[i]);
	report_print(hmp->out, "      id \"%s\"\n", pci->dev.id);
}

void hmp_info_pci(struct hmp *hmp)
{
	board_lock(hmp->vmm->board);
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		struct dev *dev = pci_find(hmp->vmm->board, 0, (uint8_t)devfn);

		if (dev)
			print_pci(hmp, to_pci(dev));
	}
	board_unlock(hmp->vmm->board);
}

static void print_block(struct hmp *hmp, struct block *block)
{
	const struct block_options *o = block_options(block);

	report_print(hmp->out, "%s: ", block_id(block));
	if (o->file)
		report_print(hmp->out, "%s (%s%s), %llu bytes\n", o->file,
			     o->format ? o->format : "raw",
			     block_read_only(block) ? ", read-only" : "",
			     (unsigned long long)block_size(block));
	else
		report_print(hmp->out, "[not inserted]\n");
	report_print(hmp->out, "    Attached to:      %s\n",
		     block_user(block) ? block_user(block)->id : "nothing");
	if (o->removable)
		report_print(hmp->out, "    Removable device: %slocked\n",
			     block_tray_locked(block) ? "" : "not ");
}

void hmp_info_block(struct hmp *hmp)
{
	board_lock(hmp->vmm->board);
	for (struct block *b = NULL; (b = block_next(hmp->vmm->board, b));)
		print_block(hmp, b);
	board_unlock(hmp->vmm->board);
}

void hmp_info_blockstats(struct hmp *hmp)
{
	board_lock(hmp->vmm->board);
	for (struct block *b = NULL; (b = block_next(hmp->vmm->board, b));) {
		struct block_statistics s = { 0 };

		block_query(b, &s);
		report_print(hmp->out,
			     "%s: rd_bytes=%llu wr_bytes=%llu rd_operations=%llu wr_operations=%llu flush_operations=%llu unmap_operations=%llu failed=%llu\n",
			     block_id(b), (unsigned long long)s.read_bytes,
			     (unsigned long long)s.write_bytes, (unsigned long long)s.read_ops,
			     (unsigned long long)s.write_ops, (unsigned long long)s.flush_ops,
			     (unsigned long long)s.discard_ops, (unsigned long long)s.failed);
	}
	board_unlock(hmp->vmm->board);
}

void hmp_info_network(struct hmp *hmp)
{
	for (struct netdev *n = NULL; (n = netdev_next(hmp->vmm->board, n));)
		report_print(hmp->out, "%s: type=%s, link %s\n", netdev_id(n),
			     netdev_driver_name(n), netdev_link(n) ? "up" : "down");
}

void hmp_info_chardev(struct hmp *hmp)
{
	for (struct chardev *c = NULL; (c = chardev_next(hmp->vmm->board, c));)
		report_print(hmp->out, "%s: filename=%s%s, used by %s\n", chardev_id(c),
			     chardev_driver_name(c), chardev_is_open(c) ? "" : " (nobody there)",
			     chardev_user(c) ? chardev_user(c)->id : "nothing");
}

void hmp_info_mice(struct hmp *hmp)
{
	struct dev *dev = input_pointer(hmp->vmm->board);

	if (dev)
		report_print(hmp->out, "* Mouse #0: %s%s\n", dev->class->summary,
			     input_wants_absolute(hmp->vmm->board) ? " (absolute)" : "");
	else
		report_print(hmp->out, "No mouse devices connected\n");
}

void hmp_info_vnc(struct hmp *hmp)
{
	struct vnc_status status;

	if (!hmp->vmm->vnc) {
		report_print(hmp->out, "Server: disabled\n");
		return;
	}
	vnc_status(hmp->vmm->vnc, &status);
	report_print(hmp->out, "Server: %s%s%s\n  Auth: %s\n", status.host,
		     status.is_unix ? "" : ":", status.service, status.password ? "vnc" : "none");
	for (unsigned i = 0; vnc_client(hmp->vmm->vnc, i, &status); i++)
		report_print(hmp->out, "Client: %s%s%s\n", status.host, status.is_unix ? "" : ":",
			     status.service);
}

void hmp_info_snapshots(struct hmp *hmp)
{
	report_print(hmp->out, "There is no snapshot inside disk images; savevm FILE and loadvm FILE use files of their own\n");
}
