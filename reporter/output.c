/* SPDX-License-Identifier: BSD-2-Clause */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "output_file.h"
#include "str.h"

enum { BUFFER_BYTES = 2 * OUTPUT_ROOM_MAX, FLAGS = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY };

static const struct output_policy no_policy;

struct output {
	char *path;
	char *header; /* first line of the file and of each that follows it; "": none */
	struct output_policy policy;
	int fd;
	int error;    /* negative errno; 0: none */
	bool regular; /* a file that can be emptied and cut */
	bool created; /* by us, and nothing has been written */
	bool begun;
	bool torn;            /* a line longer than the buffer: its beginning has been written */
	uint64_t file_bytes;  /* what the file has */
	uint64_t total_bytes; /* what was written to it and those before it */
	uint64_t opened_ns;   /* CLOCK_MONOTONIC */
	size_t used;
	size_t complete; /* bytes of whole lines */
	char buffer[BUFFER_BYTES];
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int open_file(struct output *output)
{
	struct stat stat;

	output->fd = open(output->path, FLAGS | O_CREAT | O_EXCL, 0666);
	output->created = output->fd >= 0;
	if (output->fd < 0 && errno == EEXIST)
		output->fd = open(output->path, FLAGS);
	if (output->fd < 0)
		return -errno;
	output->regular = fstat(output->fd, &stat) == 0 && S_ISREG(stat.st_mode);
	return 0;
}

static void fail(struct output *output, int err)
{
	if (output->error)
		return;
	output->error = err;
	log_error(NULL, "%s: %s", output->path, strerror(-err));
}

struct output *output_open(const char *path, const char *header, const struct output_policy *policy)
{
	struct output *output = calloc(1, sizeof(*output));
	bool standard = strcmp(path, "-") == 0;
	int err = -ENOMEM;

