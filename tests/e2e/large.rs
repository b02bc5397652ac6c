//! Messages of any size in bounded memory.

use pgweir_tests::{Config, Major, Pooler, Scene, Target, Way, Wire, cases};
use pgweir_wire::encode;

cases! {
    a_row_of_a_gigabyte;
    a_parameter_of_a_gigabyte;
    a_large_query: direct session transaction;
    a_result_of_many_rows: session transaction;
    a_limit_for_messages: transaction;
}

const GIGABYTE: usize = 1_000_000_000;
/// What the process may have had in memory at any time.
const LIMIT: u64 = 64 * 1024 * 1024;

#[track_caller]
fn stayed_small(pooler: &Pooler) {
    let peak = pooler.process().memory("VmHWM");
    assert!(peak < LIMIT, "{} MB at its peak", peak / 1024 / 1024);
}

fn pooled(major: Major) -> Scene {
    Scene::with(major, Way::Transaction, |config| {
        config.set("default_pool_size", 1)
    })
}

fn a_row_of_a_gigabyte(major: Major) {
    let scene = pooled(major);
    let mut wire = Wire::connect(&scene.target());
    wire.patience(std::time::Duration::from_secs(60));
    let sql = format!("SELECT repeat('x', {GIGABYTE})");
    wire.write(|out| encode::query(sql.as_bytes(), out));
    assert_eq!(wire.frame().tag, b'T');
    assert_eq!(wire.skip_frame(), (b'D', GIGABYTE as u64 + 6));
    assert_eq!(wire.until_ready().len(), 2);
    assert_eq!(wire.sql("SELECT 'alive'"), ["alive"]);
    stayed_small(scene.pooler());
}

fn a_parameter_of_a_gigabyte(major: Major) {
    let scene = pooled(major);
    let mut wire = Wire::connect(&scene.target());
    wire.patience(std::time::Duration::from_secs(60));
    wire.write(|out| encode::parse(b"named", b"SELECT length($1::bytea)", &[], out));
    // Bind with one parameter in binary, its value in pieces.
    let size = GIGABYTE / 2;
    let mut bind = vec![b'B'];
    let names = b"\0named\0";
    bind.extend(
        u32::try_from(4 + names.len() + 4 + 2 + 4 + size + 2)
            .unwrap()
            .to_be_bytes(),
    );
    bind.extend(names);
    bind.extend([0, 1, 0, 1, 0, 1]);
    bind.extend(u32::try_from(size).unwrap().to_be_bytes());
    wire.send(&bind);
    let piece = vec![b'x'; 1_000_000];
    for _ in 0..size / piece.len() {
        wire.send(&piece);
    }
    wire.write(|out| {
        out.extend([0, 0]);
        encode::execute(b"", 0, out);
        encode::sync(out);
    });
    let frames = wire.until_ready();
    assert_eq!(frames[2].row(), [size.to_string()]);
    stayed_small(scene.pooler());
}

fn a_large_query(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    for size in [10_000, 65_530, 65_536, 100_000, 5_000_000] {
        let text = "y".repeat(size);
        assert_eq!(
            wire.sql(&format!("SELECT length('{text}')")),
            [size.to_string()]
        );
        assert_eq!(wire.sql(&format!("SELECT '{text}'")), [text.as_str()]);
        wire.write(|out| {
            encode::parse(
                b"",
                format!("SELECT length('{text}'), $1").as_bytes(),
                &[],
                out,
            );
            encode::bind(b"", b"", &[Some(text.as_bytes())], out);
            encode::execute(b"", 0, out);
            encode::sync(out);
        });
        let frames = wire.until_ready();
        assert_eq!(frames[2].row(), [size.to_string(), text]);
    }
}

fn a_result_of_many_rows(scene: &Scene) {
    let mut wire = Wire::connect(&scene.target());
    wire.write(|out| encode::query(b"SELECT generate_series(1, 1000000), 'some text'", out));
    let mut rows = 0;
    loop {
        match wire.frame().tag {
            b'D' => rows += 1,
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!(rows, 1_000_000);
    stayed_small(scene.pooler());
}

fn a_limit_for_messages(scene: &Scene) {
    let config = Config::of(scene.cluster, &scene.database).set("max_packet_size", "1MB");
    let pooler = Pooler::start(&config);
    let target: Target = pooler.target(&scene.database);
    let mut wire = Wire::connect(&target);
    assert_eq!(
        wire.sql(&format!("SELECT length('{}')", "x".repeat(1_000_000))),
        ["1000000"]
    );
    let mut too_long = vec![b'Q'];
    too_long.extend(2_000_000_u32.to_be_bytes());
    wire.send(&too_long);
    let error = wire.last_error();
    assert_eq!(
        (error.severity.as_str(), error.sqlstate.as_str()),
        ("FATAL", "08P01")
    );
    assert_eq!(target.sql("SELECT 1"), "1");
}
