/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_LOG_H
#define TASKMON_LOG_H

/**
 * Messages for people, on stderr: `PROGRAM: SUBSYSTEM: text`, one line each. `subsystem` may be NULL.
 * Errors are logged once, where the cause is known.
 */
void log_init(const char *program, int verbose);
void log_error(const char *subsystem, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_warning(const char *subsystem, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_info(const char *subsystem, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Written before each message: what takes a line away that is no message. Lives for ever. */
void log_set_erase(const char *erase);
/** Only with -v. */
void log_debug(const char *subsystem, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
