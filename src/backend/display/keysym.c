/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key symbols to scan codes: see keysym.h.
 *
 * Manual: X11 protocol, appendix A (KEYSYM encoding).
 * Not modelled: keyboard layouts other than US (-k).
 */
#include "backend/display/keysym.h"

#include <string.h>

#define E KEY_EXTENDED

/* Printable ASCII by position: scan code of the first character of each row, then on. */
static const struct {
	uint8_t first_scan;
	const char *plain, *shifted;
} rows[] = {
	{ 0x02, "1234567890-=", "!@#$%^&*()_+" },
	{ 0x10, "qwertyuiop[]", "QWERTYUIOP{}" },
	{ 0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~" },
	{ 0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?" },
};

static const struct {
	uint16_t keysym, key;
} others[] = {
	{ 0x0020, 0x39 },     { 0xff08, 0x0e },     { 0xff09, 0x0f },     { 0xfe20, 0x0f },
	{ 0xff0a, 0x1c },     { 0xff0d, 0x1c },     { 0xff13, KEY_PAUSE }, { 0xff14, 0x46 },
	{ 0xff15, KEY_PRINT }, { 0xff1b, 0x01 },    { 0xff50, E | 0x47 }, { 0xff51, E | 0x4b },
	{ 0xff52, E | 0x48 }, { 0xff53, E | 0x4d }, { 0xff54, E | 0x50 }, { 0xff55, E | 0x49 },
	{ 0xff56, E | 0x51 }, { 0xff57, E | 0x4f }, { 0xff61, KEY_PRINT }, { 0xff63, E | 0x52 },
	{ 0xff67, E | 0x5d }, { 0xff6b, KEY_PAUSE }, { 0xff7e, E | 0x38 }, { 0xff7f, 0x45 },
	{ 0xff8d, E | 0x1c }, { 0xff95, 0x47 },     { 0xff96, 0x4b },     { 0xff97, 0x48 },
	{ 0xff98, 0x4d },     { 0xff99, 0x50 },     { 0xff9a, 0x49 },     { 0xff9b, 0x51 },
	{ 0xff9c, 0x4f },     { 0xff9d, 0x4c },     { 0xff9e, 0x52 },     { 0xff9f, 0x53 },
	{ 0xffaa, 0x37 },     { 0xffab, 0x4e },     { 0xffac, 0x7e },     { 0xffad, 0x4a },
	{ 0xffae, 0x53 },     { 0xffaf, E | 0x35 }, { 0xffb0, 0x52 },     { 0xffb1, 0x4f },
	{ 0xffb2, 0x50 },     { 0xffb3, 0x51 },     { 0xffb4, 0x4b },     { 0xffb5, 0x4c },
	{ 0xffb6, 0x4d },     { 0xffb7, 0x47 },     { 0xffb8, 0x48 },     { 0xffb9, 0x49 },
	{ 0xffbd, 0x59 },     { 0xffc8, 0x57 },     { 0xffc9, 0x58 },     { 0xffe1, 0x2a },
	{ 0xffe2, 0x36 },     { 0xffe3, 0x1d },     { 0xffe4, E | 0x1d }, { 0xffe5, 0x3a },
	{ 0xffe7, E | 0x5b }, { 0xffe8, E | 0x5c }, { 0xffe9, 0x38 },     { 0xffea, E | 0x38 },
	{ 0xffeb, E | 0x5b }, { 0xffec, E | 0x5c }, { 0xffff, E | 0x53 }, { 0xfe03, E | 0x38 },
};

#undef E

int key_of_keysym(uint32_t keysym, bool *shifted)
{
	*shifted = false;
	for (unsigned i = 0; i < ARRAY_LEN(rows) && keysym > 0x20 && keysym < 0x7f; i++) {
		const char *plain = strchr(rows[i].plain, (int)keysym);
		const char *upper = strchr(rows[i].shifted, (int)keysym);

		if (plain)
			return rows[i].first_scan + (int)(plain - rows[i].plain);
		if (upper) {
			*shifted = true;
			return rows[i].first_scan + (int)(upper - rows[i].shifted);
		}
	}
	if (keysym >= 0xffbe && keysym <= 0xffc7) /* F1 to F10 */
		return 0x3b + (int)(keysym - 0xffbe);
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		if (others[i].keysym == keysym)
			return others[i].key;
	return -1;
}
