//! `skynet.trace`: the journey of a request as log lines.

mod support;

use support::TestNode;

/// The trace lines of a tag: the text behind the time, each.
fn events(node: &TestNode, tag: &str) -> Vec<String> {
    let prefix = format!("<TRACE {tag}> ");
    let text = |line: String| {
        let rest = line.split_once(&prefix)?.1.to_owned();
        let (time, text) = rest.split_once(' ')?;
        time.parse::<u64>().expect("a trace line has a time");
        Some(text.to_owned())
    };
    node.log.lines().into_iter().filter_map(text).collect()
}

/// The same without the frames.
fn names(node: &TestNode, tag: &str) -> Vec<String> {
    events(node, tag).iter().map(|text| text.split(" : ").next().unwrap_or(text).to_owned()).collect()
}

/// Waits for the last line of a tag.
fn wait_end(node: &TestNode, tag: &str, ends: usize) {
    node.wait_until("the trace ends", || {
        names(node, tag).iter().filter(|name| *name == "end").count() >= ends
    });
}

#[test]
fn a_trace_has_a_tag_of_the_service_and_a_number() {
    let node = support::node();
    let answer = node.lua(
        "local before = skynet.tracetag()
        skynet.trace()
        local first = skynet.tracetag()
        skynet.trace 'again'
        return before, first, skynet.tracetag()",
    );
    assert_eq!(answer, ["nil", ":00000008-1", ":00000008-2"]);
    wait_end(&node, ":00000008-2", 1);
    assert_eq!(names(&node, ":00000008-1"), ["trace"]);
    let again = names(&node, ":00000008-2");
    assert_eq!(again, ["trace again", "response", "end"]);
    // Each is preceded by a line with the tag before.
    node.log.wait_for("[:00000008] TRACE nil");
    node.log.wait_for("[:00000008] TRACE :00000008-1");
    let line = node.log.wait_for("<TRACE :00000008-1>");
    assert!(line.contains(" trace : =eval:2 "), "{line}");
}

#[test]
fn a_traced_call_is_told_on_both_sides() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua(&format!("skynet.trace 'begin' return skynet.call({}, 'lua', 'echo')", peer.as_u32()));
    wait_end(&node, ":00000008-1", 2);
    let all = names(&node, ":00000008-1");
    let mine = ["trace begin", "call", "resume"];
    let its = ["request", "response", "end"];
    for expected in [&mine[..], &its[..]] {
        let at: Vec<usize> = expected
            .iter()
            .map(|name| all.iter().position(|event| event == name).expect("the event is there"))
            .collect();
        assert!(at.is_sorted(), "{all:?}");
    }
    assert_eq!(all.len(), 8, "{all:?}");
    let frames = events(&node, ":00000008-1");
    let call = frames.iter().find(|event| event.starts_with("call : ")).expect("a call has frames");
    assert_eq!(call.split(' ').count(), 5, "three frames: {call}");
    assert!(call.contains("=eval:1"), "{call}");
}

#[test]
fn a_traced_sleep_is_told() {
    let node = support::node();
    node.lua("skynet.trace() skynet.yield()");
    wait_end(&node, ":00000008-1", 1);
    assert_eq!(names(&node, ":00000008-1"), ["trace", "sleep", "resume", "response", "end"]);
}

#[test]
fn a_traced_error_is_told() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer =
        node.lua(&format!("skynet.trace() return pcall(skynet.call, {}, 'lua', 'fail')", peer.as_u32()));
    assert_eq!(answer[0], "false");
    wait_end(&node, ":00000008-1", 1);
    let all = names(&node, ":00000008-1");
    assert_eq!(all.iter().filter(|name| *name == "error").count(), 1, "{all:?}");
}

#[test]
fn only_the_next_request_of_a_source_is_traced() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua(&format!(
        "local peer = {}
        skynet.fork(function() skynet.trace() skynet.call(peer, 'lua', 'echo') skynet.wakeup 'done' end)
        skynet.wait 'done'
        skynet.call(peer, 'lua', 'echo')",
        peer.as_u32()
    ));
    wait_end(&node, ":00000008-1", 2);
    assert_eq!(names(&node, ":00000008-1").iter().filter(|name| *name == "request").count(), 1);
}

