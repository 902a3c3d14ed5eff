# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces for tests: without a name, so that the kernel removes them, and the links in them, with the last process
or descriptor that holds them, whatever becomes of the test. And what the tests of sockets share."""
import ctypes
import os
import shutil
import signal
import subprocess

from harness import SharedCollector

METRICS = ("task_net_rx_bytes", "task_net_tx_bytes", "task_link_rx_bytes", "task_link_rx_packets", "task_link_tx_bytes",
           "task_link_tx_packets", "task_connect_count", "task_accept_count", "task_retransmit_count")
LINK = METRICS[2:6]
ETHERNET = 14
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _call(function, *args):
    if function(*args):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), function.__name__)


class Namespace:
    """`with namespace:` the calling thread is in it, and so is what it starts."""

    def __init__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _call(_libc.unshare, CLONE_NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.__exit__()
        self.run("ip link set lo up")

    def __enter__(self):
        _call(_libc.setns, self.fd, CLONE_NEWNET)
        return self

    def __exit__(self, *_):
        _call(_libc.setns, self.home, CLONE_NEWNET)

    def run(self, command):
        with self:
            done = subprocess.run(command.split(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise OSError(f"{command}: {done.stdout.decode()}")

    def set(self, name, value):
        """A setting below /proc/sys/net."""
        with self, open("/proc/sys/net/" + name, "w", encoding="ascii") as f:
            f.write(str(value))

    def close(self):
        os.close(self.fd)
        os.close(self.home)


def cable(a, b):
    """A veth pair: "left" in one namespace (10.99.0.1, fd99::1), "right" in the other (10.99.0.2, fd99::2). Nobody else speaks
    there: no ARP and no neighbour discovery (both ends have the same address at the link), no routers, no multicast."""
    for namespace in (a, b):
        namespace.set("ipv6/conf/default/accept_ra", 0)
        namespace.set("ipv6/conf/default/addr_gen_mode", 1)
    a.run(f"ip link add left type veth peer name right netns /proc/{os.getpid()}/fd/{b.fd}")
    for namespace, name, number in ((a, "left", 1), (b, "right", 2)):
        namespace.run(f"ip link set {name} address 02:00:00:00:00:99 arp off multicast off up")
        namespace.run(f"ip addr add 10.99.0.{number}/24 dev {name}")
        namespace.run(f"ip addr add fd99::{number}/64 dev {name} nodad")


def interface(pid, name):
    """The counters of an interface in the namespace of a process: (rx bytes, rx packets, tx bytes, tx packets)."""
    with open(f"/proc/{pid}/net/dev", encoding="ascii") as f:
        for line in f:
            title, _, figures = line.partition(":")
            if title.strip() == name:
                figures = [int(n) for n in figures.split()]
                return figures[0], figures[1], figures[8], figures[9]
    raise FileNotFoundError(name)


def snmp(pid):
    """The counters of TCP in the namespace of a process, as /proc/PID/net/snmp names them."""
    with open(f"/proc/{pid}/net/snmp", encoding="ascii") as f:
        names, figures = [line.split()[1:] for line in f if line.startswith("Tcp:")]
    return dict(zip(names, map(int, figures)))


def tcp_states(pid):
    """States of the TCP sockets in the namespace of a process: include/net/tcp_states.h."""
    states = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{name}", encoding="ascii") as f:
            states += [int(line.split()[3], 16) for line in list(f)[1:]]
    return states


# Before Linux 6.7 a SYN-ACK over IPv6 is shown to no program: its owner is the request, not the socket that listens
# (BPF_CGROUP_RUN_PROG_INET_EGRESS() of include/linux/bpf-cgroup.h). Bytes and packets of one.
UNSEEN_SYN_ACK = (14 + 40 + 40, 1)


def unseen_syn_ack(family):
    """What is not told of the packets that a server sends per connection: (rx bytes, rx packets, tx bytes, tx packets)."""
    release = tuple(int(n) for n in os.uname().release.split(".")[:2])
    return (0, 0, *UNSEEN_SYN_ACK) if family == "inet6" and release < (6, 7) else (0, 0, 0, 0)


class SocketTest(SharedCollector):
    def namespace(self):
        if shutil.which("ip") is None:
            self.skipTest("no ip(8) here")
        namespace = Namespace()
        self.addCleanup(namespace.close)
        return namespace

    def cabled(self):
        """Two namespaces with a veth pair between them."""
        a, b = self.namespace(), self.namespace()
        try:
            cable(a, b)
        except OSError as error:
            if "Unknown device type" in str(error) or "not supported" in str(error):
                self.skipTest(f"no veth here: {error}")
            raise
        return a, b

    def talk(self, namespace, words):
        """A workload that has come to its first wait."""
        with namespace:
            talk = self.workload("talk", *words.split())
        talk.fact("step")
        return talk

    def go(self, *talks):
        """Each goes on to its next wait, or its end."""
        before = [talk.facts().get("step") for talk in talks]
        for talk in talks:
            talk.kill(signal.SIGUSR1)
        for talk, step in zip(talks, before):
            self.until(lambda t=talk, s=step: t.facts().get("step") == s + 1 or "done" in t.facts(), f"{talk} goes on")

    def follow(self, *pids, args=(), socket=None):
        """A reporter of these processes, when it has reported each of them."""
        reporter = self.reporter(*args, "-i", "0.2", "--metrics", ",".join(METRICS), "-p", ",".join(map(str, pids)), socket=socket)
        self.until(lambda: {row["tgid"] for row in reporter.task()} >= set(pids), "a row of each")
        return reporter

    def figures(self, reporter, metrics=METRICS, **match):
        """Its figures now: of the second row from now on, which was measured after this call."""
        seen = len(reporter.task(**match))
        row = self.until(lambda: len(reporter.task(**match)) > seen + 1 and reporter.task(**match)[-1], "a row")
        return {metric: row[metric] for metric in metrics}

    def settle(self, reporter, pid):
        """Until the last row of every task that it reports was measured after this call."""
        seen = len(reporter.task(tid=pid))
        self.until(lambda: len(reporter.task(tid=pid)) > seen + 2, "rows")

    def link(self, reporter, pid):
        """(rx bytes, rx packets, tx bytes, tx packets) of its sockets now."""
        return tuple(self.figures(reporter, LINK, tid=pid).values())

    def assertLink(self, reporter, pid, witness):
        """The figures of a process become those of the witness: the last acknowledgements may be on their way."""
        seen = []

        def equal():
            seen[:] = witness(), self.link(reporter, pid)
            return seen[0] == seen[1] == witness()
        try:
            self.until(equal, "equal", timeout=15)
        except AssertionError:
            self.fail(f"rx bytes, rx packets, tx bytes, tx packets of the witness and the process: {seen}")
