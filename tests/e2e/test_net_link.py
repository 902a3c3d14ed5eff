# SPDX-License-Identifier: BSD-2-Clause
"""Packets at the data-link layer, beside the counters of the interface that they went through and of TCP."""
import os
import shutil
import signal

from harness import NOBODY
from netns import ETHERNET, SocketTest, interface, snmp, tcp_states, unseen_syn_ack

ADDRESSES = {"inet": ("127.0.0.1", "10.99.0.1", "10.99.0.2"), "inet6": ("::1", "fd99::1", "fd99::2")}
HEADERS = {"inet": 20, "inet6": 40}
UDP_HEADER = 8
TCP_HEADER = 20 + 12  # with time stamps
FIN_WAIT2 = 5


def datagrams(count, bytes_each, family="inet"):
    """(bytes, packets) that so many datagrams are at the link."""
    return count * (ETHERNET + HEADERS[family] + UDP_HEADER + bytes_each), count


class Loopback(SocketTest):
    def test_both_ends(self):
        """All that goes through the loopback interface of a namespace, which counts without the Ethernet header."""
        for family, (loopback, _, _) in ADDRESSES.items():
            namespace = self.namespace()
            talk = self.talk(namespace, f"""wait
                socket {family} stream bind {loopback} listen socket {family} stream connect {loopback} 0 send 5 1009
                use 0 accept recv 5 1009 send 3 499 use 1 recv 3 499
                socket {family} dgram bind {loopback} socket {family} dgram connect {loopback} 0 send 7 211 use 3 recv 7 211""")
            reporter = self.follow(talk.pid)
            self.go(talk)

            def witness():
                rx_bytes, rx_packets, tx_bytes, tx_packets = interface(talk.pid, "lo")
                seen = rx_bytes + ETHERNET * rx_packets, rx_packets, tx_bytes + ETHERNET * tx_packets, tx_packets
                return since(seen, unseen_syn_ack(family))
            self.assertLink(reporter, talk.pid, witness)
            self.assertGreater(self.link(reporter, talk.pid)[1], 5 + 7)


