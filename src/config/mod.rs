//! [`Config`]: what a node is told before it starts, as plain data.
//!
//! The program fills it from a file (`Config::load`, in `lua/conf.rs`), an embedder by hand. The engine reads the typed
//! accessors; Lua services see the same keys as strings through `skynet.getenv`.
//!
//! # Strings first
//!
//! A value is kept as the text that it was given as, because any key may be a user's own and `getenv` answers text
//! (`1.0` stays `"1.0"`). What the engine needs as a number is read, and refused, when it is asked for: then the error
//! can say where the value came from.

mod error;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::error::ConfigError;

/// What a node is told before it starts: keys and their values, each with the place it was set at.
///
/// Every key may be left out; `docs/config.md` lists those with a meaning, and their defaults. Other keys are free for
/// the Lua services to read.
///
/// ```
/// use skynet_rs::Config;
/// let config = Config::new().set("thread", 4).set("harbor", 0).set("start", "main").set("my_port", 8888);
/// assert_eq!(config.thread()?, 4);
/// assert_eq!(config.get("my_port"), Some("8888"));
/// assert_eq!(config.get("bootstrap"), Some("snlua bootstrap"));
/// # Ok::<(), skynet_rs::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    entries: BTreeMap<String, Entry>,
    file: Option<PathBuf>,
}

/// One value, and where it was set if a file did.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    value: String,
    place: Option<Place>,
}

/// Where in a config file something stands; shown as `file:line`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Place {
    /// The file, as the command line or the `include` named it; `[skynet config]` if the text came from no file.
    pub file: PathBuf,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
}

impl Place {
    pub(crate) fn new(file: impl Into<PathBuf>, line: Option<usize>) -> Place {
        Place { file: file.into(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

/// A key that means something to the engine or to the services that come with it.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What a reader of the key takes when it is not set.
    pub(crate) default: Option<&'static str>,
    /// Whether `skynet.getenv` answers the default. The others are known to their reader only.
    visible: bool,
}

const fn visible(name: &'static str, default: &'static str) -> Key {
    Key { name, default: Some(default), visible: true }
}

const fn hidden(name: &'static str, default: &'static str) -> Key {
    Key { name, default: Some(default), visible: false }
}

const fn optional(name: &'static str) -> Key {
    Key { name, default: None, visible: false }
}

/// Every key with a meaning; docs/config.md says which.
pub(crate) const KEYS: &[Key] = &[
    visible("thread", "8"),
    visible("harbor", "1"),
    visible("cpath", "./cservice/?.so"),
    visible("bootstrap", "snlua bootstrap"),
    visible("logservice", "logger"),
    visible("profile", "true"),
    optional("logger"),
    optional("logpath"),
    optional("daemon"),
    hidden("start", "main"),
    hidden("luaservice", "./service/?.lua"),
    hidden("lualoader", "./lualib/loader.lua"),
    hidden("lua_path", "./lualib/?.lua;./lualib/?/init.lua"),
    hidden("lua_cpath", "./luaclib/?.so"),
    optional("preload"),
    optional("snax"),
    optional("snax_loader"),
    optional("snax_interface_g"),
    optional("standalone"),
    optional("master"),
    optional("address"),
    optional("harbor_listen"),
    optional("cluster"),
    optional("enablessl"),
    hidden("certfile", "./server-cert.pem"),
    hidden("keyfile", "./server-key.pem"),
    hidden("tls_verify", "true"),
    optional("tls_ca"),
    optional("debug_console_token"),
    hidden("debug_console_timeout", "3000"),
    optional("loop_kill"),
    optional("mqueue_max"),
    hidden("shutdown_grace", "5"),
    optional("spare_workers"),
    optional("socket_buffer_max"),
    hidden("socket_reuseport", "false"),
    hidden("harbor_compress", "16384"),
    hidden("harbor_message_max", "268435456"),
    hidden("harbor_queue_max", "65536"),
    hidden("harbor_queue_bytes_max", "67108864"),
    hidden("harbor_down_after", "5"),
    hidden("harbor_resume_window", "1"),
    hidden("harbor_join_timeout", "30"),
    optional("harbor_secret"),
];

/// The limit of `thread`, and of `spare_workers`.
const THREAD_MAX: usize = 1024;

/// The limit of keys in seconds: some thirty years, which can be added to any clock without an overflow.
const SECONDS_MAX: f64 = 1e9;

impl Config {
    /// A configuration in which every key has its default.
    #[must_use]
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets a key; an earlier value is forgotten. The value is kept as text: `8`, `true` and `"true"` are all welcome.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl ToString) -> Config {
        self.insert(key.into(), value.to_string(), None);
        self
    }

    pub(crate) fn insert(&mut self, key: String, value: String, place: Option<Place>) {
        self.entries.insert(key, Entry { value, place });
    }

    pub(crate) fn set_file(&mut self, file: PathBuf) {
        self.file = Some(file);
    }

    /// The file that was loaded; `None` if the configuration was made by hand.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The value of a key as `skynet.getenv` answers it: what was set, else one of the defaults that are visible
    /// (those of `thread`, `harbor`, `cpath`, `bootstrap`, `logservice` and `profile`).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.value_set(key).or_else(|| {
            KEYS.iter().find(|known| known.visible && known.name == key).and_then(|known| known.default)
        })
    }

    /// The value that was set, without defaults.
    pub(crate) fn value_set(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str())
    }

    /// Where a key was set, if a file set it.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&Place> {
        self.entries.get(key)?.place.as_ref()
    }

    /// All keys and values that `skynet.getenv` shall know, visible defaults included; in no particular order.
    pub fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        let set = self.entries.iter().map(|(key, entry)| (key.as_str(), entry.value.as_str()));
        let defaults = KEYS.iter().filter(|key| key.visible && !self.entries.contains_key(key.name));
        set.chain(defaults.filter_map(|key| Some((key.name, key.default?))))
    }

    /// The keys that were set, sorted.
    pub(crate) fn keys_set(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Reads every key that the engine reads as something other than text.
    ///
    /// # Errors
    ///
    /// The first value that cannot be used. `Config::check` finds them all, and more.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.thread()?;
        self.harbor()?;
        self.loop_kill()?;
        self.mqueue_max()?;
        self.shutdown_grace()?;
        self.spare_workers()?;
        self.socket_buffer_max()?;
        self.harbor_compress()?;
        self.harbor_message_max()?;
        self.harbor_queue_max()?;
        self.harbor_queue_bytes_max()?;
        self.harbor_down_after()?;
        self.harbor_resume_window()?;
        self.harbor_join_timeout()?;
        self.harbor_secret()?;
        Ok(())
    }
}

