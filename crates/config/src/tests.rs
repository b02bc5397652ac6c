//! Tests of the whole crate.

use crate::parse;

#[test]
fn a_small_file() {
    let config = parse("[pgweir]\nlisten_port = 7000\n[databases.shop]\nhosts = [\"db\"]\n").unwrap();
    assert_eq!(config.settings.listen_port, 7000);
    assert_eq!(config.databases["shop"].hosts[0].to_string(), "db:5432");
    eprintln!("{:#?}", parse("x = 1\n[pgweir]\nlisten_prot = 7000\nlisten_port = 1\nlisten_port = 2\npool_mode = transction\n[databases.shop]\nhosts = [\"::1\"]\n[database.a]\nx=\npassword = hunter2\n").unwrap_err());
}
