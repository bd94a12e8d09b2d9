//! [`Config::check`]: finds what is wrong with a configuration before a node starts with it.
//!
//! The program's `check` command calls it. It reads and looks at files, and changes nothing. What a node would refuse,
//! or could not work with, is an error; what may be meant so is a warning.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, KEYS, Place};

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The node runs, but perhaps not as was meant.
    Warning,
    /// The node does not start, or not what it should run.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One thing that is wrong with a configuration; shown as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The key that it is about.
    pub key: String,
    /// What the key is set to, or its default; `None` if it has neither.
    pub value: Option<String>,
    /// Whether the value is the default, and nobody set it.
    pub is_default: bool,
    /// Where the key was set; of a key that was not, the file that it would belong in. `None` for a configuration
    /// that no file made.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    /// The same finding with a word on what to do.
    fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }
}

/// `config.hello:3: error: thread = 0: must be 1 to 1024`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if let Some(place) = &self.place {
            line += &format!("{place}: ");
        }
        line += &format!("{}: {}", self.severity, self.key);
        if let Some(value) = &self.value {
            line += &format!(" = {value}{}", if self.is_default { " (the default)" } else { "" });
        }
        line += &format!(": {}", self.message);
        if let Some(hint) = &self.hint {
            line += &format!(" ({hint})");
        }
        // Values come from outside: none of them may break the line, or steer the terminal.
        for character in line.chars() {
            match character.is_control() {
                true => write!(f, "{}", character.escape_debug())?,
                false => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

impl Config {
    /// Finds what is wrong, in the order of the file and its lines; empty if nothing is.
    ///
    /// `natives` are the service modules that the node would have (`snlua`, `logger`, ...), and `embedded` tells whether
    /// the program brings a Lua service of that name along. Relative paths start at the working directory, as they do
    /// when the node runs.
    ///
    /// ```
    /// use skynet_rs::{Config, Severity};
    /// let config = Config::parse("harbor = 0\nthread = 0")?;
    /// let findings = config.check(&["snlua", "logger"], |_| true);
    /// assert_eq!(findings[0].severity, Severity::Error);
    /// assert_eq!(findings[0].to_string(), "[skynet config]:2: error: thread = 0: must be 1 to 1024");
    /// # Ok::<(), skynet_rs::ConfigError>(())
    /// ```
    #[must_use]
    pub fn check(&self, natives: &[&str], embedded: impl Fn(&str) -> bool) -> Vec<Finding> {
        let mut check = Check { config: self, natives, embedded: &embedded, findings: Vec::new() };
        check.numbers();
        check.patterns();
        check.log();
        check.bootstrap();
        check.files();
        check.addresses();
        check.spelling();
        let mut findings = check.findings;
        // Stable, so findings of one line stay in the order in which they were found. Lines of several files are not
        // mixed; what no line set comes first.
        findings.sort_by(|one, other| order(one).cmp(&order(other)));
        findings
    }
}

fn order(finding: &Finding) -> Option<(&Path, Option<usize>)> {
    finding.place.as_ref().map(|place| (place.file.as_path(), place.line))
}

/// A check under way.
struct Check<'a> {
    config: &'a Config,
    natives: &'a [&'a str],
    embedded: &'a dyn Fn(&str) -> bool,
    findings: Vec<Finding>,
}

