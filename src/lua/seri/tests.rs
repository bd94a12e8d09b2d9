use mlua::{Function, Lua, Table as LuaTable};
use proptest::prelude::*;

use super::door;
use crate::packed::{self, Table, Value, Values};

fn lua() -> Lua {
    // SAFETY: nothing in these tests loads foreign code.
    let lua = unsafe { Lua::unsafe_new() };
    let module = door::open(&lua).expect("there is memory");
    lua.globals().set("seri", module).expect("there is memory");
    lua
}

/// Runs Lua text in which `seri` is the module; a failed assertion in it fails the test.
fn run(text: &str) {
    lua().load(text).exec().unwrap_or_else(|error| panic!("{error}"));
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

#[test]
fn values_have_the_bytes_that_the_original_gives_them() {
    let lua = lua();
    let vectors = [
        ("", ""),
        ("nil", "00"),
        ("true, false", "09 01"),
        ("0, 1, 255, 256, 65535, 65536", "02 0a01 0aff 120001 12ffff 2200000100"),
        ("0x7fffffff, 0x80000000", "22ffffff7f 320000008000000000"),
        ("-1, -0x80000000, -0x80000001", "22ffffffff 2200000080 32ffffff7fffffffff"),
        ("math.maxinteger, math.mininteger", "32ffffffffffffff7f 320000000000000080"),
        ("0.0, 1.0, -0.5", "420000000000000000 42000000000000f03f 42000000000000e0bf"),
        ("'', 'a', '1', 'a\\0b'", "04 0c61 0c31 1c610062"),
        ("{}, {1,2}, {a=1}", "0600 160a010a0200 060c610a0100"),
        ("{10,20,x='y'}", "160a0a0a140c780c7900"),
        ("{{},{{}}}", "16 0600 0e060000 00"),
        ("{[1.5]=true}", "06 42000000000000f83f 09 00"),
        ("{[2^53]=true}", "06 320000000000002000 09 00"),
        ("{['1']=1, 5}", "0e 0a05 0c31 0a01 00"),
        ("{[{}]={}}", "06 0600 0600 00"),
    ];
    for (values, bytes) in vectors {
        let bytes = hex(bytes);
        let text = format!("local s = seri.packstring({values}) return s, seri.packstring(seri.unpack(s))");
        let (packed, again): (mlua::LuaString, mlua::LuaString) = lua.load(text).eval().expect("it packs");
        assert_eq!((&*packed.as_bytes(), &*again.as_bytes()), (&bytes[..], &bytes[..]), "of {values}");
    }
}

#[test]
fn strings_and_arrays_of_every_length_come_back() {
    run("for _, n in ipairs { 0, 1, 2, 3, 4, 7, 8, 15, 16, 30, 31, 32, 255, 4090, 4096, 9000, 65535, 65536, 200000 } do
            local s = ('abcdefg'):rep(n // 7 + 1):sub(1, n)
            local packed = seri.packstring(n, s, true)
            local head = n < 32 and string.char(4 + 8 * n) or n < 65536 and '\\x15' .. string.pack('<I2', n)
                or '\\x25' .. string.pack('<I4', n)
            assert(packed == seri.packstring(n) .. head .. s .. '\\9')
            local a, b, c = seri.unpack(packed)
            assert(a == n and b == s and c == true)

            local data, size = seri.pack(n, s, true)
            assert(size == #packed)
            local a, b, c = seri.unpack(data, size)
            assert(a == n and b == s and c == true)
            seri.trash(data)

            local list = {}
            for i = 1, n do list[i] = i * 3 end
            local packed = seri.packstring(list)
            local back = seri.unpack(packed)
            assert(#back == n and back[n + 1] == nil)
            for i = 1, n do assert(back[i] == i * 3) end
        end");
    run("assert(seri.packstring({ table.unpack({}, 1, 31) }) == '\\6\\0')
        local t = {} for i = 1, 31 do t[i] = true end
        assert(seri.packstring(t) == '\\xfe\\x0a\\x1f' .. ('\\9'):rep(31) .. '\\0')
        for i = 32, 300 do t[i] = true end
        assert(seri.packstring(t) == '\\xfe\\x12\\x2c\\x01' .. ('\\9'):rep(300) .. '\\0')");
}

#[test]
fn a_table_is_whole_however_lua_keeps_its_elements() {
    run("local function same(t)
            local back, keys = seri.unpack(seri.packstring(t)), 0
            for k, v in pairs(t) do assert(back[k] == v, k) keys = keys + 1 end
            for k in pairs(back) do keys = keys - 1 end
            assert(keys == 0)
        end
        same { 1, nil, 3 }
        same { nil, nil, 3 }
        same { 1, 2, 3, nil, 5, nil, nil, 8, x = 1 }
        local t = {} for i = 10, 1, -1 do t[i] = i end same(t)
        local t = { a = 1, b = 2, ['1'] = 'one' } for i = 1, 5 do t[i] = i end same(t)
        local t = {} for i = 1, 64 do t[i] = i end for i = 2, 63, 3 do t[i] = nil end same(t)
        local t = {} for i = 1, 64 do t[i] = i end for i = 33, 64 do t[i] = nil end t.x, t[-1], t[0] = 1, 2, 3 same(t)
        for seed = 1, 300 do
            local t = {}
            for i = 1, seed % 40 do t[(i * seed * 7919) % 50 - 3] = i end
            for i = 1, seed % 7 do t['k' .. i] = i end
            for i = 1, seed % 11 do t[(i * seed) % 17] = nil end
            same(t)
        end");
}

#[test]
fn a_hole_is_packed_as_the_lua_in_use_counts() {
    let bytes = if cfg!(feature = "lua55") { "0e0a010a030a0300" } else { "1e0a01000a0300" };
    let lua = lua();
    let packed: mlua::LuaString = lua.load("return seri.packstring { 1, nil, 3 }").eval().expect("it packs");
    assert_eq!(&*packed.as_bytes(), hex(bytes));
    for bytes in [&b"\x0e\x0a\x01\x0a\x03\x0a\x03\0"[..], b"\x1e\x0a\x01\0\x0a\x03\0"] {
        lua.globals().set("bytes", lua.create_string(bytes).expect("memory")).expect("memory");
        lua.load("local t = seri.unpack(bytes) assert(t[1] == 1 and t[2] == nil and t[3] == 3)")
            .exec()
            .expect("it unpacks");
    }
}

#[test]
fn what_cannot_be_packed_is_refused_in_the_known_words() {
    run("local function refuses(text, ...)
            local ok, err = pcall(seri.pack, ...)
            assert(not ok and err == text, err)
            local ok, err = pcall(seri.packstring, ...)
            assert(not ok and err == text, err)
        end
        refuses('Unsupport type function to serialize', print)
        refuses('Unsupport type thread to serialize', 1, coroutine.create(print))
        refuses('Unsupport type userdata to serialize', { x = { io.stdout } })
        refuses('Unsupport type function to serialize', { [print] = 1 })
        refuses('Unsupport type function to serialize', ('x'):rep(100000), print)
        local deep = {}
        for _ = 1, 32 do deep = { deep } end
        assert(seri.packstring(deep) == ('\\x0e'):rep(32) .. '\\6' .. ('\\0'):rep(33))
        refuses('serialize can\\'t pack too depth table', { deep })
        local inner = setmetatable({}, { __pairs = function() return next, { 1 } end })
        for _ = 1, 32 do inner = { x = inner } end
        refuses('serialize can\\'t pack too depth table', inner)
        local deep = { 1 }
        for _ = 1, 32 do deep = { x = deep } end
        refuses('serialize can\\'t pack too depth table', deep)
        local cycle = {} cycle[1] = cycle
        refuses('serialize can\\'t pack too depth table', cycle)
        local cycle = {} cycle[cycle] = 1
        refuses('serialize can\\'t pack too depth table', cycle)");
}

#[test]
fn pairs_metamethods_are_asked() {
    run("local function proxy(t) return setmetatable({ hidden = 1 }, { __pairs = function() return next, t end }) end
        assert(seri.packstring(proxy {}) == '\\6\\0')
        assert(seri.packstring(proxy { 7 }) == '\\6\\x0a\\1\\x0a\\7\\0')
        local back = seri.unpack(seri.packstring { proxy { x = proxy { y = 1 } }, z = proxy { 2 } })
        assert(back[1].x.y == 1 and back.z[1] == 2)
        assert(seri.packstring(setmetatable({ 1 }, {})) == seri.packstring { 1 })
        -- The iterator may pack, too.
        local nested = setmetatable({}, { __pairs = function()
            return function(_, k) if not k then return 'inner', seri.packstring(('x'):rep(5000), proxy { 1 }) end end
        end })
        local before, inner, after = seri.unpack(seri.packstring('before', nested, 'after'))
        assert(before == 'before' and after == 'after')
        local s, t = seri.unpack(inner.inner)
        assert(#s == 5000 and t[1] == 1)");
}

#[test]
fn an_error_in_a_pairs_metamethod_arrives_unchanged() {
    run("local problem = setmetatable({}, { __tostring = function() return 'x' end })
        local function raises() error(problem) end
        local function check(t, wanted)
            local ok, err = pcall(seri.pack, ('x'):rep(10000), { { t } })
            assert(not ok and (wanted and err:find(wanted, 1, true) or err == problem), err)
        end
        check(setmetatable({}, { __pairs = raises }))
        check(setmetatable({}, { __pairs = function() return raises end }))
        check(setmetatable({}, { __pairs = 1 }), 'attempt to call a number value')
        check(setmetatable({}, { __pairs = function() return 1 end }), 'attempt to call a number value')
        check(setmetatable({}, { __pairs = function() coroutine.yield() end }), 'attempt to yield')");
}

#[test]
fn a_table_that_changes_under_its_walk_is_an_error_at_worst() {
    run("for count = 1, 40 do
            local outer = {}
            local vandal = setmetatable({}, { __pairs = function()
                for k in pairs(outer) do outer[k] = nil end
                for i = 1, count * 3 do outer['new' .. i] = i end
                collectgarbage()
                return next, {}
            end })
            for i = 1, count do outer['k' .. i] = vandal end
            for i = 1, count do outer[i] = vandal end
            local ok, err = pcall(seri.packstring, outer)
            assert(ok or err:find('next', 1, true), err)
        end");
}

#[test]
fn damaged_bytes_are_refused_in_the_known_words() {
    run(r"local function refuses(bytes)
            local ok, err = pcall(seri.unpack, bytes)
            assert(not ok and err:find('^Invalid serialize stream %d+ %(line:%d+%)$'), err)
        end
        for _, bytes in ipairs {
            '\7', '\x0a', '\x12\0', '\x22\0\0\0', '\x32\0\0\0\0\0\0\0', '\x42\0\0\0\0\0\0\0', '\x1a\0', '\x2a\0\0', '\x4a\0',
            '\3\0', '\x0c', '\xfcshort', '\x15\1', '\x15\1\0', '\x25\1\0\0\0', '\x25\xff\xff\xff\xffx', '\x0d\0', '\x05',
            '\6', '\x0e', '\x0e\9', '\6\9', '\6\9\9', '\xfe', '\xfe\9', '\xfe\x0c1', '\xfe\x42\0\0\0\0\0\0\xf0\x3f',
            '\xfe\x22\xff\xff\xff\xff', '\xfe\x22\xff\xff\xff\x7f\0\0', '\xfe\x32\xff\xff\xff\xff\xff\xff\xff\x7f\0\0',
            ('\x0e'):rep(1000), ('\6'):rep(100000), ('\xfe\x22\xff\xff\xff\x7f'):rep(1000), '\9\9\6\7\9\0',
        } do refuses(bytes) end
        local function nested(n) return ('\x0e'):rep(n) .. '\6\0' .. ('\0'):rep(n) end
        assert(seri.unpack(nested(199)))
        refuses(nested(200))
        local ok, err = pcall(seri.unpack, '\6\x42' .. string.pack('<d', 0/0) .. '\9\0')
        assert(not ok and err:find('NaN', 1, true), err)
        assert(select('#', seri.unpack('')) == 0)
        local ok, err = pcall(seri.unpack, ('\0'):rep(1100000))
        assert(not ok and err:find('stack overflow', 1, true), err)
        assert(select('#', seri.unpack(('\0'):rep(100000))) == 100000)
        assert(seri.unpack '\x11' == true and seri.unpack '\xf8' == nil)
        assert(next(seri.unpack '\6\9\0\0') == nil, 'a pair with nil is none')");
}

#[test]
fn few_bytes_take_little_memory() {
    let lua = lua();
    lua.load("collectgarbage() collectgarbage('stop')").exec().expect("it is Lua");
    let before = lua.used_memory();
    lua.load(
        r"for _, claim in ipairs { '\xfe\x22\xff\xff\xff\x7f', '\xfe\x22\0\0\1\0', '\xfe\x12\xff\xff' } do
            pcall(seri.unpack, claim:rep(190) .. ('\9'):rep(30000))
        end",
    )
    .exec()
    .expect("it is Lua");
    assert!(lua.used_memory() - before < 2_000_000, "it took {}", lua.used_memory() - before);
}

#[test]
fn tables_beyond_the_plan_are_whole() {
    run("local rows = {}
        for i = 1, 500 do rows[i] = { id = i, tags = { a = i, b = { i } }, [i] = { {}, { x = { y = i } } } } end
        local back = seri.unpack(seri.packstring(rows))
        assert(#back == 500)
        for i = 1, 500 do
            local row = back[i]
            assert(row.id == i and row.tags.a == i and row.tags.b[1] == i and row[i][2].x.y == i)
        end");
}

#[test]
fn a_failed_pack_leaves_nothing_behind() {
    run("local t = setmetatable({}, { __pairs = function() error 'no' end })
        for _ = 1, 1000 do pcall(seri.pack, ('x'):rep(20000), t) pcall(seri.pack, { { print } }) end");
}

/// The same value in one form for all that are equal to Lua: pairs sorted, no entry that is nil.
fn canonical(value: Value) -> Value {
    let Value::Table(Table { array, pairs }) = value else { return value };
    let array = array.into_iter().map(canonical).collect();
    let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, canonical(value))).collect();
    pairs.sort_by_key(|(key, _)| format!("{key:?}"));
    Value::Table(Table { array, pairs })
}

proptest! {
    #[test]
    fn lua_and_serde_read_what_the_other_wrote(
        values in proptest::collection::vec(packed::tests::any_value(), 0..4)
    ) {
        let lua = lua();
        let values = Values(values);
        let module: LuaTable = lua.globals().get("seri").unwrap();
        let (pack, unpack): (Function, Function) =
            (module.get("packstring").unwrap(), module.get("unpack").unwrap());
        let bytes = lua.create_string(packed::to_vec(&values).unwrap()).unwrap();
        let in_lua: mlua::MultiValue = unpack.call(bytes).unwrap();
        prop_assert_eq!(in_lua.len(), values.0.len());
        let bytes: mlua::LuaString = pack.call(in_lua).unwrap();
        let back: Values = packed::from_bytes(&bytes.as_bytes()).unwrap();
        let canonical = |values: Values| values.0.into_iter().map(canonical).collect::<Vec<_>>();
        prop_assert_eq!(canonical(back), canonical(values));
    }

    #[test]
    fn both_refuse_the_same_bytes(
        values in proptest::collection::vec(packed::tests::any_value(), 0..3),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in proptest::collection::vec(any::<u8>(), 0..20),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = packed::to_vec(&Values(values)).unwrap();
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes.truncate(end.index(bytes.len() + 1));
        bytes.extend(noise);
        let lua = lua();
        let module: LuaTable = lua.globals().get("seri").unwrap();
        let unpack: Function = module.get("unpack").unwrap();
        let by_lua = unpack.call::<mlua::MultiValue>(lua.create_string(&bytes).unwrap());
        let by_serde = packed::from_bytes::<Values>(&bytes);
        if let Err(error) = &by_lua && error.to_string().contains("NaN") {
            return Ok(());
        }
        prop_assert_eq!(by_lua.is_ok(), by_serde.is_ok(), "{:?} {:?}", by_lua, by_serde);
    }
}
