//! Files of the repository that are made from the code.

use std::{env, fs, path::Path};

/// Compares a file with what it should be; with `UPDATE_GENERATED` set it is written instead.
pub fn same_as_file(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} differs from the code; run: UPDATE_GENERATED=1 cargo test --test crds --test reference --test wrong_input",
        path.display()
    );
}
