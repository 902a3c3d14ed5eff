/* SPDX-License-Identifier: BSD-2-Clause */
#include "privilege.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <seccomp.h>

#include "log.h"

#define SUBSYSTEM "privilege"
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#ifndef __has_feature
#define __has_feature(x) 0
#endif
/*
 * The one exception: what AddressSanitizer and LeakSanitizer call is theirs to change, and the latter stops the process with
 * ptrace(2) at its end. Programs built with them keep the capabilities' rules and the calls that kill, but for that one.
 */
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* --- capabilities */

/*
 * What is kept. Each was left out once, as an own user (root owns what the others would be needed for): what failed then
 * is what `without` says; tests/e2e/test_privilege.py leaves each out again. Not kept, as nothing needs it after the start:
 * CAP_SYS_ADMIN (once, to mount cgroup2 where nobody has), CAP_DAC_OVERRIDE (the socket, in another's directory),
 * CAP_SYS_RESOURCE (maps are charged to the memory cgroup since 5.11, below our oldest kernel), CAP_SETUID and CAP_SETGID.
 */
static const struct kept {
	cap_value_t capability;
	bool needed; /* nothing works without it */
	const char *reason, *without;
} kept[] = {
	{ CAP_BPF, true, "to load BPF programs when somebody needs them", "no program can be loaded" },
	{ CAP_PERFMON, true, "for programs that trace and read kernel memory", "no program can be loaded" },
	{ CAP_NET_ADMIN, false, "to attach programs to the packets of all cgroups", "no link metrics (module net)" },
	/* for smaps_rollup CAP_PERFMON is enough since 6.13 (may_access_mm(), kernel/fork.c); for files of a process it is not */
	{ CAP_SYS_PTRACE, false, "to read memory maps and files of everybody's processes",
	  "before Linux 6.13 smaps_rollup only of processes of the collector's own user" },
	{ CAP_CHECKPOINT_RESTORE, false, "to open what processes have mapped, where its name does not lead to it",
	  "no heap probes of processes in containers and of programs that have been replaced" },
	{ CAP_DAC_READ_SEARCH, false, "to open cgroups by their ids, and files that only root may read",
	  "the column cgroup is empty, and rules must be readable for the collector's user" },
};

static bool is_kept(cap_value_t capability)
{
	for (size_t i = 0; i < COUNT(kept); i++)
		if (kept[i].capability == capability)
			return true;
	return false;
}

static bool is_permitted(cap_t caps, cap_value_t capability)
{
	cap_flag_value_t value = CAP_CLEAR;

	return caps && cap_get_flag(caps, capability, CAP_PERMITTED, &value) == 0 && value == CAP_SET;
}

/* "CAP_BPF", to be freed with free(). */
static char *name_of(cap_value_t capability)
{
	char *lower = cap_to_name(capability), *name = lower ? strdup(lower) : NULL;

	for (char *c = name; c && *c; c++)
		*c = (char)toupper(*c);
	cap_free(lower);
	return name;
}

/* In one line, if nothing works; else each with what does not. */
static int tell_missing(cap_t caps)
{
	char list[256] = "";
	int err = 0;

	for (size_t i = 0; i < COUNT(kept); i++)
		if (kept[i].needed && !is_permitted(caps, kept[i].capability))
			err = -EPERM;
	for (size_t i = 0; i < COUNT(kept); i++) {
		size_t used = strlen(list);
		char *name = is_permitted(caps, kept[i].capability) ? NULL : name_of(kept[i].capability);

		if (name && err)
			snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", name);
		else if (name)
			log_warning(SUBSYSTEM, "%s is missing: %s", name, kept[i].without);
		free(name);
	}
	if (err)
		log_error(SUBSYSTEM, "to be started as root, or with the capabilities %s, which are missing", list);
	return err;
}

