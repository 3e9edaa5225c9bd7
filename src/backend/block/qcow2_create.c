/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: empty images, for temporary overlays and tests. */
#include "backend/block/qcow2.h"
#include "base/bytes.h"
#include "host/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES = 104, REFCOUNT_ORDER = 4 };

/* header | refcount table | refcount blocks | L1 table; all counts in clusters. */
struct plan {
	uint64_t blocks, l1, all, l1_entries;
};

static int plan_layout(const struct qcow2_layout *layout, struct plan *plan)
{
	uint64_t cluster = BIT(layout->cluster_bits), per_block = cluster / 2;
	uint64_t coverage = cluster * (cluster / 8);

	plan->l1_entries = layout->bytes / coverage + (layout->bytes % coverage != 0);
	plan->l1 = (plan->l1_entries * 8 + cluster - 1) / cluster;
	plan->blocks = 1;
	while (plan->blocks * per_block < 2 + plan->blocks + plan->l1)
		plan->blocks++;
	plan->all = 2 + plan->blocks + plan->l1;
	return plan->blocks > cluster / 8 || plan->l1_entries > 4 << 20 ? -EINVAL : 0;
}

static void fill_header(uint8_t *h, const struct qcow2_layout *layout, const struct plan *plan)
{
	uint64_t cluster = BIT(layout->cluster_bits);
	size_t at = layout->version == 3 ? HEADER_BYTES : 72;

	memcpy(h, "QFI\xfb", 4);
	store_be32(h + 4, layout->version);
	store_be32(h + 20, layout->cluster_bits);
	store_be64(h + 24, layout->bytes);
	store_be32(h + 36, (uint32_t)plan->l1_entries);
	store_be64(h + 40, (2 + plan->blocks) * cluster);
	store_be64(h + 48, cluster);
	store_be32(h + 56, 1);
	if (layout->version == 3) {
		store_be32(h + 96, REFCOUNT_ORDER);
		store_be32(h + 100, HEADER_BYTES);
	}
	if (layout->backing_format) {
		store_be32(h + at, 0xe2792aca);
		store_be32(h + at + 4, (uint32_t)strlen(layout->backing_format));
		memcpy(h + at + 8, layout->backing_format, strlen(layout->backing_format));
		at += 8 + ALIGN_UP(strlen(layout->backing_format), 8);
	}
	at += 8; /* the end of extensions */
	if (layout->backing) {
		store_be64(h + 8, at);
		store_be32(h + 16, (uint32_t)strlen(layout->backing));
		memcpy(h + at, layout->backing, strlen(layout->backing));
	}
}

int qcow2_create(struct file *file, const struct qcow2_layout *layout, struct err *err)
{
	uint64_t cluster = BIT(layout->cluster_bits);
	size_t names = (layout->backing ? strlen(layout->backing) : 0) +
		       (layout->backing_format ? strlen(layout->backing_format) : 0);
	struct plan plan;
	uint8_t *whole;
	int error;

	if (plan_layout(layout, &plan) || names + HEADER_BYTES + 32 > cluster)
		return fail(err, EINVAL,
			    "disk image \"%s\": %llu bytes do not go with clusters of %llu",
			    file->name, (unsigned long long)layout->bytes,
			    (unsigned long long)cluster);
	whole = try_alloc(plan.all * cluster);
	if (!whole)
		return fail(err, ENOMEM, "no memory for the tables of \"%s\"", file->name);
	fill_header(whole, layout, &plan);
	for (uint64_t b = 0; b < plan.blocks; b++)
		store_be64(whole + cluster + b * 8, (2 + b) * cluster);
	for (uint64_t c = 0; c < plan.all; c++)
		store_be16(whole + 2 * cluster + c * 2, 1);
	error = file_write(file, 0, whole, plan.all * cluster);
	free(whole);
	return error ? fail(err, -error, "cannot write \"%s\": %s", file->name, strerror(-error))
		     : 0;
}
