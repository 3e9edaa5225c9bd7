/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The choice of accelerator: see accel.h. */
#include "manage/accel.h"

#include "host/kvm.h"

#include <errno.h>
#include <string.h>

static struct kvm *open_host(const struct config *config, struct err *why)
{
	struct kvm *kvm = kvm_open_host("/dev/kvm", why);

	if (kvm && !config->kvm_unproved && !kvm_prove(kvm, why)) {
		kvm_close(kvm);
		return NULL;
	}
	return kvm;
}

static struct kvm *open_engine(const struct config *config, struct err *why)
{
	struct vm_options options = config->engine;

	options.writes = ram_writes();
	return kvm_open_engine(&options, why);
}

struct kvm *accel_open(const struct config *config, struct err *passed_over, struct err *err)
{
	const char *list = config->accel ? config->accel : "kvm:soft";
	bool engine_failed = false;
	struct err why = { 0 };

	*passed_over = why;
	while (*list) {
		size_t length = strcspn(list, ":");
		struct kvm *kvm = NULL;

		if (length == 3 && !strncmp(list, "kvm", 3)) {
			kvm = open_host(config, &why);
		} else if ((length == 4 && !strncmp(list, "soft", 4)) ||
			   (length == 3 && !strncmp(list, "tcg", 3))) {
			*passed_over = why;
			kvm = open_engine(config, &why);
			engine_failed = !kvm;
		} else {
			fail(err, EINVAL, "there is no accelerator \"%.*s\"; use kvm or soft",
			     (int)length, list);
			return NULL;
		}
		if (kvm)
			return kvm;
		list += length + (list[length] == ':');
	}
	fail(err, why.code, "%s%s", why.text, engine_failed ? "" : "; -accel soft does without it");
	return NULL;
}
