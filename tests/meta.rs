//! What editors are told of the Lua modules (`lualib/meta`) is what the modules have.
//!
//! Asked of a running service, so that native functions, those in Lua, and those that are made when first asked for are
//! all seen.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What a meta file says: its module, the functions of the module's table, and the table's other fields.
struct Annotated {
    module: String,
    functions: BTreeSet<String>,
    fields: BTreeSet<String>,
}

fn read(path: &Path) -> Annotated {
    let text = fs::read_to_string(path).expect("it is a text");
    let first = text.lines().next().unwrap_or_default();
    let module = first.strip_prefix("---@meta ").unwrap_or_else(|| panic!("{}: no module", path.display()));
    // The class of the module; the fields of other classes in the file are not the table's.
    let class = format!("---@class {module}");
    let table =
        text.lines().last().and_then(|line| line.strip_prefix("return ")).expect("it returns a table");
    let prefix = format!("function {table}.");
    let functions = text.lines().filter_map(|line| line.strip_prefix(prefix.as_str()));
    let fields = text.lines().skip_while(|line| *line != class).skip(1);
    let fields = fields.map_while(|line| line.strip_prefix("---@field "));
    Annotated {
        module: module.to_owned(),
        functions: functions
            .filter_map(|line| line.split_once('('))
            .map(|(name, _)| name.to_owned())
            .collect(),
        fields: fields.filter_map(|line| line.split_once(' ')).map(|(name, _)| name.to_owned()).collect(),
    }
}

/// The names that follow a prefix in lines of a source text.
fn names_after<'a>(text: &'a str, prefix: &'a str, end: char) -> impl Iterator<Item = String> + 'a {
    let lines = text.lines().filter_map(move |line| line.trim_start().strip_prefix(prefix));
    lines.filter_map(move |line| line.split_once(end)).map(|(name, _)| name.to_owned())
}

#[test]
fn each_lua_function_is_annotated_and_each_annotation_is_true() {
    let node = support::node();
    // Something of `skynet.extra`, which then gives both tables what is written in Lua.
    assert_eq!(node.lua1("return skynet.pcall == pcall"), "true");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // `skynet.manager` adds these to the table of `skynet`, and says itself what they are.
    let manager = fs::read_to_string(root.join("lualib/skynet/manager.lua")).expect("it is there");
    let elsewhere: BTreeSet<String> = names_after(&manager, "function skynet.", '(').collect();
    let mut wrong = Vec::new();
    for file in fs::read_dir(root.join("lualib/meta")).expect("the folder is there") {
        let path = file.expect("it can be listed").path();
        let Annotated { module, functions, fields } = read(&path);
        let names = node.lua(&format!(
            "local names = {{}}
            for name, value in pairs(require '{module}') do
                if type(name) == 'string' then names[#names + 1] = name end
            end
            return table.unpack(names)"
        ));
        let mut there: BTreeSet<String> = names.into_iter().collect();
        // Some tables show a function only when it has been asked for.
        let source =
            root.join("src/lua/modules").join(path.with_extension("rs").file_name().expect("a name"));
        if let Ok(source) = fs::read_to_string(source) {
            let is_name =
                |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            there.extend(names_after(&source, "(c\"", '"').filter(is_name));
        }
        for name in there.iter().filter(|name| module != "skynet" || !elsewhere.contains(*name)) {
            if !functions.contains(name) && !fields.contains(name) {
                wrong.push(format!("{module}.{name} is not annotated"));
            }
        }
        for name in functions.union(&fields) {
            if node.lua1(&format!("return (require '{module}').{name} ~= nil")) != "true" {
                wrong.push(format!("{module}.{name} is annotated, but not there"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
