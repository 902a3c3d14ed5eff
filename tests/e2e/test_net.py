# SPDX-License-Identifier: BSD-2-Clause
"""Payload through sockets and counts of connections, beside a program that does exactly so much and the kernel's own counters."""
import os
import unittest

from harness import NOBODY
from netns import METRICS, SocketTest, snmp

LISTEN4, LISTEN6 = "socket inet stream bind 127.0.0.1 listen ", "socket inet6 stream bind ::1 listen "
RX, TX, CONNECTS, ACCEPTS = "task_net_rx_bytes", "task_net_tx_bytes", "task_connect_count", "task_accept_count"


def has_events():
    """Linux 6.3 has events for what sockets send and receive; before, programs stand at sock_recvmsg() and the sendmsg() of each family."""
    with open("/sys/kernel/btf/vmlinux", "rb") as f:
        return b"btf_trace_sock_send_length" in f.read()


class Payload(SocketTest):
    def check(self, conversations):
        """Each: (words, bytes received, bytes sent). All of it is of the thread that calls, and of its process."""
        namespace = self.namespace()
        talks = [(self.talk(namespace, "wait " + words), rx, tx) for words, rx, tx in conversations]
        pids = [talk.pid for talk, _, _ in talks]
        processes, threads = self.follow(*pids), self.follow(*pids, args=("-t",))
        self.go(*[talk for talk, _, _ in talks])
        self.settle(processes, pids[0])
        self.settle(threads, pids[0])
        for talk, rx, tx in talks:
            for what, row, want in (("the process", processes.task(tid=talk.pid)[-1], (rx, tx)),
                                    ("the thread", threads.task(tgid=talk.pid, comm="talker")[-1], (rx, tx)),
                                    ("the main thread", threads.task(tid=talk.pid)[-1], (0, 0))):
                if processes.losses().get("skipped", 0) + threads.losses().get("skipped", 0):
                    # 7.x skips a program that is busy on that CPU, and tells so
                    self.assertTrue(row[RX] <= want[0] and row[TX] <= want[1], f"{talk}: received and sent by {what}")
                    continue
                self.assertEqual((row[RX], row[TX]), want, f"{talk}: received and sent by {what}")
        for metric in METRICS[2:6]:
            self.assertIsNone(threads.task()[-1][metric], f"{metric} is the process's, not the thread's")

    def test_families(self):
        """TCP, UDP, AF_UNIX and socketpair, all that a program calls to send and to receive. Both ends are its own."""
        path = os.path.join(self.out_dir(NOBODY), "socket")
        stream = "socket {0} stream connect {1} 0 use 0 accept use 1 {2} use 2 {3} {4} use 1 {5}"
        dgram = "socket {0} dgram connect {1} 0 {2} use 0 {3}"
        self.check([
            (LISTEN4 + stream.format("inet", "127.0.0.1", "send 5 1009 write 3 499", "read 1 6542", "sendmsg 7 101", "recv 7 101"),
             6542 + 707, 6542 + 707),
            (LISTEN6 + stream.format("inet6", "::1", "sendmsg 11 1013", "recv 11 1013", "write 1 7919", "read 1 7919"),
             11 * 1013 + 7919, 11 * 1013 + 7919),
            (f"socket unix stream bind {path}1 listen " + stream.format("unix", path + "1", "write 17 307", "recv 17 307", "send 3 311",
                                                                        "read 3 311"), 17 * 307 + 3 * 311, 17 * 307 + 3 * 311),
            # what is sent and not received tells the two directions apart
            ("socket inet dgram bind 127.0.0.1 " + dgram.format("inet", "127.0.0.1", "send 7 499 write 2 211", "recv 5 499"),
             5 * 499, 7 * 499 + 2 * 211),
            ("socket inet6 dgram bind ::1 " + dgram.format("inet6", "::1", "sendmsg 13 503 send 1 1", "recv 11 503"),
             11 * 503, 13 * 503 + 1),
            (f"socket unix dgram bind {path}2 " + dgram.format("unix", path + "2", "send 6 401 sendmsg 1 409", "recv 3 401 read 2 401"),
             5 * 401, 6 * 401 + 409),
            ("pair stream send 19 601 use 0 recv 1 601 read 3 601", 4 * 601, 19 * 601),
            ("pair dgram write 5 701 use 0 recv 3 701", 3 * 701, 5 * 701),
        ])

    def test_what_does_not_count(self):
        """Peeking, and calls that fail."""
        self.check([
            ("pair stream send 1 1511 use 0 peek 5 1511 recv 1 1511 norecv norecv", 1511, 1511),
            ("pair dgram send 1 1523 use 0 peek 3 1523 recv 1 1523 norecv use 1 close use 0 nosend", 1523, 1523),
            ("socket inet stream norecv nosend socket inet dgram nosend norecv", 0, 0),
        ])

    @unittest.skipUnless(has_events(), "before Linux 6.3 no event shows them")
    def test_several_in_one_call(self):
        """sendmmsg, sendfile and splice to a socket. What is spliced from a socket no event shows."""
        self.check([
            ("socket inet dgram bind 127.0.0.1 socket inet dgram connect 127.0.0.1 0 sendmmsg 13 499 use 0 recv 11 499",
             11 * 499, 13 * 499),
            ("pair stream sendfile 3 2003 use 0 recv 1 6009", 6009, 6009),
            (LISTEN4 + "socket inet stream connect 127.0.0.1 0 use 0 accept splice 2 4001 use 1 recv 1 4001 spliced 1 4001", 4001, 8002),
        ])


