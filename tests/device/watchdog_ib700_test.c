/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* iB700: restarting it keeps the board alive, silence does not. */
#include "dev/all.h"
#include "rig.h"

#include <stdio.h>

static void only_silence_expires_it(void)
{
	struct rig *rig = rig_new(&watchdog_ib700_class, "");

	rig_out(rig, 0x443, 1, 10); /* ten seconds */
	rig_advance(rig, 9 * SECOND);
	rig_out(rig, 0x443, 1, 10);
	rig_advance(rig, 9 * SECOND);
	CHECK_EQ(rig_requests(rig, BOARD_WATCHDOG), 0);
	rig_advance(rig, SECOND);
	CHECK_EQ(rig_requests(rig, BOARD_WATCHDOG), 1);
	rig_free(rig);
}

int main(void)
{
	only_silence_expires_it();
	puts("watchdog: ok");
	return 0;
}
