//! Getting in, and a first query.

use pgweir_tests::{Scene, Wire, cases};

cases! {
    select: direct session transaction statement;
    settings_of_the_startup_packet: direct session transaction statement;
}

fn select(scene: &Scene) {
    assert_eq!(
        scene.target().sql("SELECT 6 * 7; SELECT 'ä', NULL, 1"),
        "42\nä||1"
    );
    let mut wire = Wire::connect(&scene.target());
    assert_eq!(
        wire.sql("SELECT current_user, current_database()"),
        [format!("app|{}", scene.database)]
    );
    assert_eq!(wire.sql(""), [""; 0]);
    assert_eq!(wire.sql_error("SELECT 1/0").sqlstate, "22012");
    assert_eq!(wire.sql("SELECT generate_series(1, 3)"), ["1", "2", "3"]);
}

fn settings_of_the_startup_packet(scene: &Scene) {
    let parameters = [
        ("application_name", "a test"),
        ("TimeZone", "Asia/Tokyo"),
        ("options", "-c DateStyle=German -c IntervalStyle=iso_8601"),
    ];
    let mut wire = Wire::try_connect(&scene.target(), &parameters).expect("all are known");
    assert_eq!(wire.identity.parameters["application_name"], "a test");
    assert_eq!(wire.identity.parameters["TimeZone"], "Asia/Tokyo");
    assert_eq!(wire.identity.parameters["IntervalStyle"], "iso_8601");
    assert!(wire.identity.parameters["DateStyle"].starts_with("German"));
    let mut other = Wire::connect(&scene.target());
    for _ in 0..3 {
        assert_eq!(wire.sql("SHOW TimeZone"), ["Asia/Tokyo"]);
        assert_eq!(wire.sql("SELECT date '2026-02-01'"), ["01.02.2026"]);
        assert_eq!(other.sql("SHOW IntervalStyle"), ["postgres"]);
        assert_eq!(other.sql("SELECT date '2026-02-01'"), ["2026-02-01"]);
    }
}
