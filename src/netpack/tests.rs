use proptest::prelude::*;

use super::*;

/// What each piece gives, until an error.
fn cut(header: Header, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, TooLarge> {
    let (mut partial, mut frames) = (Partial::default(), Vec::new());
    for mut piece in pieces.iter().copied() {
        while let Some(frame) = partial.next(header, &mut piece)? {
            frames.push(frame.to_vec());
        }
        assert!(piece.is_empty());
    }
    Ok(frames)
}

#[test]
fn frames_are_cut_wherever_the_pieces_end() {
    assert_eq!(
        cut(Header::Short, &[b"\0\x02hi\0\0\0\x01!"]),
        Ok(vec![b"hi".to_vec(), vec![], b"!".to_vec()])
    );
    assert_eq!(
        cut(Header::Short, &[b"\0", b"\x02", b"h", b"", b"i\0", b"\0"]),
        Ok(vec![b"hi".to_vec(), vec![]])
    );
    assert_eq!(cut(Header::Long, &[b"\0\0", b"\0\x02h", b"i\0\0\0"]), Ok(vec![b"hi".to_vec()]));
    assert_eq!(cut(Header::Short, &[b"\0\x05four"]), Ok(vec![]));
}

#[test]
fn the_largest_frame_of_a_kind_is_read_and_a_larger_one_is_refused() {
    let frame = vec![7; 0xffff];
    assert_eq!(cut(Header::Short, &[b"\xff\xff", &frame]), Ok(vec![frame]));
    let frame = vec![7; (1 << 24) - 1];
    assert_eq!(cut(Header::Long, &[b"\0\xff\xff\xff", &frame]), Ok(vec![frame]));
    let too_large = |size| TooLarge { size, limit: (1 << 24) - 1 };
    assert_eq!(cut(Header::Long, &[b"\x01\0\0\0"]), Err(too_large(1 << 24)));
    assert_eq!(cut(Header::Long, &[b"\xff\xff", b"\xff\xff junk"]), Err(too_large(0xffff_ffff)));
}

#[test]
fn an_announced_length_reserves_nothing() {
    let mut partial = Partial::default();
    assert_eq!(partial.next(Header::Long, &mut &b"\0\xff\xff\xffx"[..]), Ok(None));
    assert!(partial.bytes.capacity() <= 16 && !partial.is_empty());
    for _ in 0..1000 {
        assert_eq!(partial.next(Header::Long, &mut &[0; 100][..]), Ok(None));
        assert!(partial.bytes.capacity() <= 2 * partial.bytes.len());
    }
}

#[test]
fn a_frame_in_pieces_leaves_no_room_behind() {
    let mut partial = Partial::default();
    assert_eq!(partial.next(Header::Short, &mut &b"\0\x03ab"[..]), Ok(None));
    let mut rest = &b"c\0\x01"[..];
    assert_eq!(partial.next(Header::Short, &mut rest), Ok(Some(&b"abc"[..])));
    assert!(partial.is_empty());
    assert_eq!(partial.next(Header::Short, &mut rest), Ok(None));
    assert_eq!((partial.bytes.len(), partial.is_empty()), (2, false));
}

fn fed(queue: &mut Queue, fd: i32, bytes: &[u8]) -> String {
    match queue.feed(fd, Payload::copy_from(bytes)) {
        Fed::Nothing => "nothing".to_owned(),
        Fed::One(frame) => String::from_utf8_lossy(frame.as_bytes()).into_owned(),
        Fed::More => "more".to_owned(),
    }
}

fn popped(queue: &mut Queue) -> Vec<(i32, String)> {
    let frames = std::iter::from_fn(|| queue.pop());
    frames.map(|(fd, frame)| (fd, String::from_utf8_lossy(frame.as_bytes()).into_owned())).collect()
}

#[test]
fn one_complete_frame_is_handed_out_and_several_wait_in_the_queue() {
    let mut queue = Queue::default();
    assert_eq!(fed(&mut queue, 1, b"\0\x02hi"), "hi");
    assert_eq!(fed(&mut queue, 1, b"\0\x02h"), "nothing");
    assert_eq!(fed(&mut queue, 2, b"\0\x02hi\0\x03bye"), "more");
    assert_eq!(popped(&mut queue), [(2, "hi".to_owned()), (2, "bye".to_owned())]);
    assert_eq!(fed(&mut queue, 1, b"o\0"), "ho");
    assert_eq!(fed(&mut queue, 1, b"\x01x\0\x01y"), "more");
    assert_eq!(popped(&mut queue), [(1, "x".to_owned()), (1, "y".to_owned())]);
    assert!(queue.partial.is_empty());
    assert_eq!(fed(&mut queue, 1, b"\0\0"), "");
    assert_eq!(fed(&mut queue, 1, b""), "nothing");
}

#[test]
fn frames_come_in_order_even_if_earlier_ones_were_left_in_the_queue() {
    let mut queue = Queue::default();
    assert_eq!(fed(&mut queue, 1, b"\0\x01a\0\x01b"), "more");
    assert_eq!(fed(&mut queue, 1, b"\0\x01c"), "more");
    assert_eq!(fed(&mut queue, 2, b"\0\x01d\0"), "more");
    assert_eq!(fed(&mut queue, 3, b"\0"), "nothing");
    let texts: Vec<String> = popped(&mut queue).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["a", "b", "c", "d"]);
}