/// What the engine reads. A key that is not set has the default of `docs/config.md`.
impl Config {
    /// `thread`: how many workers run services, 1 to 1024.
    ///
    /// # Errors
    ///
    /// If it is no whole number or out of range.
    pub fn thread(&self) -> Result<usize, ConfigError> {
        const KEY: &str = "thread";
        let value = self.integer(KEY, "1 to 1024")?;
        match usize::try_from(value) {
            Ok(thread @ 1..=THREAD_MAX) => Ok(thread),
            _ => Err(ConfigError::Thread { place: self.place(KEY).cloned(), value }),
        }
    }

    /// `harbor`: the id of this node, 1 to 255; 0 if it stands alone.
    ///
    /// # Errors
    ///
    /// If it is no whole number or out of range.
    pub fn harbor(&self) -> Result<u8, ConfigError> {
        const KEY: &str = "harbor";
        const RANGE: &str = "0 to 255";
        u8::try_from(self.integer(KEY, RANGE)?).map_err(|_| self.bad_value(KEY, RANGE))
    }

    /// `bootstrap`: the command line of the first service.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        self.text("bootstrap")
    }

    /// `logservice`: the module that writes the log.
    #[must_use]
    pub fn logservice(&self) -> &str {
        self.text("logservice")
    }

    /// `logger`: the argument of the log service; for the built-in one the file to append to, and without it the
    /// standard output.
    #[must_use]
    pub fn logger(&self) -> Option<&str> {
        self.value_set("logger")
    }

    /// `logpath`: the directory of the message logs of single services.
    #[must_use]
    pub fn logpath(&self) -> Option<&Path> {
        self.value_set("logpath").map(Path::new)
    }

    /// `daemon`: the file for the process id; set, the program leaves the terminal.
    #[must_use]
    pub fn daemon(&self) -> Option<&Path> {
        self.value_set("daemon").map(Path::new)
    }

    /// `profile`: whether the CPU time of each service is measured; only the text `true` says so.
    #[must_use]
    pub fn profile(&self) -> bool {
        self.text("profile") == "true"
    }

    /// `start`: the script that the bootstrap service starts last.
    #[must_use]
    pub fn start(&self) -> &str {
        self.text("start")
    }

    /// `cpath`: where service modules in C are searched.
    #[must_use]
    pub fn cpath(&self) -> &str {
        self.text("cpath")
    }

    /// `luaservice`: where the scripts of Lua services are searched.
    #[must_use]
    pub fn luaservice(&self) -> &str {
        self.text("luaservice")
    }

    /// `lualoader`: the script that loads a service's script.
    #[must_use]
    pub fn lualoader(&self) -> &str {
        self.text("lualoader")
    }

    /// `lua_path`: where `require` searches modules in Lua.
    #[must_use]
    pub fn lua_path(&self) -> &str {
        self.text("lua_path")
    }

    /// `lua_cpath`: where `require` searches modules in C.
    #[must_use]
    pub fn lua_cpath(&self) -> &str {
        self.text("lua_cpath")
    }

    /// `preload`: a script that runs before the script of each Lua service.
    #[must_use]
    pub fn preload(&self) -> Option<&str> {
        self.value_set("preload")
    }

    /// `loop_kill`: after how long in one message a Lua service is interrupted with an error; `None` for never.
    ///
    /// # Errors
    ///
    /// If it is no positive number of seconds.
    pub fn loop_kill(&self) -> Result<Option<Duration>, ConfigError> {
        const KEY: &str = "loop_kill";
        const RANGE: &str = "a number of seconds above 0";
        match self.seconds(KEY, RANGE)? {
            Some(Duration::ZERO) => Err(self.bad_value(KEY, RANGE)),
            limit => Ok(limit),
        }
    }

    /// `mqueue_max`: how many messages one mailbox holds before more are refused; `None` for any number.
    ///
    /// # Errors
    ///
    /// If it is no whole number from 1.
    pub fn mqueue_max(&self) -> Result<Option<usize>, ConfigError> {
        self.limit("mqueue_max")
    }

    /// `shutdown_grace`: how long mailboxes may drain when the node is told to end; 5 s by default, 0 for no wait.
    ///
    /// # Errors
    ///
    /// If it is no number of seconds.
    pub fn shutdown_grace(&self) -> Result<Duration, ConfigError> {
        const KEY: &str = "shutdown_grace";
        const RANGE: &str = "a number of seconds from 0";
        self.seconds(KEY, RANGE)?.ok_or_else(|| self.bad_value(KEY, RANGE))
    }

    /// `spare_workers`: how many workers may be started beside `thread` while all of those are held by long messages.
    /// By default twice `thread`, at least 4; 0 for none.
    ///
    /// # Errors
    ///
    /// If it is no whole number or out of range; also if `thread` is, when the default is computed from it.
    pub fn spare_workers(&self) -> Result<usize, ConfigError> {
        const KEY: &str = "spare_workers";
        const RANGE: &str = "0 to 1024";
        if self.value_set(KEY).is_none() {
            // Two for each worker: on a small machine a handful of busy services must not take all of them, and a
            // parked thread costs little more than its stack.
            return Ok((2 * self.thread()?).clamp(4, THREAD_MAX));
        }
        match usize::try_from(self.integer(KEY, RANGE)?) {
            Ok(count @ 0..=THREAD_MAX) => Ok(count),
            _ => Err(self.bad_value(KEY, RANGE)),
        }
    }

    /// `socket_buffer_max`: how many bytes may wait to be written to one socket before it is closed; `None` for any
    /// number.
    ///
    /// # Errors
    ///
    /// If it is no whole number from 1.
    pub fn socket_buffer_max(&self) -> Result<Option<usize>, ConfigError> {
        self.limit("socket_buffer_max")
    }

    /// `socket_reuseport`: whether several processes may listen on one port; only the text `true` says so.
    #[must_use]
    pub fn socket_reuseport(&self) -> bool {
        self.text("socket_reuseport") == "true"
    }

    /// `harbor_compress`: from how many bytes on a message to another node is compressed, if that makes it smaller;
    /// `None` for never, which the config writes as 0. 16 KiB by default.
    ///
    /// # Errors
    ///
    /// If it is no whole number from 0.
    pub fn harbor_compress(&self) -> Result<Option<usize>, ConfigError> {
        const KEY: &str = "harbor_compress";
        const RANGE: &str = "a whole number from 0";
        match usize::try_from(self.integer(KEY, RANGE)?) {
            Ok(0) => Ok(None),
            Ok(threshold) => Ok(Some(threshold)),
            Err(_) => Err(self.bad_value(KEY, RANGE)),
        }
    }

    /// `harbor_message_max`: bytes of the largest message to another node; 256 MiB by default.
    ///
    /// # Errors
    ///
    /// If it is no whole number or out of range: a frame has 32 bits for it.
    pub fn harbor_message_max(&self) -> Result<usize, ConfigError> {
        const KEY: &str = "harbor_message_max";
        const RANGE: &str = "1 to 4294967295";
        match u32::try_from(self.integer(KEY, RANGE)?) {
            Ok(max @ 1..) => Ok(max as usize),
            _ => Err(self.bad_value(KEY, RANGE)),
        }
    }

    /// `harbor_queue_max`: how many messages may wait for one other node; 65536 by default.
    ///
    /// # Errors
    ///
    /// If it is no whole number from 1.
    pub fn harbor_queue_max(&self) -> Result<usize, ConfigError> {
        self.default_limit("harbor_queue_max")
    }

    /// `harbor_queue_bytes_max`: how many bytes may wait for one other node; 64 MiB by default.
    ///
    /// # Errors
    ///
    /// If it is no whole number from 1.
    pub fn harbor_queue_bytes_max(&self) -> Result<usize, ConfigError> {
        self.default_limit("harbor_queue_bytes_max")
    }

    /// `harbor_down_after`: how long another node may be silent before it counts as down; 5 s by default.
    ///
    /// # Errors
    ///
    /// If it is no positive number of seconds.
    pub fn harbor_down_after(&self) -> Result<Duration, ConfigError> {
        const KEY: &str = "harbor_down_after";
        const RANGE: &str = "a number of seconds above 0";
        self.seconds(KEY, RANGE)?.filter(|time| !time.is_zero()).ok_or_else(|| self.bad_value(KEY, RANGE))
    }

    /// `harbor_resume_window`: how long a connection to another node may be broken before that node counts as down; 1 s
    /// by default, 0 for no wait.
    ///
    /// # Errors
    ///
    /// If it is no number of seconds.
    pub fn harbor_resume_window(&self) -> Result<Duration, ConfigError> {
        self.default_seconds("harbor_resume_window")
    }

    /// `harbor_join_timeout`: for how long a node that starts tries to reach the master and waits for the other nodes,
    /// and how long a message waits for a node or a name that nobody knows; 30 s by default.
    ///
    /// # Errors
    ///
    /// If it is no number of seconds.
    pub fn harbor_join_timeout(&self) -> Result<Duration, ConfigError> {
        self.default_seconds("harbor_join_timeout")
    }

    /// `harbor_secret`: what all nodes of the cluster know and nobody else; `None` for a cluster that lets anybody in.
    ///
    /// # Errors
    ///
    /// If it is empty: that comes of a variable that was forgotten, and must not open the cluster to all.
    pub fn harbor_secret(&self) -> Result<Option<&str>, ConfigError> {
        const KEY: &str = "harbor_secret";
        match self.value_set(KEY) {
            Some("") => Err(self.bad_value(KEY, "a text of at least one character")),
            secret => Ok(secret),
        }
    }

    /// The value of a known key: set or default. Empty for a key that has neither.
    pub(crate) fn text(&self, key: &str) -> &str {
        let default = || KEYS.iter().find(|known| known.name == key).and_then(|known| known.default);
        self.value_set(key).or_else(default).unwrap_or_default()
    }

    /// A whole number. `8.0` is one too: that is how Lua writes the result of `16 / 2`.
    fn integer(&self, key: &'static str, range: &'static str) -> Result<i64, ConfigError> {
        // Above this, a float does not hold every whole number.
        const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
        let text = self.text(key).trim();
        if let Ok(value) = text.parse() {
            return Ok(value);
        }
        match text.parse::<f64>() {
            Ok(value) if value.fract() == 0.0 && value.abs() <= WHOLE_MAX => Ok(value as i64),
            _ => Err(self.bad_value(key, range)),
        }
    }

    /// A number of things that are too many beyond it; `None` if the key is not set.
    fn limit(&self, key: &'static str) -> Result<Option<usize>, ConfigError> {
        if self.value_set(key).is_none() {
            return Ok(None);
        }
        self.default_limit(key).map(Some)
    }

    /// The same for a key that has a default.
    fn default_limit(&self, key: &'static str) -> Result<usize, ConfigError> {
        const RANGE: &str = "a whole number from 1";
        match usize::try_from(self.integer(key, RANGE)?) {
            Ok(limit @ 1..) => Ok(limit),
            _ => Err(self.bad_value(key, RANGE)),
        }
    }

    /// A number of seconds, from a key that has a default.
    fn default_seconds(&self, key: &'static str) -> Result<Duration, ConfigError> {
        const RANGE: &str = "a number of seconds from 0";
        self.seconds(key, RANGE)?.ok_or_else(|| self.bad_value(key, RANGE))
    }

    /// A number of seconds, fractions welcome; `None` if the key has neither a value nor a default.
    fn seconds(&self, key: &'static str, range: &'static str) -> Result<Option<Duration>, ConfigError> {
        let text = self.text(key);
        if text.is_empty() && self.value_set(key).is_none() {
            return Ok(None);
        }
        match text.trim().parse::<f64>() {
            Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => {
                Ok(Some(Duration::from_secs_f64(seconds)))
            }
            _ => Err(self.bad_value(key, range)),
        }
    }

    fn bad_value(&self, key: &'static str, range: &'static str) -> ConfigError {
        let value = self.text(key).to_owned();
        ConfigError::Value { place: self.place(key).cloned(), key, value, range }
    }
}

