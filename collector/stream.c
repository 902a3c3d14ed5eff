/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "clock.h"

enum {
	SLOTS_MIN = 1024,      /* also of CPUs that are not online yet */
	SLOTS_MAX = 1 << 24,
	GIVE_BACK_RECORDS = 4096, /* taken records make room for new ones this often at least */
};

struct cursor {
	struct stream_ring *ring;
	const struct syscall_record *records; /* of this ring */
	u64 at, end; /* the next one to take, and up to where */
	u64 next_ns; /* of that one */
	u64 given_back;
};

struct stream {
	unsigned int cpu_count; /* that there can be */
	int rings_fd, records_fd;
	struct stream_ring *rings;
	struct syscall_record *records;
	size_t rings_bytes, records_bytes;
	struct cursor *cursors;
	struct cursor **heap; /* those with records to take, the oldest first */
	size_t heap_count;
};

/* Numbers of CPUs in a list such as 0-3,8. Without one all count. */
static unsigned int read_online(bool *online, unsigned int cpu_count)
{
	FILE *file = fopen("/sys/devices/system/cpu/online", "re");
	unsigned int first, last, count = 0;
	int separator = ',';

	while (file && separator == ',' && fscanf(file, "%u", &first) == 1) {
		last = first;
		separator = fgetc(file);
		if (separator == '-') {
			if (fscanf(file, "%u", &last) != 1)
				break;
			separator = fgetc(file);
		}
		for (unsigned int cpu = first; cpu <= last && cpu < cpu_count; cpu++) {
			count += !online[cpu];
			online[cpu] = true;
		}
	}
	if (file)
		fclose(file);
	if (count)
		return count;
	for (unsigned int cpu = 0; cpu < cpu_count; cpu++)
		online[cpu] = true;
	return cpu_count;
}

static int make_map(const char *name, size_t value_bytes, size_t entries, size_t *bytes)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	*bytes = (value_bytes * entries + page - 1) / page * page;
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(u32), (u32)value_bytes, (u32)entries, &options);
}

static int map_rings(struct stream *stream, u64 slots, const bool *online, size_t slots_in_all)
{
	u64 first = 0;

	stream->rings_fd = make_map("stream_rings", sizeof(*stream->rings), stream->cpu_count, &stream->rings_bytes);
	if (stream->rings_fd < 0)
		return stream->rings_fd;
	stream->records_fd = make_map("stream_records", sizeof(*stream->records), slots_in_all, &stream->records_bytes);
	if (stream->records_fd < 0)
		return stream->records_fd;
	stream->rings = mmap(NULL, stream->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, stream->rings_fd, 0);
	stream->records = mmap(NULL, stream->records_bytes, PROT_READ, MAP_SHARED, stream->records_fd, 0);
	if (stream->rings == MAP_FAILED || stream->records == MAP_FAILED)
		return -errno;
	for (unsigned int cpu = 0; cpu < stream->cpu_count; cpu++) {
		struct stream_ring *ring = &stream->rings[cpu];

		ring->slots = ring->limit = online[cpu] ? slots : SLOTS_MIN;
		ring->first = first;
		stream->cursors[cpu].ring = ring;
		stream->cursors[cpu].records = stream->records + first;
		first += ring->slots;
	}
	return 0;
}

int stream_open(struct stream **out, size_t bytes)
{
	int cpu_count = libbpf_num_possible_cpus(), err = -ENOMEM;
	struct stream *stream = calloc(1, sizeof(*stream));
	unsigned int online_count;
	u64 slots = SLOTS_MIN;
	bool *online = NULL;

	*out = NULL;
	if (cpu_count < 0 || !stream) {
		free(stream);
		return cpu_count < 0 ? cpu_count : -ENOMEM;
	}
	stream->rings_fd = stream->records_fd = -1;
	stream->rings = MAP_FAILED;
	stream->records = MAP_FAILED;
	stream->cpu_count = (unsigned int)cpu_count;
	stream->cursors = calloc(stream->cpu_count, sizeof(*stream->cursors));
	stream->heap = calloc(stream->cpu_count, sizeof(struct cursor *));
	online = calloc(stream->cpu_count, sizeof(*online));
	if (!stream->cursors || !stream->heap || !online)
		goto out;
	online_count = read_online(online, stream->cpu_count);
	while (slots < SLOTS_MAX && 2 * slots * sizeof(struct syscall_record) * online_count <= bytes)
		slots *= 2;
	err = map_rings(stream, slots, online, slots * online_count + (stream->cpu_count - online_count) * SLOTS_MIN);
out:
	free(online);
	if (err)
		stream_close(stream);
	else
		*out = stream;
	return err;
}