impl Check<'_> {
    /// A finding about a key with its value, be it the default.
    fn about(&self, severity: Severity, key: &str, message: impl Into<String>) -> Finding {
        let text = self.config.text(key);
        let is_set = self.config.value_set(key).is_some();
        let in_file = || self.config.file().map(|file| Place::new(file, None));
        Finding {
            severity,
            key: key.to_owned(),
            value: (is_set || !text.is_empty()).then(|| text.to_owned()),
            is_default: !is_set && !text.is_empty(),
            place: self.config.place(key).cloned().or_else(in_file),
            message: message.into(),
            hint: None,
        }
    }

    fn error(&self, key: &str, message: impl Into<String>) -> Finding {
        self.about(Severity::Error, key, message)
    }

    fn warning(&self, key: &str, message: impl Into<String>) -> Finding {
        self.about(Severity::Warning, key, message)
    }

    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// What the engine reads as numbers or as yes and no.
    fn numbers(&mut self) {
        let config = self.config;
        self.readable("thread", config.thread());
        self.readable("harbor", config.harbor());
        self.readable("loop_kill", config.loop_kill());
        self.readable("mqueue_max", config.mqueue_max());
        self.readable("socket_buffer_max", config.socket_buffer_max());
        self.readable("shutdown_grace", config.shutdown_grace());
        // Its default follows `thread`, which has its own finding then.
        if config.value_set("spare_workers").is_some() {
            self.readable("spare_workers", config.spare_workers());
        }
        self.readable("harbor_compress", config.harbor_compress());
        self.readable("harbor_message_max", config.harbor_message_max());
        self.readable("harbor_queue_max", config.harbor_queue_max());
        self.readable("harbor_queue_bytes_max", config.harbor_queue_bytes_max());
        self.readable("harbor_down_after", config.harbor_down_after());
        self.readable("harbor_resume_window", config.harbor_resume_window());
        self.readable("harbor_join_timeout", config.harbor_join_timeout());
        self.readable("harbor_secret", config.harbor_secret());
        if !matches!(config.text("profile"), "true" | "false") {
            let finding = self.warning("profile", "anything but true means false");
            self.add(finding);
        }
    }

    fn readable<T>(&mut self, key: &str, result: Result<T, ConfigError>) {
        let message = match result {
            Ok(_) => return,
            Err(ConfigError::Thread { .. }) => "must be 1 to 1024".to_owned(),
            Err(ConfigError::Value { range, .. }) => format!("must be {range}"),
            Err(other) => other.to_string(),
        };
        let finding = self.error(key, message);
        self.add(finding);
    }

    /// Lists of patterns, in each of which `?` stands for a name.
    fn patterns(&mut self) {
        for key in ["luaservice", "cpath", "lua_path", "lua_cpath"] {
            let odd = patterns(self.config.text(key)).find(|pattern| !pattern.contains('?'));
            if let Some(pattern) = odd {
                let finding = self.warning(key, format!("{pattern:?} has no '?' to stand for the name"));
                self.add(finding);
            }
        }
    }

    /// The log service and its argument.
    fn log(&mut self) {
        let module = self.config.logservice();
        if !self.has_module(module) {
            let finding = self.no_module("logservice", module);
            return self.add(finding);
        }
        match (module, self.config.logger()) {
            ("logger", Some(file)) => self.log_file(file),
            ("snlua", logger) => match logger.and_then(|logger| logger.split_whitespace().next()) {
                Some(script) => self.script("logger", script),
                None => {
                    let finding = self.error("logger", "is not set, and logservice = snlua needs it");
                    self.add(finding.hint("the name of the Lua service that writes the log"));
                }
            },
            _ => {}
        }
    }

    fn log_file(&mut self, file: &str) {
        let finding = if Path::new(file).is_dir() {
            self.error("logger", "is a directory").hint("the log is one file; message logs go to logpath")
        } else if let Some(missing) = missing_directory(file) {
            self.error("logger", format!("there is no directory {missing}")).hint("create it")
        } else {
            return;
        };
        self.add(finding);
    }

    /// The first service, and what it starts if it is the standard one.
    fn bootstrap(&mut self) {
        let mut words = self.config.bootstrap().split_whitespace();
        let Some(module) = words.next() else {
            let finding = self.error("bootstrap", "names no service");
            return self.add(finding.hint("leave the key out for snlua bootstrap"));
        };
        if !self.has_module(module) {
            let finding = self.no_module("bootstrap", module);
            return self.add(finding);
        }
        if module != "snlua" {
            return;
        }
        let Some(script) = words.next() else {
            let finding = self.error("bootstrap", "snlua needs the name of a Lua service");
            return self.add(finding.hint("leave the key out for snlua bootstrap"));
        };
        self.script("bootstrap", script);
        self.lua_files();
        // Only the standard script reads the keys below; another may give them any meaning.
        if script == "bootstrap" {
            match self.config.start().split_whitespace().next() {
                Some(start) => self.script("start", start),
                None => {
                    let finding = self.error("start", "names no service");
                    self.add(finding);
                }
            }
            self.harbor();
        }
    }

    /// What every Lua service loads.
    fn lua_files(&mut self) {
        if let Some(preload) = self.config.preload().filter(|file| !Path::new(file).is_file()) {
            let finding = self.error("preload", format!("there is no file {preload}"));
            self.add(finding.hint("no Lua service starts without it"));
        }
        // Not set, it is looked for all the same, but nobody asked for the file.
        if let Some(loader) = self.config.value_set("lualoader").filter(|file| !Path::new(file).is_file()) {
            let finding = self.warning("lualoader", format!("there is no file {loader}"));
            self.add(finding.hint("the built-in loader serves in its stead"));
        }
    }

    /// Alone or one of several nodes: the bootstrap script wants the keys to agree.
    fn harbor(&mut self) {
        let Ok(harbor) = self.config.harbor() else { return };
        let is_set = |key| self.config.value_set(key).is_some();
        if harbor == 0 {
            if !is_set("standalone") {
                for key in ["master", "address", "harbor_listen"].into_iter().filter(|key| is_set(key)) {
                    let finding = self.warning(key, "means nothing with harbor = 0");
                    self.add(finding.hint("a member of a cluster has a harbor from 1 to 255"));
                }
            }
            return;
        }
        // The node that runs the master knows where it is.
        let keys = [("master", is_set("standalone")), ("address", false)];
        for (key, _) in keys.into_iter().filter(|(key, is_known)| !is_known && !is_set(key)) {
            let finding = self.error("harbor", format!("needs {key}, which is not set"));
            self.add(finding.hint("harbor = 0 is a node that stands alone"));
        }
        if self.config.value_set("address").and_then(host_and_port).is_some_and(|(host, _)| is_any(host)) {
            let finding = self.error("address", "is no address that other nodes could connect to");
            self.add(
                finding
                    .hint("they are told to use just this one; harbor_listen says where this node listens"),
            );
        }
        // A port that is chosen when the node listens is that of harbor_listen then, and nobody could tell the others.
        let port = self.config.value_set("address").and_then(host_and_port).map(|(_, port)| port);
        if is_set("harbor_listen") && port == Some(0) {
            let finding = self.error("address", "needs a port where harbor_listen is set");
            self.add(finding.hint("others are told to use just this one"));
        }
        // The bootstrap script ends the node when one of these does not start.
        self.script("harbor", "cslave");
        if is_set("standalone") {
            self.script("standalone", "cmaster");
        }
    }

    /// Files and directories that are read or written later on.
    fn files(&mut self) {
        if let Some(directory) = self.config.logpath().filter(|path| !path.is_dir()) {
            let finding = self.warning("logpath", format!("there is no directory {}", directory.display()));
            self.add(finding.hint("message logs of services cannot be opened"));
        }
        if let Some(missing) = self.config.value_set("daemon").and_then(missing_directory) {
            let finding = self.error("daemon", format!("there is no directory {missing}"));
            self.add(finding.hint("the process id is written there"));
        }
        for key in ["cluster", "certfile", "keyfile", "snax_loader"] {
            if let Some(file) = self.config.value_set(key).filter(|file| !Path::new(file).is_file()) {
                let finding = self.warning(key, format!("there is no file {file}"));
                self.add(finding);
            }
        }
    }

    /// `host:port` where a node listens or connects.
    fn addresses(&mut self) {
        let Ok(harbor) = self.config.harbor() else { return };
        for key in ["standalone", "master", "address", "harbor_listen"] {
            let Some(text) = self.config.value_set(key) else { continue };
            if host_and_port(text).is_none() && (harbor != 0 || key == "standalone") {
                let finding = self.error(key, "is not like host:port").hint("as in 127.0.0.1:2526");
                self.add(finding);
            }
        }
    }

    /// Keys that mean nothing here but look like one that does.
    fn spelling(&mut self) {
        let config = self.config;
        for key in config.keys_set().filter(|key| KEYS.iter().all(|known| known.name != *key)) {
            // In short words two letters are nearly everything.
            let far = if key.chars().count() > 4 { 2 } else { 1 };
            let near = KEYS
                .iter()
                // Who has set the key rightly has not misspelt it.
                .filter(|known| config.value_set(known.name).is_none())
                .map(|known| (distance(&key.to_ascii_lowercase(), known.name), known.name))
                .filter(|(distance, _)| *distance <= far)
                .min();
            if let Some((_, known)) = near {
                let finding =
                    self.warning(key, "is no key of skynet-rs").hint(format!("did you mean {known}?"));
                self.add(finding);
            }
        }
    }

    /// Looks for a Lua service, as snlua would.
    fn script(&mut self, key: &str, name: &str) {
        let candidates = || patterns(self.config.luaservice()).map(|pattern| pattern.replace('?', name));
        if (self.embedded)(name) || candidates().any(|file| Path::new(&file).is_file()) {
            return;
        }
        let looked = candidates().collect::<Vec<_>>().join(", ");
        let finding = self.error(key, format!("there is no Lua service {name}"));
        self.add(
            finding.hint(format!("looked for {looked}, as luaservice says, from the working directory")),
        );
    }

    fn has_module(&self, name: &str) -> bool {
        self.natives.contains(&name)
            || patterns(self.config.cpath()).any(|pattern| Path::new(&pattern.replace('?', name)).is_file())
    }

    fn no_module(&self, key: &str, name: &str) -> Finding {
        let natives = self.natives.join(", ");
        self.error(key, format!("there is no service module {name}"))
            .hint(format!("built in are {natives}; cpath = {} finds none of this name", self.config.cpath()))
    }
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    if host.is_empty() { None } else { Some((host, port.parse().ok()?)) }
}

