//! Any bytes on a connection between the master and a slave: `cargo +nightly fuzz run master_package`.
//!
//! The reader is `skynet.harbor.wire`, in Lua, over the codec of the engine. The packages must not depend on where the
//! bytes are cut, and what can be packed again is read as the same.
#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use mlua::{Function, Lua, Table};
use skynet_rs::seri_door;
use skynet_rs_fuzz::pieces;

struct Host {
    lua: Lua,
    read_all: Function,
}

/// What the module takes from the runtime, as far as its reader needs it; and the test itself: how many packages the
/// pieces hold, and the error that ended them.
const HARNESS: &str = r#"
local seri, source = ...
local pieces
package.preload["skynet"] = function()
	return { packstring = seri.packstring, unpack = seri.unpack, yield = function() end }
end
package.preload["skynet.socket"] = function()
	return { read = function() return table.remove(pieces, 1) or false end }
end
package.preload["skynet.socketdriver"] = function() return {} end
package.preload["skynet.harbor.core"] = function() return {} end
local wire = assert(load(source, "@wire.lua"))()

return function(list)
	pieces = list
	local reader, packages = wire.reader(1), {}
	while true do
		local values = table.pack(pcall(wire.read, reader))
		if not values[1] then
			return packages, wire.reason(wire.shown(values[2]))
		end
		local ok, again = pcall(wire.pack, table.unpack(values, 2, values.n))
		-- Those that are too long when they are packed again, or too deep, are counted all the same. The order of keys
		-- in a table is nobody's, so the length stands for the bytes.
		table.insert(packages, ok and #again or -1)
	end
end
"#;

impl Host {
    fn new() -> Host {
        let lua = Lua::new();
        let seri = seri_door::open(&lua).expect("there is memory");
        let read_all = lua
            .load(HARNESS)
            .call((seri, include_str!("../../lualib/skynet/harbor/wire.lua")))
            .expect("the module loads");
        lua.set_memory_limit(64 << 20).expect("the allocator is mlua's");
        Host { lua, read_all }
    }

    fn read(&self, pieces: &[&[u8]]) -> (Vec<i64>, String) {
        let list: Table = self
            .lua
            .create_sequence_from(pieces.iter().map(|piece| self.lua.create_string(piece).expect("there is memory")))
            .expect("there is memory");
        self.read_all.call(list).expect("the reader's errors are caught")
    }
}

thread_local! {
    static HOST: OnceCell<Host> = const { OnceCell::new() };
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (cuts, bytes) = input;
    let pieces = pieces(&cuts, &bytes);
    HOST.with(|host| {
        let host = host.get_or_init(Host::new);
        let whole = host.read(&[&bytes]);
        assert_eq!(host.read(&pieces), whole);
        assert!(whole.0.len() <= bytes.len() / 2);
        assert!(!whole.1.contains("wire.lua"), "{}", whole.1);
    });
});
