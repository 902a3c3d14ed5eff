/* SPDX-License-Identifier: BSD-2-Clause */
/* What can and cannot be done after privilege_drop(): tried, one by one. It needs the capabilities, so root. */
#include "privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static int two_sockets[2];

static long execute(void)
{
	return execl("/bin/true", "true", NULL);
}
static long execute_opened(void)
{
	return syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0);
}
static long trace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}
static long write_others_memory(void)
{
	return syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0);
}
static long load_module(void)
{
	return syscall(SYS_finit_module, -1, "", 0);
}
static long mount_something(void)
{
	return mount("none", "/no such directory", "tmpfs", 0, NULL);
}
static long open_mount(void)
{
	return syscall(SYS_fsopen, "cgroup2", 0);
}
static long become_another(void)
{
	return setuid(1);
}
static long regain(void)
{
	return syscall(SYS_capset, NULL, NULL);
}
static long set_up_ring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}
static long fork_one(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static long new_clone(void)
{
	return syscall(SYS_clone3, NULL, 0);
}
static long own_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}
static long internet_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}
static long netlink_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}
static long send_somewhere(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/notify" };

	return sendto(two_sockets[0], "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
}
static long send_on(void)
{
	return send(two_sockets[0], "x", 1, 0) == 1 ? 0 : -1;
}
static long open_to_write(void)
{
	return open("/dev/null", O_WRONLY);
}
static long open_anew(void)
{
	return open("/tmp/taskmon-unit-privilege", O_RDONLY | O_CREAT, 0600);
}
static long open_memory(void)
{
	return open("/proc/self/mem", O_RDWR);
}
static long open_by_how(void)
{
	return syscall(SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0);
}
static long open_to_read(void)
{
	return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
}
static long any_pages(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}
static long data_pages(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}
static long make_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static long type_for_the_user(void)
{
	return ioctl(0, TIOCSTI, "x");
}
static long kill_parent(void)
{
	return kill(getppid(), 0);
}
static long make_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1);
}
static long raise_limit(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	return setrlimit(RLIMIT_CORE, &unlimited);
}
static long remove_name(void)
{
	return unlink("/tmp/no such file") < 0 && errno == ENOENT ? 0 : -1;
}
static long list_modules_types(void)
{
	char attr[128] = { 0 };

	return syscall(SYS_bpf, 23 /* BPF_BTF_GET_NEXT_ID */, attr, sizeof(attr));
}
static long take_others_program(void)
{
	char attr[128] = { 0 };

	return syscall(SYS_bpf, 13 /* BPF_PROG_GET_FD_BY_ID */, attr, sizeof(attr));
}
static long pin(void)
{
	char attr[128] = { 0 };

	return syscall(SYS_bpf, 6 /* BPF_OBJ_PIN */, attr, sizeof(attr));
}

static void *do_nothing(void *argument)
{
	return argument;
}
static long start_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, do_nothing, NULL) || pthread_join(thread, NULL) ? -1 : 0;
}
/* In a thread that is begun after the drop, and in one that was there before it. */
static void *execute_in_thread(void *argument)
{
	return execute() ? argument : NULL;
}
static long execute_as_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, execute_in_thread, NULL) || pthread_join(thread, NULL) ? -1 : 0;
}
static long end_badly(void)
{
	abort();
}

enum outcome { WORKS = 0, DIES = -1 }; /* else: the errno that it fails with */

static const struct attempt {
	const char *name;
	long (*attempt)(void);
	int outcome;
	/* clang-format off */
} attempts[] = {
	{ "execve", execute, DIES }, { "execveat", execute_opened, DIES }, { "execve in a thread", execute_as_thread, DIES },
	{ "ptrace", trace, DIES }, { "process_vm_writev", write_others_memory, DIES }, { "finit_module", load_module, DIES },
	{ "mount", mount_something, DIES }, { "fsopen", open_mount, DIES }, { "setuid", become_another, DIES },
	{ "capset", regain, DIES }, { "io_uring_setup", set_up_ring, DIES },
	{ "clone of a process", fork_one, ENOSYS }, { "clone3", new_clone, ENOSYS }, { "a Unix socket", own_socket, ENOSYS },
	{ "an internet socket", internet_socket, ENOSYS }, { "a netlink socket", netlink_socket, ENOSYS },
	{ "sendto an address", send_somewhere, ENOSYS }, { "open for writing", open_to_write, ENOSYS },
	{ "open that creates", open_anew, ENOSYS }, { "memory of a process", open_memory, ENOSYS }, { "openat2", open_by_how, ENOSYS },
	{ "writable code", any_pages, ENOSYS }, { "new code", make_executable, ENOSYS }, { "TIOCSTI", type_for_the_user, ENOSYS },
	{ "kill", kill_parent, ENOSYS }, { "PR_SET_DUMPABLE", make_dumpable, ENOSYS }, { "setrlimit", raise_limit, ENOSYS },
	{ "BTF of modules", list_modules_types, ENOENT }, { "others' BPF programs", take_others_program, ENOSYS },
	{ "pinning", pin, ENOSYS },
	{ "send", send_on, WORKS }, { "open for reading", open_to_read, WORKS }, { "memory", data_pages, WORKS },
	{ "unlink", remove_name, WORKS }, { "a thread", start_thread, WORKS },
};
/* clang-format on */

static int status_of(long (*attempt)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		if (privilege_drop())
			_exit(255);
		errno = 0;
		_exit(attempt() < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void only_what_is_needed_can_be_done(void **state)
{
	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip(); /* the filter lets nearly everything through then */
#endif
	if (geteuid() != 0)
		skip();
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, two_sockets), 0);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		const struct attempt *attempt = &attempts[i];
		int status = status_of(attempt->attempt);
		bool right = attempt->outcome == DIES ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS :
							WIFEXITED(status) && WEXITSTATUS(status) == attempt->outcome;

		if (!right)
			fail_msg("%s: wait status %#x", attempt->name, (unsigned int)status);
	}
}

static void abort_still_aborts(void **state)
{
	int status;

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
	if (geteuid() != 0)
		skip();
	status = status_of(end_badly);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_false(WCOREDUMP(status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_needed_can_be_done),
		cmocka_unit_test(abort_still_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
