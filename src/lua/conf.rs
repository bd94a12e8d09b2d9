//! Reads a config file: `Config::load`, `Config::parse`.
//!
//! A config file is Lua text. Before Lua sees it, each `$NAME` becomes the environment variable; then it runs with an
//! environment that holds nothing but `include`, and the globals that it leaves are the configuration. It runs in a
//! Lua state of its own, which ends with the reading.
//!
//! # Where a key was set
//!
//! The table that a file sees as its globals stays empty: assignments land in a second table, and on the way there the
//! line of the assignment is noted, each time, since a first assignment alone would not show a later one. Reading
//! a global finds the second table by `__index`. The file cannot tell the difference, for it has no library that
//! looks behind a table.
//!
//! # Errors cross Lua as a marker
//!
//! A file cannot catch an error, so the first is the last: it is put in `Reader::failure`, and what travels through
//! Lua only says that there is one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::debug::Debug;
use mlua::{HookTriggers, Lua, LuaOptions, LuaString, StdLib, Table, Value, VmState};

use crate::config::{Config, ConfigError, Place};

/// How text that comes from no file is called in messages.
// Matched by users of skynet: keep the words.
const NO_FILE: &str = "[skynet config]";

/// How many files may be inside each other, the first included.
const DEPTH_MAX: usize = 32;

/// The length of one file, in bytes.
const FILE_LEN_MAX: u64 = 16 << 20;

/// The memory that a config file may use, in bytes: `("x"):rep(1e9)` is an error, not a dead machine.
const MEMORY_MAX: usize = 256 << 20;

/// How long a config file may run, in Lua instructions: about a second.
const STEPS_MAX: u64 = 100_000_000;

/// After how many instructions the limit is looked at.
const STEPS_BETWEEN_LOOKS: u32 = 100_000;

/// What setting a global counts for: it calls Rust, which takes about as long as so many instructions.
const STEPS_OF_ASSIGNMENT: u64 = 100;

impl Config {
    /// Reads a config file. `$NAME` in it is the environment variable `NAME` of this process.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, Lua refuses it, or a global that it leaves cannot be a key and value. Whether the
    /// values make sense is not looked at here: see [`Config::validate`] and [`Config::check`].
    pub fn load(file: impl AsRef<Path>) -> Result<Config, ConfigError> {
        let file = file.as_ref();
        let mut config = read(Start::File(file), Limits::default(), process_variable)?;
        config.set_file(file.to_owned());
        Ok(config)
    }

    /// Reads the text of a config file, whose `include` starts at the working directory.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    ///
    /// ```
    /// use skynet_rs::Config;
    /// let config = Config::parse("root = './' thread = 2 + 2 luaservice = root .. 'service/?.lua'")?;
    /// assert_eq!(config.thread()?, 4);
    /// assert_eq!(config.luaservice(), "./service/?.lua");
    /// # Ok::<(), skynet_rs::ConfigError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        read(Start::Text(text), Limits::default(), process_variable)
    }
}

fn process_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Where reading starts.
#[derive(Clone, Copy)]
enum Start<'a> {
    File(&'a Path),
    Text(&'a str),
}

/// How much a config file may do; tests take less.
#[derive(Clone, Copy)]
struct Limits {
    steps: u64,
    memory: usize,
    file_len: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: STEPS_MAX, memory: MEMORY_MAX, file_len: FILE_LEN_MAX }
    }
}

/// Runs the first text and collects what it leaves.
fn read(
    start: Start<'_>,
    limits: Limits,
    variable: impl Fn(&str) -> Option<OsString> + 'static,
) -> Result<Config, ConfigError> {
    let reader = Rc::new(Reader {
        variable: Box::new(variable),
        limits,
        open: RefCell::default(),
        names: RefCell::default(),
        places: RefCell::default(),
        odd_key: RefCell::default(),
        failure: RefCell::default(),
        steps: Cell::new(0),
    });
    let (lua, values) = reader.run(start).map_err(|error| reader.explain(&error))?;
    let config = reader.collect(&lua, &values);
    config.map_err(|error| reader.explain(&error))
}

