// SPDX-License-Identifier: BSD-2-Clause
/*
 * talk WORD...
 *
 * Does with sockets what the words say, one after the other, in a thread named "talker"; the main thread only waits. The socket
 * made last is the current one, until `use N` takes another: they are numbered from 0 in the order of their making.
 * Whatever fails although it should not (or works although it should not) ends the program with status 125.
 *
 *   socket inet|inet6|unix stream|dgram    make a socket
 *   pair stream|dgram        socketpair(2): two sockets
 *   bind ADDRESS             to any port; prints port=PORT. An address of AF_UNIX is a path
 *   listen                   on what it is bound to
 *   connect ADDRESS PORT     must work. PORT 0: the one that this program has bound
 *   refused ADDRESS PORT     connect(2) that must fail
 *   begin ADDRESS PORT       connect(2) that does not block
 *   accept, accept4          makes the next socket
 *   send, write, sendmsg, sendfile, splice COUNT BYTES   so many calls that take exactly so many
 *                          bytes; the last two from a file and from a pipe
 *   recv, read, spliced, peek COUNT BYTES  likewise; `spliced` goes to a pipe
 *   sendmmsg COUNT BYTES     one call with COUNT messages
 *   gso SEGMENT BYTES        one call that stands for datagrams of SEGMENT bytes
 *   nosend, norecv           calls that must fail
 *   give, take PATH          pass the current socket to whoever takes it, with SCM_RIGHTS and one byte of payload
 *   nodelay                  TCP_NODELAY
 *   close                    the current socket
 *   use N
 *   wait                     prints step=N (1, 2, ...) and waits for SIGUSR1
 *   fork                     the child goes on behind the word `child` and prints child=PID and child_step=N
 *   child                    where the parent's words end
 *
 * After its last word it prints done=1 and waits for SIGTERM, which ends it wherever it waits for a signal.
 */
#include "transfer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/prctl.h>
#include <sys/un.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { SOCKETS_MAX = 64, MESSAGES_MAX = 64 };

static int sockets[SOCKETS_MAX], made, current = -1;
static char **words;
static const char *step_name = "step";
static int step, bound_port;

static const char *word(void)
{
	if (!*words)
		usage("WORD...: a word is missing at the end");
	return *words++;
}

static long argument(void)
{
	return atol(word());
}

static int fd(void)
{
	return sockets[current];
}

static void check(long result, long want, const char *what)
{
	if (result == want)
		return;
	if (result >= 0)
		fprintf(stderr, "%s: %ld instead of %ld\n", what, result, want);
	die(what);
}

static void made_socket(int new_fd, const char *what)
{
	if (new_fd < 0 || made == SOCKETS_MAX)
		die(what);
	current = made;
	sockets[made++] = new_fd;
}

static int number_of(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {
		{ "inet", AF_INET }, { "inet6", AF_INET6 }, { "unix", AF_UNIX }, { "stream", SOCK_STREAM }, { "dgram", SOCK_DGRAM }
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].number;
	usage("socket FAMILY TYPE");
	return -1;
}

/* --- addresses */

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static socklen_t parse(union address *address, const char *text, int port)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &address->in.sin_addr) == 1) {
		address->in.sin_family = AF_INET;
		address->in.sin_port = htons(port);
		return sizeof(address->in);
	}
	if (inet_pton(AF_INET6, text, &address->in6.sin6_addr) == 1) {
		address->in6.sin6_family = AF_INET6;
		address->in6.sin6_port = htons(port);
		return sizeof(address->in6);
	}
	address->un.sun_family = AF_UNIX;
	snprintf(address->un.sun_path, sizeof(address->un.sun_path), "%s", text);
	return sizeof(address->un);
}

static void do_bind(void)
{
	union address address;
	socklen_t size = parse(&address, word(), 0);

	check(bind(fd(), &address.any, size), 0, "bind");
	if (address.any.sa_family == AF_UNIX)
		return;
	check(getsockname(fd(), &address.any, &size), 0, "getsockname");
	bound_port = ntohs(address.any.sa_family == AF_INET ? address.in.sin_port : address.in6.sin6_port);
	printf("port=%d\n", bound_port);
}

static void do_listen(void)
{
	check(listen(fd(), 16), 0, "listen");
}

static int begin_connect(void)
{
	const char *name = word();
	int port = (int)argument();
	union address address;
	socklen_t size = parse(&address, name, port ? port : bound_port);

	return connect(fd(), &address.any, size);
}

static void do_connect(void)
{
	check(begin_connect(), 0, "connect");
}

static void do_refused(void)
{
	check(begin_connect(), -1, "a connect that should fail");
}

static void do_begin(void)
{
	int result;

	fcntl(fd(), F_SETFL, fcntl(fd(), F_GETFL) | O_NONBLOCK);
	result = begin_connect();
	if (result < 0 && errno != EINPROGRESS)
		die("connect");
	fcntl(fd(), F_SETFL, fcntl(fd(), F_GETFL) & ~O_NONBLOCK);
}

static void do_accept(void)
{
	made_socket(accept(fd(), NULL, NULL), "accept");
}

static void do_accept4(void)
{
	made_socket(accept4(fd(), NULL, NULL, SOCK_CLOEXEC), "accept4");
}

static void do_socket(void)
{
	int family = number_of(word());

	made_socket(socket(family, number_of(word()), 0), "socket");
}

static void do_pair(void)
{
	int pair[2];

	check(socketpair(AF_UNIX, number_of(word()), 0, pair), 0, "socketpair");
	made_socket(pair[0], "socketpair");
	made_socket(pair[1], "socketpair");
}