class Cable(SocketTest):
    """Each end in a namespace of its own: what their only process sends and receives is what the interface does."""

    offload = False

    def setUp(self):
        super().setUp()
        self.a, self.b = self.cabled()
        if not self.offload:
            self.without_offload()

    def without_offload(self):
        if shutil.which("ethtool") is None:
            self.skipTest("no ethtool(8) here")
        self.a.run("ethtool -K left tso off gso off gro off")
        self.b.run("ethtool -K right tso off gso off gro off")

    def server(self, words):
        """Bound in b; and its port."""
        server = self.talk(self.b, words)
        return server, server.fact("port")

    def test_tcp(self):
        """From before the connection, with both ends open: to the byte."""
        for family, (_, _, address) in ADDRESSES.items():
            server, port = self.server(f"""socket {family} stream bind {address} listen wait
                accept recv 3 19997 send 5 10007 wait close""")
            client = self.talk(self.a, f"wait socket {family} stream connect {address} {port} send 3 19997 recv 5 10007 wait close")
            base = interface(client.pid, "left")
            reporter = self.follow(client.pid, server.pid)
            self.go(client, server)
            self.assertLink(reporter, client.pid, lambda: since(interface(client.pid, "left"), base))
            begun = [n + m for n, m in zip(swap(base), unseen_syn_ack(family))]
            self.assertLink(reporter, server.pid, lambda: since(interface(server.pid, "right"), begun))
            rx_bytes, rx_packets, tx_bytes, tx_packets = self.link(reporter, client.pid)
            self.assertGreater(rx_bytes, 5 * 10007 + rx_packets * (ETHERNET + HEADERS[family] + 20))
            self.assertGreater(tx_bytes, 3 * 19997 + tx_packets * (ETHERNET + HEADERS[family] + 20))
            self.close_both(client, server, base, reporter, family)

    def close_both(self, client, server, base, reporter, family):
        """Who closes first keeps no socket for the last two packets: the other's FIN, which the kernel itself acknowledges."""
        self.go(client)
        self.until(lambda: FIN_WAIT2 in tcp_states(client.pid), "its FIN is acknowledged")
        self.go(server)
        self.until(lambda: FIN_WAIT2 not in tcp_states(client.pid), "the other FIN")
        alone = ETHERNET + HEADERS[family] + TCP_HEADER, 1
        begun = [n + m for n, m in zip(swap(base), unseen_syn_ack(family))]
        self.assertLink(reporter, server.pid, lambda: since(interface(server.pid, "right"), begun))
        base = [n + m for n, m in zip(base, alone * 2)]
        self.assertLink(reporter, client.pid, lambda: since(interface(client.pid, "left"), base))

    def test_udp(self):
        """To the byte, and as many datagrams as were sent; what the receiver has not read yet has arrived all the same."""
        for family, (_, _, address) in ADDRESSES.items():
            server, port = self.server(f"socket {family} dgram bind {address} wait recv 1 499 wait recv 4 499")
            client = self.talk(self.a, f"wait socket {family} dgram connect {address} {port} send 13 499 send 1 1")
            base = interface(client.pid, "left")
            reporter = self.follow(client.pid, server.pid)
            self.go(client)
            self.go(server)
            sent = tuple(n + m for n, m in zip(datagrams(13, 499, family), datagrams(1, 1, family)))
            self.assertEqual(since(interface(client.pid, "left"), base), (0, 0, *sent))
            self.assertLink(reporter, client.pid, lambda: (0, 0, *sent))
            self.assertLink(reporter, server.pid, lambda: (*sent, 0, 0))

    def test_before_the_owner_is_known(self):
        """A server that accepts late, and another that has not received yet: what had arrived is theirs as soon as they act."""
        server, port = self.server("socket inet stream bind 10.99.0.2 listen wait accept wait recv 3 1999")
        client = self.talk(self.a, f"wait socket inet stream connect 10.99.0.2 {port} send 3 1999 wait")
        reporter = self.follow(server.pid)
        self.go(client)
        self.until(lambda: interface(server.pid, "right")[0] > 3 * 1999, "the data has arrived")
        self.assertLess(self.link(reporter, server.pid)[0], 3 * 1999)
        self.go(server)
        self.go(server)
        self.assertLink(reporter, server.pid, lambda: interface(server.pid, "right"))

    def test_who_uses_a_socket(self):
        """Inherited and passed sockets are those of the process that uses them; what one that is not watched does is nobody's."""
        path = os.path.join(self.out_dir(NOBODY), "socket")
        server, port = self.server("socket inet dgram bind 10.99.0.2 wait")
        taker = self.talk(self.a, f"wait take {path}1 wait use 0 send 11 1013 wait")
        stranger = self.talk(self.a, f"wait take {path}2 use 0 send 17 1019 wait")
        self.go_taking(taker)
        self.go_taking(stranger)
        maker = self.talk(self.a, f"""socket inet dgram connect 10.99.0.2 {port} fork wait send 3 101 wait give {path}1 wait
            give {path}2 wait send 7 107 wait child wait send 5 103 wait""")
        child = maker.fact("child")
        self.until(lambda: maker.facts().get("child_step") == 1, "the child waits")
        reporter = self.follow(maker.pid, child, taker.pid)

        def sent(*counts):
            return tuple(sum(column) for column in zip((0, 0), *[datagrams(*count) for count in counts]))

        def check(of_maker, of_child, of_taker):
            for pid, counts in ((maker.pid, of_maker), (child, of_child), (taker.pid, of_taker)):
                self.assertLink(reporter, pid, lambda: (0, 0, *sent(*counts)))
        self.go(maker)
        check([(3, 101)], [], [])
        os.kill(child, signal.SIGUSR1)
        self.until(lambda: maker.facts()["child_step"] == 2, "the child has sent")
        check([(3, 101)], [(5, 103)], [])
        self.go(maker)
        self.until(lambda: taker.facts()["step"] == 2, "the socket is taken")
        self.go(taker)
        check([(3, 101)], [(5, 103)], [(11, 1013)])
        self.go(maker)
        self.until(lambda: stranger.facts()["step"] == 2, "the other has taken the socket and sent")
        self.go(maker)
        check([(3, 101), (7, 107)], [(5, 103)], [(11, 1013)])
        total = sent((3, 101), (5, 103), (11, 1013), (17, 1019), (7, 107))
        self.assertEqual(interface(maker.pid, "left")[2:], total)
        self.assertEqual(interface(server.pid, "right")[:2], total)

    def go_taking(self, talk):
        talk.kill(signal.SIGUSR1)
        self.until(lambda: "takes" in talk.facts(), f"{talk} is ready to take a socket")

    def test_a_stranger(self):
        """A socket that only a process which nobody watches has used is not credited to who gets it then."""
        path = os.path.join(self.out_dir(NOBODY), "socket")
        for what in ("dgram", "stream"):
            server, port = self.server(f"socket inet {what} bind 10.99.0.2 {'listen' if what == 'stream' else ''} wait")
            taker = self.talk(self.a, f"wait take {path}{what} wait send 5 1009 wait")
            self.go_taking(taker)
            first = self.talk(self.a, "wait")
            reporter = self.follow(taker.pid, first.pid)  # the programs are attached from here on
            base = interface(taker.pid, "left")
            send = "send 3 499" if what == "dgram" else ""
            self.talk(self.a, f"socket inet {what} connect 10.99.0.2 {port} {send} give {path}{what} wait")
            self.until(lambda: taker.facts()["step"] == 2, "the socket is taken")
            before = interface(taker.pid, "left")
            self.assertGreaterEqual(before[3] - base[3], 2)
            self.go(taker)
            if what == "dgram":
                self.assertLink(reporter, taker.pid, lambda: (0, 0, *datagrams(5, 1009)))
                continue
            # a packet of TCP shows before it is known who sends it
            self.until(lambda: since(interface(taker.pid, "left"), before)[2] >= 5 * 1009 + 66, "all of it has been sent")
            self.until(lambda: self.link(reporter, taker.pid)[2] > 3 * 1009, "most of it is the taker's")
            for mine, all_of_it in zip(self.link(reporter, taker.pid), since(interface(taker.pid, "left"), before)):
                self.assertLessEqual(mine, all_of_it)
            self.assertEqual(self.link(reporter, first.pid), (0, 0, 0, 0))

    def test_retransmits(self):
        """As RetransSegs counts in the namespace, of a connection that is lost in its beginning and, with many segments under way, in
        its middle: the other end loses its address for a while."""
        server, port = self.server("socket inet stream bind 10.99.0.2 listen wait accept recv 1 499979 wait recv 1 99991 wait")
        client = self.talk(self.a, f"wait socket inet stream begin 10.99.0.2 {port} wait send 1 499979 wait send 1 99991 wait")
        base = interface(client.pid, "left")
        reporter, threads = self.follow(client.pid, server.pid), self.follow(client.pid, args=("-t",))

        def lost(count):
            self.b.run("ip addr del 10.99.0.2/24 dev right")
            start, step = snmp(client.pid)["RetransSegs"], client.facts()["step"]
            client.kill(signal.SIGUSR1)
            self.until(lambda: snmp(client.pid)["RetransSegs"] >= start + count, "retransmits")
            self.b.run("ip addr add 10.99.0.2/24 dev right")
            self.until(lambda: client.facts()["step"] == step + 1, "the client goes on")
        lost(1)
        self.go(client, server)
        lost(3)
        self.go(server)
        if not self.offload:
            self.assertLink(reporter, client.pid, lambda: since(interface(client.pid, "left"), base))
        self.settle(threads, client.pid)
        row, of_thread = self.figures(reporter, tid=client.pid), threads.task(comm="talker")[-1]
        counts = row["task_retransmit_count"], of_thread["task_retransmit_count"], snmp(client.pid)["RetransSegs"]
        # Mostly equal. A kernel in a sandbox does not run tracing programs in an interrupt of the task that guards it.
        self.assertGreater(counts[2], 20)
        self.assertBetween(counts[2] * 0.8, counts[0], counts[2], counts)
        self.assertEqual(counts[0], counts[1], "of the process and its thread")
        self.assertEqual(threads.task(tid=client.pid)[-1]["task_retransmit_count"], 0)
        self.assertEqual(self.figures(reporter, tid=server.pid)["task_retransmit_count"], 0)