/// The value of an environment variable.
type Variable = dyn Fn(&str) -> Option<OsString>;

/// One reading of a config file.
struct Reader {
    variable: Box<Variable>,
    limits: Limits,
    /// The files that are being read, the innermost last.
    open: RefCell<Vec<OpenFile>>,
    /// Every name that Lua was given for a file.
    names: RefCell<Vec<String>>,
    /// Where each global was set last.
    places: RefCell<HashMap<Vec<u8>, Place>>,
    /// Where a key that is no string was set last.
    odd_key: RefCell<Option<Place>>,
    failure: RefCell<Option<ConfigError>>,
    steps: Cell<u64>,
}

struct OpenFile {
    /// As it was named, for messages and for what it includes.
    path: PathBuf,
    /// By which it is recognised when it is included again. `None` for text without a file.
    canonical: Option<PathBuf>,
}

impl Reader {
    fn run(self: &Rc<Self>, start: Start<'_>) -> mlua::Result<(Lua, Table)> {
        // The string library is there for its metatable only, without which neither `("x"):upper()` nor `"2" * 4`
        // works; the latter is what `thread = "$CORES" * 2` comes to.
        let lua = Lua::new_with(StdLib::STRING, LuaOptions::default())?;
        lua.set_memory_limit(self.limits.memory)?;
        self.watch(&lua)?;

        let values = lua.create_table()?;
        let globals = self.globals(&lua, &values)?;
        values.set_metatable(Some(self.inherited(&lua, &globals)?))?;
        match start {
            Start::File(file) => self.run_file(&lua, &globals, file.to_owned(), None)?,
            Start::Text(text) => {
                let path = PathBuf::from(NO_FILE);
                self.run_text(&lua, &globals, OpenFile { path, canonical: None }, text.as_bytes())?;
            }
        }
        lua.remove_hook();
        Ok((lua, values))
    }

    /// Ends a file that does not end by itself.
    fn watch(self: &Rc<Self>, lua: &Lua) -> mlua::Result<()> {
        let reader = Rc::clone(self);
        lua.set_hook(HookTriggers::new().every_nth_instruction(STEPS_BETWEEN_LOOKS), move |_, running| {
            let count = reader.steps.get() + u64::from(STEPS_BETWEEN_LOOKS);
            reader.steps.set(count);
            if count > reader.limits.steps {
                let max = reader.limits.steps;
                return Err(reader.fail(ConfigError::Endless { place: place_of(running), max }));
            }
            Ok(VmState::Continue)
        })
    }

    /// The table that a file sees as its globals: empty, in front of `values`.
    fn globals(self: &Rc<Self>, lua: &Lua, values: &Table) -> mlua::Result<Table> {
        let reader = Rc::clone(self);
        let behind = values.clone();
        let assign = lua.create_function(move |lua, (_, key, value): (Table, Value, Value)| {
            reader.steps.set(reader.steps.get() + STEPS_OF_ASSIGNMENT);
            let place = caller(lua);
            match &key {
                Value::String(key) => {
                    if let Some(place) = place {
                        reader.places.borrow_mut().insert(key.as_bytes().to_vec(), place);
                    }
                }
                // Neither can be a key of any table, so there is nothing to wait for.
                Value::Nil => return Err(reader.fail(ConfigError::KeyType { place })),
                Value::Number(number) if number.is_nan() => {
                    return Err(reader.fail(ConfigError::KeyType { place }));
                }
                _ => *reader.odd_key.borrow_mut() = place,
            }
            behind.raw_set(key, value)
        })?;
        let metatable = lua.create_table()?;
        metatable.raw_set("__index", values)?;
        metatable.raw_set("__newindex", assign)?;
        let globals = lua.create_table()?;
        globals.set_metatable(Some(metatable))?;
        Ok(globals)
    }

