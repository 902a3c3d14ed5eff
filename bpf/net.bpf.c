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
#define TCP_SYN_SENT 2 /* include/net/tcp_states.h */
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define FDS_MAX (1 << 30)

static __always_inline void credit(struct charge *charge, u64 rx_bytes, u64 rx_packets, u64 tx_bytes, u64 tx_packets)
{
	__sync_fetch_and_add(&charge->figure[F_task_link_rx_bytes], rx_bytes);
	__sync_fetch_and_add(&charge->figure[F_task_link_rx_packets], rx_packets);
	__sync_fetch_and_add(&charge->figure[F_task_link_tx_bytes], tx_bytes);
	__sync_fetch_and_add(&charge->figure[F_task_link_tx_packets], tx_packets);
}

/* The current task uses the socket: from now on its packets are this process's. */
static __always_inline void use_socket(struct sock *sk, struct task_struct *task, struct process_state *state)
{
	struct socket_state *socket = bpf_sk_storage_get(&sockets, sk, NULL, state ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	struct charge_key process;
	struct charge *charge;

	if (!socket)
		return;
	if (!state) {
		socket->process.tid = socket->thread.tid = 0;
		socket->foreign = 1;
		return;
	}
	process = process_key(task->group_leader);
	if (state->watches & settings.threads) {
		socket->thread = thread_key(task);
		charge_of(&socket->thread, state->watches);
	}
	if (socket->process.tid == process.tid && socket->process.start_time_ns == process.start_time_ns)
		return;
	charge = charge_of(&process, state->watches);
	if (!charge)
		return;
	if (!socket->process.tid && !socket->foreign)
		credit(charge, socket->rx_bytes, socket->rx_packets, socket->tx_bytes, socket->tx_packets);
	socket->rx_bytes = socket->rx_packets = socket->tx_bytes = socket->tx_packets = 0;
	socket->foreign = 0;
	socket->process = process;
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
	note_connection(task->group_leader, sk->sk_protocol, sk->__sk_common.skc_num,
			bpf_ntohs(sk->__sk_common.skc_dport));
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
		use_socket(sk, task, state);
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
	transfer(sk, flags & MSG_PEEK ? 0 : result, F_task_net_rx_bytes);
	return 0;
}

/* Before 6.3, where those events are missing. */
SEC("fexit/sock_sendmsg")
int BPF_PROG(on_sendmsg, struct socket *socket, struct msghdr *message, int result)
{
	transfer(socket->sk, result, F_task_net_tx_bytes);
	return 0;
}

SEC("fexit/sock_recvmsg")
int BPF_PROG(on_recvmsg, struct socket *socket, struct msghdr *message, int flags, int result)
{
	transfer(socket->sk, flags & MSG_PEEK ? 0 : result, F_task_net_rx_bytes);
	return 0;
}

/* An active open, as tcpActiveOpens counts it (RFC 4022): in the context of connect(2). */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_connect, struct sock *sk, int old_state, int new_state)
{
	struct task_struct *task;
	struct process_state *state;

	if (old_state != TCP_CLOSE || new_state != TCP_SYN_SENT || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	task = bpf_get_current_task_btf();
	state = hooked(task);
	if (state)
		count_in(state, task, F_task_connect_count, 1);
	if (settings.measured & METRICS_OF_SOCKETS)
		use_socket(sk, task, state);
	note_connection_of(sk, task);
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

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, struct sock *sk)
{
	struct socket_state *socket = bpf_sk_storage_get(&sockets, sk, NULL, 0);
	struct charge *charge;

	if (!socket || !socket->process.tid)
		return 0;
	charge = bpf_map_lookup_elem(&charges, &socket->process);
	if (charge)
		__sync_fetch_and_add(&charge->figure[F_task_retransmit_count], 1);
	charge = bpf_map_lookup_elem(&charges, &socket->thread);
	if (charge)
		__sync_fetch_and_add(&charge->figure[F_task_retransmit_count], 1);
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
	struct socket_state *socket;
	struct charge *charge;
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return;
	socket = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket || socket->foreign)
		return;
	if (segments > 1)
		bytes += (segments - 1) * header_bytes(skb);
	if (socket->process.tid) {
		charge = bpf_map_lookup_elem(&charges, &socket->process);
		if (charge)
			credit(charge, sent ? 0 : bytes, sent ? 0 : segments, sent ? bytes : 0, sent ? segments : 0);
	} else {
		__sync_fetch_and_add(sent ? &socket->tx_bytes : &socket->rx_bytes, bytes);
		__sync_fetch_and_add(sent ? &socket->tx_packets : &socket->rx_packets, segments);
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
