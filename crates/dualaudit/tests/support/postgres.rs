//! A PostgreSQL server of the tests' own, in a directory that goes with it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A server that this process started, or was told of.
pub struct Server {
    /// Of any database there: `%` stands for its name.
    url: String,
    guardian: Option<Mutex<Guardian>>,
}

/// What a server's directory is on.
#[derive(Clone, Copy, Debug)]
pub enum Disk {
    /// Memory where there is plenty, as most of what a test waits for would else be the disk, at each
    /// database that is made and dropped.
    Fastest,
    /// Where temporary files are.
    Real,
    /// A file system of its own of so many MiB, where [`can_mount`] says so.
    Small(u32),
}

impl Disk {
    fn place(self) -> PathBuf {
        const PLENTY: u64 = 4 << 30;
        let memory = Path::new("/dev/shm");
        let free = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
        match self {
            Self::Fastest if free >= PLENTY => memory.to_owned(),
            _ => std::env::temp_dir(),
        }
    }
}

/// The shell that runs a server. It answers each order with a line, when it is done.
struct Guardian {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Runs the server until standard input closes, so also until the process that has its other end is
/// killed; then stops it at once and removes its directory. Meanwhile it takes orders.
const GUARDIAN: &str = r#"
bin=$1 dir=$2 port=$3; shift 3
# Whoever gave an order may be gone before it is answered.
trap '' PIPE
start() {
    "$bin/postgres" -D "$dir/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c max_connections=300 "$@" >>"$dir/server.log" 2>&1 &
    server=$!
}
start "$@"
while read -r order; do
    case $order in
    stop) kill -INT $server; wait $server ;;
    kill) kill -KILL $server; wait $server 2>/dev/null ;;
    start)
        until "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; do
            # What is left of a server that was killed keeps another from starting for a moment.
            [ -e "/proc/$server/exe" ] || start "$@"
            sleep 0.05
        done ;;
    save) cp -a "$dir/data" "$dir/saved" ;;
    restore) rm -rf "$dir/data" && cp -a "$dir/saved" "$dir/data" ;;
    fill) dd if=/dev/zero of="$dir/data/ballast" bs=64k 2>/dev/null ;;
    empty) rm "$dir/data/ballast" ;;
    esac
    echo done
done
kill -QUIT $server 2>/dev/null
wait $server
rm -rf "$dir" 2>/dev/null
"#;