    /// The metatable through which a file finds `include`, which is no value of its own until it assigns one.
    fn inherited(self: &Rc<Self>, lua: &Lua, globals: &Table) -> mlua::Result<Table> {
        let reader = Rc::clone(self);
        let globals = globals.clone();
        let include = lua.create_function(move |lua, name: Value| {
            let place = caller(lua);
            let Some(name) = lua.coerce_string(name.clone())? else {
                let found = name.type_name();
                return Err(reader.fail(ConfigError::IncludeArgument { place, found }));
            };
            let path = reader.beside_the_innermost(&name);
            reader.run_file(lua, &globals, path, place)
        })?;
        let names = lua.create_table()?;
        names.raw_set("include", include)?;
        let metatable = lua.create_table()?;
        metatable.raw_set("__index", names)?;
        Ok(metatable)
    }

    /// What a file means by a name: one in its own directory, unless the name is absolute.
    fn beside_the_innermost(&self, name: &LuaString) -> PathBuf {
        let name = name.to_string_lossy();
        let open = self.open.borrow();
        let directory = open.last().and_then(|file| file.path.parent());
        directory.map_or_else(|| PathBuf::from(&name), |directory| directory.join(&name))
    }

    fn run_file(&self, lua: &Lua, globals: &Table, file: PathBuf, place: Option<Place>) -> mlua::Result<()> {
        if self.open.borrow().len() >= DEPTH_MAX {
            return Err(self.fail(ConfigError::IncludeDepth { place, file, max: DEPTH_MAX }));
        }
        let canonical = fs::canonicalize(&file).ok();
        if canonical.is_some() && self.open.borrow().iter().any(|open| open.canonical == canonical) {
            let through = self.open.borrow().iter().map(|open| open.path.clone()).collect();
            return Err(self.fail(ConfigError::IncludeCycle { place, file, through }));
        }
        let mut text = Vec::new();
        let read =
            File::open(&file).and_then(|opened| opened.take(self.limits.file_len + 1).read_to_end(&mut text));
        match read {
            Ok(len) if len as u64 > self.limits.file_len => {
                let max = self.limits.file_len;
                Err(self.fail(ConfigError::FileTooLarge { place, file, max }))
            }
            Ok(_) => self.run_text(lua, globals, OpenFile { path: file, canonical }, &text),
            Err(why) => Err(self.fail(ConfigError::Read { place, file, why })),
        }
    }

