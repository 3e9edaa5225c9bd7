/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Inside fpu/: what a vector or x87 instruction is made of, and what the host's code generator
 * does with it. host_x86.c is the only file that knows the host; a softfloat would replace it.
 */
#ifndef ENGINE_FPU_INTERNAL_H
#define ENGINE_FPU_INTERNAL_H

#include "engine/decode/ops.h"
#include "engine/fpu/fpu.h"
#include "engine/interp/exec.h"

#include "base/bytes.h"
#include "base/port.h"

/* Byte offsets in the legacy region of c->xsave. [SDM 1 10.5.1] */
enum {
	AREA_FCW = 0, AREA_FSW = 2, AREA_FTW = 4, AREA_FOP = 6, AREA_FIP = 8, AREA_FDP = 16,
	AREA_MXCSR = 24, AREA_MXCSR_MASK = 28, AREA_ST = 32, AREA_XMM = 160, AREA_LEGACY = 416,
	AREA_XSTATE_BV = 512, AREA_XCOMP_BV = 520, AREA_EXTENDED = 576,
};

enum xsave_component {
	COMPONENT_X87, COMPONENT_SSE, COMPONENT_AVX, COMPONENT_OPMASK = 5, COMPONENT_ZMM_HI256,
	COMPONENT_HI16_ZMM, COMPONENT_PKRU = 9, COMPONENT_COUNT,
};
#define XCR0_AVX    (BIT(COMPONENT_SSE) | BIT(COMPONENT_AVX))
#define XCR0_WIDE   (BIT(COMPONENT_OPMASK) | BIT(COMPONENT_ZMM_HI256) | BIT(COMPONENT_HI16_ZMM))
#define XCR0_AVX512 (XCR0_AVX | XCR0_WIDE)

enum { FSW_ES = 0x80, FSW_BUSY = 0x8000, FCW_INIT = 0x37f, MXCSR_INIT = 0x1f80 };
/* Exception flags of MXCSR and FSW; MXCSR has the masks 7 bits higher. */
enum { FP_IE = 1, FP_DE = 2, FP_ZE = 4, FP_OE = 8, FP_UE = 16, FP_PE = 32, FP_ALL = 0x3f };
enum { MXCSR_FTZ = 0x8000 };

/* One instruction: all that decides what its stub does. Compared and hashed as bytes. */
struct form {
	uint16_t op;
	uint8_t opcode, pp;
	uint8_t w, l, b, z; /* VEX.W, .L as encoded, EVEX.b, .z */
	uint8_t mask;       /* EVEX.aaa */
	uint8_t reg, rm, vvvv;
	uint8_t modrm;      /* mod 3 and the opcode extension; 0 in mod: memory */
	uint8_t imm8;
	uint8_t index, scale; /* VSIB */
};

enum stub_class { CLASS_SSE, CLASS_AVX, CLASS_AVX512, CLASS_MMX, CLASS_SSE_MMX, CLASS_X87 };

enum stub_trait {
	STUB_FP = 1,       /* reads MXCSR, may raise SIMD exceptions */
	STUB_RFLAGS = 2,   /* writes (x87: perhaps reads) RFLAGS */
	STUB_X87 = 4,      /* works on the live x87/MMX unit */
	STUB_CONTROL = 8,  /* x87 control instruction: leaves the instruction pointers alone */
	STUB_ALIGNED = 16, /* #GP unless the operand is aligned */
	STUB_WHOLE = 32,   /* a masked store that faults as if it wrote everything */
};

/* What a stub reads and writes besides the vCPU. Its code addresses these by offset. */
struct stub_frame {
	uint32_t run_mxcsr; /* in: MXCSR while the instruction runs */
	uint32_t out_mxcsr; /* out: after it */
	uint32_t abort;     /* in: if out_mxcsr has one of these bits, no register is changed */
	uint32_t unused;
	uint64_t rflags;    /* in and out, STUB_RFLAGS */
	_Alignas(64) uint8_t buffer[128]; /* memory operand that could not be used in place */
};

