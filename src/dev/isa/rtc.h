/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CMOS bytes the board sets for firmware (memory sizes, floppy types, boot order). */
#ifndef DEV_RTC_H
#define DEV_RTC_H

#include "core/dev.h"

/* `rtc` is the mc146818rtc device; survives resets, as battery-backed memory does. */
void rtc_set_cmos(struct dev *rtc, uint8_t index, uint8_t value);

#endif