	if (!output)
		goto out;
	output->policy = policy ? *policy : no_policy;
	output->fd = STDOUT_FILENO;
	output->path = strdup(standard ? "standard output" : path);
	output->header = strdup(header ? header : "");
	if (!output->path || !output->header)
		goto out;
	err = standard ? 0 : open_file(output);
out:
	if (err)
		log_error(NULL, "%s: %s", path, strerror(-err));
	else if (output->policy.append && output->regular && !output->created)
		err = output_file_check(output->path, output->header);
	if (!err)
		return output;
	if (output) {
		if (output->fd != STDOUT_FILENO && output->fd >= 0)
			close(output->fd);
		free(output->path);
		free(output->header);
	}
	free(output);
	errno = -err;
	return NULL;
}

/* What was written of a line that did not fit is taken back. */
static void cut_to_whole_line(struct output *output, const char *written, size_t size)
{
	const char *last = size ? memrchr(written, '\n', size) : NULL;
	off_t end = lseek(output->fd, 0, SEEK_CUR);
	off_t partial = (off_t)(last ? written + size - (last + 1) : (ptrdiff_t)size);

	if (output->regular && end >= partial && partial > 0 && ftruncate(output->fd, end - partial) < 0)
		log_warning(NULL, "%s: its last line is incomplete: %s", output->path, strerror(errno));
}

static void write_all(struct output *output, const char *bytes, size_t size)
{
	size_t written = 0;

	while (written < size && !output->error) {
		ssize_t done = write(output->fd, bytes + written, size - written);

		if (done >= 0) {
			written += (size_t)done;
		} else if (errno != EINTR) {
			fail(output, -errno);
			cut_to_whole_line(output, bytes, written);
		}
	}
	output->file_bytes += written;
	output->total_bytes += written;
}

static void write_out(struct output *output, size_t size)
{
	write_all(output, output->buffer, size);
	output->used -= size;
	output->complete = 0;
	memmove(output->buffer, output->buffer + size, output->used);
}

/* The file is open and at its end: it needs its header, if nothing is in it. */
static void begin_file(struct output *output)
{
	struct stat stat = { 0 };

	if (output->regular && fstat(output->fd, &stat) < 0)
		fail(output, -errno);
	output->opened_ns = monotonic_ns();
	output->file_bytes = (uint64_t)stat.st_size;
	if (stat.st_size == 0)
		write_all(output, output->header, strlen(output->header));
}

int output_begin(struct output *output)
{
	struct stat stat = { 0 };
	off_t keep = 0;

	output->created = false;
	output->begun = true;
	if (output->regular && output->policy.append && fstat(output->fd, &stat) == 0)
		keep = output_file_end_of_lines(output->path, stat.st_size);
	if (output->regular && ftruncate(output->fd, keep) < 0)
		fail(output, -errno);
	begin_file(output);
	return output->error;
}

int output_close(struct output *output)
{
	int err;

	if (!output)
		return 0;
	err = output_flush(output);
	if (output->created)
		unlink(output->path);
	/* some file systems tell only now that a write failed */
	if (output->fd != STDOUT_FILENO && output->fd >= 0 && close(output->fd) < 0 && !err) {
		fail(output, -errno);
		err = output->error;
	}
	free(output->path);
	free(output->header);
	free(output);
	return err;
}

/* --- rotation */

/* Whole lines only are in the file now. */
static void rotate(struct output *output)
{
	int err;

	if (output->error)
		return;
	err = output_file_shift(output->path, output->policy.keep);
	if (close(output->fd) < 0 && !err)
		err = -errno;
	output->fd = -1;
	if (!err)
		err = open_file(output);
	output->created = false;
	if (err)
		fail(output, err);
	else
		begin_file(output);
}

static bool has_lines(const struct output *output, size_t more)
{
	return output->file_bytes + more > strlen(output->header);
}

/* Before the line that would make the file too long. */
static void rotate_if_full(struct output *output)
{
	if (output->file_bytes + output->used <= output->policy.rotate_bytes || output->torn ||
	    !has_lines(output, output->complete))
		return;
	write_out(output, output->complete);
	rotate(output);
}

static bool is_old(const struct output *output)
{
	return output->policy.rotate_ns && output->regular && has_lines(output, 0) &&
	       monotonic_ns() - output->opened_ns >= output->policy.rotate_ns;
}

/* What is at the path now, or a new file there. Whole lines only are in the old one. */
static void open_again(struct output *output)
{
	struct stat before, after;
	bool other = fstat(output->fd, &before) < 0;
	int err;

	close(output->fd);
	err = open_file(output);
	output->created = false;
	if (!err && fstat(output->fd, &after) < 0)
		err = -errno;
	if (err) {
		fail(output, err);
		return;
	}
	other = other || before.st_dev != after.st_dev || before.st_ino != after.st_ino;
	if (other && output->regular && after.st_size > 0)
		output->error = output_file_check(output->path, output->header);
	if (!output->error)
		begin_file(output);
}

static bool can_open_again(const struct output *output)
{
	return output->begun && output->regular && !output->error;
}

int output_reopen(struct output *output)
{
	output_flush(output);
	if (can_open_again(output))
		open_again(output);
	return output->error;
}

/* Lines in a file that has no name any more are lost, and nobody would notice. */
static bool is_removed(const struct output *output)
{
	struct stat stat;

	return can_open_again(output) && fstat(output->fd, &stat) == 0 && stat.st_nlink == 0;
}

uint64_t output_total_bytes(const struct output *output)
{
	return output->total_bytes;
}

/* --- what is written */

char *output_room(struct output *output, size_t size)
{
	if (BUFFER_BYTES - output->used < size)
		write_out(output, output->complete);
	if (BUFFER_BYTES - output->used < size) {
		write_out(output, output->used); /* a line longer than the buffer */
		output->torn = true;
	}
	return output->buffer + output->used;
}

void output_advance(struct output *output, size_t size)
{
	output->used += size;
}

void output_bytes(struct output *output, const void *bytes, size_t size)
{
	while (size > OUTPUT_ROOM_MAX) {
		memcpy(output_room(output, OUTPUT_ROOM_MAX), bytes, OUTPUT_ROOM_MAX);
		output_advance(output, OUTPUT_ROOM_MAX);
		bytes = (const char *)bytes + OUTPUT_ROOM_MAX;
		size -= OUTPUT_ROOM_MAX;
	}
	memcpy(output_room(output, size), bytes, size);
	output_advance(output, size);
}

void output_text(struct output *output, const char *text)
{
	output_bytes(output, text, strlen(text));
}

void output_char(struct output *output, char c)
{
	*output_room(output, 1) = c;
	output_advance(output, 1);
}

void output_u64(struct output *output, uint64_t value)
{
	output_advance(output, str_u64(output_room(output, 20), value));
}

void output_fixed(struct output *output, uint64_t value, unsigned int scale, unsigned int digits)
{
	output_advance(output, str_fixed(output_room(output, 22), value, scale, digits));
}

void output_time(struct output *output, uint64_t wall_ns)
{
	enum { ROOM = 31 };

	output_advance(output, str_rfc3339(output_room(output, ROOM), ROOM, wall_ns));
}

void output_csv_text(struct output *output, const char *text)
{
	size_t room = 2 * strlen(text) + 2;

	if (room <= OUTPUT_ROOM_MAX) {
		output_advance(output, str_csv(output_room(output, room), text));
		return;
	}
	output_char(output, '"');
	for (; *text; text++) {
		if (*text == '"')
			output_char(output, '"');
		output_char(output, *text);
	}
	output_char(output, '"');
}

int output_line_end(struct output *output)
{
	output_char(output, '\n');
	if (output->policy.rotate_bytes && output->regular)
		rotate_if_full(output);
	output->complete = output->used;
	output->torn = false;
	return output->error;
}

void output_mark_complete(struct output *output)
{
	output->complete = output->used;
}

int output_flush(struct output *output)
{
	if (is_removed(output))
		open_again(output);
	if (output->complete)
		write_out(output, output->complete);
	if (is_old(output))
		rotate(output);
	return output->error;
}