#[test]
fn a_request_whose_protocol_is_never_traced_cannot_be() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(peer, "skynet.traceproto('lua', false)");
    let answer = node.lua_in(peer, "skynet.trace() return skynet.tracetag()");
    assert_eq!(answer, ["nil"]);
    node.lua(&format!("skynet.trace() return skynet.call({}, 'lua', 'echo')", peer.as_u32()));
    wait_end(&node, ":00000008-1", 1);
    assert!(!names(&node, ":00000008-1").contains(&"request".to_owned()), "{:#?}", node.log.lines());
    // A coroutine of its own may be; and without an order of its own, the protocol is traced where its sender is.
    node.lua_in(peer, "skynet.fork(function() skynet.trace() end)");
    wait_end(&node, &format!("{peer}-1"), 1);
    node.lua_in(peer, "skynet.traceproto('lua', nil)");
    node.lua(&format!("skynet.trace() return skynet.call({}, 'lua', 'echo')", peer.as_u32()));
    wait_end(&node, ":00000008-2", 2);
    assert!(names(&node, ":00000008-2").contains(&"request".to_owned()), "{:#?}", node.log.lines());
}

#[test]
fn only_a_traced_coroutine_traces_its_calls() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua(&format!("skynet.traceproto('lua', true) return skynet.call({}, 'lua', 'echo')", peer.as_u32()));
    assert!(!node.log.has("<TRACE"), "{:#?}", node.log.lines());
    node.lua(&format!("return skynet.call({}, 'lua', 'echo')", peer.as_u32()));
    wait_end(&node, ":00000008-1", 2);
    assert!(names(&node, ":00000008-1").contains(&"request".to_owned()), "{:#?}", node.log.lines());
}

#[test]
fn a_service_whose_protocol_is_traced_tags_each_request() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(peer, "skynet.traceproto('lua', true)");
    let answer = node.lua_in(peer, "return skynet.tracetag()");
    assert_eq!(answer, [format!("{peer}-1")]);
    wait_end(&node, &answer[0], 1);
    assert_eq!(names(&node, &answer[0]), ["trace", "response", "end"]);
}

#[test]
fn a_line_of_ones_own_starts_at_its_caller() {
    let node = support::node();
    node.lua(
        "skynet.tracelog('mine', 'here')
        local co = coroutine.create(function() coroutine.yield() end)
        coroutine.resume(co)
        skynet.tracelog('mine', 'there', co)
        local function inner() skynet.tracelog('mine', 'outer', 2) return 1 end
        local one = inner()",
    );
    node.wait_until("three lines are logged", || events(&node, "mine").len() >= 3);
    let lines = events(&node, "mine");
    assert!(lines[0].starts_with("here : =eval:1"), "{lines:?}");
    assert!(lines[1].starts_with("there : ") && lines[1].ends_with("=eval:2"), "{lines:?}");
    assert!(lines[2].starts_with("outer : =eval:6"), "{lines:?}");
}

#[test]
fn a_raw_call_is_traced_under_a_tag_that_is_given() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer = node.lua(&format!(
        "local msg, sz = skynet.tracecall('given', {}, 'lua', skynet.pack('echo', 7))
        return skynet.unpack(msg, sz)",
        peer.as_u32()
    ));
    assert_eq!(answer, ["7"]);
    wait_end(&node, "given", 1);
    let all = names(&node, "given");
    assert_eq!(all.len(), 5, "{all:?}");
    let frames = events(&node, "given");
    assert!(frames.iter().filter(|event| event.contains(" : =eval:1")).count() == 2, "{frames:?}");
    assert!(all.contains(&"request".to_owned()), "{all:?}");
}

#[test]
fn a_trace_outside_of_a_coroutine_is_an_error() {
    let node = support::node();
    let answer = node.lua(
        "local ok, err
        skynet.dispatch_unknown_response(function() ok, err = pcall(skynet.trace) end)
        require 'skynet.core'.intcommand('TIMEOUT', 0)
        skynet.yield()
        return ok, err",
    );
    assert_eq!(answer[0], "false");
}
