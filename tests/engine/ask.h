/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request to the engine that has to succeed, for programs that are no unit tests. */
#ifndef TESTS_ASK_H
#define TESTS_ASK_H

#include "vm.h"

/* Ends the program with a sentence when it does not. `created` as in vm_ioctl(). */
long ask(struct vm_object *object, unsigned long request, const void *argument,
	 struct vm_object **created);

#endif
