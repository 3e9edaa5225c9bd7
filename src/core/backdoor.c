/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMware's backdoor, between the port and the device that answers its commands: see dev.h. */
#include "core/internal.h"

void backdoor_claim(struct dev *dev, bool (*answer)(struct dev *dev, struct cpu_registers *cpu))
{
	dev->board->backdoor = dev;
	dev->board->backdoor_answer = answer;
}

void backdoor_release_of(struct dev *dev)
{
	if (dev->board->backdoor == dev)
		dev->board->backdoor = NULL;
}

bool backdoor_ask(struct board *board, struct cpu_registers *cpu)
{
	return board->backdoor && board->backdoor_answer(board->backdoor, cpu);
}