void stream_close(struct stream *stream)
{
	if (!stream)
		return;
	if (stream->rings != MAP_FAILED)
		munmap(stream->rings, stream->rings_bytes);
	if (stream->records != MAP_FAILED)
		munmap(stream->records, stream->records_bytes);
	if (stream->rings_fd >= 0)
		close(stream->rings_fd);
	if (stream->records_fd >= 0)
		close(stream->records_fd);
	free(stream->cursors);
	free(stream->heap);
	free(stream);
}

int stream_rings_fd(const struct stream *stream)
{
	return stream->rings_fd;
}

int stream_records_fd(const struct stream *stream)
{
	return stream->records_fd;
}

static const struct syscall_record *record_at(const struct cursor *cursor)
{
	return &cursor->records[cursor->at & (cursor->ring->slots - 1)];
}

static void give_back(struct cursor *cursor)
{
	__atomic_store_n(&cursor->ring->tail, cursor->at, __ATOMIC_RELEASE);
	cursor->given_back = cursor->at;
}

static void sift_down(struct stream *stream, size_t i)
{
	struct cursor **heap = stream->heap, *moving = heap[i];

	for (size_t child; (child = 2 * i + 1) < stream->heap_count; i = child) {
		if (child + 1 < stream->heap_count && heap[child + 1]->next_ns < heap[child]->next_ns)
			child++;
		if (heap[child]->next_ns >= moving->next_ns)
			break;
		heap[i] = heap[child];
	}
	heap[i] = moving;
}

static void build_heap(struct stream *stream, u64 now_ns)
{
	stream->heap_count = 0;
	for (unsigned int cpu = 0; cpu < stream->cpu_count; cpu++) {
		struct cursor *cursor = &stream->cursors[cpu];

		cursor->end = __atomic_load_n(&cursor->ring->head, __ATOMIC_ACQUIRE);
		if (cursor->at == cursor->end)
			continue;
		cursor->next_ns = record_at(cursor)->time_ns;
		if (cursor->next_ns <= now_ns)
			stream->heap[stream->heap_count++] = cursor;
	}
	for (size_t i = stream->heap_count / 2; i-- > 0;)
		sift_down(stream, i);
}

/* The time up to which the oldest ring can be read on before it is another's turn. */
static u64 turn_ends(const struct stream *stream, u64 now_ns)
{
	u64 ends = now_ns;

	for (size_t i = 1; i < 3 && i < stream->heap_count; i++)
		if (stream->heap[i]->next_ns < ends)
			ends = stream->heap[i]->next_ns;
	return ends;
}

/*
 * The clock is read before the heads: whatever a thread did before a record that is older than `now_ns` has been published
 * by then, on whichever CPU, so it is handed over first.
 */
size_t stream_read(struct stream *stream, size_t most, stream_handler handler, void *context)
{
	u64 now_ns = clock_boot_ns();
	size_t taken = 0;

	build_heap(stream, now_ns);
	while (stream->heap_count && taken < most) {
		struct cursor *cursor = stream->heap[0];
		u64 ends_ns = turn_ends(stream, now_ns);

		do {
			handler(record_at(cursor), context);
			taken++;
			if (++cursor->at - cursor->given_back >= GIVE_BACK_RECORDS)
				give_back(cursor);
			if (cursor->at == cursor->end)
				break;
			cursor->next_ns = record_at(cursor)->time_ns;
		} while (cursor->next_ns <= ends_ns && taken < most);
		if (cursor->at == cursor->end || cursor->next_ns > now_ns)
			stream->heap[0] = stream->heap[--stream->heap_count];
		if (stream->heap_count)
			sift_down(stream, 0);
	}
	for (unsigned int cpu = 0; cpu < stream->cpu_count; cpu++)
		if (stream->cursors[cpu].given_back != stream->cursors[cpu].at)
			give_back(&stream->cursors[cpu]);
	return taken;
}
