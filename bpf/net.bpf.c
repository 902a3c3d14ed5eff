// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * What goes through sockets: payload, in the context of the thread that calls; packets at the data-link layer, wherever they
 * come from, for the process that used the socket last. Until somebody has used a socket its packets are kept with it.
 */
#include "charge.bpf.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ETHERNET_HEADER_BYTES 14
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPV6_HEADER_BYTES 40
#define UDP_HEADER_BYTES 8
#define MSG_PEEK 2
#define MSG_ERRQUEUE 0x2000 /* what was sent comes back with an error or a time stamp */
#define TCP_SYN_SENT 2      /* include/net/tcp_states.h */
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define FDS_MAX (1 << 30)

static __always_inline void credit(struct charge *charge, const struct packets *packets)
{
	__sync_fetch_and_add(&charge->figure[F_task_link_rx_bytes], packets->rx_bytes);
	__sync_fetch_and_add(&charge->figure[F_task_link_rx_packets], packets->rx_packets);
	__sync_fetch_and_add(&charge->figure[F_task_link_tx_bytes], packets->tx_bytes);
	__sync_fetch_and_add(&charge->figure[F_task_link_tx_packets], packets->tx_packets);
}

static __always_inline void add(struct packets *sum, const struct packets *packets)
{
	__sync_fetch_and_add(&sum->rx_bytes, packets->rx_bytes);
	__sync_fetch_and_add(&sum->rx_packets, packets->rx_packets);
	__sync_fetch_and_add(&sum->tx_bytes, packets->tx_bytes);
	__sync_fetch_and_add(&sum->tx_packets, packets->tx_packets);
}

static __always_inline bool has_packets(struct sock *sk)
{
	return sk->__sk_common.skc_family == AF_INET || sk->__sk_common.skc_family == AF_INET6;
}

/*
 * What was sent since the socket was used last is of who uses it now. Not so with TCP, which also answers, and sends when it may
 * what somebody has written before.
 */
static __always_inline struct packets take_sent(struct sock *sk, struct socket_state *socket)
{
	const struct packets nothing = {};
	struct packets sent = socket->sent;

	socket->sent = nothing;
	return sk->sk_protocol == IPPROTO_TCP ? nothing : sent;
}

/* Its packets are not those of the process any more that used it so far, and what was `sent` never was. */
static __always_inline void leave_owner(struct socket_state *socket, const struct packets *sent)
{
	const struct packets too_much = { .tx_bytes = -sent->tx_bytes, .tx_packets = -sent->tx_packets };
	struct charge *charge = socket->process.tid ? bpf_map_lookup_elem(&charges, &socket->process) : NULL;

	if (charge)
		credit(charge, &too_much);
	socket->process.tid = socket->thread.tid = 0;
}

static __always_inline bool is_process(const struct charge_key *key, struct task_struct *leader)
{
	return key->tid == (u32)leader->tgid && key->start_time_ns == leader->start_boottime;
}

