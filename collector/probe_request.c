/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "elf_file.h"
#include "str.h"

enum { LABEL_BYTES = 128, FUNCTIONS_PER_FILE = FEED_PROBES_MAX };

struct reading {
	struct probes *probes;
	struct session *session;
	const Taskmon__Subscribe *subscribe;
	struct feed_spec *spec;
	int fds[PASSED_FILES_MAX];
	size_t fd_count;
};

/* What the client calls it, for its eyes. */
static const char *label_of(const Taskmon__Probe *probe, char label[LABEL_BYTES])
{
	char function[LABEL_BYTES / 2], file[LABEL_BYTES / 2];

	str_sanitize(function, sizeof(function), probe->function, strlen(probe->function));
	str_sanitize(file, sizeof(file), probe->label, strlen(probe->label));
	snprintf(label, LABEL_BYTES, "%s:%s", file, function);
	return label;
}

static int refuse(const struct reading *reading, const Taskmon__Probe *probe, Taskmon__Error__Code code,
		  const char *why)
{
	char label[LABEL_BYTES];

	session_refuse(reading->session, code, reading->subscribe->request, "%s: %s", label_of(probe, label), why);
	return -EINVAL;
}

static int take_files(struct reading *reading)
{
	const Taskmon__Subscribe *subscribe = reading->subscribe;
	size_t needed = 0;

	for (size_t i = 0; i < subscribe->n_probes; i++) {
		if (subscribe->probes[i]->file >= PASSED_FILES_MAX)
			return refuse(reading, subscribe->probes[i], TASKMON__ERROR__CODE__LIMIT,
				      "too many files (at most 8)");
		if (subscribe->probes[i]->file >= needed)
			needed = subscribe->probes[i]->file + 1;
	}
	reading->fd_count = session_take_files(reading->session, reading->fds, needed);
	return reading->fd_count == needed
		       ? 0
		       : refuse(reading, subscribe->probes[subscribe->n_probes - 1], TASKMON__ERROR__CODE__INVALID,
				"its file did not come with the frame");
}

static int take_slot(struct reading *reading, size_t number, const struct elf_function *function,
		     const struct declaration *declaration)
{
	const Taskmon__Probe *probe = reading->subscribe->probes[number];
	struct feed_spec *spec = reading->spec;
	uid_t uid = session_client(reading->session)->uid;
	u32 slot;
	int err;

	if (function->indirect)
		return refuse(reading, probe, TASKMON__ERROR__CODE__INVALID,
			      "the symbol is not a function but chooses one when the program starts (an IFUNC)");
	if (spec->probe_count == FEED_PROBES_MAX)
		return refuse(reading, probe, TASKMON__ERROR__CODE__LIMIT,
			      "too many functions in one subscription (at most 16)");
	err = probes_acquire(reading->probes, uid, reading->fds[probe->file], function->offset, declaration, &slot);
	if (err == -EDQUOT)
		return refuse(reading, probe, TASKMON__ERROR__CODE__LIMIT, "too many probes of one user (at most 32)");
	if (err == -ENOSPC)
		return refuse(reading, probe, TASKMON__ERROR__CODE__LIMIT,
			      "all probes are in use by other subscriptions");
	if (err)
		return refuse(reading, probe, TASKMON__ERROR__CODE__INTERNAL, strerror(-err));
	for (size_t i = 0; i < spec->probe_count; i++) {
		if (spec->probes[i].slot == slot) {
			probes_release(reading->probes, uid, slot);
			return refuse(reading, probe, TASKMON__ERROR__CODE__INVALID,
				      "the same function is probed twice");
		}
	}
	spec->probes[spec->probe_count++] = (struct feed_probe){ slot, (u32)number };
	return 0;
}

static const char *why_not_found(int err)
{
	switch (err) {
	case 0:
		return "there is no function of that name in the file";
	case -ENOENT:
		return "the file has no symbol table (it is stripped)";
	case -E2BIG:
		return "too many functions have that name (at most 16)";
	case -EFBIG:
		return "the file's symbol table is too large";
	default:
		return "the file's symbol table is damaged";
	}
}

/* All functions of one probe. */
static int add_probe(struct reading *reading, struct elf_file *file, size_t number)
{
	const Taskmon__Probe *probe = reading->subscribe->probes[number];
	const char *name = probe->function;
	struct elf_found found[FUNCTIONS_PER_FILE];
	struct declaration declaration;
	char reason[256];
	int count, err = 0;

	memset(&declaration, 0, sizeof(declaration));
	if (declaration_parse(&declaration, probe->arguments, reason, sizeof(reason)))
		return refuse(reading, probe, TASKMON__ERROR__CODE__INVALID, reason);
	count = elf_file_find(file, &name, 1, found, FUNCTIONS_PER_FILE);
	if (!name[0] || count <= 0)
		return refuse(reading, probe, TASKMON__ERROR__CODE__INVALID, why_not_found(name[0] ? count : 0));
	for (int i = 0; !err && i < count; i++)
		err = take_slot(reading, number, &found[i].function, &declaration);
	return err;
}

static int read_file(struct reading *reading, u32 number)
{
	const Taskmon__Subscribe *subscribe = reading->subscribe;
	char reason[ELF_FILE_ERROR_BYTES];
	struct elf_file *file = NULL;
	int err = 0;

	for (size_t i = 0; !err && i < subscribe->n_probes; i++) {
		if (subscribe->probes[i]->file != number)
			continue;
		if (!file && elf_file_open(&file, reading->fds[number], reason))
			return refuse(reading, subscribe->probes[i], TASKMON__ERROR__CODE__INVALID, reason);
		err = add_probe(reading, file, i);
	}
	elf_file_close(file);
	return err;
}

static int read_within_budget(struct reading *reading, u32 number)
{
	uid_t uid = session_client(reading->session)->uid;
	u64 began_ns = clock_boot_ns();
	int err = probes_may_read(reading->probes, uid);

	if (err)
		return refuse(reading, reading->subscribe->probes[0], TASKMON__ERROR__CODE__LIMIT,
			      err == -EBUSY ? "reading your files has taken too long lately: ask again in 10 s"
					    : "no memory");
	err = read_file(reading, number);
	probes_have_read(reading->probes, uid, clock_boot_ns() - began_ns);
	return err;
}

int probe_request_read(struct probes *probes, struct session *session, const Taskmon__Subscribe *subscribe,
		       const struct watch_spec *watch, struct feed_spec *spec)
{
	struct reading reading = { .probes = probes, .session = session, .subscribe = subscribe, .spec = spec };
	int err;

	if (subscribe->n_probes == 0)
		return 0;
	spec->probe_user = session_client(session)->uid;
	if (subscribe->n_probes > PROBES_PER_SUBSCRIPTION)
		return refuse(&reading, subscribe->probes[0], TASKMON__ERROR__CODE__LIMIT,
			      "too many probes in one subscription (at most 16)");
	if (watch->pid_count == 0 || watch->rule_count || watch->name_count)
		return refuse(
			&reading, subscribe->probes[0], TASKMON__ERROR__CODE__INVALID,
			"functions are probed only in processes that are named by their number, and their children");
	err = take_files(&reading);
	for (u32 i = 0; !err && i < reading.fd_count; i++)
		err = read_within_budget(&reading, i);
	for (size_t i = 0; i < reading.fd_count; i++)
		close(reading.fds[i]);
	for (size_t i = 0; err && i < spec->probe_count; i++)
		probes_release(probes, spec->probe_user, spec->probes[i].slot);
	if (err)
		spec->probe_count = 0;
	return err;
}
