/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two 8259A interrupt controllers, the second on input 2 of the first, and the edge/level registers
 * of the PIIX3. Only on boards whose interrupt controllers are not KVM's (kernel-irqchip=split).
 *
 * An edge sets a bit of IRR until the processor acknowledges it; a level input is its bit of IRR.
 * The best of IRR that is not masked and better than what is in service drives INTR.
 *
 * Manual: Intel 8259A data sheet (231468); 82371FB/82371SB (290550), 2.5.3 for ELCR. Priorities and
 * words by their names there.
 * Not modelled: 8080 mode, ICW1's single and level bits (a PC has two chips and uses ELCR), ICW3 (the
 * wiring is fixed), buffered mode. An edge that is gone before INTA interrupts all the same; on the
 * cascade that is a spurious interrupt 7 of the second chip, as KVM's PIC has it.
 */
#include "core/dev.h"

enum { PINS = 8, CASCADE = 2, SPURIOUS = 7, NONE = 8 };
enum { COMMAND, MASK }; /* A0 */

enum { ICW1 = 0x10, ICW1_ICW4 = 0x01, ICW4_AUTO_EOI = 0x02, ICW4_SPECIAL_NESTED = 0x10 };
enum { OCW3 = 0x08, OCW3_READ_ISR = 0x01, OCW3_READ = 0x02, OCW3_POLL = 0x04, OCW3_MASK_ON = 0x20,
       OCW3_MASK = 0x40 };
enum { EOI = 1, SPECIFIC = 2, ROTATE = 4 }; /* OCW2's upper bits */
enum { EXPECT_OCW, EXPECT_ICW2, EXPECT_ICW3, EXPECT_ICW4 };

static const uint8_t may_be_level[2] = { 0xf8, 0xde }; /* not the timer, keyboard, cascade, RTC, FPU */

struct chip {
	uint8_t irr, imr, isr, elcr;
	uint8_t level;   /* of the inputs */
	uint8_t base;    /* ICW2 */
	uint8_t highest; /* the input with the highest priority */
	uint8_t expect;  /* what the next write to the mask port is */
	bool wants_icw4, auto_eoi, special_nested;
	bool special_mask, rotate_on_auto_eoi, read_isr, poll;
};

struct i8259 {
	struct dev dev;
	struct chip chip[2];
	uint64_t acknowledged, spurious;
};

static const struct field chip_fields[] = {
	STATE(struct chip, irr),
	STATE(struct chip, imr),
	STATE(struct chip, isr),
	STATE(struct chip, elcr),
	STATE(struct chip, level),
	STATE(struct chip, base, .max = 0xf8),
	STATE(struct chip, highest, .max = PINS - 1),
	STATE(struct chip, expect, .max = EXPECT_ICW4),
	STATE(struct chip, wants_icw4),
	STATE(struct chip, auto_eoi),
	STATE(struct chip, special_nested),
	STATE(struct chip, special_mask),
	STATE(struct chip, rotate_on_auto_eoi),
	STATE(struct chip, read_isr),
	STATE(struct chip, poll),
	{ 0 }
};

static const struct field i8259_fields[] = {
	STATE_STRUCTS(struct i8259, chip, chip_fields),
	COUNTER(struct i8259, acknowledged, .help = "interrupts the processor took"),
	COUNTER(struct i8259, spurious, .help = "of those, ones with nobody to answer"),
	{ 0 }
};

static struct i8259 *to_i8259(struct dev *dev)
{
	return container_of(dev, struct i8259, dev);
}

/* 0 is the best priority; NONE if there is no bit. */
static unsigned best(const struct chip *c, uint8_t bits)
{
	unsigned priority = 0;

	while (priority < PINS && !(bits & BIT((priority + c->highest) % PINS)))
		priority++;
	return priority;
}

static unsigned pin_of(const struct chip *c, unsigned priority)
{
	return (priority + c->highest) % PINS;
}

