/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handles on a KVM: the kernel's, through descriptors, or the engine's, through its objects.
 *
 * Manual: the kernel's KVM API document, chapters 1 to 3.
 */
#include "host/kvm.h"

#include "host/memory.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct kvm {
	struct vm_object *object; /* the engine's; NULL: the kernel's */
	int fd;
	size_t run_bytes; /* of a vCPU's shared pages */
	void *run;        /* vCPU: mapped */
};

static struct kvm *handle_new(struct vm_object *object, int fd, size_t run_bytes)
{
	struct kvm *kvm = must_alloc(sizeof(*kvm));

	*kvm = (struct kvm){ .object = object, .fd = fd, .run_bytes = run_bytes };
	return kvm;
}

struct kvm *kvm_open_host(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), version, bytes;

	if (fd < 0) {
		fail(err, errno, "cannot open %s: %s", path, strerror(errno));
		return NULL;
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	bytes = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (version != KVM_ABI_VERSION || bytes < (int)sizeof(struct kvm_run)) {
		fail(err, ENODEV, "%s is not a KVM of API version %d", path, KVM_ABI_VERSION);
		close(fd);
		return NULL;
	}
	return handle_new(NULL, fd, (size_t)bytes);
}

struct kvm *kvm_open_engine(const struct vm_options *options, struct err *err)
{
	struct vm_object *object = vm_open(options);

	if (!object) {
		fail(err, ENOMEM, "no memory for the software engine");
		return NULL;
	}
	return handle_new(object, -1, 0);
}

const char *kvm_name(const struct kvm *kvm)
{
	return kvm->object ? "soft" : "kvm";
}

long kvm_ioctl(struct kvm *kvm, unsigned long request, const void *argument)
{
	long result;

	if (kvm->object)
		return vm_ioctl(kvm->object, request, (uintptr_t)argument, NULL);
	result = ioctl(kvm->fd, request, argument);
	return result < 0 ? -errno : result;
}

static struct kvm *engine_ioctl_new(struct kvm *kvm, unsigned long request, const void *argument,
				    struct err *err)
{
	struct vm_object *created = NULL;
	long result = vm_ioctl(kvm->object, request, (uintptr_t)argument, &created);
	struct kvm *new;

	if (result < 0 || !created) {
		fail(err, result < 0 ? (int)-result : ENOTTY,
		     "the software engine refuses KVM request 0x%lx: %s", request & 0xffff,
		     strerror(result < 0 ? (int)-result : ENOTTY));
		return NULL;
	}
	new = handle_new(created, -1, 0);
	new->run = vm_run_pages(created, &new->run_bytes);
	return new;
}

static struct kvm *host_ioctl_new(struct kvm *kvm, unsigned long request, const void *argument,
				  struct err *err)
{
	int fd = ioctl(kvm->fd, request, argument);
	struct kvm *new;

	if (fd < 0) {
		fail(err, errno, "the host's KVM refuses request 0x%lx: %s", request & 0xffff,
		     strerror(errno));
		return NULL;
	}
	if (request == KVM_CREATE_DEVICE)
		fd = (int)((const struct kvm_create_device *)argument)->fd;
	new = handle_new(NULL, fd, kvm->run_bytes);
	if (request != KVM_CREATE_VCPU)
		return new;
	new->run = mmap(NULL, new->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (new->run == MAP_FAILED) {
		fail(err, errno, "cannot map a vCPU's shared pages: %s", strerror(errno));
		new->run = NULL;
		kvm_close(new);
		return NULL;
	}
	return new;
}

struct kvm *kvm_ioctl_new(struct kvm *kvm, unsigned long request, const void *argument,
			  struct err *err)
{
	return kvm->object ? engine_ioctl_new(kvm, request, argument, err)
			   : host_ioctl_new(kvm, request, argument, err);
}

void *kvm_run_pages(struct kvm *vcpu, size_t *bytes)
{
	if (bytes)
		*bytes = vcpu->run_bytes;
	return vcpu->run;
}

size_t kvm_counters(const struct kvm *vcpu, struct vm_counter *rows, size_t room)
{
	return vcpu->object ? vm_counters(vcpu->object, rows, room) : 0;
}

void kvm_close(struct kvm *kvm)
{
	if (!kvm)
		return;
	if (kvm->object) {
		vm_put(kvm->object);
	} else {
		if (kvm->run)
			munmap(kvm->run, kvm->run_bytes);
		close(kvm->fd);
	}
	free(kvm);
}
