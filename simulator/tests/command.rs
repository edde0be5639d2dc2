//! What the command prints, whole: every session in `command/` is run and compared.
//!
//! `TRYCMD=overwrite cargo test -p drayage-simulator --test command` writes what is printed now; read the
//! difference as a user would.

#[test]
fn sessions_print_what_they_show() {
    trycmd::TestCases::new().env("NO_COLOR", "1").case("tests/command/*.trycmd");
}