/* The input that makes INT high, or NONE. */
static unsigned asking(const struct i8259 *p, unsigned number)
{
	const struct chip *c = &p->chip[number];
	unsigned wanted = best(c, c->irr & ~c->imr);
	uint8_t serving = c->isr;

	if (c->special_mask) /* [Special Mask Mode] masked ones hold nobody back */
		serving &= ~c->imr;
	if (c->special_nested && number == 0) /* the second chip sorts its inputs itself */
		serving &= ~BIT(CASCADE);
	return wanted < best(c, serving) ? pin_of(c, wanted) : NONE;
}

static void set_input(struct chip *c, unsigned pin, bool level)
{
	uint8_t bit = (uint8_t)BIT(pin);

	if (c->elcr & bit)
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	else if (level && !(c->level & bit))
		c->irr |= bit;
	c->level = level ? c->level | bit : c->level & ~bit;
}

static void update(struct i8259 *p)
{
	set_input(&p->chip[0], CASCADE, asking(p, 1) != NONE);
	irq_chip_intr(&p->dev, asking(p, 0) != NONE);
}

static void set_line(struct dev *dev, unsigned gsi, bool level)
{
	struct i8259 *p = to_i8259(dev);

	if (gsi >= 2 * PINS || gsi == CASCADE)
		return;
	set_input(&p->chip[gsi / PINS], gsi % PINS, level);
	update(p);
}

static void end(struct chip *c, unsigned pin, bool rotate)
{
	c->isr &= ~BIT(pin);
	if (rotate)
		c->highest = (pin + 1) % PINS;
}

/* INTA of one chip: the input, or NONE: nothing asks (any more). */
static unsigned take(struct i8259 *p, unsigned number)
{
	struct chip *c = &p->chip[number];
	unsigned pin = asking(p, number);

	if (pin == NONE)
		return NONE;
	if (number == 1) /* [Interrupt Sequence] INT falls, and rises for the next */
		set_input(&p->chip[0], CASCADE, false);
	if (!(c->elcr & BIT(pin)))
		c->irr &= ~BIT(pin);
	if (c->auto_eoi)
		end(c, pin, c->rotate_on_auto_eoi);
	else
		c->isr |= BIT(pin);
	return pin;
}

static uint8_t acknowledge(struct dev *dev)
{
	struct i8259 *p = to_i8259(dev);
	unsigned number = 0, pin = take(p, 0);

	p->acknowledged++;
	if (pin == CASCADE) {
		number = 1;
		pin = take(p, 1);
	}
	if (pin == NONE) {
		p->spurious++;
		pin = SPURIOUS;
	}
	update(p);
	return p->chip[number].base | (uint8_t)pin;
}

static void initialize(struct chip *c, uint8_t icw1)
{
	c->imr = c->isr = 0;
	c->irr &= c->elcr; /* [ICW1] an input must rise (again) to be seen */
	c->highest = 0;
	c->special_mask = c->read_isr = c->poll = false;
	c->wants_icw4 = icw1 & ICW1_ICW4;
	c->auto_eoi = c->special_nested = c->rotate_on_auto_eoi = false;
	c->expect = EXPECT_ICW2;
}

static void write_ocw2(struct chip *c, uint8_t value)
{
	unsigned what = value >> 5, pin = value & 7;
	unsigned served = best(c, c->special_mask ? c->isr & ~c->imr : c->isr);

	switch (what) {
	case 0:
	case ROTATE:
		c->rotate_on_auto_eoi = what;
		break;
	case EOI:
	case ROTATE | EOI:
		if (served != NONE)
			end(c, pin_of(c, served), what & ROTATE);
		break;
	case SPECIFIC | EOI:
	case ROTATE | SPECIFIC | EOI:
		end(c, pin, what & ROTATE);
		break;
	case ROTATE | SPECIFIC:
		c->highest = (pin + 1) % PINS;
		break;
	default: /* no operation */
		break;
	}
}

static void write_ocw3(struct chip *c, uint8_t value)
{
	if (value & OCW3_POLL)
		c->poll = true;
	if (value & OCW3_READ)
		c->read_isr = value & OCW3_READ_ISR;
	if (value & OCW3_MASK)
		c->special_mask = value & OCW3_MASK_ON;
}

