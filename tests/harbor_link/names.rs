//! Global names, as far as the actor knows them.

use skynet_rs::{Config, Handle, Message, MessageKind};

use crate::cluster::{Member, Spy, order};
use crate::peer::{Peer, frame};

/// Has a spy send to a name.
fn send_to_name(member: &Member, name: &str, session: i32) -> Spy {
    use skynet_rs::{Context, Service, ServiceError, Session};
    struct ByName(String, i32, crate::cluster::Growing<crate::cluster::Got>);
    impl Service for ByName {
        fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
            let session = Session::new(self.1);
            let source = ctx.handle();
            let message = Message { source, session, kind: MessageKind::LUA, payload: "by name".into() };
            Ok(ctx.send_global(&self.0, message)?)
        }

        fn handle(&mut self, _ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
            self.2.push(crate::cluster::Got {
                source: message.source,
                session: Session::number(message.session),
                kind: message.kind,
                bytes: message.payload.as_bytes().to_vec(),
            });
            Ok(())
        }
    }
    let got = crate::cluster::Growing::default();
    let service = ByName(name.to_owned(), session, got.clone());
    Spy { handle: member.runtime.spawn(service).expect("it starts"), got }
}

fn said(member: &Member, text: &str) -> usize {
    member.texts().all().iter().filter(|said| *said == text).count()
}

#[test]
fn what_waits_for_a_name_goes_with_the_proper_local_id_even_before_the_link_is_up() {
    let member = Member::start(1);
    let (first, second) = (send_to_name(&member, "ALPHA", 5), send_to_name(&member, "ALPHA", 6));
    member.texts().wait(&"it asks", |texts| texts.iter().any(|text| text == "Q ALPHA"));
    member.name("ALPHA", Handle::from_u32(0x0200_002a));
    member.wait_stat(2, "queue", |queue| *queue == 2.into());
    let mut peer = Peer::accept(&member, 2, false);
    peer.write(&[2]);
    assert!(peer.classic().content.starts_with(b"SKRS"));
    assert_eq!(peer.classic(), frame(first.handle.as_u32(), 0x0a00_002a, 5, b"by name"));
    assert_eq!(peer.classic(), frame(second.handle.as_u32(), 0x0a00_002a, 6, b"by name"));
    let third = send_to_name(&member, "ALPHA", 7);
    assert_eq!(peer.classic(), frame(third.handle.as_u32(), 0x0a00_002a, 7, b"by name"));
    // Gone: the next one waits and is asked for.
    assert_eq!(said(&member, "Q ALPHA"), 1);
    member.say("G ALPHA");
    member.texts().wait(&"it is said", |texts| texts.iter().any(|text| text == "G ALPHA"));
    send_to_name(&member, "ALPHA", 8);
    member.texts().wait(&"it asks anew", |texts| texts.iter().filter(|text| *text == "Q ALPHA").count() >= 2);
}

#[test]
fn a_name_of_this_node_is_delivered_here_and_its_end_is_told() {
    let member = Member::start(1);
    let owner = member.spy();
    let sender = send_to_name(&member, "MINE", 5);
    member.name("MINE", owner.handle);
    member.name("TOO", owner.handle);
    let got = owner.got.wait_len(1);
    assert_eq!((got[0].source, got[0].session, &got[0].bytes[..]), (sender.handle, 5, &b"by name"[..]));
    member.runtime.kill(owner.handle);
    member.texts().wait(&"both are told", |texts| {
        ["E MINE", "E TOO"].iter().all(|wanted| texts.iter().any(|text| text == wanted))
    });
    // One that is dead already has no name at all.
    member.name("LATE", owner.handle);
    member.texts().wait(&"it is told", |texts| texts.iter().any(|text| text == "E LATE"));
}

#[test]
fn a_name_that_nobody_takes_is_asked_for_again_and_then_its_senders_are_told() {
    let member = Member::with(1, Config::new().set("harbor_join_timeout", 1.5));
    let sender = send_to_name(&member, "NOBODY", 9);
    let got = sender.got.wait_len(1);
    assert_eq!((got[0].source, got[0].session, got[0].kind), (Handle::NONE, 9, MessageKind::ERROR));
    assert_eq!(said(&member, "Q NOBODY"), 2);
    member.log.wait_for("Drop message to NOBODY: nobody took this name in time");
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let member = Member::start(1);
    let sender = send_to_name(&member, "SIXTEEN_LETTERS_", 9);
    assert_eq!(sender.got.wait_len(1)[0].kind, MessageKind::ERROR);
    member.log.wait_for("Drop message to SIXTEEN_LETTERS_: a global name has 1 to 15 bytes");
    member.name("SIXTEEN_LETTERS_", sender.handle);
    member.log.wait_for("Invalid global name SIXTEEN_LETTERS_");
}

#[test]
fn the_names_of_a_node_go_with_its_life() {
    let (one, two) = (Member::start(1), Member::start(2));
    one.link(&two);
    let owner = two.spy();
    one.name("THERE", owner.handle);
    send_to_name(&one, "THERE", 1);
    owner.got.wait_len(1);
    drop(two);
    one.wait_down(2, 1);
    send_to_name(&one, "THERE", 2);
    one.texts().wait(&"it is not known any more", |texts| texts.iter().any(|text| text == "Q THERE"));
    // Sent to its handle it fails.
    let spy = one.spy();
    one.tell(&spy, vec![order(owner.handle, 3, "")]);
    assert_eq!(spy.got.wait_len(1)[0].kind, MessageKind::ERROR);
}
