/* SPDX-License-Identifier: BSD-2-Clause */
#include "confine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

/* include/uapi/linux/landlock.h, with what is newer than the headers that we build with. Numbers are the same everywhere. */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, RULESET_VERSION = 1 << 0, RULE_PATH_BENEATH = 1 };

#define RIGHT(bit) (1ULL << (bit))
#define WRITE_FILE RIGHT(1)
#define READ_FILE RIGHT(2)
#define READ_DIR RIGHT(3)
#define REMOVE_FILE RIGHT(5)
#define MAKE_REG RIGHT(8)
#define TRUNCATE RIGHT(14)
#define RESOLVE_UNIX RIGHT(16)

#define READ (READ_FILE | READ_DIR)
#define OUTPUT (READ_FILE | WRITE_FILE | REMOVE_FILE | MAKE_REG | TRUNCATE)
#define FOR_FILES (READ_FILE | WRITE_FILE | TRUNCATE) /* the others are for directories only */

/* What each version of the interface can deny. Signals are not scoped: the command gets them, and it is outside. */
static const struct version {
	int first;
	uint64_t files, network, scopes;
} versions[] = {
	{ 1, RIGHT(13) - 1, 0, 0 }, { 2, RIGHT(13), 0, 0 },    /* moving between directories */
	{ 3, TRUNCATE, 0, 0 },      { 4, 0, RIGHT(2) - 1, 0 }, /* bind and connect of TCP */
	{ 5, RIGHT(15), 0, 0 },                                /* ioctl of devices */
	{ 6, 0, 0, RIGHT(0) },                                 /* abstract Unix sockets */
	{ 9, RESOLVE_UNIX, 0, 0 },                             /* those with a path */
};

struct ruleset_attr {
	uint64_t files, network, scopes;
};

struct path_beneath_attr {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

/* Whatever happens later may need these: the names of users and services that know them, the time zone, who lives. */
static const struct {
	const char *path;
	uint64_t rights;
} needed[] = {
	{ "/proc", READ },
	{ "/etc", READ },
	{ "/usr", READ },
	{ "/lib", READ },
	{ "/lib64", READ },
	{ "/var/lib/sss", READ | RESOLVE_UNIX },
	{ "/run/nscd", READ | RESOLVE_UNIX },
	{ "/run/systemd/userdb", READ | RESOLVE_UNIX },
	{ "/dev/tty", READ_FILE },
	{ "/dev/null", READ_FILE },
};

struct ruleset {
	int fd, err;
	struct ruleset_attr handled;
};

static void allow(struct ruleset *ruleset, const char *path, uint64_t rights)
{
	struct path_beneath_attr rule = { .allowed = rights & ruleset->handled.files };
	struct stat there;

	rule.parent = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent < 0)
		return; /* what is not there is of no use */
	if (fstat(rule.parent, &there) == 0 && !S_ISDIR(there.st_mode))
		rule.allowed &= FOR_FILES;
	if (rule.allowed && syscall(ADD_RULE, ruleset->fd, RULE_PATH_BENEATH, &rule, 0))
		ruleset->err = -errno;
	close(rule.parent);
}

static void allow_directory_of(struct ruleset *ruleset, const char *path, uint64_t rights)
{
	char copy[PATH_MAX];

	if (snprintf(copy, sizeof(copy), "%s", path) < (int)sizeof(copy))
		allow(ruleset, dirname(copy), rights);
}

/* The socket itself may be behind a link. */
static void allow_socket(struct ruleset *ruleset, const char *path)
{
	char *real = realpath(path, NULL);

	allow_directory_of(ruleset, path, RESOLVE_UNIX);
	if (real)
		allow_directory_of(ruleset, real, RESOLVE_UNIX);
	free(real);
}

/* Where the files that are open for writing really are: their names may be links, or lie outside of --csv. */
static void allow_open_outputs(struct ruleset *ruleset)
{
	DIR *fds = opendir("/proc/self/fd");
	struct dirent *entry;

	while (fds && (entry = readdir(fds))) {
		char target[PATH_MAX];
		int fd = atoi(entry->d_name);
		ssize_t length;
		struct stat file;

		if (fd <= STDERR_FILENO || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY || fstat(fd, &file) ||
		    !S_ISREG(file.st_mode))
			continue;
		length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);
		if (length <= 0)
			continue;
		target[length] = '\0';
		allow_directory_of(ruleset, target, OUTPUT);
	}
	if (fds)
		closedir(fds);
}

/* Negative where there is no Landlock. */
static int create(struct ruleset *ruleset)
{
	int version = (int)syscall(CREATE_RULESET, NULL, 0, RULESET_VERSION);

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (versions[i].first > version)
			continue;
		ruleset->handled.files |= versions[i].files;
		ruleset->handled.network |= versions[i].network;
		ruleset->handled.scopes |= versions[i].scopes;
	}
	if (version > 0)
		ruleset->fd = (int)syscall(CREATE_RULESET, &ruleset->handled, sizeof(ruleset->handled), 0);
	return version > 0 ? ruleset->fd : -1;
}

void confine(const struct options *options)
{
	struct ruleset ruleset = { .fd = -1 };

	if (create(&ruleset) < 0)
		return;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		allow(&ruleset, needed[i].path, needed[i].rights);
	allow_socket(&ruleset, options->socket_path);
	if (options->csv_dir)
		allow(&ruleset, options->csv_dir, OUTPUT);
	if (options->json_path && strcmp(options->json_path, "-") != 0)
		allow_directory_of(&ruleset, options->json_path, OUTPUT);
	allow_open_outputs(&ruleset);
	if (!ruleset.err && syscall(RESTRICT_SELF, ruleset.fd, 0))
		ruleset.err = -errno;
	if (ruleset.err)
		log_warning(NULL, "Landlock: %s: this process is not confined", strerror(-ruleset.err));
	close(ruleset.fd);
}
