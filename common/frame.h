/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Framing: u32 little-endian length, then one protobuf Frame of that many bytes.
 */
#ifndef TASKMON_FRAME_H
#define TASKMON_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "taskmon.pb-c.h"

#define FRAME_HEADER_BYTES 4

/** A frame ready to be sent, shared by all who receive it. */
struct frame {
	unsigned int references;
	size_t size; /* header included */
	uint8_t bytes[];
};

/** Encode `message` with its header; one reference. NULL when out of memory. */
struct frame *frame_encode(const Taskmon__Frame *message);
struct frame *frame_ref(struct frame *frame);
void frame_unref(struct frame *frame);

/** Splits a byte stream into frames. */
struct frame_reader {
	uint8_t *buffer;
	size_t used, capacity;
	size_t limit; /* largest payload accepted */
	size_t left;  /* bytes of the last feed that were not taken, as the handler wanted no more */
};

void frame_reader_init(struct frame_reader *reader, size_t limit);
void frame_reader_free(struct frame_reader *reader);

/**
 * Called once per message, which is valid only during the call. Non-zero stops the reading: after a positive value
 * the reader may be fed again, with what is left first; a negative one is an error.
 */
typedef int (*frame_handler)(const Taskmon__Frame *message, void *context);

/**
 * Take `size` bytes and call `handler` for each frame that they complete.
 * Returns 0; -EMSGSIZE for a length above the limit; -EPROTO for bytes that are no Frame or a Frame without a known
 * body; -ENOMEM; or what the handler returned. After an error the reader must not be fed again.
 */
int frame_reader_feed(struct frame_reader *reader, const uint8_t *bytes, size_t size, frame_handler handler, void *context);

#endif
