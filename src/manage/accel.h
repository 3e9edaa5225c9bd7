/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who runs the processors: the kernel's KVM where it works, else our engine. */
#ifndef MANAGE_ACCEL_H
#define MANAGE_ACCEL_H

#include "manage/config.h"

struct kvm;

/*
 * Opens the first of `config->accel` that works; with none named, /dev/kvm if it proves good for
 * 64-bit guests, else the engine. NULL: `err` has the sentence. `passed_over` has code 0, or says why
 * one before it was not taken.
 */
struct kvm *accel_open(const struct config *config, struct err *passed_over, struct err *err);

#endif
