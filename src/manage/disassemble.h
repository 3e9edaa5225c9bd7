/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Machine code as text. */
#ifndef MANAGE_DISASSEMBLE_H
#define MANAGE_DISASSEMBLE_H

#include "manage/report.h"

/*
 * The instruction at `code` in AT&T syntax, nothing without a disassembler in this build (then
 * text[0] is 0). Its length; 0: none that is whole and valid.
 */
unsigned disassemble(const uint8_t *code, size_t size, uint64_t address, unsigned bits,
		     char text[96]);
bool can_disassemble(void);

/* A line for each instruction: address, bytes, text. */
void disassemble_all(struct report *report, const uint8_t *code, size_t size, uint64_t address,
		     unsigned bits);

#endif
