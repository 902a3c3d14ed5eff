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
#include "ring_merge.h"

enum {
	SLOTS_MIN = 1024, /* also of CPUs that are not online yet */
	SLOTS_MAX = 1 << 24,
};

struct stream {
	unsigned int cpu_count; /* that there can be */
	int rings_fd, records_fd;
	struct stream_ring *rings;
	struct syscall_record *records;
	size_t rings_bytes, records_bytes;
	struct ring_merge *merge;
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
		ring_merge_set(stream->merge, cpu, ring, stream->records + first);
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
	stream->merge = ring_merge_new(stream->cpu_count);
	online = calloc(stream->cpu_count, sizeof(*online));
	if (!stream->merge || !online)
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
	ring_merge_free(stream->merge);
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

size_t stream_read(struct stream *stream, size_t most, stream_handler handler, void *context)
{
	return ring_merge_read(stream->merge, clock_boot_ns(), most, handler, context);
}
