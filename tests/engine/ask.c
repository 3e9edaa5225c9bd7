/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ask.h"

#include <stdio.h>
#include <stdlib.h>

long ask(struct vm_object *object, unsigned long request, const void *argument,
	 struct vm_object **created)
{
	long result = vm_ioctl(object, request, (uintptr_t)argument, created);

	if (result < 0) {
		fprintf(stderr, "request 0x%lx: error %ld\n", request, -result);
		exit(1);
	}
	return result;
}