/* Made if there is none; NULL if there is no memory. As with make_state(), another CPU may make it at the same moment. */
static __always_inline struct socket_state *make_socket_state(void *sk)
{
	struct socket_state *socket = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	return socket ? socket : bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

/*
 * The current task uses the socket: from now on its packets are this process's. `create`: remember it even of a process that
 * nobody watches.
 */
static __always_inline void use_socket(struct sock *sk, struct task_struct *task, struct process_state *state, bool create)
{
	struct socket_state *socket;
	struct charge *charge;
	struct packets sent;

	if (!has_packets(sk))
		return;
	socket = create ? make_socket_state(sk) : bpf_sk_storage_get(&sockets, sk, NULL, 0);
	if (!socket) {
		if (create && state)
			count_loss(state->watches, LOSS_TABLE_FULL);
		return;
	}
	sent = take_sent(sk, socket);
	if (!is_process(&socket->process, task->group_leader)) {
		bool unknown = !socket->process.tid && !socket->foreign;

		leave_owner(socket, &sent);
		socket->foreign = 1;
		if (!state)
			return;
		socket->process = process_key(task->group_leader);
		if (unknown)
			sent = socket->unowned;
		charge = charge_of(&socket->process, state->watches);
		if (charge)
			credit(charge, &sent);
		socket->foreign = 0;
	}
	if (state && state->watches & settings.threads) {
		socket->thread = thread_key(task);
		charge_of(&socket->thread, state->watches);
	}
}

/* Terms of rules that a connection by this protocol, with this port on either side, makes true. */
static __always_inline void add_connection_facts(struct term_set *facts, u16 protocol, u16 own_port, u16 other_port)
{
	struct connection_key key = { protocol, 0 };

	add_terms(facts, bpf_map_lookup_elem(&connection_terms, &key));
	key.port = own_port;
	add_terms(facts, own_port ? bpf_map_lookup_elem(&connection_terms, &key) : NULL);
	key.port = other_port;
	add_terms(facts, other_port ? bpf_map_lookup_elem(&connection_terms, &key) : NULL);
}

/* A process has opened a connection; most have nothing new to tell. */
static __always_inline void note_connection(struct task_struct *leader, u16 protocol, u16 own_port, u16 other_port)
{
	struct process_state *state = bpf_task_storage_get(&processes, leader, NULL, 0);
	struct term_set facts = {};

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return;
	add_connection_facts(&facts, protocol, own_port, other_port);
	add_connection_facts(&facts, 0, own_port, other_port);
	if (is_empty(&facts))
		return;
	if (state) {
		if ((facts.bits[0] & ~state->facts.bits[0]) == 0 && (facts.bits[1] & ~state->facts.bits[1]) == 0)
			return;
		add_terms(&facts, &state->facts);
	} else {
		find_facts(&facts, NULL, leader);
	}
	judge_by(facts, state, leader);
}

static __always_inline void note_connection_of(struct sock *sk, struct task_struct *task)
{
	unsigned short family = sk->__sk_common.skc_family;

	if (is_empty(&rules.connections) || (family != AF_INET && family != AF_INET6))
		return;
	note_connection(task->group_leader, sk->sk_protocol, sk->__sk_common.skc_num, bpf_ntohs(sk->__sk_common.skc_dport));
}

static __always_inline void transfer(struct sock *sk, int bytes, enum hook_figure figure)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_state *state = hooked(task);

	if (bytes > 0)
		note_connection_of(sk, task);

	if (state && bytes > 0)
		count_in(state, task, figure, bytes);
	if (settings.measured & METRICS_OF_SOCKETS)
		use_socket(sk, task, state, state != NULL);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int result)
{
	transfer(sk, result, F_task_net_tx_bytes);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int result, int flags)
{
	transfer(sk, flags & (MSG_PEEK | MSG_ERRQUEUE) ? 0 : result, F_task_net_rx_bytes);
	return 0;
}

/* Before 6.3, where those events are missing. */
#define ON_SENDMSG(family)                                                                                                 \
	SEC("fexit/" #family "_sendmsg")                                                                                   \
	int BPF_PROG(on_##family##_sendmsg, struct socket *socket, struct msghdr *message, unsigned long size, int result) \
	{                                                                                                                  \
		transfer(socket->sk, result, F_task_net_tx_bytes);                                                         \
		return 0;                                                                                                  \
	}
/* sock_sendmsg() is inlined where it is called, what it calls is not: proto_ops.sendmsg of each family */
ON_SENDMSG(inet)
ON_SENDMSG(inet6)
ON_SENDMSG(unix_stream)
ON_SENDMSG(unix_dgram)
ON_SENDMSG(netlink)

SEC("fexit/sock_recvmsg")
int BPF_PROG(on_recvmsg, struct socket *socket, struct msghdr *message, int flags, int result)
{
	transfer(socket->sk, flags & (MSG_PEEK | MSG_ERRQUEUE) ? 0 : result, F_task_net_rx_bytes);
	return 0;
}

/*
 * An active open, as tcpActiveOpens counts it (RFC 4022): in the context of connect(2). And in that of listen(2) the socket whose
 * packets open connections for others to accept; nothing is sent or received through that one.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, struct sock *sk, int old_state, int new_state)
{
	struct task_struct *task;
	struct process_state *state;

	if (old_state != TCP_CLOSE || (new_state != TCP_SYN_SENT && new_state != TCP_LISTEN) || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	task = bpf_get_current_task_btf();
	state = hooked(task);
	if (state && new_state == TCP_SYN_SENT)
		count_in(state, task, F_task_connect_count, 1);
	if (settings.measured & METRICS_OF_SOCKETS)
		use_socket(sk, task, state, true);
	if (new_state == TCP_SYN_SENT)
		note_connection_of(sk, task);
	return 0;
}

/* Sockets that listened before anybody watched. What had come to them then is not told. */
SEC("iter/task_file")
int find_listeners(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct socket_state *known;
	struct process_state *state;
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return 0;
	state = hooked(task);
	socket = state ? bpf_sock_from_file(file) : NULL;
	sk = socket ? socket->sk : NULL;
	if (!sk || sk->sk_protocol != IPPROTO_TCP || sk->__sk_common.skc_state != TCP_LISTEN)
		return 0;
	known = make_socket_state(sk);
	if (!known || known->process.tid)
		return 0; /* the first of those that share it has it */
	known->foreign = 1;
	use_socket(sk, task, state, false);
	return 0;
}

#if defined(__TARGET_ARCH_x86)
#define SYS_accept 43
#define SYS_accept4 288
#define SYSCALL_NUMBER(regs) ((regs)->orig_ax)
#endif

/* The TCP socket behind a file descriptor of the current task? */
static __always_inline bool is_tcp(struct task_struct *task, u32 fd)
{
	struct file **files = BPF_CORE_READ(task, files, fdt, fd);
	unsigned short family;
	struct socket *socket;
	struct file *file;
	struct sock *sk;

	if (bpf_core_read(&file, sizeof(file), files + fd))
		return false;
	socket = BPF_CORE_READ(file, private_data);
	if (BPF_CORE_READ(socket, file) != file)
		return false; /* somebody has closed it meanwhile */
	sk = BPF_CORE_READ(socket, sk);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	return (family == AF_INET || family == AF_INET6) && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP;
}

/* No event tells of an accept; what a system call returns does. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_accept, struct pt_regs *regs, long result)
{
	struct task_struct *task;
	struct process_state *state;
	u64 number = SYSCALL_NUMBER(regs);

	if ((number != SYS_accept && number != SYS_accept4) || result < 0 || result > FDS_MAX)
		return 0;
	task = bpf_get_current_task_btf();
	state = hooked(task);
	if (state && is_tcp(task, result))
		count_in(state, task, F_task_accept_count, 1);
	return 0;
}

/* Connections that were open before a rule asked for them. A socket of UDP has a port once it was used or bound. */
SEC("iter/task_file")
int find_connections(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct socket *socket;
	u16 protocol, own_port;
	unsigned short family;
	struct sock *sk;
	u8 state;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	protocol = BPF_CORE_READ(sk, sk_protocol);
	own_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if ((family != AF_INET && family != AF_INET6) || !own_port)
		return 0;
	if (protocol == IPPROTO_TCP && (state == TCP_CLOSE || state == TCP_LISTEN))
		return 0;
	note_connection(task->group_leader, protocol, own_port, bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport)));
	return 0;
}

