/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "kelvin doctor": what this host offers, what would run, and how to get better. */
#include "host/kvm.h"
#include "host/process.h"
#include "manage/commands.h"
#include "vm.h"

#include <stdio.h>
#include <unistd.h>

static void line(const char *name, const char *verdict, const char *advice)
{
	printf("%-18s %s%s%s\n", name, verdict, *advice ? "\n                   -> " : "", advice);
}

static bool check_kvm(void)
{
	struct err why = { 0 };
	struct kvm *kvm = kvm_open_host("/dev/kvm", &why);
	bool good = kvm && kvm_prove(kvm, &why);

	if (good)
		line("/dev/kvm", "works", "");
	else
		line("/dev/kvm", why.text, "the software engine will be used; nothing needs to be done");
	if (kvm)
		kvm_close(kvm);
	return good;
}

static void check_file(const char *name, const char *path, const char *without)
{
	if (!access(path, R_OK))
		line(name, path, "");
	else
		line(name, "not there", without);
}

int command_doctor(void)
{
	struct vm_options options = { .translator = 1 };
	struct err why = { 0 };
	bool kvm = check_kvm();
	struct kvm *engine = kvm_open_engine(&options, &why);

	line("software engine", engine ? "works" : why.text, "");
	check_file("SeaBIOS", "/usr/share/seabios/bios-256k.bin",
		   "install Debian's package \"seabios\" to boot from disks");
	check_file("VGA BIOS", "/usr/share/seabios/vgabios-stdvga.bin",
		   "install Debian's package \"seabios\" for a screen");
	check_file("network boot ROMs", "/usr/lib/ipxe/qemu/pxe-virtio.rom",
		   "install Debian's package \"ipxe-qemu\" to boot from the network");
	line("io_uring", process_has_io_uring() ? "allowed" : "not allowed (disks use threads)", "");
	line("tun", access("/dev/net/tun", R_OK | W_OK) ? "not there (user-mode networking works)" :
							 "usable", "");
	printf("\nA guest would run on %s.\n",
	       kvm ? "the kernel's KVM" : engine ? "the software engine" : "nothing: see above");
	if (engine)
		kvm_close(engine);
	return kvm || engine ? 0 : 1;
}
