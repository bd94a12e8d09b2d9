//! Lists the Lua files of `lualib/` and `service/` for `src/lua/embedded.rs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut files = Vec::new();
    for folder in ["lualib", "service"] {
        println!("cargo::rerun-if-changed={folder}");
        collect(&root, &root.join(folder), &mut files)?;
    }
    files.sort();
    let mut table = String::from("static FILES: &[(&str, &str)] = &[\n");
    for name in &files {
        let path = root.join(name);
        writeln!(table, "    ({name:?}, include_str!({path:?})),").expect("a string takes any text");
    }
    table.push_str("];\n");
    fs::write(PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("embedded.rs"), table)
}

/// Adds the Lua files below `folder`, by their path from `root`. What editors read (`lualib/meta`) is not run.
fn collect(root: &Path, folder: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("lualib/meta") {
                collect(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "lua") {
            let name = path.strip_prefix(root).expect("it lies below the root");
            files.push(name.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}
