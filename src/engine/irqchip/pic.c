/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Two 8259A interrupt controllers, the second behind pin 2 of the first, with the PIIX's
 * edge/level registers at 0x4d0 and 0x4d1.
 *
 * State is kept as struct kvm_pic_state, so saving is copying. The pair's INTR goes to the LINT0
 * pins of all LAPICs.
 *
 * Manual: Intel 8259A data sheet (231468); 82371AB (PIIX4), 4.2.5 and 4.2.6 for ELCR.
 * Not modelled: 8080 mode, single mode, level mode by ICW1 bit 3 (PCs use ELCR), buffered mode;
 * an edge that goes away before INTA still interrupts.
 */
#include "engine/irqchip/internal.h"

enum { CASCADE_PIN = 2, SPURIOUS_PIN = 7, NONE = 8 };
enum { ICW1 = 0x10, ICW1_ICW4 = 1, OCW3 = 8, OCW3_POLL = 4, OCW3_READ = 2, OCW3_SMM = 0x40 };
enum { WAIT_NOTHING, WAIT_ICW2, WAIT_ICW3, WAIT_ICW4 }; /* init_state */

/* 0 (highest) to 7: the best priority among `pins`; NONE. */
static unsigned best_priority(const struct kvm_pic_state *pic, uint8_t pins)
{
	for (unsigned priority = 0; priority < PIC_PINS; priority++) {
		if (pins >> ((priority + pic->priority_add) & 7) & 1)
			return priority;
	}
	return NONE;
}

/* The pin this chip would report to INTA, or -1. */
static int pending_pin(const struct irqchip *chip, unsigned n)
{
	const struct kvm_pic_state *pic = &chip->pic.chip[n];
	unsigned wanted = best_priority(pic, pic->irr & ~pic->imr);
	uint8_t in_service = pic->isr;

	if (wanted == NONE)
		return -1;
	if (pic->special_mask)
		in_service &= ~pic->imr;
	if (pic->special_fully_nested_mode && n == 0)
		in_service &= ~(1 << CASCADE_PIN);
	if (wanted >= best_priority(pic, in_service))
		return -1;
	return (wanted + pic->priority_add) & 7;
}

static int set_pin(struct kvm_pic_state *pic, unsigned pin, bool level)
{
	uint8_t bit = 1 << pin;
	int result = 1;

	if (!level) {
		pic->last_irr &= ~bit;
		if (pic->elcr & bit)
			pic->irr &= ~bit;
	} else {
		if (pic->elcr & bit || !(pic->last_irr & bit)) {
			result = !(pic->irr & bit);
			pic->irr |= bit;
		}
		pic->last_irr |= bit;
	}
	return pic->imr & bit ? -1 : result;
}

void pic_update_locked(struct irqchip *chip)
{
	bool output;

	if (pending_pin(chip, 1) >= 0) {
		set_pin(&chip->pic.chip[0], CASCADE_PIN, true);
		set_pin(&chip->pic.chip[0], CASCADE_PIN, false);
	}
	output = pending_pin(chip, 0) >= 0;
	__atomic_store_n(&chip->pic.output, output, __ATOMIC_SEQ_CST);
	if (!output)
		return;
	for (uint32_t i = 0; i < __atomic_load_n(&chip->vm->vcpu_count, __ATOMIC_ACQUIRE); i++) {
		struct vcpu *c = chip->vm->vcpu[i];

		if (c && lapic_accepts_pic(c))
			vcpu_request(c, REQUEST_EVENT);
	}
}

int pic_set_locked(struct irqchip *chip, unsigned pin, enum line_source source, bool level)
{
	uint32_t *sources = &chip->pic.sources[pin];
	int result;

	*sources = level ? *sources | source : *sources & ~source;
	result = set_pin(&chip->pic.chip[pin / PIC_PINS], pin % PIC_PINS, *sources);
	pic_update_locked(chip);
	return result;
}

static void end_service(struct irqchip *chip, unsigned n, unsigned pin)
{
	chip->pic.chip[n].isr &= ~(1 << pin);
	pin_acknowledged_locked(chip, n, pin);
}

static void begin_service(struct irqchip *chip, unsigned n, unsigned pin)
{
	struct kvm_pic_state *pic = &chip->pic.chip[n];

	pic->isr |= 1 << pin;
	if (!(pic->elcr >> pin & 1))
		pic->irr &= ~(1 << pin);
	if (!pic->auto_eoi)
		return;
	if (pic->rotate_on_auto_eoi)
		pic->priority_add = (pin + 1) & 7;
	end_service(chip, n, pin);
}

int pic_acknowledge_locked(struct irqchip *chip)
{
	int pin = pending_pin(chip, 0), slave_pin;
	uint8_t vector = chip->pic.chip[0].irq_base + SPURIOUS_PIN;

	if (pin >= 0) {
		vector = chip->pic.chip[0].irq_base + pin;
		begin_service(chip, 0, pin);
	}
	if (pin == CASCADE_PIN) {
		slave_pin = pending_pin(chip, 1);
		if (slave_pin >= 0)
			begin_service(chip, 1, slave_pin);
		else
			slave_pin = SPURIOUS_PIN;
		vector = chip->pic.chip[1].irq_base + slave_pin;
	}
	pic_update_locked(chip);
	return vector;
}

