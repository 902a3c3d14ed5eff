/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "aside.h"
#include "lookup.h"
#include "str.h"

enum { LABEL_BYTES = 128 };

_Static_assert((int)LOOKUP_FOUND_MAX >= (int)FEED_PROBES_MAX && (int)LOOKUP_NAMES_MAX >= (int)PROBES_PER_SUBSCRIPTION,
	       "a lookup is as large as what may be asked for");

struct reading {
	struct probes *probes;
	struct session *session;
	const Taskmon__Subscribe *subscribe;
	struct feed_spec *spec;
	int fds[INTAKE_FILES_MAX];
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

static int refuse(const struct reading *reading, const Taskmon__Probe *probe, Taskmon__Error__Code code, const char *why)
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
		if (subscribe->probes[i]->file >= INTAKE_FILES_MAX)
			return refuse(reading, subscribe->probes[i], TASKMON__ERROR__CODE__LIMIT, "too many files (at most 8)");
		if (subscribe->probes[i]->file >= needed)
			needed = subscribe->probes[i]->file + 1;
	}
	reading->fd_count = session_take_files(reading->session, reading->fds, needed);
	return reading->fd_count == needed ? 0 :
					     refuse(reading, subscribe->probes[subscribe->n_probes - 1],
						    TASKMON__ERROR__CODE__INVALID, "its file did not come with the frame");
}

static int take_slot(struct reading *reading, const struct lookup *file, size_t number, uint64_t offset, bool indirect,
		     const struct declaration *declaration)
{
	const Taskmon__Probe *probe = reading->subscribe->probes[number];
	struct feed_spec *spec = reading->spec;
	uid_t uid = session_client(reading->session)->uid;
	u32 slot;
	int err;

	if (indirect)
		return refuse(reading, probe, TASKMON__ERROR__CODE__INVALID,
			      "the symbol is not a function but chooses one when the program starts (an IFUNC)");
	if (spec->probe_count == FEED_PROBES_MAX)
		return refuse(reading, probe, TASKMON__ERROR__CODE__LIMIT, "too many functions in one subscription (at most 16)");
	err = probes_acquire(reading->probes, uid, file, offset, declaration, &slot);
	if (err == -EDQUOT)
		return refuse(reading, probe, TASKMON__ERROR__CODE__LIMIT, "too many probes of one user (at most 32)");
	if (err == -ENOSPC)
		return refuse(reading, probe, TASKMON__ERROR__CODE__LIMIT, "all probes are in use by other subscriptions");
	if (err)
		return refuse(reading, probe, TASKMON__ERROR__CODE__INTERNAL, strerror(-err));
	for (size_t i = 0; i < spec->probe_count; i++) {
		if (spec->probes[i].slot == slot) {
			probes_release(reading->probes, uid, slot);
			return refuse(reading, probe, TASKMON__ERROR__CODE__INVALID, "the same function is probed twice");
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
static int add_probe(struct reading *reading, const struct lookup *file, size_t number, const struct lookup_result *result)
{
	const Taskmon__Probe *probe = reading->subscribe->probes[number];
	struct declaration declaration;
	char reason[256];
	int err = 0;

	memset(&declaration, 0, sizeof(declaration));
	if (declaration_parse(&declaration, probe->arguments, reason, sizeof(reason)))
		return refuse(reading, probe, TASKMON__ERROR__CODE__INVALID, reason);
	if (result->count <= 0)
		return refuse(reading, probe, TASKMON__ERROR__CODE__INVALID, why_not_found(result->count));
	for (int i = 0; !err && i < result->count; i++)
		err = take_slot(reading, file, number, result->found[i].offset, result->found[i].indirect, &declaration);
	return err;
}

static const char *why_not_read(int err)
{
	switch (err) {
	case -EBUSY:
		return "reading your files has taken too long lately: ask again later";
	case -ETIMEDOUT:
		return "reading the file takes too long: ask again later";
	default:
		return strerror(-err);
	}
}

static int look_up(struct reading *reading, u32 number, struct lookup *lookup)
{
	const Taskmon__Subscribe *subscribe = reading->subscribe;
	const Taskmon__Probe *first = NULL;
	int err = 0;

	for (size_t i = 0; !err && i < subscribe->n_probes; i++) {
		if (subscribe->probes[i]->file != number)
			continue;
		first = first ? first : subscribe->probes[i];
		err = lookup_add(lookup, subscribe->probes[i]->function);
	}
	if (!first)
		return 0; /* it came for nothing */
	if (!err)
		err = probes_read(reading->probes, session_client(reading->session)->uid, lookup);
	if (err)
		return refuse(reading, first, TASKMON__ERROR__CODE__LIMIT, why_not_read(err));
	return lookup->error[0] ? refuse(reading, first, TASKMON__ERROR__CODE__INVALID, lookup->error) : 0;
}

static int add_probes_of(struct reading *reading, u32 number, struct lookup *lookup)
{
	const Taskmon__Subscribe *subscribe = reading->subscribe;
	int err = look_up(reading, number, lookup);

	for (size_t i = 0, result = 0; !err && i < subscribe->n_probes; i++)
		if (subscribe->probes[i]->file == number)
			err = add_probe(reading, lookup, i, &lookup->results[result++]);
	return err;
}

/* The descriptor is given away. */
static int read_file(struct reading *reading, u32 number)
{
	struct lookup *lookup = lookup_new(reading->fds[number]);
	int err;

	if (!lookup) {
		aside_close(&reading->fds[number], 1, NULL, NULL);
		return refuse(reading, reading->subscribe->probes[0], TASKMON__ERROR__CODE__INTERNAL, strerror(ENOMEM));
	}
	err = add_probes_of(reading, number, lookup);
	probes_end_reading(reading->probes, session_client(reading->session)->uid, lookup);
	return err;
}

int probe_request_read(struct probes *probes, struct session *session, const Taskmon__Subscribe *subscribe,
		       const struct watch_spec *watch, struct feed_spec *spec)
{
	struct reading reading = { .probes = probes, .session = session, .subscribe = subscribe, .spec = spec };
	u32 read = 0;
	int err;

	if (subscribe->n_probes == 0)
		return 0;
	spec->probe_user = session_client(session)->uid;
	if (subscribe->n_probes > PROBES_PER_SUBSCRIPTION)
		return refuse(&reading, subscribe->probes[0], TASKMON__ERROR__CODE__LIMIT,
			      "too many probes in one subscription (at most 16)");
	if (watch->pid_count == 0 || watch->rule_count || watch->name_count)
		return refuse(&reading, subscribe->probes[0], TASKMON__ERROR__CODE__INVALID,
			      "functions are probed only in processes that are named by their number, and their children");
	err = take_files(&reading);
	for (; !err && read < reading.fd_count; read++)
		err = read_file(&reading, read);
	if (read < reading.fd_count)
		aside_close(reading.fds + read, reading.fd_count - read, NULL, NULL);
	for (size_t i = 0; err && i < spec->probe_count; i++)
		probes_release(probes, spec->probe_user, spec->probes[i].slot);
	if (err)
		spec->probe_count = 0;
	return err;
}
