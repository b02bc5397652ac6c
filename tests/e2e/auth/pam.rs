//! Passwords that PAM knows: Linux-PAM's own, with services of the test's in the place of the machine's, which takes a
//! mount namespace of the pooler's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use pgweir_tests::{
    Cluster, Config, Major, Pooler, Room, Starting, Target, Wire, cases, eventually, free_port,
};

cases! {
    who_pam_knows;
    an_account_that_may_not_be_used;
    a_module_that_takes_its_time;
    many_at_once;
    what_modules_are_told;
    services_of_an_ini;
}

/// Knows that users have the passwords that servers have; what comes before it is said too.
const KNOWS: &str = "#!/bin/sh
password=$(tr -d '\\0')
case $PAM_USER in app | other) [ \"$password\" = \"$PAM_USER-secret\" ] ;; *) false ;; esac
";

/// A pooler whose PAM has one service, and the room in which that is.
struct Scene {
    pooler: Pooler,
    _room: Room,
    database: String,
}

impl Scene {
    /// `service`: lines of its file, in which `KNOWS` is a module that knows users, and `SCRIPT` one that runs a
    /// script. `None`: this user may not have a namespace of its own.
    fn start(major: Major, service: &str, script: &str) -> Option<Self> {
        let cluster = Cluster::shared(major);
        let database = cluster.database();
        let config = Config::new()
            .database(&database, cluster)
            .set("auth_type", "pam")
            .set("client_login_timeout", 10)
            .set("workers", 2);
        let port = free_port();
        let text = config.text(port);
        Self::run(
            &database,
            ("pgweir", service),
            script,
            ("pgweir.toml", &text),
            port,
        )
    }

    fn run(
        database: &str,
        (name, service): (&str, &str),
        script: &str,
        (file, text): (&str, &str),
        port: u16,
    ) -> Option<Self> {
        let mut may = Command::new("unshare");
        may.args(["--mount", "mount", "--bind", "/etc/pam.d", "/etc/pam.d"]);
        if !may.status().is_ok_and(|status| status.success()) {
            eprintln!("not run: this user may not mount in a namespace of its own");
            return None;
        }
        let room = Room::new("pam");
        let services = room.join("services");
        fs::create_dir(&services).expect("ours");
        let program = |name: &str, text: &str| {
            let path = room.join(name);
            fs::write(&path, text).expect("ours");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
            path.display().to_string()
        };
        let knows = program("knows", KNOWS);
        let script = program("script", &format!("#!/bin/sh\n{script}\n"));
        let service = service
            .replace(
                "KNOWS",
                &format!("pam_exec.so quiet expose_authtok {knows}"),
            )
            .replace("SCRIPT", &format!("pam_exec.so quiet {script}"));
        fs::write(services.join(name), service).expect("ours");

        let own = Room::new("pam-pooler");
        fs::write(own.join(file), text).expect("ours");
        let starting = Starting::new("unshare", "KILL", &own.join("log"))
            .args([
                "--mount",
                "sh",
                "-c",
                "mount --bind \"$0\" /etc/pam.d && exec \"$@\"",
            ])
            .arg(&services)
            .arg(Pooler::program())
            .arg(own.join(file));
        let pooler = Pooler::start_as(starting, own, port);
        Some(Self {
            pooler,
            _room: room,
            database: database.to_owned(),
        })
    }

    fn target(&self) -> Target {
        self.pooler.target(&self.database)
    }

    /// How many processes ask PAM now.
    fn asking(&self) -> usize {
        let own = self.pooler.process().id().to_string();
        let all = fs::read_dir("/proc").expect("there are processes");
        let is_child = |path: PathBuf| {
            let status = fs::read_to_string(path.join("stat")).unwrap_or_default();
            // After the name, which may have anything in it: state, then the parent.
            let parent = status
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split(' ').nth(2));
            parent == Some(&*own)
        };
        all.filter(|entry| is_child(entry.as_ref().expect("it is readable").path()))
            .count()
    }
}

const KNOWN: &str = "auth required KNOWS\naccount required pam_permit.so\n";

fn refused(target: &Target) {
    let error = Wire::try_connect(target, &[]).expect_err("a refusal");
    assert_eq!(error.sqlstate, "28P01");
    assert_eq!(error.message, "PAM authentication failed");
}