/* As many segments as tcp_skb_pcount() tells, which is what RetransSegs of /proc/net/snmp counts. */
static __always_inline u64 segments_of(struct sk_buff *skb)
{
	struct tcp_skb_cb *control = (void *)skb->cb;
	u16 segments = BPF_CORE_READ(control, tcp_gso_segs);

	return segments ? segments : 1;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, struct sock *sk, struct sk_buff *skb)
{
	struct socket_state *socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	u64 segments = segments_of(skb);
	struct charge *charge;

	if (!socket || !socket->process.tid)
		return 0;
	charge = bpf_map_lookup_elem(&charges, &socket->process);
	if (charge)
		__sync_fetch_and_add(&charge->figure[F_task_retransmit_count], segments);
	charge = bpf_map_lookup_elem(&charges, &socket->thread);
	if (charge)
		__sync_fetch_and_add(&charge->figure[F_task_retransmit_count], segments);
	return 0;
}

/* Bytes of the headers that each segment of a packet repeats: IP and TCP or UDP. */
static __always_inline u32 header_bytes(struct __sk_buff *skb)
{
	u8 first = 0, protocol = 0, offset = 0;
	u32 ip = IPV6_HEADER_BYTES;

	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return 0;
	if (first >> 4 == 4) {
		ip = (first & 15) * 4;
		bpf_skb_load_bytes(skb, 9, &protocol, 1);
	} else {
		bpf_skb_load_bytes(skb, 6, &protocol, 1);
	}
	if (protocol != IPPROTO_TCP)
		return ip + UDP_HEADER_BYTES;
	bpf_skb_load_bytes(skb, ip + 12, &offset, 1);
	return ip + (offset >> 4) * 4;
}

/* Both directions: a packet that stands for several segments counts as those, each with its headers. */
static __always_inline void count_packet(struct __sk_buff *skb, bool sent)
{
	u64 segments = skb->gso_segs > 1 ? skb->gso_segs : 1;
	u64 bytes = skb->len + segments * ETHERNET_HEADER_BYTES;
	struct packets packets = {};
	struct socket_state *socket;
	struct charge *charge;
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return;
	socket = make_socket_state(sk);
	if (!socket)
		return;
	if (segments > 1)
		bytes += (segments - 1) * header_bytes(skb);
	if (sent) {
		packets.tx_bytes = bytes;
		packets.tx_packets = segments;
		add(&socket->sent, &packets);
	} else {
		packets.rx_bytes = bytes;
		packets.rx_packets = segments;
	}
	if (socket->process.tid) {
		charge = bpf_map_lookup_elem(&charges, &socket->process);
		if (charge)
			credit(charge, &packets);
	} else if (!socket->foreign) {
		add(&socket->unowned, &packets);
	}
}

SEC("cgroup_skb/ingress")
int on_packet_in(struct __sk_buff *skb)
{
	count_packet(skb, false);
	return 1; /* let it pass */
}

SEC("cgroup_skb/egress")
int on_packet_out(struct __sk_buff *skb)
{
	count_packet(skb, true);
	return 1;
}