struct stub;
/* Returns non-zero when `abort` took effect. */
typedef uint32_t stub_code(struct vcpu *c, void *memory, struct stub_frame *frame);
typedef void stub_fn(struct vcpu *c, const struct insn *i, const struct stub *s);

struct stub {
	stub_code *run;
	stub_fn *exec;
	const struct op_info *info;
	struct stub *chain;
	struct form form;
	uint16_t traits;
	uint8_t class;
	uint8_t bytes;    /* memory operand */
	uint8_t elements; /* in a masked memory operand; 0: accessed as a whole */
	uint8_t element;  /* bytes */
	uint8_t repeats;  /* how often the elements are repeated, each time with other mask bits */
};

enum { STUB_HASH = 4096, STUB_CODE_BYTES = 8 << 20, STUB_LIMIT = 32768 };

struct fpu_stubs {
	struct stub_frame frame;
	struct stub *hash[STUB_HASH];
	struct stub *stubs; /* STUB_LIMIT of them */
	unsigned count;
	struct port_code code;
	size_t code_used;
	bool x87_used;           /* the host's x87 unit is not as the host left it */
	uint32_t host_mxcsr;
	uint16_t host_fcw;
	/* xsave_offset() and xsave_size() of each component. */
	uint16_t offset[COMPONENT_COUNT], size[COMPONENT_COUNT];
};

static inline const struct stub *stub_of(const struct insn *i)
{
	return (const struct stub *)(uintptr_t)i->imm;
}

/* stub.c: finds or makes; NULL when memory has run out. */
struct stub *stub_get(const struct vcpu *c, const struct insn *i, const uint8_t *bytes);

/* vector.c */
void vector_prepare(struct stub *s, const struct insn *i, bool code64);
void vector_check_class(struct vcpu *c, unsigned class);
/* Runs the stub on the host and takes over MXCSR and RFLAGS; unwinds with #XM. */
void vector_run(struct vcpu *c, const struct stub *s, void *memory);
void vector_read_masked(struct vcpu *c, const struct stub *s, gva_t address, uint64_t mask);
/* gather.c */
stub_fn vector_gather, vector_scatter, vector_maskmov_bytes;
/* A vector register's element in c->xsave. */
uint8_t *vector_element(struct vcpu *c, unsigned reg, unsigned offset);
uint64_t mask_register(const struct vcpu *c, unsigned k);

/* x87.c */
void x87_prepare(struct stub *s, const struct insn *i);
void x87_make_live(struct vcpu *c); /* CR0 has been looked at */
void x87_not_live(struct vcpu *c);
/* c->xsave is complete afterwards; the host unit stays valid. */
void x87_sync(struct vcpu *c);
void x87_check_pending(struct vcpu *c);
void x87_update_summary(uint8_t *area); /* ES and B from the flags and masks */
void x87_set_top(uint8_t *area, unsigned top); /* the registers stay where they are */
/* What every MMX instruction but EMMS does to c->xsave: top of stack 0, all registers valid. */
void x87_become_mmx(uint8_t *area);

/* The host: host_x86.c. */
uint64_t host_xsave_components(void);
unsigned host_xsave_offset(unsigned component);
unsigned host_xsave_size(unsigned component);
uint32_t host_mxcsr_mask(void);
/* Writes the stub's code (at most room bytes) at `to`, to be run at `run`; its size, 0: no room. */
unsigned host_generate(const struct stub *s, uint8_t *to, unsigned room);
void host_x87_load(const uint8_t *area);
void host_x87_save(uint8_t *area); /* control, status, tags, registers; not the pointers */
void host_x87_clear(uint16_t fcw); /* FNINIT, then this control word */
uint16_t host_x87_control(void);
uint16_t host_x87_status(void);
void host_emms(void);
uint32_t host_mxcsr_get(void);
void host_mxcsr_set(uint32_t value);

#endif
