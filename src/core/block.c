/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks: a queue per disk, one worker thread that feeds the driver, completions on the loop.
 *
 * Locks: block->lock (queue) and board->completion_lock are leaves; the worker takes no other, so
 * draining under the board's lock cannot dead-lock. With no loop (the rig) there is no worker:
 * board_settle does the work.
 */
#include "core/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { SECTOR = 512 };

struct block {
	struct board *board;
	char *id, *serial, *file, *format;
	struct block_options options; /* its strings are the four above */
	const struct block_driver *driver;
	void *image; /* with driver NULL: no medium */
	bool tray_locked;
	struct dev *dev;
	void (*medium_changed)(struct dev *dev);

	struct mutex lock; /* first, last, busy, stopping */
	struct cond work, idle;
	struct block_request *first, **last;
	bool busy, stopping;
	struct thread *worker;
	struct block_statistics statistics; /* atomic adds */
	struct block *next;
};

static void count(uint64_t *counter, uint64_t by)
{
	__atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

static int check(const struct block *block, const struct block_request *r)
{
	uint64_t size = block->options.size, sum = 0;

	if (!block->driver)
		return -ENOMEDIUM;
	if (r->op == BLOCK_FLUSH)
		return 0;
	if (r->op != BLOCK_READ && block->options.read_only)
		return -EROFS;
	if ((r->offset | r->bytes) % SECTOR || r->offset > size || r->bytes > size - r->offset)
		return -EINVAL;
	if (r->op != BLOCK_READ && r->op != BLOCK_WRITE)
		return 0;
	for (unsigned i = 0; i < r->iov_count; i++)
		sum += r->iov[i].iov_len;
	return sum == r->bytes ? 0 : -EINVAL;
}

static int each_piece(const struct block *block, const struct block_request *r)
{
	uint64_t offset = r->offset;

	for (unsigned i = 0; i < r->iov_count; i++) {
		int code;

		if (r->op == BLOCK_READ)
			code = block->driver->read(block->image, offset, r->iov[i].iov_base,
						   r->iov[i].iov_len);
		else
			code = block->driver->write(block->image, offset, r->iov[i].iov_base,
						    r->iov[i].iov_len);
		if (code)
			return code;
		offset += r->iov[i].iov_len;
	}
	return 0;
}

static int write_zeroes(const struct block *block, const struct block_request *r)
{
	static const uint8_t zeroes[64 * 1024];

	if (block->driver->write_zeroes)
		return block->driver->write_zeroes(block->image, r->offset, r->bytes);
	for (uint64_t done = 0; done < r->bytes; done += sizeof(zeroes)) {
		int code = block->driver->write(block->image, r->offset + done, zeroes,
						MIN(sizeof(zeroes), r->bytes - done));

		if (code)
			return code;
	}
	return 0;
}

static int execute(struct block *block, const struct block_request *r)
{
	const struct block_driver *driver = block->driver;
	struct block_statistics *s = &block->statistics;
	int code = check(block, r);

	if (code)
		return code;
	switch (r->op) {
	case BLOCK_READ:
		count(&s->read_ops, 1);
		count(&s->read_bytes, r->bytes);
		if (driver->readv && r->iov_count > 1)
			return driver->readv(block->image, r->offset, r->iov, r->iov_count);
		return each_piece(block, r);
	case BLOCK_WRITE:
		count(&s->write_ops, 1);
		count(&s->write_bytes, r->bytes);
		if (driver->writev && r->iov_count > 1)
			return driver->writev(block->image, r->offset, r->iov, r->iov_count);
		return each_piece(block, r);
	case BLOCK_FLUSH:
		count(&s->flush_ops, 1);
		if (block->options.ignore_flush || block->options.read_only || !driver->flush)
			return 0;
		return driver->flush(block->image);
	case BLOCK_DISCARD: /* a hint */
		count(&s->discard_ops, 1);
		return driver->discard ? driver->discard(block->image, r->offset, r->bytes) : 0;
	case BLOCK_WRITE_ZEROES:
		count(&s->write_ops, 1);
		return write_zeroes(block, r);
	}
	return -EINVAL;
}

/* A request waiting for its `done` keeps the result where its submitter keeps the pointer. False: there
 * was none; else `done` may have submitted the next. */
static bool run_completed(struct board *board)
{
	for (bool did = false;; did = true) {
		struct block_request *r;

		mutex_lock(&board->completion_lock);
		r = board->completed;
		if (r) {
			board->completed = r->next;
			if (!board->completed)
				board->completed_end = &board->completed;
		}
		mutex_unlock(&board->completion_lock);
		if (!r)
			return did;
		r->done(r, r->result);
	}
}

static void on_completions(void *context)
{
	struct board *board = context;

	board_lock(board);
	mutex_lock(&board->completion_lock);
	board->completion_posted = false;
	mutex_unlock(&board->completion_lock);
	run_completed(board);
	board_unlock(board);
}

static void complete(struct block *block, struct block_request *r, int error)
{
	struct board *board = block->board;
	bool post;

	if (error)
		count(&block->statistics.failed, 1);
	r->result = error;
	r->next = NULL;
	mutex_lock(&board->completion_lock);
	*board->completed_end = r;
	board->completed_end = &r->next;
	post = board->loop && !board->completion_posted;
	board->completion_posted |= post;
	mutex_unlock(&board->completion_lock);
	if (post)
		loop_post(board->loop, on_completions, board);
}

static struct block_request *take_first(struct block *block)
{
	struct block_request *r = block->first;

	block->first = r->next;
	if (!block->first)
		block->last = &block->first;
	return r;
}

static void work(void *context)
{
	struct block *block = context;

	mutex_lock(&block->lock);
	while (!block->stopping) {
		struct block_request *r;
		int code;

		if (!block->first) {
			cond_wait(&block->work, &block->lock);
			continue;
		}
		r = take_first(block);
		block->busy = true;
		mutex_unlock(&block->lock);
		code = execute(block, r);
		complete(block, r, code);
		mutex_lock(&block->lock);
		block->busy = false;
		if (!block->first)
			cond_wake_all(&block->idle);
	}
	mutex_unlock(&block->lock);
}

void block_submit(struct block *block, struct block_request *request)
{
	request->next = NULL;
	if (!block->worker && block->board->loop) {
		char name[16];

		snprintf(name, sizeof(name), "disk %s", block->id);
		block->worker = thread_start(name, work, block);
		if (!block->worker) {
			complete(block, request, -EAGAIN);
			return;
		}
	}
	mutex_lock(&block->lock);
	*block->last = request;
	block->last = &request->next;
	mutex_unlock(&block->lock);
	cond_wake_all(&block->work);
}

/* Until the queue is empty: the worker does it, or we do where there is none. */
static bool finish_queue(struct block *block)
{
	bool did = false;

	mutex_lock(&block->lock);
	while (block->first || block->busy) {
		did = true;
		if (block->worker) {
			cond_wait(&block->idle, &block->lock);
		} else {
			struct block_request *r = take_first(block);

			mutex_unlock(&block->lock);
			complete(block, r, execute(block, r));
			mutex_lock(&block->lock);
		}
	}
	mutex_unlock(&block->lock);
	return did;
}

void block_drain(struct block *block)
{
	board_lock(block->board);
	while (finish_queue(block) | run_completed(block->board))
		;
	board_unlock(block->board);
}

void blocks_drain(struct board *board)
{
	bool did = true;

	while (did) {
		did = false;
		for (struct block *block = board->blocks; block; block = block->next)
			did |= finish_queue(block);
		did |= run_completed(board);
	}
}

void blocks_settle(struct board *board)
{
	blocks_drain(board);
}

static void set_options(struct block *block, const struct block_options *options)
{
	free(block->file);
	free(block->format);
	block->file = options->file ? must_strdup(options->file) : NULL;
	block->format = options->format ? must_strdup(options->format) : NULL;
	block->options = *options;
	block->options.id = block->id;
	block->options.serial = block->serial;
	block->options.file = block->file;
	block->options.format = block->format;
}

int block_new(struct board *board, const struct block_driver *driver, void *image,
	      const struct block_options *options, struct err *err)
{
	struct block **at = &board->blocks;
	struct block *block;

	board_lock(board);
	if (block_find(board, options->id)) {
		board_unlock(board);
		return fail(err, EEXIST, "there is a disk \"%s\" already", options->id);
	}
	block = must_alloc(sizeof(*block));
	block->board = board;
	block->id = must_strdup(options->id);
	block->serial = must_strdup(options->serial ? options->serial : "");
	block->driver = driver;
	block->image = image;
	block->last = &block->first;
	mutex_init(&block->lock);
	cond_init(&block->work);
	cond_init(&block->idle);
	set_options(block, options);
	while (*at)
		at = &(*at)->next;
	*at = block;
	board_unlock(board);
	return 0;
}

static void close_medium(struct block *block)
{
	if (block->driver && block->driver->close)
		block->driver->close(block->image);
	block->driver = NULL;
	block->image = NULL;
}

void block_free(struct block *block)
{
	struct board *board = block->board;
	struct block **at = &board->blocks;

	block_drain(block);
	board_lock(board);
	while (*at != block)
		at = &(*at)->next;
	*at = block->next;
	board_unlock(board);
	if (block->worker) {
		mutex_lock(&block->lock);
		block->stopping = true;
		mutex_unlock(&block->lock);
		cond_wake_all(&block->work);
		thread_join(block->worker);
	}
	close_medium(block);
	mutex_fini(&block->lock);
	cond_fini(&block->work);
	cond_fini(&block->idle);
	free(block->id);
	free(block->serial);
	free(block->file);
	free(block->format);
	free(block);
}

void blocks_free(struct board *board)
{
	while (board->blocks)
		block_free(board->blocks);
}

struct block *block_find(struct board *board, const char *id)
{
	for (struct block *block = board->blocks; block; block = block->next)
		if (!strcmp(block->id, id))
			return block;
	return NULL;
}

struct block *block_next(struct board *board, struct block *after)
{
	return after ? after->next : board->blocks;
}

uint64_t block_size(const struct block *block)
{
	return block->driver ? block->options.size : 0;
}

bool block_read_only(const struct block *block)
{
	return block->options.read_only;
}

const char *block_serial(const struct block *block)
{
	return block->serial;
}

const char *block_id(const struct block *block)
{
	return block->id;
}

const struct block_options *block_options(const struct block *block)
{
	return &block->options;
}

bool block_tray_locked(const struct block *block)
{
	return block->tray_locked;
}

struct dev *block_user(const struct block *block)
{
	return block->dev;
}

void *block_image(struct block *block, const struct block_driver **driver)
{
	*driver = block->driver;
	return block->image;
}

void block_query(struct block *block, struct block_statistics *statistics)
{
	*statistics = block->statistics; /* each counter is whole; together they may be a little off */
}

int block_claim(struct block *block, struct dev *dev, struct err *err)
{
	if (block->dev && block->dev != dev)
		return fail(err, EBUSY, "disk \"%s\" is in use by %s", block->id, block->dev->id);
	block->dev = dev;
	return 0;
}

void block_release_of(struct dev *dev)
{
	for (struct block *block = dev->board->blocks; block; block = block->next) {
		if (block->dev == dev) {
			block_drain(block);
			block->dev = NULL;
			block->medium_changed = NULL;
			block->tray_locked = false;
		}
	}
}

void block_watch_medium(struct block *block, struct dev *dev, void (*changed)(struct dev *dev))
{
	if (block->dev == dev)
		block->medium_changed = changed;
}

void block_lock_tray(struct block *block, bool locked)
{
	block->tray_locked = locked;
}

static void tell_changed(struct block *block)
{
	if (block->dev && block->medium_changed)
		block->medium_changed(block->dev);
}

int block_eject(struct block *block, bool force, struct err *err)
{
	int code = 0;

	board_lock(block->board);
	if (!block->options.removable)
		code = fail(err, EINVAL, "disk \"%s\" is not removable", block->id);
	else if (block->tray_locked && !force)
		code = fail(err, EBUSY, "the guest has locked the tray of \"%s\"", block->id);
	if (!code && block->driver) {
		block_drain(block);
		close_medium(block);
		free(block->file);
		block->file = NULL;
		block->options.file = NULL;
		block->options.size = 0;
		tell_changed(block);
	}
	board_unlock(block->board);
	return code;
}

int block_insert(struct block *block, const struct block_driver *driver, void *image,
		 const struct block_options *options, struct err *err)
{
	int code = 0;

	board_lock(block->board);
	if (!block->options.removable)
		code = fail(err, EINVAL, "disk \"%s\" is not removable", block->id);
	else if (block->driver)
		code = fail(err, EBUSY, "there is a medium in \"%s\"", block->id);
	if (code) {
		driver->close(image);
	} else {
		set_options(block, options);
		block->options.removable = true;
		block->driver = driver;
		block->image = image;
		tell_changed(block);
	}
	board_unlock(block->board);
	return code;
}