#[test]
fn what_began_on_a_connection_that_is_gone_is_forgotten() {
    let mut queue = Queue::default();
    for fd in 0..1000 {
        assert_eq!(fed(&mut queue, fd, b"\0\x09half"), "nothing");
        queue.forget(fd);
    }
    assert!(queue.partial.is_empty());
    assert_eq!(fed(&mut queue, 1, b"\0\x01x"), "x");
    assert_eq!(fed(&mut queue, 1, b"\0\x01x\0\x01x\0"), "more");
    queue.clear();
    assert_eq!((queue.ready.len(), queue.partial.len()), (0, 0));
}

#[test]
fn a_long_queue_does_not_keep_its_room() {
    let mut queue = Queue::default();
    assert_eq!(fed(&mut queue, 1, &[0; 100_000]), "more");
    assert_eq!(popped(&mut queue).len(), 50_000);
    assert!(queue.ready.capacity() <= READY_KEPT);
}

/// Some frames, and places at which their stream is cut into pieces.
fn stream() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<prop::sample::Index>)> {
    let small = proptest::collection::vec(any::<u8>(), 0..20);
    let large = (200_usize..70_000).prop_map(|len| vec![3; len.min(0xffff)]);
    let frame = prop_oneof![9 => small, 1 => large];
    (proptest::collection::vec(frame, 0..12), proptest::collection::vec(any::<prop::sample::Index>(), 0..12))
}

fn pieces<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let begins = std::iter::once(0).chain(ends.iter().copied());
    begins.zip(&ends).map(|(begin, end)| &bytes[begin..*end]).collect()
}

fn encoded(header: Header, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        let size = u32::try_from(frame.len()).expect("it is short").to_be_bytes();
        bytes.extend_from_slice(&size[4 - header.len()..]);
        bytes.extend_from_slice(frame);
    }
    bytes
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_frames((frames, cuts) in stream(), long in any::<bool>()) {
        let header = if long { Header::Long } else { Header::Short };
        let bytes = encoded(header, &frames);
        prop_assert_eq!(cut(header, &pieces(&bytes, &cuts)), Ok(frames));
    }

    #[test]
    fn connections_that_take_turns_do_not_disturb_each_other(
        (one, cuts_of_one) in stream(),
        (other, cuts_of_other) in stream(),
    ) {
        let (bytes_of_one, bytes_of_other) = (encoded(Header::Short, &one), encoded(Header::Short, &other));
        let (of_one, of_other) = (pieces(&bytes_of_one, &cuts_of_one), pieces(&bytes_of_other, &cuts_of_other));
        let mut queue = Queue::default();
        let mut found = [Vec::new(), Vec::new()];
        for at in 0..of_one.len().max(of_other.len()) {
            for (fd, pieces) in [&of_one, &of_other].into_iter().enumerate() {
                let Some(piece) = pieces.get(at) else { continue };
                match queue.feed(fd as i32, Payload::copy_from(piece)) {
                    Fed::Nothing => {}
                    Fed::One(frame) => found[fd].push(frame.as_bytes().to_vec()),
                    Fed::More => {
                        while let Some((fd, frame)) = queue.pop() {
                            found[fd as usize].push(frame.as_bytes().to_vec());
                        }
                    }
                }
            }
        }
        prop_assert_eq!(found, [one, other]);
        prop_assert!(queue.partial.is_empty());
    }
}