fn who_pam_knows(major: Major) {
    let Some(scene) = Scene::start(major, KNOWN, "true") else {
        return;
    };
    // With the same password the server is logged in to.
    for user in ["app", "other"] {
        let target = scene.target().user(user);
        assert_eq!(Wire::connect(&target).sql("SELECT current_user"), [user]);
    }
    refused(&scene.target().password("wrong"));
    refused(&scene.target().user("nobody"));
    // What a shell or a list would make something else of.
    refused(&scene.target().password("$(id) ' \" \\ ü"));
    let empty = Wire::try_connect(&scene.target().password(""), &[]).expect_err("a refusal");
    assert_eq!(empty.message, "empty password returned by client");
    // Users of the console, too.
    let error = Wire::try_connect(&scene.pooler.console(), &[]).expect_err("a refusal");
    assert_eq!(error.message, "PAM authentication failed");
    assert_eq!(scene.asking(), 0);
    let log = scene.pooler.log();
    assert!(
        !log.contains("app-secret") && !log.contains("wrong"),
        "{log}"
    );
}

fn an_account_that_may_not_be_used(major: Major) {
    let service = "auth required KNOWS\naccount required pam_deny.so\n";
    let Some(scene) = Scene::start(major, service, "true") else {
        return;
    };
    refused(&scene.target());
}

fn a_module_that_takes_its_time(major: Major) {
    let service = "auth requisite SCRIPT\nauth required KNOWS\naccount required pam_permit.so\n";
    let Some(scene) = Scene::start(major, service, "[ \"$PAM_USER\" = app ] || exec sleep 60")
    else {
        return;
    };
    thread::scope(|scope| {
        let slow = scope.spawn(|| Wire::try_connect(&scene.target().user("other"), &[]));
        eventually("PAM is asked", || (scene.asking() == 1).then_some(()));
        // Nobody else waits for it.
        assert_eq!(Wire::connect(&scene.target()).sql("SELECT 1"), ["1"]);
        // Who leaves meanwhile takes the process along.
        let mut gone = Wire::open(&scene.target());
        gone.startup(
            &scene.target().user("other"),
            pgweir_wire::startup::PROTOCOL_3_0,
            &[],
        );
        gone.frame();
        gone.write(|out| pgweir_wire::encode::password(b"other-secret", out));
        eventually("PAM is asked twice", || (scene.asking() == 2).then_some(()));
        drop(gone);
        eventually("it is not asked any more", || {
            (scene.asking() == 1).then_some(())
        });
        let error = slow.join().expect("it ends").expect_err("a refusal");
        assert_eq!(error.message, "PAM authentication failed");
    });
    eventually("nobody asks any more", || {
        (scene.asking() == 0).then_some(())
    });
    assert!(scene.pooler.log().contains("there is no answer"));
}

fn many_at_once(major: Major) {
    let Some(scene) = Scene::start(major, KNOWN, "true") else {
        return;
    };
    thread::scope(|scope| {
        for _ in 0..12 {
            let target = scene.target();
            scope.spawn(move || {
                for _ in 0..6 {
                    refused(&target.password("wrong"));
                    assert_eq!(Wire::connect(&target).sql("SELECT 1"), ["1"]);
                }
            });
        }
    });
    assert_eq!(scene.asking(), 0);
}

fn what_modules_are_told(major: Major) {
    let service = "auth required SCRIPT\nauth required KNOWS\naccount required pam_permit.so\n";
    let told = Room::new("told");
    let file = told.join("told");
    let script = format!(
        "echo $PAM_USER $PAM_RHOST $PAM_SERVICE $PAM_TYPE >{}",
        file.display()
    );
    let Some(scene) = Scene::start(major, service, &script) else {
        return;
    };
    Wire::connect(&scene.target());
    assert_eq!(
        fs::read_to_string(&file).expect("it ran"),
        "app 127.0.0.1 pgweir auth\n"
    );
}

fn services_of_an_ini(major: Major) {
    let cluster = Cluster::shared(major);
    let database = cluster.database();
    let port = free_port();
    let text = |more: &str| {
        format!(
            "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nuser = nobody\n\
             auth_type = pam\n{more}[databases]\n{database} = host=127.0.0.1 port={}\n",
            cluster.port()
        )
    };
    let start = |service: &str, more: &str| {
        let file = ("pgbouncer.ini", &*text(more));
        Scene::run(&database, (service, KNOWN), "true", file, port)
    };
    for (service, more) in [("pgbouncer", ""), ("other", "pam_service = other\n")] {
        let Some(scene) = start(service, more) else {
            return;
        };
        assert_eq!(Wire::connect(&scene.target()).sql("SELECT 1"), ["1"]);
    }
    // A service that is not there lets nobody in.
    let Some(scene) = start("another", "") else {
        return;
    };
    let error = Wire::try_connect(&scene.target(), &[]).expect_err("a refusal");
    assert_eq!(error.sqlstate, "08P01");
    assert_eq!(error.message, "PAM authentication failed");
}
