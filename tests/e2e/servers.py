# SPDX-License-Identifier: BSD-2-Clause
"""Real servers, of Debian's packages as tests/servers/fetch unpacks them: each runs from there as an unprivileged user, with its own
settings, data and port, and in the foreground.

TASKMON_SERVERS  where they are kept (default /var/cache/taskmon/servers)
"""
import http.client
import os
import socket
import subprocess
import tempfile

from harness import NOBODY, ROOT_DIR, Process, Stat, run_dir, wait_until

CACHE = os.environ.get("TASKMON_SERVERS") or "/var/cache/taskmon/servers"
NAMES = ("tomcat", "postgresql", "mysql", "redis", "nginx", "apache", "haproxy", "influxdb")


def fetch():
    """What could not be had: name -> why."""
    done = subprocess.run([os.path.join(ROOT_DIR, "tests", "servers", "fetch"), CACHE, *NAMES], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    return {name: done.stderr for name in NAMES if not os.path.isdir(os.path.join(CACHE, name))}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def descendants(pid):
    """Processes that live, with `pid` itself."""
    parents = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Stat(int(other))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if stat.state != "Z":
            parents.setdefault(stat.ppid, []).append(int(other))
    found, todo = set(), [pid]
    while todo:
        found.add(todo[-1])
        todo += parents.get(todo.pop(), [])
    return found


class Server:
    """One server and a client of it, prepared but not started. `rule` is the known application that must select its processes."""

    def __init__(self, name, user):
        self.rule, self.user, self.root, self.port = name, user, os.path.join(CACHE, name), free_port()
        self.dir = tempfile.mkdtemp(dir=run_dir())
        os.chmod(self.dir, 0o755)
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": self.dir, "LC_ALL": "C",
                    "LD_LIBRARY_PATH": self.path("usr/lib/x86_64-linux-gnu")}
        self.argv = SERVERS[name][0](self)
        for path, dirs, files in os.walk(self.dir):
            for entry in (path, *(os.path.join(path, e) for e in dirs + files)):
                os.chown(entry, user, user)

    def start(self):
        self.process = Process(self.argv, user=self.user, cwd=self.dir, env=self.env)
        self.pid = self.process.pid
        wait_until(self.answers, lambda: f"{self.rule} answers: {self.process.stderr} {self.process.stdout}", 60)

    def path(self, below):
        return os.path.join(self.root, below)

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def run(self, *argv, user=None):
        """A program that prepares its data or is a client of it, as its user or another one."""
        user = user or self.user
        done = subprocess.run(argv, user=user, group=user, extra_groups=[], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout} {done.stderr}"
        return done.stdout

    def prepare(self, *argv, user=None):
        """Runs what makes its data in its directory."""
        os.chown(self.dir, user or self.user, user or self.user)
        self.run(*argv, user=user)

    def request(self):
        """What a client asks; raises unless the answer is right."""
        SERVERS[self.rule][1](self)

    def answers(self):
        if self.process.status is not None:
            raise AssertionError(f"{self.rule} ended with {self.process.status}: {self.process.stderr} {self.process.stdout}")
        try:
            self.request()
        except (OSError, http.client.HTTPException, AssertionError):
            return False
        return True

    def processes(self):
        """Those that run its program, by what /proc says of each."""
        found = set()
        for pid in descendants(self.pid):
            try:
                if os.readlink(f"/proc/{pid}/exe").startswith(self.root + "/"):
                    found.add(pid)
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found


# --- how each is started, and asked

def http_get(server, path, status=200):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, answer.status
    finally:
        connection.close()


def tomcat(server):
    server.write("conf/server.xml", f'<Server port="-1"><Service name="Catalina"><Connector port="{server.port}" address="127.0.0.1"/>'
                 '<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps"/></Engine></Service></Server>')
    server.write("conf/web.xml", '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0"><servlet><servlet-name>default'
                 '</servlet-name><servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class></servlet>'
                 '<servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping></web-app>')
    server.write("webapps/ROOT/a.txt", "a\n")
    server.write("temp/.keep", "")
    home = server.path("usr/share/tomcat10")
    server.env.update(CATALINA_HOME=home, CATALINA_BASE=server.dir, JAVA_HOME=server.path("usr/lib/jvm/java-17-openjdk-amd64"),
                      CATALINA_OPTS="-Xmx64m -XX:TieredStopAtLevel=1")
    return [os.path.join(home, "bin/catalina.sh"), "run"]  # a shell that execs java