/* CAP_SETPCAP has to be effective for this; who has not got it cannot execute anything that would use the set either. */
static int drop_bounding_set(void)
{
	for (cap_value_t capability = 0; capability < cap_max_bits(); capability++)
		if (!is_kept(capability) && cap_get_bound(capability) > 0 && cap_drop_bound(capability))
			return -errno;
	return 0;
}

static int limit_capabilities(void)
{
	cap_t have = cap_get_proc(), want = cap_init();
	int err = !have || !want ? -ENOMEM : tell_missing(have);

	for (size_t i = 0; i < COUNT(kept) && !err; i++) {
		cap_value_t capability = kept[i].capability;

		if (is_permitted(have, capability) && (cap_set_flag(want, CAP_PERMITTED, 1, &capability, CAP_SET) ||
						       cap_set_flag(want, CAP_EFFECTIVE, 1, &capability, CAP_SET)))
			err = -errno;
	}
	if (!err && is_permitted(have, CAP_SETPCAP))
		err = drop_bounding_set();
	if (!err && cap_reset_ambient())
		err = -errno;
	if (!err && cap_set_proc(want))
		err = -errno;
	cap_free(have);
	cap_free(want);
	return err;
}

/* --- limits */

static int limit_resources(void)
{
	static const struct rlimit none = { 0, 0 };
	struct rlimit files;
	int err = 0;

	/* connections, programs and attachments, all that the administrator allows: 1024 would be too few for some */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* what clients may not see of each other must not get into a file, nor into a debugger of the same user */
	if (setrlimit(RLIMIT_CORE, &none) || (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)))
		err = -errno;
	return err;
}

/* --- system calls */

/*
 * An allow-list, as a kernel gets calls faster than a deny-list. What is not listed fails with ENOSYS, as on a kernel that has
 * not got it: a C library newer than this list then goes the older way, and a collector that everybody relies on does
 * not die of an update. What no code of ours ever calls, and what only serves to get out of here, kills the process: who does
 * that is not the collector any more, its manager hears of it, and the kernel logs it (SECCOMP, type=1326). Those that fail
 * are not logged, as two are made on purpose: by libbpf at each loading, and by the C library for each thread.
 */
/* clang-format off */
static const char *const allowed[] = {
	/* events, files and memory, as libuv, libbpf and the C library use them */
	"read", "pread64", "readv", "write", "writev", "close", "lseek", "epoll_wait", "epoll_pwait", "epoll_pwait2",
	"epoll_ctl", "epoll_create1", "eventfd2", "pipe2", "poll", "ppoll", "fcntl", "dup", "dup3", "fstat", "newfstatat",
	"stat", "lstat", "statx", "fstatfs", "statfs", "getdents64", "readlink", "readlinkat", "access", "faccessat", "faccessat2",
	"munmap", "mremap", "madvise", "brk", "futex", "clock_gettime", "clock_getres", "gettimeofday", "clock_nanosleep",
	"nanosleep", "sched_yield", "sched_getaffinity", "getrandom", "uname", "sysinfo", "getpid", "gettid", "getuid",
	"geteuid", "getgid", "getegid", "capget", "getcwd", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
	"restart_syscall", "exit", "exit_group",
	/* threads */
	"set_robust_list", "rseq", "membarrier",
	/* clients */
	"listen", "accept4", "recvfrom", "recvmsg", "sendmsg", "getsockopt", "shutdown",
	/* the kernel side */
	"perf_event_open", "pidfd_open",
	/* the socket and its lock are removed at the end */
	"unlink", "unlinkat",
};
/* clang-format on */

/* clang-format off */
static const char *const killing[] = {
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_writev", "pidfd_getfd", "init_module", "finit_module",
	"delete_module", "kexec_load", "kexec_file_load", "mount", "umount2", "fsopen", "fsconfig", "fsmount", "fspick",
	"open_tree", "move_mount", "mount_setattr", "pivot_root", "chroot", "setns", "unshare", "mknod", "mknodat", "reboot",
	"swapon", "swapoff", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname",
	"iopl", "ioperm", "add_key", "request_key", "keyctl", "setuid", "setreuid", "setresuid", "setfsuid", "setgid",
	"setregid", "setresgid", "setfsgid", "setgroups", "capset", "io_uring_setup", "userfaultfd",
};
/* clang-format on */