/// Whether a host stands for all addresses of a machine: one can listen there, but nobody can connect.
fn is_any(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

fn patterns(list: &str) -> impl Iterator<Item = &str> {
    list.split(';').filter(|pattern| !pattern.is_empty())
}

/// The directory of a file that shall be created, if it does not exist.
fn missing_directory(file: &str) -> Option<String> {
    let directory: PathBuf = match Path::new(file).parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => return None,
    };
    (!directory.is_dir()).then(|| directory.display().to_string())
}

/// How many letters are to be added, dropped, changed or swapped with a neighbour to make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    // Far anyway, and a key of any length costs nothing.
    if one.len().abs_diff(other.len()) > 2 {
        return usize::MAX;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, against) in other.iter().enumerate() {
            let changed = last[column] + usize::from(letter != against);
            let mut best = changed.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *letter == other[column - 1] && one[row - 1] == *against {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const NATIVES: &[&str] = &["snlua", "logger", "harbor"];

    /// The findings when the program brings all Lua services along, as lines.
    fn lines(config: &Config) -> Vec<String> {
        config.check(NATIVES, |_| true).iter().map(Finding::to_string).collect()
    }

    fn alone() -> Config {
        Config::new().set("harbor", 0)
    }

    #[test]
    fn nothing_is_wrong_with_a_good_config() {
        assert_eq!(lines(&alone()), [""; 0]);
        let nodes = Config::new().set("standalone", "0.0.0.0:2013");
        let nodes =
            nodes.set("master", "127.0.0.1:2013").set("address", "game.example:2526").set("profile", false);
        assert_eq!(lines(&nodes), [""; 0]);
    }

    #[test]
    fn numbers_are_in_range() {
        let cases = [
            ("thread", "0", "must be 1 to 1024"),
            ("thread", "1025", "must be 1 to 1024"),
            ("thread", "two", "must be 1 to 1024"),
            ("loop_kill", "0", "must be a number of seconds above 0"),
            ("mqueue_max", "0", "must be a whole number from 1"),
            ("shutdown_grace", "-1", "must be a number of seconds from 0"),
            ("spare_workers", "-1", "must be 0 to 1024"),
            ("harbor_compress", "no", "must be a whole number from 0"),
            ("harbor_queue_max", "0", "must be a whole number from 1"),
            ("harbor_down_after", "0", "must be a number of seconds above 0"),
            ("harbor_secret", "", "must be a text of at least one character"),
        ];
        for (key, value, message) in cases {
            assert_eq!(lines(&alone().set(key, value)), [format!("error: {key} = {value}: {message}")]);
        }
        assert_eq!(lines(&Config::new().set("harbor", 256)), ["error: harbor = 256: must be 0 to 255"]);
    }

    #[test]
    fn profile_is_true_or_false() {
        let said = lines(&alone().set("profile", "yes"));
        assert_eq!(said, ["warning: profile = yes: anything but true means false"]);
    }

    #[test]
    fn a_pattern_has_a_question_mark() {
        let said = lines(&alone().set("luaservice", "./a/?.lua;./b.lua;"));
        let expected =
            "warning: luaservice = ./a/?.lua;./b.lua;: \"./b.lua\" has no '?' to stand for the name";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn a_module_is_built_in_or_found_by_cpath() {
        let said = lines(&alone().set("logservice", "mylog").set("bootstrap", "other x"));
        let hint = "(built in are snlua, logger, harbor; cpath = ./cservice/?.so finds none of this name)";
        assert_eq!(
            said,
            [
                format!("error: logservice = mylog: there is no service module mylog {hint}"),
                format!("error: bootstrap = other x: there is no service module other {hint}"),
            ]
        );
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("mylog.so"), "").unwrap();
        let cpath = format!("./nowhere/?.so;{}/?.so", directory.path().display());
        assert_eq!(lines(&alone().set("logservice", "mylog").set("cpath", cpath)), [""; 0]);
    }

    #[test]
    fn bootstrap_names_a_service() {
        let hint = "(leave the key out for snlua bootstrap)";
        let said = lines(&alone().set("bootstrap", ""));
        assert_eq!(said, [format!("error: bootstrap = : names no service {hint}")]);
        let said = lines(&alone().set("bootstrap", "snlua"));
        assert_eq!(said, [format!("error: bootstrap = snlua: snlua needs the name of a Lua service {hint}")]);
    }

    #[test]
    fn a_script_is_brought_along_or_found_by_luaservice() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let config =
            alone().set("luaservice", format!("{path}/?.lua;{path}/?/init.lua")).set("start", "game 1 2");
        let findings = config.check(NATIVES, |name| name == "bootstrap");
        let said: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert_eq!(
            said,
            [format!(
                "error: start = game 1 2: there is no Lua service game (looked for {path}/game.lua, \
                 {path}/game/init.lua, as luaservice says, from the working directory)"
            )]
        );
        fs::create_dir(directory.path().join("game")).unwrap();
        fs::write(directory.path().join("game/init.lua"), "").unwrap();
        assert_eq!(config.check(NATIVES, |name| name == "bootstrap"), []);
        let without = config.check(NATIVES, |_| false);
        assert_eq!((without.len(), without[0].key.as_str(), without[0].is_default), (1, "bootstrap", true));
    }

    #[test]
    fn a_default_is_called_so() {
        let said = alone().check(NATIVES, |name| name == "bootstrap");
        let said = said[0].to_string();
        assert!(
            said.starts_with("error: start = main (the default): there is no Lua service main ("),
            "{said}"
        );
    }

    #[test]
    fn another_bootstrap_script_reads_other_keys() {
        let config = Config::new().set("bootstrap", "snlua own").set("standalone", "x:1").set("harbor", 0);
        assert_eq!(config.check(NATIVES, |name| name == "own"), []);
    }

    #[test]
    fn start_names_a_service() {
        assert_eq!(lines(&alone().set("start", " ")), ["error: start =  : names no service"]);
    }

    #[test]
    fn the_log_file_can_be_created() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        assert_eq!(lines(&alone().set("logger", format!("{path}/a.log"))), [""; 0]);
        assert_eq!(lines(&alone().set("logger", "a.log")), [""; 0]);
        let said = lines(&alone().set("logger", path.to_string()));
        let expected = format!(
            "error: logger = {path}: is a directory (the log is one file; message logs go to logpath)"
        );
        assert_eq!(said, [expected]);
        let said = lines(&alone().set("logger", format!("{path}/x/a.log")));
        assert_eq!(
            said,
            [format!("error: logger = {path}/x/a.log: there is no directory {path}/x (create it)")]
        );
    }

    #[test]
    fn a_log_service_in_lua_has_a_script() {
        let lua_log = alone().set("logservice", "snlua");
        assert_eq!(
            lines(&lua_log),
            [
                "error: logger: is not set, and logservice = snlua needs it (the name of the Lua service that writes \
              the log)"
            ]
        );
        let found = lua_log.set("logger", "userlog").check(NATIVES, |name| name != "userlog");
        assert_eq!((found.len(), found[0].key.as_str()), (1, "logger"));
        assert_eq!(found[0].message, "there is no Lua service userlog");
    }

    #[test]
    fn preload_must_exist_and_lualoader_should() {
        let said = lines(&alone().set("preload", "/no/p.lua").set("lualoader", "/no/l.lua"));
        assert_eq!(
            said,
            [
                "error: preload = /no/p.lua: there is no file /no/p.lua (no Lua service starts without it)",
                "warning: lualoader = /no/l.lua: there is no file /no/l.lua (the built-in loader serves in its stead)",
            ]
        );
    }

    #[test]
    fn directories_for_logs_and_the_process_id_exist() {
        let said = lines(&alone().set("logpath", "/no/logs").set("daemon", "/no/run/x.pid"));
        assert_eq!(
            said,
            [
                "warning: logpath = /no/logs: there is no directory /no/logs (message logs of services cannot be \
                 opened)",
                "error: daemon = /no/run/x.pid: there is no directory /no/run (the process id is written there)",
            ]
        );
        assert_eq!(lines(&alone().set("logpath", ".").set("daemon", "x.pid")), [""; 0]);
    }

    #[test]
    fn files_that_services_read_exist() {
        for key in ["cluster", "certfile", "keyfile", "snax_loader"] {
            let said = lines(&alone().set(key, "/no/file"));
            assert_eq!(said, [format!("warning: {key} = /no/file: there is no file /no/file")]);
        }
    }

    #[test]
    fn a_node_without_harbor_may_be_a_master_and_is_told_what_it_is_not() {
        assert_eq!(lines(&alone().set("standalone", "0.0.0.0:2013")), [""; 0]);
        assert_eq!(
            lines(&alone().set("standalone", false)),
            ["error: standalone = false: is not like host:port (as in 127.0.0.1:2526)"]
        );
        let hint = "(a member of a cluster has a harbor from 1 to 255)";
        assert_eq!(
            lines(&alone().set("master", "h:1").set("address", "h:2")),
            [
                format!("warning: master = h:1: means nothing with harbor = 0 {hint}"),
                format!("warning: address = h:2: means nothing with harbor = 0 {hint}"),
            ]
        );
    }

    #[test]
    fn one_of_several_nodes_has_an_address_and_a_master() {
        let hint = "(harbor = 0 is a node that stands alone)";
        assert_eq!(
            lines(&Config::new()),
            [
                format!("error: harbor = 1 (the default): needs master, which is not set {hint}"),
                format!("error: harbor = 1 (the default): needs address, which is not set {hint}"),
            ]
        );
        let said = lines(&Config::new().set("harbor", 2).set("address", "127.0.0.1:2526"));
        assert_eq!(said, [format!("error: harbor = 2: needs master, which is not set {hint}")]);
        let member_and_master = Config::new().set("address", "127.0.0.1:2526").set("standalone", "0.0.0.0:1");
        assert_eq!(lines(&member_and_master), [""; 0]);
    }

    #[test]
    fn one_of_several_nodes_needs_the_services_that_join_them() {
        let config = Config::new().set("luaservice", "nowhere/?.lua").set("standalone", "127.0.0.1:2013");
        let config = config.set("master", "127.0.0.1:2013").set("address", "127.0.0.1:2526");
        let missing = |name: &str| !["cslave", "cmaster"].contains(&name);
        let said: Vec<String> = config.check(NATIVES, missing).iter().map(Finding::to_string).collect();
        let looked = |name| {
            format!(
                "there is no Lua service {name} (looked for nowhere/{name}.lua, as luaservice says, from the working \
                 directory)"
            )
        };
        assert_eq!(
            said,
            [
                format!("error: harbor = 1 (the default): {}", looked("cslave")),
                format!("error: standalone = 127.0.0.1:2013: {}", looked("cmaster")),
            ]
        );
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for bad in ["2526", "localhost", "localhost:", ":2526", "host:99999"] {
            let said = lines(&Config::new().set("master", bad).set("address", "127.0.0.1:2526"));
            assert_eq!(
                said,
                [format!("error: master = {bad}: is not like host:port (as in 127.0.0.1:2526)")]
            );
        }
    }

    #[test]
    fn other_nodes_can_connect_to_an_address() {
        for any in ["0.0.0.0:2526", "[::]:2526"] {
            let said = lines(&Config::new().set("master", "h:1").set("address", any));
            let expected = format!(
                "error: address = {any}: is no address that other nodes could connect to (they are told to use just \
                 this one; harbor_listen says where this node listens)"
            );
            assert_eq!(said, [expected]);
        }
        assert_eq!(lines(&Config::new().set("master", "h:1").set("address", "[::1]:2526")), [""; 0]);
    }

    #[test]
    fn a_node_may_listen_where_others_do_not_connect() {
        let behind = Config::new().set("master", "h:1").set("address", "game.example:2526");
        assert_eq!(lines(&behind.clone().set("harbor_listen", "0.0.0.0:0")), [""; 0]);
        let said = lines(&behind.clone().set("harbor_listen", "2526"));
        assert_eq!(said, ["error: harbor_listen = 2526: is not like host:port (as in 127.0.0.1:2526)"]);
        let said = lines(&behind.set("address", "game.example:0").set("harbor_listen", "0.0.0.0:2526"));
        let hint = "(others are told to use just this one)";
        assert_eq!(
            said,
            [format!("error: address = game.example:0: needs a port where harbor_listen is set {hint}")]
        );
        assert_eq!(
            lines(&alone().set("harbor_listen", "h:2")),
            [
                "warning: harbor_listen = h:2: means nothing with harbor = 0 (a member of a cluster has a harbor from 1 to \
              255)"
            ]
        );
    }

    #[test]
    fn a_misspelt_key_is_told_what_it_may_mean() {
        let cases = [
            ("thraed", "thread"),
            ("Thread", "thread"),
            ("luapath", "lua_path"),
            ("boostrap", "bootstrap"),
            ("stat", "start"),
            ("loopkill", "loop_kill"),
            ("lua_service", "luaservice"),
        ];
        for (wrong, right) in cases {
            let expected = format!("warning: {wrong} = 1: is no key of skynet-rs (did you mean {right}?)");
            assert_eq!(lines(&alone().set(wrong, 1)), [expected]);
        }
        assert_eq!(lines(&Config::new().set("harbour", 0)).len(), 3);
    }

    #[test]
    fn a_key_of_ones_own_is_no_misspelling() {
        let mine = ["root", "port", "max", "db_host", "name", "server_id", "x", "ab"];
        assert_eq!(lines(&mine.iter().fold(alone(), |config, key| config.set(*key, 1))), [""; 0]);
        // The right one is there, so this is another.
        assert_eq!(lines(&alone().set("path", 1).set("cpath", "./?.so")), [""; 0]);
    }

    #[test]
    fn distance_counts_edits() {
        let cases = [
            ("", "", 0),
            ("a", "", 1),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "xbz", 2),
            ("ab", "ba", 1),
        ];
        for (one, other, expected) in cases {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn findings_come_in_the_order_of_lines_and_stay_on_theirs() {
        let config = Config::parse("harbor = 0\nspare_workers = 'x\\n\\27[31m'\nthread = 0\n").unwrap();
        assert_eq!(
            lines(&config),
            [
                "[skynet config]:2: error: spare_workers = x\\n\\u{1b}[31m: must be 0 to 1024",
                "[skynet config]:3: error: thread = 0: must be 1 to 1024",
            ]
        );
    }
}
