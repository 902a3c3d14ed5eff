/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel tells of processes in text, some of which the processes have written: status, stat, cmdline. There is one
 * process, and the input is what each of its files says.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access.h"
#include "fake_kernel.h"
#include "watch.h"

static int text_fd = -1;
static bool listed;

int __real_open(const char *path, int flags, ...);
DIR *__real_opendir(const char *path);
struct dirent *__real_readdir(DIR *directory);

int __wrap_open(const char *path, int flags, ...)
{
	if (strncmp(path, "/proc/", 6) != 0)
		return __real_open(path, flags, 0600);
	lseek(text_fd, 0, SEEK_SET);
	return dup(text_fd);
}

struct dirent *__wrap_readdir(DIR *directory)
{
	static struct dirent entry = { .d_name = "77" };

	(void)directory;
	listed = !listed;
	return listed ? &entry : NULL;
}

static struct watches *watch_for_words(struct rules *rules)
{
	static struct watch_spec spec; /* 16 KiB */
	struct watches *watches = watches_new(NULL, rules);

	for (size_t i = 0; i < rules->count && spec.rule_count < WATCH_RULES_MAX; i++)
		strcpy(spec.rules[spec.rule_count++], rules->list[i]->name);
	assert(watches && watch_acquire(watches, &spec) >= 0);
	return watches;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct client root = { .sees_all = true }, somebody = { .uid = 65534, .gid = 65534 };
	static struct watches *watches;
	static struct rules rules;
	struct pid_key key;
	char error[512];
	int err;

	if (!watches) {
		assert(rules_load(&rules, "config/known-apps.json", NULL, error, sizeof(error)) == 0);
		text_fd = memfd_create("text", MFD_CLOEXEC);
		fake_kernel_begin(NULL, 1);
		watches = watch_for_words(&rules);
	}
	assert(ftruncate(text_fd, 0) == 0 && pwrite(text_fd, data, size, 0) == (ssize_t)size);
	err = access_process(&somebody, 77, &key);
	assert(err == 0 || err == -ESRCH || err == -EACCES || err == -EINVAL);
	if (access_process(&root, 77, &key) == 0)
		assert(key.tgid == 77);
	else
		assert(err);
	access_process_key(77, &key);
	watches_update_rules(watches); /* reads the arguments of all processes */
	return 0;
}
