/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kelvin: puts the pieces together and runs them. */
#include "backend/char/char.h"
#include "dev/all.h"
#include "manage/commands.h"
#include "manage/vmm.h"

#include <stdlib.h>
#include <string.h>

static void register_devices(void)
{
	static const struct dev_class *const classes[] = {
#define DEVICE(id) (const struct dev_class *)&id##_class,
#include "dev/devices.def"
#undef DEVICE
	};

	dev_classes_register(classes, ARRAY_LEN(classes));
}

int main(int argc, char **argv)
{
	register_devices();
	atexit(terminal_restore);
	if (argc > 1 && !strcmp(argv[1], "doctor"))
		return command_doctor();
	if (argc > 1 && !strcmp(argv[1], "run"))
		return command_run(argc - 2, argv + 2);
	return command_vm(argc - 1, argv + 1);
}