class Offload(Cable):
    """With segmentation left to the interface, which then counts large packets as one."""

    offload = True
    test_tcp = test_udp = test_before_the_owner_is_known = test_who_uses_a_socket = test_a_stranger = None  # nothing new

    def test_tcp_segments(self):
        for family, (_, _, address) in ADDRESSES.items():
            server, port = self.server(f"socket {family} stream bind {address} listen wait accept recv 1 499979 wait")
            client = self.talk(self.a, f"wait socket {family} stream connect {address} {port} send 1 499979 wait")
            reporter = self.follow(client.pid, server.pid)
            base, before = snmp(client.pid), interface(client.pid, "left")
            self.go(client, server)

            def sent():
                now = snmp(client.pid)
                again = now["RetransSegs"] - base["RetransSegs"]
                segments = now["OutSegs"] - base["OutSegs"] + again
                syn = 8  # bytes of options more than the others
                return 499979 + segments * (ETHERNET + HEADERS[family] + TCP_HEADER) + syn, segments, again
            got = []

            def equal():
                got[:] = sent(), self.link(reporter, client.pid), self.link(reporter, server.pid)
                (least, segments, again), there, back = got[0], got[1][2:], got[1][:2]
                # what was sent again on a busy machine had data, too
                return (there[1] == segments and least <= there[0] <= least + again * 1448
                        and (there, back) == (got[2][:2], got[2][2:]))
            self.until(equal, lambda: f"what TCP sent, and what client and server count: {got}")
            self.assertGreaterEqual(got[0][1], -(-499979 // 1448))
            self.assertLess(since(interface(client.pid, "left"), before)[3], got[0][1], "the interface has not seen large packets")

    def test_udp_segments(self):
        """24 datagrams of 1201 bytes and one of 1187, sent as one."""
        for family, (_, _, address) in ADDRESSES.items():
            server, port = self.server(f"socket {family} dgram bind {address} wait recv 24 1201 recv 1 1187 wait")
            client = self.talk(self.a, f"wait socket {family} dgram connect {address} {port} gso 1201 30011 wait")
            reporter = self.follow(client.pid, server.pid)
            before = interface(client.pid, "left")
            self.go(client, server)
            sent = tuple(n + m for n, m in zip(datagrams(24, 1201, family), datagrams(1, 1187, family)))
            self.assertLink(reporter, client.pid, lambda: (0, 0, *sent))
            self.assertLink(reporter, server.pid, lambda: (*sent, 0, 0))
            self.assertEqual(since(interface(client.pid, "left"), before)[3], 1)


UNMOUNT = """
while path=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts) && [ -n "$path" ]; do
    umount -l "$path" || exit
done
"""


class WhereTheCgroupsAre(SocketTest):
    """Programs on packets need the root of the cgroup v2 hierarchy. Each collector has its own view of what is mounted where."""

    def check(self, mount, cgroup):
        """`mount`: shell commands, when no cgroup v2 is mounted. Figures and the column `cgroup` are checked."""
        if shutil.which("unshare") is None:
            self.skipTest("no unshare(1) here")
        talk = self.talk(self.namespace(), """wait socket inet dgram bind 127.0.0.1 socket inet dgram connect 127.0.0.1 0
            send 5 1009 use 0 recv 5 1009""")
        script = UNMOUNT + mount + '\nexec "$@"'
        collector = self.collector(prefix=("unshare", "-m", "sh", "-c", script, "sh"))
        places = [where for where, what in mounts(collector.pid) if what == "cgroup2"]
        self.assertEqual(places, [self.place] if mount else [])
        reporter = self.follow(talk.pid, socket=collector.socket)
        self.go(talk)
        self.assertLink(reporter, talk.pid, lambda: (*datagrams(5, 1009), *datagrams(5, 1009)))
        self.assertEqual({row["cgroup"] for row in reporter.task()}, {cgroup(talk.pid) or None})

    def test_nowhere(self):
        self.check("", lambda pid: None)

    def test_elsewhere(self):
        self.place = self.out_dir()
        self.check(f"mount -t cgroup2 none {self.place} || exit", cgroup_path)


def mounts(pid):
    """(where, type) of each in the namespace of a process."""
    with open(f"/proc/{pid}/mounts", encoding="utf-8") as f:
        return [tuple(line.split()[1:3]) for line in f]


def cgroup_path(pid):
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
        return ([line.rstrip("\n")[3:] for line in f if line.startswith("0::")] or [None])[0]


def since(now, base):
    return tuple(n - b for n, b in zip(now, base))


def swap(figures):
    """As the other end of the cable has them."""
    return figures[2:] + figures[:2]
