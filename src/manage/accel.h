/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who runs the processors: the kernel's KVM where it works, else our engine. */
#ifndef MANAGE_ACCEL_H
#define MANAGE_ACCEL_H

#include "manage/config.h"

struct kvm;

/*
 * Opens the first of `config->accel` that works; with none named, /dev/kvm if it proves good for
 * 64-bit guests, else the engine, saying on stderr which and why. NULL: `err` has the sentence.
 */
struct kvm *accel_open(const struct config *config, bool quiet, struct err *err);

#endif