    fn run_text(&self, lua: &Lua, globals: &Table, file: OpenFile, text: &[u8]) -> mlua::Result<()> {
        // Some editors put a byte order mark before UTF-8.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if text.first() == Some(&0x1b) {
            return Err(self.fail(ConfigError::Precompiled { file: file.path }));
        }
        let text = match substitute(text, &self.variable) {
            Ok(text) => text,
            Err(Missing { name, line }) => {
                let place = Place::new(file.path, Some(line));
                return Err(self.fail(ConfigError::Variable { place, name }));
            }
        };
        let name = file.path.to_string_lossy().into_owned();
        self.names.borrow_mut().push(name.clone());
        self.open.borrow_mut().push(file);
        let chunk = lua.load(text).set_name(format!("@{name}")).set_mode(ChunkMode::Text);
        let result = chunk.set_environment(globals.clone()).exec();
        self.open.borrow_mut().pop();
        result
    }

    /// The globals that are left, as strings.
    fn collect(&self, lua: &Lua, values: &Table) -> mlua::Result<Config> {
        let mut config = Config::new();
        // Sorted, so that of several errors always the same one is told.
        let mut pairs = Vec::new();
        for pair in values.pairs::<Value, Value>() {
            let (key, value) = pair?;
            let Value::String(key) = key else {
                let place = self.odd_key.borrow_mut().take();
                return Err(self.fail(ConfigError::KeyType { place }));
            };
            pairs.push((key.as_bytes().to_vec(), value));
        }
        pairs.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        for (key, value) in pairs {
            let place = self.places.borrow_mut().remove(&key);
            let shown = String::from_utf8_lossy(&key).into_owned();
            let text = match value {
                Value::Boolean(value) => value.to_string(),
                Value::String(_) | Value::Integer(_) | Value::Number(_) => {
                    match lua
                        .coerce_string(value)?
                        .and_then(|text| String::from_utf8(text.as_bytes().to_vec()).ok())
                    {
                        Some(text) => text,
                        None => return Err(self.fail(ConfigError::Encoding { place, key: shown })),
                    }
                }
                other => {
                    let found = other.type_name();
                    return Err(self.fail(ConfigError::ValueType { place, key: shown, found }));
                }
            };
            match String::from_utf8(key) {
                Ok(key) => config.insert(key, text, place),
                Err(_) => return Err(self.fail(ConfigError::Encoding { place, key: shown })),
            }
        }
        Ok(config)
    }

    /// Keeps the error, and gives what Lua shall raise in its stead.
    fn fail(&self, error: ConfigError) -> mlua::Error {
        self.failure.borrow_mut().get_or_insert(error);
        mlua::Error::runtime("see Reader::failure")
    }

    /// What an error out of Lua means.
    fn explain(&self, error: &mlua::Error) -> ConfigError {
        if let Some(failure) = self.failure.borrow_mut().take() {
            return failure;
        }
        let text = match error {
            mlua::Error::RuntimeError(text) => text.clone(),
            mlua::Error::SyntaxError { message, .. } => message.clone(),
            // An error of an included file has passed through our `include` on its way.
            mlua::Error::CallbackError { cause, .. } => return self.explain(cause),
            other => other.to_string(),
        };
        let text = text.split("\nstack traceback:").next().unwrap_or_default();
        ConfigError::Lua(self.whole_name(text))
    }

    /// Lua shows `...` and the end of a long file name; a message that shall be clicked on needs all of it.
    fn whole_name(&self, text: &str) -> String {
        if let Some(cut) = text.strip_prefix("...") {
            for name in self.names.borrow().iter() {
                let tails = name.char_indices().map(|(at, _)| &name[at..]);
                if let Some(rest) =
                    tails.filter_map(|tail| cut.strip_prefix(tail)).find(|rest| rest.starts_with(':'))
                {
                    return format!("{name}{rest}");
                }
            }
        }
        text.to_owned()
    }
}

/// Where the Lua function stands that called the running Rust function.
fn caller(lua: &Lua) -> Option<Place> {
    lua.inspect_stack(1, place_of).flatten()
}

fn place_of(running: &Debug<'_>) -> Option<Place> {
    let source = running.source().source?.into_owned();
    let file = source.strip_prefix('@').unwrap_or(&source);
    Some(Place::new(file, running.current_line()))
}

/// A `$NAME` without an environment variable.
struct Missing {
    name: String,
    line: usize,
}

