/* SPDX-License-Identifier: BSD-2-Clause */
/* Beside what openat2(2) says, where the kernel has it. */
#include "open_in_root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unit.h"

static char base[] = "/tmp/taskmon-unit-XXXXXX";
static int root;

static int make_tree(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(base));
	root = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	assert_int_equal(mkdirat(root, "bin", 0755), 0);
	assert_int_equal(mkdirat(root, "usr", 0755), 0);
	assert_int_equal(mkdirat(root, "usr/lib", 0755), 0);
	close(openat(root, "usr/lib/libc.so", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	close(openat(root, "etc", O_WRONLY | O_CREAT | O_CLOEXEC, 0644)); /* which is a directory outside */
	assert_int_equal(symlinkat("usr/lib", root, "lib"), 0);
	assert_int_equal(symlinkat("/usr/lib", root, "lib64"), 0);
	assert_int_equal(symlinkat("../../../../../../etc/passwd", root, "out"), 0);
	assert_int_equal(symlinkat("/proc/self/root", root, "magic"), 0);
	assert_int_equal(symlinkat("../lib/libc.so", root, "bin/relative"), 0);
	assert_int_equal(symlinkat("loop", root, "loop"), 0);
	return 0;
}

static int remove_tree(void **state)
{
	static const char *const files[] = { "usr/lib/libc.so", "etc", "lib", "lib64", "out", "magic", "bin/relative", "loop" };
	static const char *const directories[] = { "usr/lib", "usr", "bin" };

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlinkat(root, files[i], 0);
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		unlinkat(root, directories[i], AT_REMOVEDIR);
	close(root);
	return rmdir(base);
}

static int as_the_kernel(const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static void what_is_found_is_what_the_kernel_finds(void **state)
{
	/* clang-format off */
	static const char *const paths[] = {
		"/", "", ".", "..", "/../..", "usr", "/usr/lib/libc.so", "usr//lib/./libc.so", "/lib/libc.so", "/lib64/libc.so",
		"/lib64/../lib/libc.so", "/lib64/..", "bin/relative", "/bin/../../../bin/relative", "out", "/magic", "magic/etc", "loop",
		"loop/x", "/none", "/none/..", "etc", "etc/passwd", "etc/..", "usr/lib/libc.so/", "lib/", "etc/", "bin/relative/.",
	};
	/* clang-format on */

	(void)state;
	if (as_the_kernel(".") == -ENOSYS)
		skip();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int want = as_the_kernel(paths[i]), got = open_in_root(root, paths[i]);
		struct stat wanted, found;

		/* the empty path is the root for us */
		if (want == -ENOENT && !paths[i][0]) {
			assert_true(got >= 0);
		} else if (want < 0) {
			if (got != want)
				fail_msg("\"%s\": %d, the kernel says %d", paths[i], got, want);
		} else {
			if (got < 0)
				fail_msg("\"%s\": %d, the kernel finds it", paths[i], got);
			assert_int_equal(fstat(want, &wanted), 0);
			assert_int_equal(fstat(got, &found), 0);
			if (wanted.st_ino != found.st_ino || wanted.st_dev != found.st_dev)
				fail_msg("\"%s\": another file", paths[i]);
		}
		if (got >= 0)
			close(got);
		if (want >= 0)
			close(want);
	}
}

static void what_is_too_long_is_refused(void **state)
{
	char path[8192] = "";

	(void)state;
	memset(path, 'x', 300);
	assert_int_equal(open_in_root(root, path), -ENAMETOOLONG);
	memset(path, '/', sizeof(path) - 1);
	assert_int_equal(open_in_root(root, path), -ENAMETOOLONG);
	for (int i = 0; i < 1000; i++)
		memcpy(path + 4 * i, "bin/", 4);
	path[4000] = '\0';
	assert_int_equal(open_in_root(root, path), -ENOENT);
}

static void no_descriptor_is_left(void **state)
{
	int before = dup(root), after;

	(void)state;
	close(before);
	for (int i = 0; i < 100; i++) {
		int fd = open_in_root(root, i % 2 ? "bin/relative" : "loop");

		if (fd >= 0)
			close(fd);
	}
	after = dup(root);
	close(after);
	assert_int_equal(after, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_found_is_what_the_kernel_finds),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(no_descriptor_is_left),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