/// Runs a guardian as another user, with the data directory on a file system of so many MiB, which
/// nobody else sees and which goes with the processes in it.
const ON_A_SMALL_DISK: &str = r#"
mib=$1 uid=$2 gid=$3 dir=$4; shift 4
mount -t tmpfs -o "size=${mib}m" tmpfs /mnt && cp -a "$dir/data/." /mnt && rm -rf "$dir/data"/* &&
    mount --move /mnt "$dir/data" || exit
setpriv --reuid="$uid" --regid="$gid" --clear-groups "$@"
umount "$dir/data" && rm -rf "$dir"
"#;

/// Whether this process may mount a file system for a server.
pub fn can_mount() -> bool {
    let try_it = "mount -t tmpfs tmpfs /mnt";
    let tried = Command::new("unshare").args(["--mount", "sh", "-c", try_it]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

impl Server {
    /// The one that the tests of this process share. `DUALAUDIT_TEST_DATABASE` names another server to
    /// use instead, by the URL of a database there; its role must be allowed to create databases.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("DUALAUDIT_TEST_DATABASE") {
            Ok(url) => Self { url: without_database(&url), guardian: None },
            Err(_) => Self::start(&[]),
        })
    }

    /// Starts one of its own, with these settings besides, such as `fsync=off`.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, Disk::Fastest, |_, _| {})
    }

    /// The same, after `prepare` has put files into its data directory, and has given each to the
    /// server's user.
    pub fn start_with(settings: &[&str], disk: Disk, prepare: impl FnOnce(&Path, &dyn Fn(&Path))) -> Self {
        let bin = binaries();
        let dir = tempfile::tempdir_in(disk.place()).expect("a temporary directory").keep();
        // PostgreSQL refuses to run as root.
        let user = (fs::metadata("/proc/self").expect("a process").uid() == 0).then(unprivileged);
        let give = |path: &Path| {
            if let Some((uid, gid)) = user {
                chown(path, Some(uid), Some(gid)).expect("a file can be given away");
            }
        };
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir("/");
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        give(&dir);
        let data = dir.join("data");
        let made = command(&bin.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        prepare(&data, &give);
        let port = free_port();
        let mut guardian = match (disk, user) {
            (Disk::Small(mib), Some((uid, gid))) => {
                let mut root = Command::new("unshare");
                root.current_dir("/").args(["--mount", "sh", "-c", ON_A_SMALL_DISK, "root"]);
                root.args([mib, uid, gid].map(|number| number.to_string())).arg(&dir).arg("sh");
                root
            }
            (Disk::Small(_), None) => panic!("only root can mount"),
            _ => command(Path::new("sh")),
        };
        guardian.args(["-c", GUARDIAN, "guardian"]).arg(&bin).arg(&dir).arg(port.to_string());
        for setting in settings {
            guardian.args(["-c", setting]);
        }
        guardian.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own: Ctrl-C is for the tests, and ends them first.
        let mut child = guardian.process_group(0).spawn().expect("a shell starts");
        // What it has mounted is seen through it.
        let seen = PathBuf::from(format!("/proc/{}/root{}", child.id(), dir.display()));
        let (orders, answers) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let guardian = Guardian { child, orders, answers: BufReader::new(answers) };
        let server = Self {
            url: format!("postgres://postgres@127.0.0.1:{port}/%"),
            guardian: Some(Mutex::new(guardian)),
        };
        wait_until_ready(&seen);
        server
    }

    /// Stops it as `pg_ctl stop -m fast` does: clients are disconnected, and what is in memory written.
    pub fn stop(&self) {
        self.order("stop");
    }

    /// SIGKILL to the server, whose other processes end once they see it.
    pub fn kill(&self) {
        self.order("kill");
    }

    /// Starts it if it does not run, and waits until it lets clients in.
    pub fn restart(&self) {
        self.order("start");
    }

    /// Copies its data aside, while it is stopped.
    pub fn back_up(&self) {
        for order in ["stop", "save", "start"] {
            self.order(order);
        }
    }

    /// Takes its data back to what was copied.
    pub fn restore(&self) {
        for order in ["stop", "restore", "start"] {
            self.order(order);
        }
    }

    /// Leaves no room on its disk.
    pub fn fill_disk(&self) {
        self.order("fill");
    }

    /// Makes room again.
    pub fn empty_disk(&self) {
        self.order("empty");
    }

    fn order(&self, order: &str) {
        let guardian = self.guardian.as_ref().expect("a server of our own");
        let mut guardian = guardian.lock().expect("nobody panics with it");
        writeln!(guardian.orders, "{order}").expect("the guardian listens");
        let mut answer = String::new();
        guardian.answers.read_line(&mut answer).expect("the guardian answers");
        assert_eq!(answer, "done\n");
    }

    /// The URL of a database there.
    pub fn url(&self, database: &str) -> String {
        self.url.replace('%', database)
    }

    /// Where it listens, of a server of our own.
    pub fn address(&self) -> SocketAddr {
        let (_, rest) = self.url.split_once('@').expect("a user");
        rest.split('/').next().expect("a part").parse().expect("an address")
    }

    /// Runs SQL that has no rows, on a thread of its own, wherever this is called.
    pub fn execute(&self, database: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.rows(database, sql).map(|_| ())
    }

    /// The same of SQL that has rows, whose values come as text, NULL as an empty one.
    pub fn rows(&self, database: &str, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        let (url, sql) = (self.url(database), sql.to_owned());
        let run = async move {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
            tokio::spawn(connection);
            let messages = client.simple_query(&sql).await?;
            let rows = messages.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect(),
                ),
                _ => None,
            });
            Ok(rows.collect())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let on_a_thread = move || runtime.block_on(run);
        std::thread::spawn(on_a_thread).join().expect("no panic")
    }

    /// A new database, from a template where there is one.
    pub fn database(&'static self, template: Option<&str>) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("dualaudit_test_{}_{number}", std::process::id());
        let template = template.unwrap_or("template0");
        self.execute("postgres", &format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE {template}"))
            .unwrap_or_else(|error| panic!("a database can be created: {error:?}"));
        Database { server: self, name }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(guardian) = self.guardian.take() {
            let Guardian { mut child, orders, .. } =
                guardian.into_inner().unwrap_or_else(PoisonError::into_inner);
            drop(orders);
            let _ = child.wait();
        }
    }
}

/// A database that goes with this.
pub struct Database {
    /// Where it is.
    pub server: &'static Server,
    /// What it is called there.
    pub name: String,
}

impl Database {
    /// Its URL.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Runs SQL in it that has no rows.
    pub fn execute(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.server.execute(&self.name, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ =
            self.server.execute("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn binaries() -> PathBuf {
    if let Some(named) = std::env::var_os("PG_BIN") {
        return named.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.sort();
    found.retain(|bin| bin.join("initdb").exists());
    found.pop().expect(
        "PostgreSQL 15 or later is missing: run `make setup`, or name its programs' directory in PG_BIN",
    )
}

/// A user that may run a server: uid and gid.
fn unprivileged() -> (u32, u32) {
    let passwd = BufReader::new(fs::File::open("/etc/passwd").expect("a list of users"));
    let users: Vec<String> = passwd.lines().map_while(Result::ok).collect();
    let find = |name: &str| {
        let fields: Vec<&str> = users
            .iter()
            .map(|line| line.split(':').collect())
            .find(|fields: &Vec<&str>| fields[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).expect("a user postgres or nobody")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn wait_until_ready(dir: &Path) {
    let started = Instant::now();
    loop {
        // The eighth line of a server's PID file is its state.
        let file = fs::read_to_string(dir.join("data/postmaster.pid")).unwrap_or_default();
        if file.lines().nth(7).is_some_and(|state| state.trim() == "ready") {
            return;
        }
        let log = || fs::read_to_string(dir.join("server.log")).unwrap_or_default();
        assert!(started.elapsed() < Duration::from_secs(60), "PostgreSQL does not start: {}", log());
        sleep(Duration::from_millis(20));
    }
}

/// A URL with `%` for the name of the database.
fn without_database(url: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let after_scheme = base.find("://").map_or(0, |at| at + 3);
    let base = base[after_scheme..].find('/').map_or(base, |at| &base[..after_scheme + at]);
    if query.is_empty() { format!("{base}/%") } else { format!("{base}/%?{query}") }
}
