/* SPDX-License-Identifier: BSD-2-Clause */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

static void put_le32(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < FRAME_HEADER_BYTES; i++)
		out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_le32(const uint8_t *in)
{
	uint32_t value = 0;

	for (int i = 0; i < FRAME_HEADER_BYTES; i++)
		value |= (uint32_t)in[i] << (8 * i);
	return value;
}

struct frame *frame_encode(const Taskmon__Frame *message)
{
	size_t payload = taskmon__frame__get_packed_size(message);
	struct frame *frame = malloc(sizeof(*frame) + FRAME_HEADER_BYTES + payload);

	if (!frame)
		return NULL;
	frame->references = 1;
	frame->size = FRAME_HEADER_BYTES + payload;
	put_le32(frame->bytes, (uint32_t)payload);
	taskmon__frame__pack(message, frame->bytes + FRAME_HEADER_BYTES);
	return frame;
}

struct frame *frame_ref(struct frame *frame)
{
	frame->references++;
	return frame;
}

void frame_unref(struct frame *frame)
{
	if (frame && --frame->references == 0)
		free(frame);
}

void frame_reader_init(struct frame_reader *reader, size_t limit)
{
	*reader = (struct frame_reader){ .limit = limit };
}

void frame_reader_free(struct frame_reader *reader)
{
	if (!reader)
		return;
	free(reader->buffer);
	frame_reader_init(reader, reader->limit);
}

static int reserve(struct frame_reader *reader, size_t size)
{
	uint8_t *grown;

	if (size <= reader->capacity)
		return 0;
	grown = realloc(reader->buffer, size);
	if (!grown)
		return -ENOMEM;
	reader->buffer = grown;
	reader->capacity = size;
	return 0;
}

static int handle_payload(const uint8_t *payload, size_t size, frame_handler handler, void *context)
{
	struct arena arena;
	Taskmon__Frame *message;
	int err;

	arena_init(&arena);
	message = taskmon__frame__unpack(&arena.allocator, size, payload);
	if (!message || message->body_case == TASKMON__FRAME__BODY__NOT_SET)
		err = -EPROTO;
	else
		err = handler(message, context);
	arena_free(&arena);
	return err;
}

/* Bytes that must be there before the reader can go on: the header, then header and payload. */
static size_t bytes_wanted(const struct frame_reader *reader)
{
	if (reader->used < FRAME_HEADER_BYTES)
		return FRAME_HEADER_BYTES;
	return FRAME_HEADER_BYTES + (size_t)get_le32(reader->buffer);
}

int frame_reader_feed(struct frame_reader *reader, const uint8_t *bytes, size_t size, frame_handler handler, void *context)
{
	reader->left = 0;
	while (size > 0) {
		size_t wanted = bytes_wanted(reader);
		size_t take = wanted - reader->used < size ? wanted - reader->used : size;
		int err = reserve(reader, wanted);

		if (err)
			return err;
		memcpy(reader->buffer + reader->used, bytes, take);
		reader->used += take;
		bytes += take;
		size -= take;

		/* a length is checked before anything is reserved for it */
		if (reader->used == FRAME_HEADER_BYTES && get_le32(reader->buffer) > reader->limit)
			return -EMSGSIZE;
		wanted = bytes_wanted(reader);
		if (reader->used < wanted)
			continue;
		reader->used = 0;
		err = handle_payload(reader->buffer + FRAME_HEADER_BYTES, wanted - FRAME_HEADER_BYTES, handler, context);
		reader->left = size;
		if (err)
			return err;
	}
	return 0;
}