static void do_nodelay(void)
{
	check(setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)), 0, "TCP_NODELAY");
}

static void do_close(void)
{
	check(close(fd()), 0, "close");
}

static void do_use(void)
{
	current = (int)argument();
}

/* --- payload; transfer.h has the rest */

static void do_sendmmsg(void)
{
	long count = argument(), bytes = argument();
	struct iovec part = { transfer_buffer, bytes };
	struct mmsghdr messages[MESSAGES_MAX];

	for (long i = 0; i < count && i < MESSAGES_MAX; i++)
		messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } };
	check(sendmmsg(fd(), messages, count, MSG_NOSIGNAL), count, "sendmmsg");
}

static void do_gso(void)
{
	int segment = (int)argument();
	long bytes = argument();

	check(setsockopt(fd(), IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0, "UDP_SEGMENT");
	check(send(fd(), transfer_buffer, bytes, 0), bytes, "send");
	check(setsockopt(fd(), IPPROTO_UDP, UDP_SEGMENT, &(int){ 0 }, sizeof(int)), 0, "UDP_SEGMENT");
}

static void do_nosend(void)
{
	check(send(fd(), transfer_buffer, 997, MSG_DONTWAIT | MSG_NOSIGNAL), -1, "a send that should fail");
}

static void do_norecv(void)
{
	check(recv(fd(), transfer_buffer, 997, MSG_DONTWAIT), -1, "a recv that should fail");
}

/* --- sockets for others */

static void do_give(void)
{
	union address address;
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec payload = { transfer_buffer, 1 };
	struct msghdr message = { .msg_name = &address,
				  .msg_namelen = parse(&address, word(), 0),
				  .msg_iov = &payload,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int through = socket(AF_UNIX, SOCK_DGRAM, 0);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &sockets[current], sizeof(int));
	check(sendmsg(through, &message, 0), 1, "sendmsg with SCM_RIGHTS");
	close(through);
}

static void do_take(void)
{
	union address address;
	socklen_t size = parse(&address, word(), 0);
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec payload = { transfer_buffer, 1 };
	struct msghdr message = { .msg_iov = &payload, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int through = socket(AF_UNIX, SOCK_DGRAM, 0), taken = -1;

	check(bind(through, &address.any, size), 0, "bind");
	printf("takes=1\n");
	check(recvmsg(through, &message, 0), 1, "recvmsg with SCM_RIGHTS");
	if (CMSG_FIRSTHDR(&message))
		memcpy(&taken, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	close(through);
	made_socket(taken, "take");
}

/* --- steps */

static void do_wait(void)
{
	printf("%s=%d\n", step_name, ++step);
	if (await_signal() == SIGTERM)
		exit(0);
}

static void do_child(void)
{
	while (*words)
		words++;
}

static void do_fork(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	step_name = "child_step";
	step = 0;
	printf("child=%d\n", getpid());
	while (strcmp(word(), "child") != 0)
		;
}

static const struct {
	const char *name;
	void (*run)(void);
	long (*transfer)(int fd, long bytes); /* it is called COUNT times */
} verbs[] = {
	{ "socket", do_socket, NULL },   { "pair", do_pair, NULL },          { "bind", do_bind, NULL },
	{ "listen", do_listen, NULL },   { "connect", do_connect, NULL },    { "refused", do_refused, NULL },
	{ "begin", do_begin, NULL },     { "accept", do_accept, NULL },      { "accept4", do_accept4, NULL },
	{ "nodelay", do_nodelay, NULL }, { "close", do_close, NULL },        { "send", NULL, send_bytes },
	{ "write", NULL, write_bytes },  { "sendmsg", NULL, sendmsg_bytes }, { "sendfile", NULL, sendfile_bytes },
	{ "splice", NULL, splice_out },  { "sendmmsg", do_sendmmsg, NULL },  { "gso", do_gso, NULL },
	{ "recv", NULL, recv_bytes },    { "read", NULL, read_bytes },       { "peek", NULL, peek_bytes },
	{ "spliced", NULL, splice_in },  { "nosend", do_nosend, NULL },      { "norecv", do_norecv, NULL },
	{ "give", do_give, NULL },       { "take", do_take, NULL },          { "use", do_use, NULL },
	{ "wait", do_wait, NULL },       { "fork", do_fork, NULL },          { "child", do_child, NULL },
};

static void perform(const char *name)
{
	size_t i = 0;

	while (i < sizeof(verbs) / sizeof(verbs[0]) && strcmp(verbs[i].name, name) != 0)
		i++;
	if (i == sizeof(verbs) / sizeof(verbs[0]))
		usage(name);
	if (verbs[i].run) {
		verbs[i].run();
		return;
	}
	for (long count = argument(), bytes = argument(); count > 0; count--)
		check(verbs[i].transfer(fd(), bytes), bytes, name);
}

static void *talk(void *arg unused)
{
	prctl(PR_SET_NAME, "talker");
	while (*words)
		perform(word());
	printf("%s\n", step_name[0] == 'c' ? "child_done=1" : "done=1");
	while (await_signal() != SIGTERM)
		;
	exit(0);
}

int main(int argc unused, char **argv)
{
	block_signals();
	setvbuf(stdout, NULL, _IOLBF, 0);
	words = argv + 1;
	printf("pid=%d\n", getpid());
	pthread_join(start_thread(talk, NULL), NULL);
	return 0;
}