static void write_icw1(struct irqchip *chip, unsigned n, uint8_t value)
{
	struct kvm_pic_state *pic = &chip->pic.chip[n];
	uint8_t edges = pic->irr & ~pic->elcr;

	pic->init4 = value & ICW1_ICW4;
	pic->last_irr = 0;
	pic->irr &= pic->elcr;
	pic->imr = 0;
	pic->isr = 0;
	pic->priority_add = 0;
	pic->special_mask = 0;
	pic->read_reg_select = 0;
	if (!pic->init4) {
		pic->special_fully_nested_mode = 0;
		pic->auto_eoi = 0;
	}
	pic->init_state = WAIT_ICW2;
	for (unsigned pin = 0; pin < PIC_PINS; pin++) { /* requests that are lost count as done */
		if (edges >> pin & 1)
			pin_acknowledged_locked(chip, n, pin);
	}
	pic_update_locked(chip);
}

static void write_ocw2(struct irqchip *chip, unsigned n, uint8_t value)
{
	struct kvm_pic_state *pic = &chip->pic.chip[n];
	unsigned command = value >> 5, pin = value & 7, priority;
	bool rotates = command & 4;

	switch (command) {
	case 0:
	case 4:
		pic->rotate_on_auto_eoi = rotates;
		return;
	case 1: /* EOI of the one with the best priority */
	case 5:
		priority = best_priority(pic, pic->special_mask ? pic->isr & ~pic->imr : pic->isr);
		if (priority == NONE)
			return;
		pin = (priority + pic->priority_add) & 7;
		break;
	case 3: /* EOI of a given one */
	case 7:
		break;
	case 6: /* set priority */
		pic->priority_add = (pin + 1) & 7;
		pic_update_locked(chip);
		return;
	default:
		return;
	}
	if (rotates)
		pic->priority_add = (pin + 1) & 7;
	end_service(chip, n, pin);
	pic_update_locked(chip);
}

static void write_imr(struct irqchip *chip, unsigned n, uint8_t value)
{
	uint8_t unmasked = chip->pic.chip[n].imr & ~value;

	chip->pic.chip[n].imr = value;
	for (unsigned pin = 0; pin < PIC_PINS; pin++) {
		if (unmasked >> pin & 1)
			pin_unmasked_locked(chip, n, pin);
	}
	pic_update_locked(chip);
}

static void write_data(struct irqchip *chip, unsigned n, uint8_t value)
{
	struct kvm_pic_state *pic = &chip->pic.chip[n];

	switch (pic->init_state) {
	case WAIT_ICW2:
		pic->irq_base = value & 0xf8;
		pic->init_state = WAIT_ICW3;
		break;
	case WAIT_ICW3:
		pic->init_state = pic->init4 ? WAIT_ICW4 : WAIT_NOTHING;
		break;
	case WAIT_ICW4:
		pic->special_fully_nested_mode = value >> 4 & 1;
		pic->auto_eoi = value >> 1 & 1;
		pic->init_state = WAIT_NOTHING;
		break;
	default:
		write_imr(chip, n, value);
	}
}

bool is_pic_port(uint16_t port)
{
	return (port & ~0x81) == 0x20 || (port & ~1) == 0x4d0;
}

void pic_write_locked(struct irqchip *chip, uint16_t port, uint8_t value)
{
	unsigned n = port >> 8 ? port & 1 : port >> 7;
	struct kvm_pic_state *pic = &chip->pic.chip[n];

	if (port >> 8) {
		pic->elcr = value & pic->elcr_mask;
	} else if (port & 1) {
		write_data(chip, n, value);
	} else if (value & ICW1) {
		write_icw1(chip, n, value);
	} else if (value & OCW3) {
		pic->poll = (value & OCW3_POLL) != 0;
		if (value & OCW3_READ)
			pic->read_reg_select = value & 1;
		if (value & OCW3_SMM)
			pic->special_mask = value >> 5 & 1;
	} else {
		write_ocw2(chip, n, value);
	}
}

/* A read after the poll command is an INTA for this chip alone. */
static uint8_t read_poll(struct irqchip *chip, unsigned n)
{
	int pin = pending_pin(chip, n);

	chip->pic.chip[n].poll = 0;
	if (pin < 0)
		return 0;
	begin_service(chip, n, pin);
	pic_update_locked(chip);
	return 0x80 | pin;
}

uint8_t pic_read_locked(struct irqchip *chip, uint16_t port)
{
	unsigned n = port >> 8 ? port & 1 : port >> 7;
	const struct kvm_pic_state *pic = &chip->pic.chip[n];

	if (port >> 8)
		return pic->elcr;
	if (pic->poll)
		return read_poll(chip, n);
	if (port & 1)
		return pic->imr;
	return pic->read_reg_select ? pic->isr : pic->irr;
}

void pic_reset_locked(struct irqchip *chip)
{
	chip->pic.chip[0] = (struct kvm_pic_state){ .elcr_mask = 0xf8 };
	chip->pic.chip[1] = (struct kvm_pic_state){ .elcr_mask = 0xde };
}
