/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kelvin: puts the pieces together and runs them. */
#include "backend/char/char.h"
#include "core/board.h"
#include "dev/all.h"
#include "manage/commands.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	dev_classes_register(all_devices, all_devices_count);
	atexit(terminal_restore);
	if (argc > 1 && !strcmp(argv[1], "doctor"))
		return command_doctor();
	if (argc > 1 && !strcmp(argv[1], "run"))
		return command_run(argc - 2, argv + 2);
	return command_vm(argc - 1, argv + 1);
}
