/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probes on the code of one process, by what perf_event_open(2) calls a uprobe: attached to a file, so that it covers every mapping of it
 * that the process has now or makes later, also after exec; but not the processes that it forks.
 *
 * Traps. Up to 6.11 a return probe also runs for other processes with a probe in the same place, so programs compare their cookie with the
 * current process. The kernel compares address spaces: a child that has its parent's, as after vfork, is probed with it. When the thread
 * exits that it was attached to, the probe is dead, although the process may live.
 */
#ifndef TASKMON_UPROBE_H
#define TASKMON_UPROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct uprobe {
	int program_fd;
	int file_fd;     /* any descriptor of the file, O_PATH included */
	pid_t tid;       /* a thread of the process, best its main thread */
	uint64_t offset; /* of an instruction in the file */
	uint64_t cookie; /* what bpf_get_attach_cookie() returns */
	bool at_return;  /* when the function returns; `offset` is where the return address is on top of the stack */
};

/**
 * Attach. Returns a descriptor: closing it detaches, and takes milliseconds now and then, since the kernel waits until no CPU runs the
 * program any more. -ESRCH: the thread has gone. -EINVAL: not the beginning of an instruction that can be probed.
 */
int uprobe_attach(const struct uprobe *uprobe);

/**
 * Likewise, several places of one file at once, which the kernel attaches and detaches in one go (uprobe_multi, used since 6.12; there is
 * no return probe for others then). Only for the main thread of a process, and programs that were loaded with UPROBE_MULTI_TYPE. `offset` and
 * `cookie` of `common` do not count.
 */
int uprobe_attach_multi(const struct uprobe *common, const uint64_t *offsets, const uint64_t *cookies, size_t count);
#define UPROBE_MULTI_TYPE 48 /* BPF_TRACE_UPROBE_MULTI, include/uapi/linux/bpf.h since 6.6 */
bool uprobe_has_multi(void);

/** Why this kernel has no such probes; NULL: it has. */
const char *uprobe_unavailable(void);

#endif