class Connections(SocketTest):
    def test_connects(self):
        """As tcpActiveOpens counts: refused ones and those that do not block too, UDP and AF_UNIX not."""
        path = os.path.join(self.out_dir(NOBODY), "socket")
        namespace = self.namespace()
        server = self.talk(namespace, LISTEN4 + LISTEN6 + "wait")
        self.talk(namespace, f"socket unix stream bind {path} listen wait")
        port4, port6 = [line[5:] for line in server.stdout.splitlines() if line.startswith("port=")]
        tcp = f"socket inet stream connect 127.0.0.1 {port4} " * 3 + f"socket inet6 stream connect ::1 {port6} " * 2 + \
            f"socket inet stream begin 127.0.0.1 {port4} " * 5 + "socket inet stream refused 127.0.0.1 1 " * 7
        others = f"socket inet dgram connect 127.0.0.1 {port4} " * 2 + f"socket unix stream connect {path} 1 " * 3 + \
            "socket inet stream nosend "
        client = self.talk(namespace, f"wait {tcp} {others}")
        processes, threads = self.follow(client.pid, server.pid), self.follow(client.pid, args=("-t",))
        before = snmp(client.pid)["ActiveOpens"]
        self.go(client)
        self.assertEqual(snmp(client.pid)["ActiveOpens"] - before, 17)
        self.assertEqual(self.figures(processes, tid=client.pid)[CONNECTS], 17)
        self.assertEqual(self.figures(threads, comm="talker")[CONNECTS], 17)
        self.assertEqual(self.figures(threads, tid=client.pid)[CONNECTS], 0)
        got = self.figures(processes, tid=server.pid)
        self.assertEqual((got[CONNECTS], got[ACCEPTS]), (0, 0), "nobody has accepted yet")

    def test_accepts(self):
        """accept and accept4, of IPv4 and IPv6; not of AF_UNIX."""
        path = os.path.join(self.out_dir(NOBODY), "socket")
        namespace = self.namespace()
        server = self.talk(namespace, LISTEN4 + LISTEN6 + f"socket unix stream bind {path} listen wait" + " use 0 accept" * 2 +
                           " use 0 accept4" * 3 + " use 1 accept" * 5 + " use 1 accept4" + " use 2 accept use 2 accept4")
        port4, port6 = [line[5:] for line in server.stdout.splitlines() if line.startswith("port=")]
        client = self.talk(namespace, f"socket inet stream connect 127.0.0.1 {port4} " * 5 +
                           f"socket inet6 stream connect ::1 {port6} " * 6 + f"socket unix stream connect {path} 1 " * 2 +
                           "wait")
        processes, threads = self.follow(server.pid, client.pid), self.follow(server.pid, args=("-t",))
        self.go(server)
        self.assertEqual(self.figures(processes, tid=server.pid)[ACCEPTS], 11)
        self.assertEqual(self.figures(threads, comm="talker")[ACCEPTS], 11)
        self.assertEqual(self.figures(threads, tid=server.pid)[ACCEPTS], 0)
        self.assertEqual(self.figures(processes, tid=client.pid)[ACCEPTS], 0)
