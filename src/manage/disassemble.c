/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Machine code as text, by Zydis if the build has it; else there are only bytes. */
#include "manage/disassemble.h"

#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif

enum { TEXT = 96, BYTES_PER_LINE = 8, LONGEST = 15 };

#ifdef HAVE_ZYDIS

bool can_disassemble(void)
{
	return true;
}

unsigned disassemble(const uint8_t *code, size_t size, uint64_t address, unsigned bits,
		     char text[TEXT])
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisFormatter formatter;
	ZydisDecoder decoder;

	text[0] = 0;
	ZydisDecoderInit(&decoder,
			 bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
			 : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
				      : ZYDIS_MACHINE_MODE_LEGACY_16,
			 bits == 64   ? ZYDIS_STACK_WIDTH_64
			 : bits == 32 ? ZYDIS_STACK_WIDTH_32
				      : ZYDIS_STACK_WIDTH_16);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, &insn, operands)))
		return 0;
	if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &insn, operands,
							  insn.operand_count_visible, text, TEXT,
							  address, NULL)))
		text[0] = 0;
	return insn.length;
}

#else

bool can_disassemble(void)
{
	return false;
}

unsigned disassemble(const uint8_t *code, size_t size, uint64_t address, unsigned bits,
		     char text[TEXT])
{
	text[0] = 0;
	return 0;
}

#endif

/* Up to BYTES_PER_LINE from `at` on, and what they mean. */
static void print_line(struct report *report, const uint8_t *code, size_t at, size_t end,
		       uint64_t address, const char *text)
{
	size_t stop = MIN(end, at + BYTES_PER_LINE);

	report_print(report, "0x%08llx: ", (unsigned long long)(address + at));
	for (size_t n = at; n < stop; n++)
		report_print(report, " %02x", code[n]);
	if (*text)
		report_print(report, "%*s%s", (int)(3 * (at + BYTES_PER_LINE - stop) + 2), "",
			     text);
	report_print(report, "\n");
}

void disassemble_all(struct report *report, const uint8_t *code, size_t size, uint64_t address,
		     unsigned bits)
{
	for (size_t at = 0, end; at < size; at = end) {
		char text[TEXT];
		size_t most = MIN(size - at, LONGEST);
		unsigned length = disassemble(code + at, most, address + at, bits, text);

		end = at + (length ? length : MIN(most, BYTES_PER_LINE));
		print_line(report, code, at, end, address,
			   length              ? text
			   : can_disassemble() ? "(bad)"
					       : "");
		if (end > at + BYTES_PER_LINE)
			print_line(report, code, at + BYTES_PER_LINE, end, address, "");
	}
}