/*
 * Calls that are allowed with some arguments only. Together with them CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and root's own
 * rights are for reading: nothing can be opened to be written (/proc/PID/mem, /etc, devices). And no socket can be made or
 * connected, of whatever family: those of a service manager or D-Bus would start programs for us.
 */
#define MASKED(argument, mask, value)                     \
	{                                                 \
		argument, SCMP_CMP_MASKED_EQ, mask, value \
	}
#define EQUAL(argument, value)                  \
	{                                       \
		argument, SCMP_CMP_EQ, value, 0 \
	}
#define FOR_READING (O_ACCMODE | O_CREAT | O_TRUNC)
#define ANY_LOW 0xffffffffu /* the kernel looks at 32 bits only, so must we */

static const struct conditional {
	const char *name;
	unsigned int count;
	struct scmp_arg_cmp arguments[2];
} conditional[] = {
	{ "openat", 1, { MASKED(2, FOR_READING, O_RDONLY) } },
	{ "open", 1, { MASKED(1, FOR_READING, O_RDONLY) } },
	{ "open_by_handle_at", 1, { MASKED(2, FOR_READING, O_RDONLY) } },
	/* no memory is both writable and executable, or becomes executable; plug-ins of the C library may be loaded */
	{ "mmap", 1, { MASKED(2, PROT_WRITE, 0) } },
	{ "mmap", 1, { MASKED(2, PROT_EXEC, 0) } },
	{ "mprotect", 1, { MASKED(2, PROT_EXEC, 0) } },
	{ "clone", 1, { MASKED(0, CLONE_THREAD, CLONE_THREAD) } }, /* clone3 has no arguments to look at: ENOSYS */
	{ "prctl", 1, { MASKED(0, ANY_LOW, PR_SET_NAME) } },
	{ "prctl", 1, { MASKED(0, ANY_LOW, PR_GET_DUMPABLE) } }, /* this and the next two: privilege_print() */
	{ "prctl", 1, { MASKED(0, ANY_LOW, PR_GET_NO_NEW_PRIVS) } },
	{ "prctl", 1, { MASKED(0, ANY_LOW, PR_CAPBSET_READ) } },
	{ "prlimit64", 2, { MASKED(0, ANY_LOW, 0), EQUAL(2, 0) } }, /* to ask for our own */
	/* on sockets that are connected: clients', and the one that tells the service manager that we are ready */
	{ "sendto", 1, { MASKED(5, ANY_LOW, 0) } },
	/* perf events; libuv makes accepted sockets non-blocking; stdio asks whether it writes to a terminal */
	{ "ioctl", 1, { MASKED(1, _IOC_TYPEMASK << _IOC_TYPESHIFT, '$' << _IOC_TYPESHIFT) } },
	{ "ioctl", 1, { MASKED(1, ANY_LOW, FIONBIO) } },
	{ "ioctl", 1, { MASKED(1, ANY_LOW, TCGETS) } },
};

/* What bpf(2) is needed for: nothing is pinned, no program or map of others can be had. */
/* clang-format off */
static const enum bpf_cmd bpf_commands[] = {
	BPF_MAP_CREATE, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY,
	BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_AND_DELETE_BATCH, BPF_MAP_UPDATE_BATCH,
	BPF_MAP_DELETE_BATCH, BPF_MAP_FREEZE, BPF_PROG_LOAD, BPF_PROG_BIND_MAP, BPF_PROG_TEST_RUN, BPF_BTF_LOAD,
	BPF_OBJ_GET_INFO_BY_FD, BPF_RAW_TRACEPOINT_OPEN, BPF_LINK_CREATE, BPF_LINK_UPDATE, BPF_LINK_DETACH, BPF_ITER_CREATE,
};
/* clang-format on */

