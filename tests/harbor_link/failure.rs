//! Peers that die, fall silent, or say goodbye.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use skynet_rs::packed::Value;
use skynet_rs::{Config, Handle, MessageKind};

use crate::cluster::{Member, order};
use crate::peer::{Hello, Peer, frame};
use crate::proxy::Proxy;

#[test]
fn a_silent_peer_is_down_in_time_and_callers_in_flight_queued_and_new_all_end() {
    let config = Config::new().set("harbor_down_after", 0.6);
    let (one, two) = (Arc::new(Member::with(1, config.clone())), Member::with(2, config));
    let proxy = Proxy::to(two.address());
    one.knows(2, proxy.address(), false);
    one.connect(2);
    one.wait_up(2, 1);
    let (echo, mute) = (two.echo(), two.mute());
    // Silence that is answered to is none.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((one.lives(2), two.lives(1)), ("U".to_owned(), "U".to_owned()));
    let in_flight = one.begin_call(mute);
    one.wait_stat(2, "calls", |calls| *calls == 1.into());
    proxy.halt(true);
    let queued = one.begin_call(echo);
    for call in [in_flight, queued] {
        let (answer, time) = call.join().expect("it ends");
        answer.expect_err("the peer is silent");
        assert!(time < Duration::from_secs(5), "{time:?}");
    }
    one.wait_down(2, 1);
    two.wait_down(1, 1);
    let (answer, time) = one.begin_call(echo).join().expect("it ends");
    answer.expect_err("the peer is down");
    assert!(time < Duration::from_millis(500), "{time:?}");
    one.log.wait_for("harbor 2 is down: it is silent");
    // It was only the wire: they find each other again.
    proxy.halt(false);
    one.wait_up(2, 2);
    assert_eq!(one.call(echo, "back").expect("it answers"), b"back");
}

#[test]
fn a_peer_that_stops_answering_pings_is_dropped() {
    let member = Arc::new(Member::with(1, Config::new().set("harbor_down_after", 0.6)));
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.wait_up(2, 1);
    let call = member.begin_call(Handle::from_u32(0x0200_0005));
    assert_eq!(peer.extended().destination, 0x0a00_0005);
    call.join().expect("it ends").0.expect_err("the peer is silent");
    peer.wait_closed();
    member.wait_down(2, 1);
}

#[test]
fn three_refused_connections_end_a_life_before_the_window() {
    let member = Arc::new(Member::with(1, Config::new().set("harbor_resume_window", 600)));
    let (mut peer, listener) = Peer::linked(&member);
    let call = member.begin_call(Handle::from_u32(0x0200_0005));
    assert_eq!(peer.extended().destination, 0x0a00_0005);
    // As when a process is killed: nobody listens, and the connection is closed.
    drop(listener);
    drop(peer);
    let (answer, time) = call.join().expect("it ends");
    answer.expect_err("the process is gone");
    assert!(time < Duration::from_secs(3), "{time:?}");
    member.wait_down(2, 1);
    let asked = |member: &Member| member.texts().all().iter().filter(|text| *text == "R 2").count();
    assert_eq!(asked(&member), 3);
    // It goes on asking, more slowly, until the master says that the peer is gone.
    member.texts().wait(&"it asks on", |texts| texts.iter().filter(|text| *text == "R 2").count() >= 4);
    member.say("X 2");
    let before = asked(&member);
    std::thread::sleep(Duration::from_millis(2500));
    assert!(asked(&member) <= before + 1);
}

/// A member, and a peer that it has connected to; of the peer the master has said that it is gone.
fn lost_by_the_master(window: u32) -> (Member, Peer, TcpListener) {
    let member = Member::with(1, Config::new().set("harbor_resume_window", window));
    let (peer, listener) = Peer::linked(&member);
    member.say("X 2");
    member.texts().wait(&"the actor is told", |texts| texts.iter().any(|text| text == "X 2"));
    (member, peer, listener)
}

#[test]
fn a_link_resumes_also_while_the_master_does_not_see_the_peer() {
    let (member, peer, listener) = lost_by_the_master(600);
    drop(peer);
    let mut peer = Peer::accepted(&member, 2, &listener);
    peer.write(&[2]);
    peer.greet(Hello { knows: member.incarnation, ..Hello::of(77) });
    member.log.wait_for("the link to harbor 2 goes on over a new connection");
    assert_eq!(member.lives(2), "U");
}

#[test]
fn a_peer_that_the_master_sees_again_is_connected_to_when_it_was_down() {
    let (member, peer, listener) = lost_by_the_master(0);
    // It comes back to the master while the link is up, and afterwards the link breaks.
    member.say("C 2");
    member.texts().wait(&"the actor is told", |texts| texts.iter().any(|text| text == "C 2"));
    drop(peer);
    member.wait_down(2, 1);
    let mut peer = Peer::accepted(&member, 2, &listener);
    peer.write(&[2]);
    peer.greet(Hello::of(77));
    member.wait_up(2, 2);
    // Or the link is down when the master sees it.
    member.say("X 2");
    member
        .texts()
        .wait(&"the actor is told", |texts| texts.iter().filter(|text| *text == "X 2").count() == 2);
    drop(peer);
    member.wait_down(2, 2);
    member.say("C 2");
    Peer::accepted(&member, 2, &listener);
}

