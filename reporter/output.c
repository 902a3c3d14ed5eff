/* SPDX-License-Identifier: BSD-2-Clause */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "str.h"

enum { BUFFER_BYTES = 2 * OUTPUT_ROOM_MAX };

struct output {
	char *path;
	int fd;
	int error;      /* negative errno; 0: none */
	bool regular;   /* a file that can be emptied and cut */
	bool created;   /* by us, and nothing has been written */
	size_t used;
	size_t complete; /* bytes of whole lines */
	char buffer[BUFFER_BYTES];
};

static int open_file(struct output *output)
{
	const int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY;
	struct stat stat;

	output->fd = open(output->path, flags | O_CREAT | O_EXCL, 0666);
	output->created = output->fd >= 0;
	if (output->fd < 0 && errno == EEXIST)
		output->fd = open(output->path, flags);
	if (output->fd < 0)
		return -errno;
	output->regular = fstat(output->fd, &stat) == 0 && S_ISREG(stat.st_mode);
	return 0;
}

struct output *output_open(const char *path)
{
	struct output *output = calloc(1, sizeof(*output));
	bool standard = strcmp(path, "-") == 0;
	int err = -ENOMEM;

	if (!output)
		goto out;
	output->fd = STDOUT_FILENO;
	output->path = strdup(standard ? "standard output" : path);
	if (!output->path)
		goto out;
	err = standard ? 0 : open_file(output);
out:
	if (!err)
		return output;
	log_error(NULL, "%s: %s", path, strerror(-err));
	if (output)
		free(output->path);
	free(output);
	return NULL;
}

static void fail(struct output *output, int err)
{
	if (output->error)
		return;
	output->error = err;
	log_error(NULL, "%s: %s", output->path, strerror(-err));
}

int output_begin(struct output *output)
{
	output->created = false;
	if (output->regular && ftruncate(output->fd, 0) < 0)
		fail(output, -errno);
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
	if (output->fd != STDOUT_FILENO && close(output->fd) < 0 && !err) {
		fail(output, -errno);
		err = output->error;
	}
	free(output->path);
	free(output);
	return err;
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

static void write_out(struct output *output, size_t size)
{
	size_t written = 0;

	while (written < size && !output->error) {
		ssize_t done = write(output->fd, output->buffer + written, size - written);

		if (done >= 0) {
			written += (size_t)done;
		} else if (errno != EINTR) {
			fail(output, -errno);
			cut_to_whole_line(output, output->buffer, written);
		}
	}
	output->used -= size;
	output->complete = 0;
	memmove(output->buffer, output->buffer + size, output->used);
}

char *output_room(struct output *output, size_t size)
{
	if (BUFFER_BYTES - output->used < size)
		write_out(output, output->complete);
	if (BUFFER_BYTES - output->used < size)
		write_out(output, output->used); /* a line longer than the buffer */
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
	const char *quote;

	if (!text[strcspn(text, ",\"\r\n")]) {
		output_text(output, text);
		return;
	}
	output_char(output, '"');
	while ((quote = strchr(text, '"'))) {
		output_bytes(output, text, (size_t)(quote + 1 - text));
		output_char(output, '"');
		text = quote + 1;
	}
	output_text(output, text);
	output_char(output, '"');
}

int output_line_end(struct output *output)
{
	output_char(output, '\n');
	output->complete = output->used;
	return output->error;
}

int output_flush(struct output *output)
{
	if (output->complete)
		write_out(output, output->complete);
	return output->error;
}