static int add_rule(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned int count,
		    const struct scmp_arg_cmp *arguments)
{
	int number = seccomp_syscall_resolve_name(name);

	/* negative: this architecture, or the library's version, does not know it */
	return number < 0 ? 0 : seccomp_rule_add_array(filter, action, number, count, arguments);
}

/*
 * libbpf, up to 1.2 at least, gives up when it may not list the BTF of modules, which needs CAP_SYS_ADMIN. All that we read
 * is in the kernel proper, so it is told that there are none.
 */
static int add_bpf_rules(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp command = MASKED(0, ANY_LOW, BPF_BTF_GET_NEXT_ID);
	int err = add_rule(filter, SCMP_ACT_ERRNO(ENOENT), "bpf", 1, &command);

	for (size_t i = 0; i < COUNT(bpf_commands) && !err && !SANITIZED; i++) {
		command.datum_b = bpf_commands[i];
		err = add_rule(filter, SCMP_ACT_ALLOW, "bpf", 1, &command);
	}
	return err;
}

/* For good: a filter cannot be taken off, threads inherit it, and those that exist get it (TSYNC). */
static int limit_system_calls(void)
{
	const struct scmp_arg_cmp own = EQUAL(0, (scmp_datum_t)getpid());
	scmp_filter_ctx filter = seccomp_init(SANITIZED ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS));
	int err = filter ? 0 : -ENOMEM;

	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; i < COUNT(killing) && !err; i++)
		if (!SANITIZED || strcmp(killing[i], "ptrace") != 0)
			err = add_rule(filter, SCMP_ACT_KILL_PROCESS, killing[i], 0, NULL);
	for (size_t i = 0; i < COUNT(allowed) && !err && !SANITIZED; i++)
		err = add_rule(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	for (size_t i = 0; i < COUNT(conditional) && !err && !SANITIZED; i++)
		err = add_rule(filter, SCMP_ACT_ALLOW, conditional[i].name, conditional[i].count, conditional[i].arguments);
	if (!err && !SANITIZED)
		err = add_rule(filter, SCMP_ACT_ALLOW, "tgkill", 1, &own); /* abort() */
	if (!err)
		err = add_bpf_rules(filter);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

int privilege_drop(void)
{
	int err = limit_resources();

	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = -errno;
	if (!err) {
		err = limit_capabilities();
		if (err == -EPERM)
			return err; /* it was told what is missing */
	}
	if (!err)
		err = limit_system_calls();
	if (err)
		log_error(SUBSYSTEM, "privileges cannot be given up: %s", strerror(-err));
	return err;
}

void privilege_print(void)
{
	cap_t have = cap_get_proc();
	unsigned int bound = 0;

	printf("\n%-34s %s\n", "PRIVILEGE", "HELD");
	for (size_t i = 0; i < COUNT(kept); i++) {
		char *name = name_of(kept[i].capability);
		bool held = is_permitted(have, kept[i].capability);

		printf("%-34s %s%s\n", name ? name : "?", held ? "yes: " : "no: ", held ? kept[i].reason : kept[i].without);
		free(name);
	}
	cap_free(have);
	for (cap_value_t capability = 0; capability < cap_max_bits(); capability++)
		bound += !is_kept(capability) && cap_get_bound(capability) > 0;
	printf("%-34s no%s\n", "other capabilities", bound ? "; in the bounding set, for lack of cap_setpcap to drop them" : "");
	printf("%-34s %s\n", "new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) ? "no" : "yes");
	printf("%-34s %s\n", "core dumps, debuggers", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) ? "yes" : "no");
	if (SANITIZED)
		printf("%-34s all but %zu: built with a sanitizer\n", "system calls", COUNT(killing) - 1);
	else
		printf("%-34s %zu, of these %zu with some arguments only; %zu others kill the process\n", "system calls",
		       COUNT(allowed) + COUNT(conditional) + 2, COUNT(conditional) + 2, COUNT(killing));
}