impl<K: Into<String>, V: ToString> Extend<(K, V)> for Config {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            self.insert(key.into(), value.to_string(), None);
        }
    }
}

impl<K: Into<String>, V: ToString> FromIterator<(K, V)> for Config {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Config {
        let mut config = Config::new();
        config.extend(pairs);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T: fmt::Debug>(result: Result<T, ConfigError>) -> String {
        result.expect_err("must be refused").to_string()
    }

    #[test]
    fn nothing_set_means_the_defaults() {
        let config = Config::new();
        assert_eq!(config.thread().unwrap(), 8);
        assert_eq!(config.harbor().unwrap(), 1);
        assert_eq!(config.bootstrap(), "snlua bootstrap");
        assert_eq!(config.logservice(), "logger");
        assert_eq!(config.start(), "main");
        assert_eq!(config.cpath(), "./cservice/?.so");
        assert_eq!(config.luaservice(), "./service/?.lua");
        assert_eq!(config.lualoader(), "./lualib/loader.lua");
        assert_eq!(config.lua_path(), "./lualib/?.lua;./lualib/?/init.lua");
        assert_eq!(config.lua_cpath(), "./luaclib/?.so");
        assert!(config.profile());
        assert_eq!((config.logger(), config.preload()), (None, None));
        assert_eq!((config.logpath(), config.daemon()), (None, None));
        assert_eq!((config.loop_kill().unwrap(), config.mqueue_max().unwrap()), (None, None));
        assert_eq!(config.shutdown_grace().unwrap(), Duration::from_secs(5));
        assert_eq!(config.spare_workers().unwrap(), 16);
        config.validate().unwrap();
    }

