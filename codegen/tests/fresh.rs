//! The committed files are what the generators print.
//! `UPDATE=1 cargo test -p pelton-codegen` rewrites them, as `cargo xtask kernels generate` does.

use std::path::Path;

#[test]
fn generated_files_are_fresh() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/generated");
    let mut manifest = String::new();
    let mut files = pelton_codegen::generate();
    for (path, _) in &files {
        manifest.push_str(path);
        manifest.push('\n');
    }
    files.push(("MANIFEST.txt".to_string(), manifest));
    for (path, text) in files {
        let path = folder.join(path);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text)?;
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{} is stale; run `cargo xtask kernels generate`",
            path.display()
        );
    }
    Ok(())
}
