/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ISA DMA, between a device with a channel and the controller: see dev.h. */
#include "core/internal.h"

void isa_dma_claim(struct dev *controller, const struct isa_dma *dma)
{
	controller->board->dma_controller = controller;
	controller->board->dma = dma;
}

void isa_dma_release_of(struct dev *dev)
{
	struct board *board = dev->board;

	if (board->dma_controller == dev)
		board->dma_controller = NULL;
	for (unsigned i = 0; i < ARRAY_LEN(board->dma_watch); i++)
		if (board->dma_watch[i].dev == dev)
			board->dma_watch[i].dev = NULL;
}

static size_t transfer(struct dev *dev, unsigned channel, void *buffer, size_t bytes,
		       bool to_memory, bool *terminal)
{
	struct board *board = dev->board;

	*terminal = false;
	if (!board->dma_controller)
		return 0;
	return board->dma->transfer(board->dma_controller, channel, buffer, bytes, to_memory,
				    terminal);
}

size_t isa_dma_to_memory(struct dev *dev, unsigned channel, const void *from, size_t bytes,
			 bool *terminal)
{
	return transfer(dev, channel, (void *)from, bytes, true, terminal);
}

size_t isa_dma_from_memory(struct dev *dev, unsigned channel, void *to, size_t bytes,
			   bool *terminal)
{
	return transfer(dev, channel, to, bytes, false, terminal);
}

void isa_dma_watch(struct dev *dev, unsigned channel, void (*ready)(struct dev *dev))
{
	if (channel >= ARRAY_LEN(dev->board->dma_watch))
		return;
	dev->board->dma_watch[channel].dev = ready ? dev : NULL;
	dev->board->dma_watch[channel].ready = ready;
}

void isa_dma_ready(struct dev *controller, unsigned channel)
{
	struct board *board = controller->board;

	if (channel < ARRAY_LEN(board->dma_watch) && board->dma_watch[channel].dev)
		board->dma_watch[channel].ready(board->dma_watch[channel].dev);
}