def postgresql(server):
    binaries, data = server.path("usr/lib/postgresql/15/bin"), os.path.join(server.dir, "data")
    # which wants a user with a name; the server does not
    server.prepare(os.path.join(binaries, "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", user=NOBODY)
    return [os.path.join(binaries, "postgres"), "-D", data, "-p", str(server.port), "-k", server.dir, "-c", "fsync=off",
            "-c", "listen_addresses="]


def ask_postgresql(server):
    assert server.run(server.path("usr/lib/postgresql/15/bin/psql"), "-h", server.dir, "-p", str(server.port), "-U", "postgres", "-Atc",
                      "select 6*7") == "42\n"


def mysql(server):
    data, base = os.path.join(server.dir, "data"), server.path("usr")
    server.prepare(server.path("usr/bin/mariadb-install-db"), "--no-defaults", f"--basedir={base}", f"--datadir={data}",
               "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
    return [server.path("usr/sbin/mariadbd"), "--no-defaults", f"--basedir={base}", f"--datadir={data}", f"--port={server.port}",
            "--bind-address=127.0.0.1", f"--socket={server.dir}/socket", f"--pid-file={server.dir}/pid"]


def ask_mysql(server):
    assert server.run(server.path("usr/bin/mariadb"), "--no-defaults", f"--socket={server.dir}/socket", "-uroot", "-Ne", "select 6*7") == "42\n"


def redis(server):
    return [server.path("usr/bin/redis-server"), "--port", str(server.port), "--bind", "127.0.0.1", "--dir", server.dir, "--save", ""]


def ask_redis(server):
    with socket.create_connection(("127.0.0.1", server.port), 5) as s:
        s.sendall(b"INCR a\r\n")
        assert s.recv(64).startswith(b":")


def nginx(server):
    settings = server.write("nginx.conf", f"""daemon off; worker_processes 2; pid {server.dir}/pid; error_log stderr; events {{}}
http {{ access_log off; {" ".join(f"{kind}_temp_path {server.dir}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))}
server {{ listen 127.0.0.1:{server.port}; location / {{ return 200 "a"; }} }} }}""")
    # by a shell that does something else too
    return ["/bin/sh", "-c", f"sleep 1000 & {server.path('usr/sbin/nginx')} -e stderr -p {server.dir} -c {settings}; wait"]


def apache(server):
    modules = server.path("usr/lib/apache2/modules")
    load = "\n".join(f"LoadModule {m}_module {modules}/mod_{m}.so" for m in ("mpm_prefork", "authz_core"))
    settings = server.write("apache.conf", f"ServerRoot {server.dir}\nPidFile {server.dir}/pid\nServerName localhost\nMutex fcntl:{server.dir}\n"
                            f"Listen 127.0.0.1:{server.port}\nErrorLog {server.dir}/errors\nDocumentRoot {server.dir}/www\n{load}\n")
    server.write("www/a.txt", "a\n")
    return [server.path("usr/sbin/apache2"), "-D", "FOREGROUND", "-f", settings]


def haproxy(server):
    settings = server.write("haproxy.cfg", f"defaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n"
                            f"frontend a\n bind 127.0.0.1:{server.port}\n http-request return status 200\n")
    return [server.path("usr/sbin/haproxy"), "-W", "-db", "-f", settings]


def influxdb(server):
    settings = server.write("influx.conf", f'bind-address = "127.0.0.1:{free_port()}"\nreporting-disabled = true\n[meta]\ndir = "{server.dir}/meta"\n'
                            f'[data]\ndir = "{server.dir}/data"\nwal-dir = "{server.dir}/wal"\n[http]\nbind-address = "127.0.0.1:{server.port}"\n')
    return [server.path("usr/bin/influxd"), "run", "-config", settings]


SERVERS = {
    "tomcat": (tomcat, lambda s: http_get(s, "/a.txt")),
    "postgresql": (postgresql, ask_postgresql),
    "mysql": (mysql, ask_mysql),
    "redis": (redis, ask_redis),
    "nginx": (nginx, lambda s: http_get(s, "/")),
    "apache": (apache, lambda s: http_get(s, "/a.txt")),
    "haproxy": (haproxy, lambda s: http_get(s, "/")),
    "influxdb": (influxdb, lambda s: http_get(s, "/ping", 204)),
}
assert set(SERVERS) == set(NAMES)


def end_all(user):
    """Ends all that runs as this user, also what has left its session."""
    def living():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}").st_uid == user and Stat(int(pid)).state != "Z":
                    found.append(int(pid))
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def kill():
        for pid in living():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        return not living()
    wait_until(kill, "all servers have ended")
