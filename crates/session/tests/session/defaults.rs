//! What a client has when it has set nothing: the defaults of its login, and those of its startup
//! packet.

use crate::desk::Desk;

#[test]
fn what_the_server_has_anyway_is_not_set() {
    for (startup, is_set) in [
        (&[("timezone", "utc"), ("DateStyle", "iso")][..], false),
        (&[("DateStyle", "ISO, MDY")], false),
        (&[("application_name", "")], false),
        (&[("DateStyle", "ISO, DMY")], true),
        (&[("TimeZone", "Etc/UTC")], true),
        (&[("work_mem", "4MB")], true),
    ] {
        let mut desk = Desk::new();
        let client = desk.client(startup);
        assert_eq!(!desk.sent().is_empty(), is_set, "{startup:?}");
        let mut told = client.welcome();
        let style = told.find(|(name, _)| *name == b"DateStyle");
        let style = String::from_utf8_lossy(style.expect("it is reported").1);
        assert!(["ISO, MDY", "ISO, DMY"].contains(&&*style), "{style}");
    }
}