/// Replaces each `$NAME`, wherever it stands (comments too), by the environment variable. A `$` before anything but
/// a letter, a digit or `_` is left alone.
fn substitute(text: &[u8], variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<u8>, Missing> {
    let mut output = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.iter().position(|&byte| byte == b'$') {
        let (before, from_dollar) = rest.split_at(dollar);
        output.extend_from_slice(before);
        let after = &from_dollar[1..];
        let is_name = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let (name, behind) =
            after.split_at(after.iter().position(|byte| !is_name(byte)).unwrap_or(after.len()));
        if name.is_empty() {
            output.push(b'$');
        } else {
            let name = String::from_utf8_lossy(name);
            let Some(value) = variable(&name) else {
                let done = text.len() - from_dollar.len();
                let line = 1 + text[..done].iter().filter(|&&byte| byte == b'\n').count();
                return Err(Missing { name: name.into_owned(), line });
            };
            output.extend_from_slice(value.as_encoded_bytes());
        }
        rest = behind;
    }
    output.extend_from_slice(rest);
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// The environment that these tests have.
    fn variable(name: &str) -> Option<OsString> {
        match name {
            "HOME_DIR" => Some("/srv/game".into()),
            "CORES" => Some("4".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        read(Start::Text(text), Limits::default(), variable)
    }

    fn value(text: &str, key: &str) -> Option<String> {
        parse(text).unwrap().value_set(key).map(str::to_owned)
    }

    fn refusal(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    fn directory(files: &[(&str, &str)]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn load(directory: &TempDir, name: &str) -> Result<Config, ConfigError> {
        read(Start::File(&directory.path().join(name)), Limits::default(), variable)
    }

    /// The error of loading `config`, with the directory's own name left out.
    fn load_refusal(files: &[(&str, &str)]) -> String {
        let directory = directory(files);
        let text = load(&directory, "config").expect_err("must be refused").to_string();
        text.replace(&format!("{}/", directory.path().display()), "")
    }

    #[test]
    fn values_become_text_as_lua_writes_them() {
        let cases = [
            ("k = 8", "8"),
            ("k = 1.0", "1.0"),
            ("k = 16 / 2", "8.0"),
            ("k = 0.5", "0.5"),
            ("k = 0x10", "16"),
            ("k = true", "true"),
            ("k = false", "false"),
            ("k = 'a' .. 1", "a1"),
            ("k = ''", ""),
            ("k = [[\ntwo\nlines]]", "two\nlines"),
            ("local l = 3 k = l", "3"),
            ("k = 1 k = 2", "2"),
            ("_ENV.k = 5", "5"),
            ("k = unset == nil", "true"),
            ("k = 1 k = k + 1", "2"),
            ("for i = 1, 10 do k = i end", "10"),
            ("global = 1 k = global", "1"),
            ("k = ('x'):upper()", "X"),
            ("k = '2' * 4", "8"),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text, "k").unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_nil_or_local_is_not_there() {
        let config = parse("local a = 1 b = nil c = 1 c = nil d = {} d = nil").unwrap();
        assert_eq!(config.keys_set().count(), 0);
    }

    #[test]
    fn only_include_is_there() {
        for name in
            ["print", "os", "require", "load", "pairs", "string", "setmetatable", "_G", "getmetatable"]
        {
            assert_eq!(value(&format!("k = {name} == nil"), "k").unwrap(), "true", "{name}");
        }
        assert_eq!(value("k = include ~= nil", "k").unwrap(), "true");
        let said = refusal("\nprint(1)");
        assert!(
            said.starts_with("[skynet config]:2: attempt to call a nil value (global 'print')"),
            "{said}"
        );
        assert!(!said.contains("traceback"), "{said}");
    }

    #[test]
    fn include_is_no_value_unless_it_is_assigned() {
        assert_eq!(value("x = 1", "include"), None);
        assert_eq!(value("include = 1", "include").unwrap(), "1");
    }

    #[test]
    fn what_cannot_be_a_value_is_refused_where_it_was_set() {
        let cases = [
            ("t = {}", "[skynet config]:1: Invalid config table key = t: a table cannot be a value"),
            (
                "\nfunction f() end",
                "[skynet config]:2: Invalid config table key = f: a function cannot be a value",
            ),
            (
                "a = {}\nb = 1\na = include",
                "[skynet config]:3: Invalid config table key = a: a function cannot be a value",
            ),
            ("b = {}\na = {}", "[skynet config]:2: Invalid config table key = a: a table cannot be a value"),
        ];
        for (text, expected) in cases {
            assert_eq!(refusal(text), expected);
        }
    }

    #[test]
    fn a_key_that_is_no_string_is_refused() {
        for key in ["1", "1.5", "true", "include", "nil", "0/0", "{}"] {
            assert_eq!(
                refusal(&format!("a = 1\n_ENV[{key}] = 2")),
                "[skynet config]:2: Invalid config table",
                "{key}"
            );
        }
        assert!(parse("_ENV[1] = 2 _ENV[1] = nil").is_ok());
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_as_a_value_and_welcome_in_a_comment() {
        assert_eq!(refusal("k = '\\xc4\\xe3'"), "[skynet config]:1: key k is not UTF-8 text");
        assert_eq!(refusal("_ENV['\\xff'] = 1"), "[skynet config]:1: key \u{fffd} is not UTF-8 text");
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config"), b"-- \xc4\xe3\nk = 1").unwrap();
        assert_eq!(load(&directory, "config").unwrap().get("k"), Some("1"));
    }

    #[test]
    fn environment_variables_are_put_into_the_text() {
        let cases = [
            ("k = '$HOME_DIR/log'", "/srv/game/log"),
            ("k = $CORES", "4"),
            ("k = '$CORES' * 2", "8"),
            ("k = '$EMPTY'", ""),
            ("k = '$CORES$CORES'", "44"),
            ("k = '$ $. $'", "$ $. $"),
            ("k = '$$CORES'", "$4"),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text, "k").unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_missing_environment_variable_is_named_with_its_line() {
        assert_eq!(refusal("a = 1\n\nb = '$NOT_SET/x'"), "[skynet config]:3: os.getenv() failed: NOT_SET");
        // In a comment too, as ever.
        assert_eq!(refusal("-- $COST"), "[skynet config]:1: os.getenv() failed: COST");
    }

    #[test]
    fn a_syntax_error_names_the_line() {
        let said = refusal("a = 1\nb = = 2");
        assert!(said.starts_with("[skynet config]:2: unexpected symbol near '='"), "{said}");
        let said = load_refusal(&[("config", "include 'sub/broken'"), ("sub/broken", "\n\nx =")]);
        assert!(said.starts_with("sub/broken:3: unexpected symbol near <eof>"), "{said}");
    }

    #[test]
    fn include_starts_at_the_directory_of_the_file_that_says_it() {
        let directory = directory(&[
            ("config", "a = 1 include 'sub/one' d = b + c"),
            ("sub/one", "b = a + 1 include 'deep/two' include 'three'"),
            ("sub/deep/two", "c = 10 include '../three'"),
            ("sub/three", "e = (e or 0) + 1"),
        ]);
        let config = load(&directory, "config").unwrap();
        let values = ["a", "b", "c", "d", "e"].map(|key| config.get(key).unwrap());
        assert_eq!(values, ["1", "2", "10", "12", "2"]);
    }

    #[test]
    fn an_absolute_include_is_where_its_own_includes_start() {
        let elsewhere = directory(&[("etc/common", "include 'more'"), ("etc/more", "k = 1")]);
        let text = format!("include '{}/etc/common' include 'own'", elsewhere.path().display());
        let directory = directory(&[("config", &text), ("own", "j = 2")]);
        let config = load(&directory, "config").unwrap();
        assert_eq!((config.get("k"), config.get("j")), (Some("1"), Some("2")));
    }

    #[test]
    fn a_missing_file_is_named() {
        assert_eq!(load_refusal(&[]), "config: No such file or directory");
        assert_eq!(
            load_refusal(&[("config", "\ninclude 'nothing'")]),
            "config:2: nothing: No such file or directory"
        );
        assert_eq!(load_refusal(&[("config/x", "")]), "config: Is a directory");
    }

    #[test]
    fn include_needs_a_name() {
        assert_eq!(refusal("include()"), "[skynet config]:1: include needs a file name, not a nil");
        assert_eq!(refusal("\ninclude {}"), "[skynet config]:2: include needs a file name, not a table");
    }

    #[test]
    fn a_circle_of_includes_is_refused() {
        let said = load_refusal(&[("config", "include 'b'"), ("b", "\ninclude './config'")]);
        assert_eq!(said, "b:2: include of ./config in itself: config includes b");
        let said = load_refusal(&[("config", "include 'config'")]);
        assert_eq!(said, "config:1: include of config in itself: config");
    }

    #[test]
    fn includes_have_a_depth() {
        let names: Vec<String> = (0..=DEPTH_MAX).map(|depth| format!("f{depth}")).collect();
        let texts: Vec<String> = (1..=DEPTH_MAX + 1).map(|depth| format!("include 'f{depth}'")).collect();
        let mut files: Vec<(&str, &str)> =
            names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
        files.push(("config", "include 'f0'"));
        assert_eq!(load_refusal(&files), "f30:1: include of f31: more than 32 files inside each other");
        // One less is welcome: `config` and f2 to f32 are 32.
        files.pop();
        files.push(("config", "include 'f2'"));
        let last = format!("f{DEPTH_MAX}");
        files.iter_mut().filter(|file| file.0 == last).for_each(|file| file.1 = "k = 1");
        let directory = directory(&files);
        assert_eq!(load(&directory, "config").unwrap().get("k"), Some("1"));
    }

    #[test]
    fn compiled_lua_is_refused() {
        assert_eq!(
            load_refusal(&[("config", "\x1bLua")]),
            "config: compiled Lua is refused: a config file is text"
        );
        let said = load_refusal(&[("config", "include 'b'"), ("b", "\x1bLua")]);
        assert_eq!(said, "b: compiled Lua is refused: a config file is text");
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(value("\u{feff}k = 1", "k").unwrap(), "1");
    }

    #[test]
    fn an_endless_loop_ends() {
        let limits = Limits { steps: 1_000_000, ..Limits::default() };
        let said = read(Start::Text("a = 1\nwhile true do end"), limits, variable).unwrap_err().to_string();
        assert_eq!(
            said,
            "[skynet config]:2: the config file has not ended after 1000000 steps: an endless loop?"
        );
        let directory = directory(&[("config", "include 'b'"), ("b", "\n\nwhile true do end")]);
        let said =
            read(Start::File(&directory.path().join("config")), limits, variable).unwrap_err().to_string();
        assert!(said.contains("/b:3: the config file has not ended"), "{said}");
    }

    #[test]
    fn too_much_memory_is_an_error() {
        let limits = Limits { memory: 1 << 20, ..Limits::default() };
        let said = read(Start::Text("k = ('x'):rep(1 << 24)"), limits, variable).unwrap_err().to_string();
        assert!(said.contains("not enough memory"), "{said}");
    }

    #[test]
    fn a_long_file_is_refused() {
        let directory = directory(&[("config", "k = 1"), ("short", "k=1")]);
        let limits = Limits { file_len: 4, ..Limits::default() };
        let said =
            read(Start::File(&directory.path().join("config")), limits, variable).unwrap_err().to_string();
        assert!(said.ends_with("/config: longer than 4 bytes: not a config file"), "{said}");
        assert!(read(Start::File(&directory.path().join("short")), limits, variable).is_ok());
    }

    #[test]
    fn endless_recursion_is_an_error() {
        let said = refusal("local function f() return 1 + f() end\nf()");
        assert!(said.starts_with("[skynet config]:1: stack overflow"), "{said}");
    }

    #[test]
    fn each_key_knows_where_it_was_set() {
        let directory = directory(&[
            ("config", "a = 1\nb = 2\ninclude 'sub/more'\nset('d')\nb = 3"),
            ("sub/more", "\nc = 1\nfunction set(key)\n_ENV[key] = 1\nset = nil\nend"),
        ]);
        let config = load(&directory, "config").unwrap();
        let place = |key: &str| {
            let place = config.place(key).unwrap();
            let file = place.file.strip_prefix(directory.path()).unwrap().display().to_string();
            (file, place.line.unwrap())
        };
        assert_eq!(place("a"), ("config".to_owned(), 1));
        assert_eq!(place("b"), ("config".to_owned(), 5));
        assert_eq!(place("c"), ("sub/more".to_owned(), 2));
        assert_eq!(place("d"), ("sub/more".to_owned(), 4));
        assert_eq!(config.place("thread"), None);
    }

    #[test]
    fn a_long_file_name_is_told_whole() {
        let long = "d".repeat(80);
        let name = format!("{long}/config");
        let directory = directory(&[(&name, "\nprint()")]);
        let said = load(&directory, &name).unwrap_err().to_string();
        let path = directory.path().join(&name);
        assert!(said.starts_with(&format!("{}:2: attempt to call", path.display())), "{said}");
    }
}
