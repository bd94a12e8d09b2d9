//! A config file, as the program and an embedder read it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use skynet_rs::{Config, ConfigError, Severity};
use tempfile::TempDir;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

const MAIN: &str = r#"
include "common/path.lua"
thread = 16 / 2
harbor = 0
start = "game"
logger = nil
loop_kill = 1.5
zone = "$CARGO_PKG_NAME-" .. thread
"#;

const COMMON: &str = r#"root = "./"
luaservice = root .. "service/?.lua;" .. root .. "test/?.lua"
preload = root .. "global.lua"
"#;

#[test]
fn a_file_and_what_it_includes_become_one_config() {
    let directory = directory(&[("etc/config", MAIN), ("etc/common/path.lua", COMMON)]);
    let file = directory.path().join("etc/config");
    let config = Config::load(&file).unwrap();
    config.validate().unwrap();
    assert_eq!(config.thread().unwrap(), 8);
    assert_eq!(config.harbor().unwrap(), 0);
    assert_eq!(config.start(), "game");
    assert_eq!(config.logger(), None);
    assert_eq!(config.luaservice(), "./service/?.lua;./test/?.lua");
    assert_eq!(config.preload(), Some("./global.lua"));
    assert_eq!(config.loop_kill().unwrap(), Some(Duration::from_millis(1500)));
    assert_eq!(config.get("zone"), Some("skynet-rs-8.0"));
    assert_eq!(config.get("root"), Some("./"));
    assert_eq!(config.file(), Some(file.as_path()));

    let place = config.place("preload").unwrap();
    assert_eq!((place.file.as_path(), place.line), (&*directory.path().join("etc/common/path.lua"), Some(3)));
}

#[test]
fn env_is_what_getenv_shall_answer() {
    let config = Config::parse("start = 'game' flag = true").unwrap();
    let mut env: Vec<_> = config.env().collect();
    env.sort_unstable();
    let keys: Vec<_> = env.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["bootstrap", "cpath", "flag", "harbor", "logservice", "profile", "start", "thread"]);
}

#[test]
fn an_embedder_needs_no_file() {
    let pairs = [("thread", "2"), ("harbor", "0")];
    let mut config: Config = pairs.into_iter().collect();
    config.extend([("shutdown_grace", 0.5)]);
    let config = config.set("start", "game");
    assert_eq!(
        config,
        Config::new().set("harbor", 0).set("start", "game").set("shutdown_grace", 0.5).set("thread", 2)
    );
    assert_eq!(config.shutdown_grace().unwrap(), Duration::from_millis(500));
    assert_eq!((config.file(), config.place("thread")), (None, None));
}

#[test]
fn a_file_that_is_not_there_is_told_as_the_system_does() {
    let error = Config::load("no/such/config").unwrap_err();
    assert!(matches!(&error, ConfigError::Read { file, .. } if file == Path::new("no/such/config")));
    assert_eq!(error.to_string(), "no/such/config: No such file or directory");
}

#[test]
fn an_endless_file_ends() {
    let error = Config::parse("thread = 1\nwhile true do thread = thread + 1 end").unwrap_err();
    assert!(matches!(error, ConfigError::Endless { place: Some(place), .. } if place.line == Some(2)));
}

#[test]
fn check_points_at_the_line_of_each_mistake() {
    let text = "harbor = 300\n\nthread = 0\nbootstrap = 'snlua bootstrap'\nthred = 4\nstart = 'nowhere'\n";
    let directory = directory(&[("config.bad", text)]);
    let config = Config::load(directory.path().join("config.bad")).unwrap();
    let findings = config.check(&["snlua", "logger"], |name| name == "bootstrap");
    let said: Vec<String> = findings
        .iter()
        .map(|finding| finding.to_string().replace(&format!("{}/", directory.path().display()), ""))
        .collect();
    assert_eq!(
        said,
        [
            "config.bad:1: error: harbor = 300: must be 0 to 255",
            "config.bad:3: error: thread = 0: must be 1 to 1024",
            // `thread` is set, so `thred` may well be another key.
            "config.bad:6: error: start = nowhere: there is no Lua service nowhere (looked for \
             ./service/nowhere.lua, as luaservice says, from the working directory)",
        ]
    );
    assert!(findings.iter().all(|finding| finding.severity == Severity::Error));
}

#[test]
fn what_is_missing_is_told_with_the_file_alone() {
    let directory = directory(&[("config", "harbor = 0\n")]);
    let file = directory.path().join("config");
    let config = Config::load(&file).unwrap();
    let findings = config.check(&["snlua", "logger"], |name| name == "bootstrap");
    let begin =
        format!("{}: error: start = main (the default): there is no Lua service main", file.display());
    assert!(findings[0].to_string().starts_with(&begin), "{}", findings[0]);
}

#[test]
fn the_example_of_the_manual_is_a_good_config() {
    let manual = include_str!("../docs/config.md");
    let example = manual.split("```lua\n").last().and_then(|rest| rest.split("```").next()).unwrap();
    let example = example.replace("$HOME", "$CARGO_MANIFEST_DIR").replace("include \"common.lua\"", "");
    let config = Config::parse(&example).unwrap();
    config.validate().unwrap();
    let findings = config.check(&["snlua", "logger"], |_| true);
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