static void write_mask_port(struct chip *c, uint8_t value)
{
	switch (c->expect) {
	case EXPECT_ICW2:
		c->base = value & 0xf8;
		c->expect = EXPECT_ICW3;
		break;
	case EXPECT_ICW3:
		c->expect = c->wants_icw4 ? EXPECT_ICW4 : EXPECT_OCW;
		break;
	case EXPECT_ICW4:
		c->auto_eoi = value & ICW4_AUTO_EOI;
		c->special_nested = value & ICW4_SPECIAL_NESTED;
		c->expect = EXPECT_OCW;
		break;
	default:
		c->imr = value;
	}
}

static void chip_write(struct dev *dev, unsigned number, uint64_t offset, uint8_t value)
{
	struct chip *c = &to_i8259(dev)->chip[number];

	if (offset == MASK)
		write_mask_port(c, value);
	else if (value & ICW1)
		initialize(c, value);
	else if (value & OCW3)
		write_ocw3(c, value);
	else
		write_ocw2(c, value);
	update(to_i8259(dev));
}

/* [Poll Command] the next read is the acknowledge. */
static uint8_t poll(struct i8259 *p, unsigned number)
{
	unsigned pin = take(p, number);

	p->chip[number].poll = false;
	update(p);
	return pin == NONE ? 0 : 0x80 | (uint8_t)pin;
}

static uint64_t chip_read(struct dev *dev, unsigned number, uint64_t offset)
{
	struct i8259 *p = to_i8259(dev);
	const struct chip *c = &p->chip[number];

	if (c->poll)
		return poll(p, number);
	if (offset == MASK)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static uint64_t first_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return chip_read(dev, 0, offset);
}

static void first_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	chip_write(dev, 0, offset, (uint8_t)value);
}

static uint64_t second_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return chip_read(dev, 1, offset);
}

static void second_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	chip_write(dev, 1, offset, (uint8_t)value);
}

static uint64_t elcr_read(struct dev *dev, uint64_t offset, unsigned size)
{
	return to_i8259(dev)->chip[offset].elcr;
}

static void elcr_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct chip *c = &to_i8259(dev)->chip[offset];

	c->elcr = value & may_be_level[offset];
	c->irr = (c->irr & ~c->elcr) | (c->level & c->elcr);
	update(to_i8259(dev));
}

static const struct region first_ports = {
	.name = "pic", .min_size = 1, .max_size = 1, .read = first_read, .write = first_write,
};

static const struct region second_ports = {
	.name = "pic2", .min_size = 1, .max_size = 1, .read = second_read, .write = second_write,
};

static const struct region elcr_ports = {
	.name = "elcr", .min_size = 1, .max_size = 1, .read = elcr_read, .write = elcr_write,
};

static const struct irq_chip i8259_chip = {
	.line = set_line,
	.acknowledge = acknowledge,
};

static int i8259_attach(struct dev *dev, struct err *err)
{
	int code = claim_ports(dev, &first_ports, 0x20, 2, err);

	if (!code)
		code = claim_ports(dev, &second_ports, 0xa0, 2, err);
	if (!code)
		code = claim_ports(dev, &elcr_ports, 0x4d0, 2, err);
	if (!code)
		irq_chip_claim(dev, &i8259_chip);
	return code;
}

static void i8259_reset(struct dev *dev)
{
	struct i8259 *p = to_i8259(dev);

	for (unsigned i = 0; i < 2; i++) /* the inputs stay as they are driven */
		p->chip[i] = (struct chip){ .level = p->chip[i].level };
	update(p);
}

static int i8259_restored(struct dev *dev, struct err *err)
{
	struct i8259 *p = to_i8259(dev);

	for (unsigned i = 0; i < 2; i++) {
		p->chip[i].base &= 0xf8;
		p->chip[i].elcr &= may_be_level[i];
	}
	update(p);
	return 0;
}

const struct dev_class i8259_class = {
	.name = "isa-i8259",
	.summary = "the two 8259A interrupt controllers",
	.size = sizeof(struct i8259),
	.fields = i8259_fields,
	.board_only = true,
	.attach = i8259_attach,
	.reset = i8259_reset,
	.restored = i8259_restored,
};