    #[test]
    fn getenv_sees_six_defaults_and_all_that_was_set() {
        let config = Config::new().set("thread", 2).set("start", "main").set("mine", true);
        let mut env: Vec<_> = config.env().collect();
        env.sort_unstable();
        let expected = [
            ("bootstrap", "snlua bootstrap"),
            ("cpath", "./cservice/?.so"),
            ("harbor", "1"),
            ("logservice", "logger"),
            ("mine", "true"),
            ("profile", "true"),
            ("start", "main"),
            ("thread", "2"),
        ];
        assert_eq!(env, expected);
        assert!(env.iter().all(|&(key, value)| config.get(key) == Some(value)));
        assert_eq!((config.get("luaservice"), config.get("nothing")), (None, None));
    }

    #[test]
    fn the_manual_has_a_row_for_each_key() {
        let manual = include_str!("../../docs/config.md");
        let rows: Vec<&str> = manual.lines().filter(|line| line.starts_with("| `")).collect();
        for key in KEYS {
            let row = rows.iter().find(|row| {
                row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{}`", key.name)))
            });
            let row = row.unwrap_or_else(|| panic!("docs/config.md has no row for {}", key.name));
            if let Some(default) = key.default {
                assert!(
                    row.contains(&format!("`{default}`")),
                    "the default of {} is {default}: {row}",
                    key.name
                );
            }
        }
    }

    #[test]
    fn what_is_set_is_read() {
        let pairs = [("preload", "p.lua"), ("logger", "x.log"), ("logpath", "logs"), ("daemon", "a.pid")];
        let config: Config = pairs.into_iter().collect();
        assert_eq!((config.preload(), config.logger()), (Some("p.lua"), Some("x.log")));
        assert_eq!(config.logpath(), Some(Path::new("logs")));
        assert_eq!(config.daemon(), Some(Path::new("a.pid")));
    }

    #[test]
    fn a_later_value_wins() {
        assert_eq!(Config::new().set("thread", 1).set("thread", 2).thread().unwrap(), 2);
    }

    #[test]
    fn profile_is_on_for_the_text_true_only() {
        for (text, on) in [("true", true), ("false", false), ("1", false), ("True", false), ("", false)] {
            assert_eq!(Config::new().set("profile", text).profile(), on, "{text:?}");
        }
    }

    #[test]
    fn thread_is_1_to_1024() {
        for (text, thread) in [("1", 1), ("1024", 1024), (" 8 ", 8), ("8.0", 8)] {
            assert_eq!(Config::new().set("thread", text).thread().unwrap(), thread, "{text:?}");
        }
        for value in [0, -1, 1025, i64::MAX] {
            let text = error(Config::new().set("thread", value).thread());
            assert_eq!(text, format!("Invalid thread {value} , should be in [1,1024]"));
        }
        for text in ["", "many", "1.5", "inf", "nan", "1e300", "99999999999999999999", "0x8"] {
            let said = error(Config::new().set("thread", text).thread());
            assert_eq!(said, format!("thread = {text}: must be 1 to 1024"));
        }
    }

    #[test]
    fn harbor_is_0_to_255() {
        for harbor in [0, 1, 255] {
            assert_eq!(Config::new().set("harbor", harbor).harbor().unwrap(), harbor);
        }
        for text in ["-1", "256", "one", "0.5"] {
            let said = error(Config::new().set("harbor", text).harbor());
            assert_eq!(said, format!("harbor = {text}: must be 0 to 255"));
        }
    }

    #[test]
    fn seconds_may_have_a_fraction() {
        let config = Config::new().set("loop_kill", "2.5").set("shutdown_grace", "0");
        assert_eq!(config.loop_kill().unwrap(), Some(Duration::from_millis(2500)));
        assert_eq!(config.shutdown_grace().unwrap(), Duration::ZERO);
    }

    #[test]
    fn seconds_that_make_no_sense_are_refused() {
        for text in ["-1", "", "soon", "nan", "inf", "1e10"] {
            let said = error(Config::new().set("loop_kill", text).loop_kill());
            assert_eq!(said, format!("loop_kill = {text}: must be a number of seconds above 0"));
            let said = error(Config::new().set("shutdown_grace", text).shutdown_grace());
            assert_eq!(said, format!("shutdown_grace = {text}: must be a number of seconds from 0"));
        }
        assert!(Config::new().set("loop_kill", 0).loop_kill().is_err());
    }

    #[test]
    fn mqueue_max_is_at_least_1() {
        assert_eq!(Config::new().set("mqueue_max", 1).mqueue_max().unwrap(), Some(1));
        for text in ["0", "-5", "lots"] {
            let said = error(Config::new().set("mqueue_max", text).mqueue_max());
            assert_eq!(said, format!("mqueue_max = {text}: must be a whole number from 1"));
        }
    }

    #[test]
    fn harbor_keys_have_defaults_and_limits() {
        let config = Config::new();
        assert_eq!(config.harbor_compress().unwrap(), Some(16 * 1024));
        assert_eq!(config.harbor_message_max().unwrap(), 256 << 20);
        assert_eq!(config.harbor_queue_max().unwrap(), 65536);
        assert_eq!(config.harbor_queue_bytes_max().unwrap(), 64 << 20);
        assert_eq!(config.harbor_down_after().unwrap(), Duration::from_secs(5));
        assert_eq!(config.harbor_resume_window().unwrap(), Duration::from_secs(1));
        assert_eq!(config.harbor_join_timeout().unwrap(), Duration::from_secs(30));
        assert_eq!(config.harbor_secret().unwrap(), None);
        let config = Config::new().set("harbor_compress", 0).set("harbor_down_after", "0.25");
        let config =
            config.set("harbor_resume_window", 0).set("harbor_join_timeout", 0).set("harbor_secret", "s");
        assert_eq!(config.harbor_compress().unwrap(), None);
        assert_eq!(config.harbor_down_after().unwrap(), Duration::from_millis(250));
        assert_eq!(config.harbor_resume_window().unwrap(), Duration::ZERO);
        assert_eq!(config.harbor_join_timeout().unwrap(), Duration::ZERO);
        assert_eq!(config.harbor_secret().unwrap(), Some("s"));
        let cases = [
            ("harbor_compress", "-1", "a whole number from 0"),
            ("harbor_message_max", "0", "1 to 4294967295"),
            ("harbor_message_max", "4294967296", "1 to 4294967295"),
            ("harbor_queue_max", "0", "a whole number from 1"),
            ("harbor_queue_bytes_max", "-1", "a whole number from 1"),
            ("harbor_down_after", "0", "a number of seconds above 0"),
            ("harbor_resume_window", "-1", "a number of seconds from 0"),
            ("harbor_join_timeout", "", "a number of seconds from 0"),
            ("harbor_secret", "", "a text of at least one character"),
        ];
        for (key, text, range) in cases {
            let said = error(Config::new().set(key, text).validate());
            assert_eq!(said, format!("{key} = {text}: must be {range}"));
        }
    }

    #[test]
    fn spare_workers_follow_thread_unless_set() {
        for (thread, spare) in [(1, 4), (2, 4), (3, 6), (1024, 1024)] {
            assert_eq!(Config::new().set("thread", thread).spare_workers().unwrap(), spare);
        }
        assert_eq!(Config::new().set("spare_workers", 0).spare_workers().unwrap(), 0);
        for text in ["-1", "1025", "some"] {
            let said = error(Config::new().set("spare_workers", text).spare_workers());
            assert_eq!(said, format!("spare_workers = {text}: must be 0 to 1024"));
        }
    }

    #[test]
    fn validate_refuses_what_an_accessor_refuses() {
        for key in [
            "thread",
            "harbor",
            "loop_kill",
            "mqueue_max",
            "shutdown_grace",
            "spare_workers",
            "socket_buffer_max",
            "harbor_compress",
            "harbor_message_max",
            "harbor_queue_max",
            "harbor_queue_bytes_max",
            "harbor_down_after",
            "harbor_resume_window",
            "harbor_join_timeout",
        ] {
            let said = error(Config::new().set(key, "wrong").validate());
            assert!(said.starts_with(&format!("{key} = wrong: must be ")), "{said}");
        }
    }

    #[test]
    fn an_error_begins_with_the_place() {
        let mut config = Config::new();
        config.insert("thread".into(), "0".into(), Some(Place::new("etc/config", Some(3))));
        config.insert("harbor".into(), "-1".into(), Some(Place::new("etc/config", None)));
        assert_eq!(error(config.thread()), "etc/config:3: Invalid thread 0 , should be in [1,1024]");
        assert_eq!(error(config.harbor()), "etc/config: harbor = -1: must be 0 to 255");
    }
}