#[test]
fn a_node_that_the_master_has_lost_too_is_tried_while_the_link_may_go_on() {
    let member = Arc::new(Member::with(1, Config::new().set("harbor_resume_window", 600)));
    let (mut peer, listener) = Peer::linked(&member);
    let call = member.begin_call(Handle::from_u32(0x0200_0005));
    assert_eq!(peer.extended().destination, 0x0a00_0005);
    // The master hears of the end of a process as soon as its peers do.
    member.say("X 2");
    drop(listener);
    drop(peer);
    let (answer, time) = call.join().expect("it ends");
    answer.expect_err("the process is gone");
    assert!(time < Duration::from_secs(3), "{time:?}");
    member.wait_down(2, 1);
    let asked = |member: &Member| member.texts().all().iter().filter(|text| *text == "R 2").count();
    assert_eq!(asked(&member), 3);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(asked(&member), 3, "nobody is there any more");
}

#[test]
fn a_node_that_stops_in_order_says_goodbye() {
    let (one, two) = (Arc::new(Member::start(1)), Member::start(2));
    one.link(&two);
    let mute = two.mute();
    let call = one.begin_call(mute);
    one.wait_stat(2, "calls", |calls| *calls == 1.into());
    two.runtime.shutdown();
    call.join().expect("it ends").0.expect_err("who was asked is gone");
    one.wait_down(2, 1);
    drop(two);
}

#[test]
fn a_restarted_node_is_linked_again_and_handles_of_its_former_life_find_nobody() {
    let (one, two) = (Arc::new(Member::start(1)), Member::start(2));
    let proxy_of = |two: &Member| one.knows(2, two.address(), false);
    one.link(&two);
    let echo = two.echo();
    assert_eq!(one.call(echo, "x").expect("it answers"), b"x");
    drop(two);
    one.wait_down(2, 1);
    let two = Member::start(2);
    proxy_of(&two);
    let new = two.echo();
    assert_ne!(new, echo);
    one.wait_up(2, 2);
    assert_eq!(one.call(new, "y").expect("it answers"), b"y");
    one.call(echo, "z").expect_err("nobody has this handle any more");
    assert_eq!(one.lives(2), "UDU");
}

#[test]
fn what_waits_for_a_node_that_never_comes_is_answered() {
    let member = Member::with(1, Config::new().set("harbor_join_timeout", 0.3));
    let spy = member.spy();
    let to = Handle::from_u32(0x0900_0005);
    member.tell(&spy, vec![order(to, 5, "x"), order(to, 0, "y")]);
    let got = spy.got.wait_len(2);
    assert!(got.iter().all(|got| got.kind == MessageKind::ERROR && got.source == to));
    assert_eq!((member.stat(9, "state").as_str(), member.stat(9, "queue")), (Some("WAIT"), 0.into()));
}

#[test]
fn time_is_that_of_the_node() {
    let clock = skynet_rs::ManualClock::new();
    let log = crate::support::Log::default();
    let runtime = skynet_rs::Runtime::builder()
        .workers(1)
        .harbor(1)
        .clock(clock.clock())
        .log_to(log.sink())
        .start()
        .expect("it starts");
    let slave = runtime.spawn(Quiet).expect("it starts");
    runtime.launch("harbor", &format!("1 {}", slave.as_u32())).expect("it starts");
    let (to, limit) = (Handle::from_u32(0x0900_0005), Duration::from_secs(20));
    std::thread::scope(|scope| {
        let call = scope.spawn(|| runtime.call_within(limit, to, MessageKind::LUA, "x"));
        while !call.is_finished() {
            // Half an hour of waiting in no time.
            clock.advance(Duration::from_secs(1));
        }
        call.join().expect("no panic").expect_err("nobody joined");
    });
    log.wait_for("Drop message to harbor 9");
}

struct Quiet;

impl skynet_rs::Service for Quiet {
    fn handle(
        &mut self,
        _ctx: &mut skynet_rs::Context<'_>,
        _message: skynet_rs::Message,
    ) -> Result<(), skynet_rs::ServiceError> {
        Ok(())
    }
}

#[test]
fn an_answer_that_comes_ends_the_wait() {
    let member = Arc::new(Member::start(1));
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.wait_up(2, 1);
    let call = member.begin_call(Handle::from_u32(0x0200_0005));
    let asked = peer.extended();
    assert_eq!(member.stat(2, "calls"), Value::Integer(1));
    let back = frame(0x0200_0005, 0x0100_0000 | asked.source & 0xff_ffff, asked.session, b"answer");
    peer.write(&back.extended());
    assert_eq!(call.join().expect("it ends").0.expect("it is answered"), b"answer");
    assert_eq!(member.stat(2, "calls"), Value::Integer(0));
}
