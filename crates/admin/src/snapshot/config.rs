//! One setting, for SHOW CONFIG.

/// One setting.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConfigRow {
    /// Its name.
    pub key: String,
    /// The value in force, if there is one.
    pub value: Option<String>,
    /// The value it has when nobody says anything.
    pub default: Option<String>,
    /// Whether SET and RELOAD change it.
    pub changeable: bool,
}
