//! DES (FIPS 46-3) block by block (ECB), with the two paddings of skynet's `crypt`.
//!
//! Written for speed where the registry's crate is written for little code: tables answer a substitution box and the
//! permutation after it in one step, and several blocks go through the rounds side by side, since one alone waits for
//! its own last round all the time. Lookups depend on the data, so who shares the processor's cache may learn of the
//! key; DES is too weak for that to matter.
//!
//! Both halves of a block are kept turned right by one bit. So the six bits that a box sees, of which the outer two are
//! its neighbours', are the top six of a byte: of the half as it is for boxes 1, 3, 5 and 7, and of the half turned
//! left by four for 2, 4, 6 and 8.

/// The key of one round: what is added for the odd boxes, and for the even ones.
type RoundKey = [u32; 2];

const ROUNDS: usize = 16;

/// How many blocks go side by side.
const LANES: usize = 3;

pub(crate) const BLOCK: usize = 8;

/// How a text is filled up to whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// A byte 0x80, then zeros.
    Iso7816,
    /// So many bytes as are missing, each their number.
    Pkcs7,
}

impl Padding {
    /// From the number that programs know it by.
    pub(crate) fn from_number(number: i64) -> Option<Padding> {
        match number {
            0 => Some(Padding::Iso7816),
            1 => Some(Padding::Pkcs7),
            _ => None,
        }
    }

    /// The last block: what is over of a text, less than a block, and the filling.
    fn fill(self, rest: &[u8]) -> [u8; BLOCK] {
        let missing = (BLOCK - rest.len()) as u8;
        let mut block = match self {
            Padding::Iso7816 => [0; BLOCK],
            Padding::Pkcs7 => [missing; BLOCK],
        };
        block[..rest.len()].copy_from_slice(rest);
        if self == Padding::Iso7816 {
            block[rest.len()] = 0x80;
        }
        block
    }

    /// How long a text is without its filling, which lies in the last block.
    fn strip(self, text: &[u8]) -> Option<usize> {
        let last = &text[text.len().checked_sub(BLOCK)?..];
        let filling = match self {
            Padding::Iso7816 => {
                let at = last.iter().rposition(|byte| *byte != 0)?;
                (last[at] == 0x80).then_some(BLOCK - at)?
            }
            Padding::Pkcs7 => {
                let filling = usize::from(last[BLOCK - 1]);
                let bytes = last.get(BLOCK.checked_sub(filling)?..)?;
                (filling > 0 && bytes.iter().all(|byte| usize::from(*byte) == filling)).then_some(filling)?
            }
        };
        Some(text.len() - filling)
    }
}

/// Why a text is not decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DesError {
    // Matched by programs: keep the words.
    #[error("Invalid des crypt text length {0}")]
    Length(usize),
    #[error("Invalid des crypt text")]
    Padding,
}

/// A key, worked out for its rounds.
pub(crate) struct Des([RoundKey; ROUNDS]);

impl Des {
    /// The lowest bit of each byte of a key says nothing.
    pub(crate) fn new(key: [u8; 8]) -> Des {
        let key = u64::from_be_bytes(key);
        let chosen = (0..16)
            .fold(0, |bits, nibble| bits | KEY_CHOICE[nibble][(key >> (60 - 4 * nibble)) as usize & 15]);
        // Two registers of 28 bits, which turn on their own.
        let (mut c, mut d) = ((chosen >> 28) as u32, chosen as u32 & 0x0fff_ffff);
        Des(std::array::from_fn(|round| {
            let turn = |half: u32, by: u32| (half << by | half >> (28 - by)) & 0x0fff_ffff;
            c = turn(c, TURNS[round]);
            d = turn(d, TURNS[round]);
            let part = |place: usize| {
                let half = if place < 4 { c } else { d };
                ROUND_CHOICE[place][(half >> (21 - 7 * (place % 4))) as usize & 127]
            };
            (1..8).fold(part(0), |key, place| {
                let [odd, even] = part(place);
                [key[0] | odd, key[1] | even]
            })
        }))
    }

    /// The text with its filling, encrypted.
    pub(crate) fn encrypt(&self, text: &[u8], padding: Padding) -> Vec<u8> {
        let (whole, rest) = text.split_at(text.len() / BLOCK * BLOCK);
        let mut out = Vec::with_capacity(whole.len() + BLOCK);
        out.extend_from_slice(whole);
        out.extend_from_slice(&padding.fill(rest));
        run(&self.0, &mut out);
        out
    }

    /// # Errors
    /// The text is not whole blocks, or what comes of it does not end with a filling: the key is another one.
    pub(crate) fn decrypt(&self, text: &[u8], padding: Padding) -> Result<Vec<u8>, DesError> {
        if text.is_empty() || !text.len().is_multiple_of(BLOCK) {
            return Err(DesError::Length(text.len()));
        }
        let mut keys = self.0;
        keys.reverse();
        let mut out = text.to_vec();
        run(&keys, &mut out);
        let len = padding.strip(&out).ok_or(DesError::Padding)?;
        out.truncate(len);
        Ok(out)
    }
}

/// Runs whole blocks through the rounds, in place.
fn run(keys: &[RoundKey; ROUNDS], bytes: &mut [u8]) {
    let (blocks, _) = bytes.as_chunks_mut::<BLOCK>();
    let (groups, rest) = blocks.as_chunks_mut::<LANES>();
    for group in groups {
        run_side_by_side(keys, group);
    }
    for block in rest {
        run_side_by_side(keys, std::array::from_mut(block));
    }
}

#[inline(always)]
fn run_side_by_side<const N: usize>(keys: &[RoundKey; ROUNDS], blocks: &mut [[u8; BLOCK]; N]) {
    let mut halves = blocks.map(|block| spread(u64::from_be_bytes(block)));
    for pair in keys.as_chunks::<2>().0 {
        for half in &mut halves {
            half[0] ^= mix(half[1], pair[0]);
        }
        for half in &mut halves {
            half[1] ^= mix(half[0], pair[1]);
        }
    }
    *blocks = halves.map(|[left, right]| gather([right, left]).to_be_bytes());
}

/// What one half adds to the other in a round.
#[inline(always)]
fn mix(half: u32, key: RoundKey) -> u32 {
    let odd = half ^ key[0];
    let even = half.rotate_left(4) ^ key[1];
    let of = |table: usize, bits: u32, at: u32| BOXES[table][(bits >> at) as usize & 63];
    of(0, odd, 26)
        ^ of(2, odd, 18)
        ^ of(4, odd, 10)
        ^ of(6, odd, 2)
        ^ of(1, even, 26)
        ^ of(3, even, 18)
        ^ of(5, even, 10)
        ^ of(7, even, 2)
}

/// Exchanges the bits of `mask` in `low` with those that lie `by` higher in `high`.
#[inline(always)]
fn exchange(high: &mut u32, low: &mut u32, by: u32, mask: u32) {
    let differs = (*high >> by ^ *low) & mask;
    *low ^= differs;
    *high ^= differs << by;
}

/// The initial permutation, which is a turned-over 8 by 8 square, and the turn by one bit.
#[inline(always)]
fn spread(block: u64) -> [u32; 2] {
    let (mut left, mut right) = ((block >> 32) as u32, block as u32);
    exchange(&mut left, &mut right, 4, 0x0f0f_0f0f);
    exchange(&mut left, &mut right, 16, 0x0000_ffff);
    exchange(&mut right, &mut left, 2, 0x3333_3333);
    exchange(&mut right, &mut left, 8, 0x00ff_00ff);
    exchange(&mut left, &mut right, 1, 0x5555_5555);
    [left.rotate_right(1), right.rotate_right(1)]
}

/// [`spread`] backwards.
#[inline(always)]
fn gather([left, right]: [u32; 2]) -> u64 {
    let (mut left, mut right) = (left.rotate_left(1), right.rotate_left(1));
    exchange(&mut left, &mut right, 1, 0x5555_5555);
    exchange(&mut right, &mut left, 8, 0x00ff_00ff);
    exchange(&mut right, &mut left, 2, 0x3333_3333);
    exchange(&mut left, &mut right, 16, 0x0000_ffff);
    exchange(&mut left, &mut right, 4, 0x0f0f_0f0f);
    u64::from(left) << 32 | u64::from(right)
}

/// How far the registers of the key turn before each round.
const TURNS: [u32; ROUNDS] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/// The standard's PC-1: which bits of the key the registers begin with. As all its tables, it counts from the left and
/// from 1.
const PC_1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44,
    36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20,
    12, 4,
];

/// The standard's PC-2: which bits of the registers are the key of a round, six for each box.
const PC_2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37,
    47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

/// The standard's P: the permutation after the boxes.
const P: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6,
    22, 11, 4, 25,
];

/// The standard's substitution boxes, row by row.
const S: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5,
        3, 8, 4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14,
        10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9,
        11, 5, 0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12,
        0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11,
        15, 1, 13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3,
        11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10,
        14, 9, 10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11,
        12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9,
        8, 6, 4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9,
        10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11,
        3, 8, 9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7,
        6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15,
        8, 6, 1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15,
        14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14,
        9, 2, 7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0,
        3, 5, 6, 11,
    ],
];

/// PC-1 for each value of each four bits of a key.
static KEY_CHOICE: [[u64; 16]; 16] = {
    let mut table = [[0; 16]; 16];
    let mut to = 0;
    while to < 56 {
        let from = PC_1[to] as usize - 1;
        let mut value = 0;
        while value < 16 {
            if value >> (3 - from % 4) & 1 == 1 {
                table[from / 4][value] |= 1 << (55 - to);
            }
            value += 1;
        }
        to += 1;
    }
    table
};

/// PC-2 for each value of each seven bits of the registers, where the boxes look for it.
static ROUND_CHOICE: [[RoundKey; 128]; 8] = {
    let mut table = [[[0; 2]; 128]; 8];
    let mut to = 0;
    while to < 48 {
        let from = PC_2[to] as usize - 1;
        let (box_index, bit) = (to / 6, to % 6);
        let mut value = 0;
        while value < 128 {
            if value >> (6 - from % 7) & 1 == 1 {
                table[from / 7][value][box_index % 2] |= 1 << (31 - box_index / 2 * 8 - bit);
            }
            value += 1;
        }
        to += 1;
    }
    table
};

/// For each box and what it sees: its answer after the permutation, turned as the halves are.
static BOXES: [[u32; 64]; 8] = {
    let mut table = [[0; 64]; 8];
    let mut to = 0;
    while to < 32 {
        let from = P[to] as usize - 1;
        let mut seen = 0;
        while seen < 64 {
            // The outer two bits are the row, the inner four the column.
            let row = (seen >> 4 & 2) | (seen & 1);
            let answer = S[from / 4][row * 16 + (seen >> 1 & 15)];
            if answer >> (3 - from % 4) & 1 == 1 {
                table[from / 4][seen] |= (1_u32 << (31 - to)).rotate_right(1);
            }
            seen += 1;
        }
        to += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(key: u64, plain: u64) -> u64 {
        let mut bytes = plain.to_be_bytes();
        run(&Des::new(key.to_be_bytes()).0, &mut bytes);
        u64::from_be_bytes(bytes)
    }

    #[test]
    fn known_answers_of_the_standards_tests_hold() {
        // From the validation tests of NBS SP 500-20: each kind is there to find a wrong entry of one table.
        for (key, plain, cipher) in [
            // Variable plain text (initial permutation and expansion).
            (0x0101_0101_0101_0101, 0x8000_0000_0000_0000, 0x95f8_a5e5_dd31_d900),
            (0x0101_0101_0101_0101, 0x4000_0000_0000_0000, 0xdd7f_121c_a501_5619),
            (0x0101_0101_0101_0101, 0x0000_0000_0000_0001, 0x166b_40b4_4aba_4bd6),
            // Variable key (PC-1 and PC-2).
            (0x8001_0101_0101_0101, 0, 0x95a8_d728_13da_a94d),
            (0x0101_0101_0101_0102, 0, 0x869e_fd7f_9f26_5a09),
            // Permutation operation.
            (0x1046_9134_8998_0131, 0, 0x88d5_5e54_f54c_97b4),
            // Substitution tables.
            (0x7ca1_1045_4a1a_6e57, 0x01a1_d6d0_3977_6742, 0x690f_5b0d_9a26_939b),
            (0x0131_d961_9dc1_376e, 0x5cd5_4ca8_3def_57da, 0x7a38_9d10_354b_d271),
            (0x07a1_133e_4a0b_2686, 0x0248_d438_06f6_7172, 0x868e_bb51_cab4_599a),
            (0x3849_674c_2602_319e, 0x5145_4b58_2ddf_440a, 0x7178_876e_01f1_9b2a),
            (0x04b9_15ba_43fe_b5b6, 0x42fd_4430_5957_7fa2, 0xaf37_fb42_1f8c_4095),
            (0x0113_b970_fd34_f2ce, 0x059b_5e08_51cf_143a, 0x86a5_60f1_0ec6_d85b),
            (0x0170_f175_468f_b5e6, 0x0756_d8e0_7747_61d2, 0x0cd3_da02_0021_dc09),
            (0x4329_7fad_38e3_73fe, 0x7625_14b8_29bf_486a, 0xea67_6b2c_b7db_2b7a),
        ] {
            let found: u64 = block(key, plain);
            assert_eq!(found, cipher, "key {key:016x}: {found:016x} is not {cipher:016x}");
        }
    }

    #[test]
    fn the_lowest_bit_of_a_keys_bytes_says_nothing() {
        assert_eq!(block(0x0101_0101_0101_0101, 7), block(0, 7));
        assert_ne!(block(0x0201_0101_0101_0101, 7), block(0, 7));
    }

    #[test]
    fn a_filling_that_no_text_has_is_refused() {
        let bytes = |last: [u8; 4]| [[0xaa; 4], last].concat();
        for last in [[0xaa, 0, 0, 0], [0xaa, 0x80, 1, 0], [0, 0, 0, 0x81]] {
            assert_eq!(Padding::Iso7816.strip(&bytes(last)), None, "{last:?}");
        }
        assert_eq!(Padding::Iso7816.strip(&[0; 8]), None);
        assert_eq!(Padding::Iso7816.strip(&[0x80, 0, 0, 0, 0, 0, 0, 0]), Some(0));
        for last in [[2, 2, 2, 0], [2, 2, 2, 9], [1, 1, 1, 3], [0, 0, 0, 255]] {
            assert_eq!(Padding::Pkcs7.strip(&bytes(last)), None, "{last:?}");
        }
        assert_eq!(Padding::Pkcs7.strip(&[8; 8]), Some(0));
    }

    proptest! {
        #[test]
        fn what_was_encrypted_is_decrypted(
            key in any::<[u8; 8]>(),
            text in proptest::collection::vec(any::<u8>(), 0..100),
            padding in 0_i64..2,
        ) {
            let padding = Padding::from_number(padding).expect("there are two");
            let des = Des::new(key);
            let cipher = des.encrypt(&text, padding);
            prop_assert_eq!(cipher.len(), (text.len() / BLOCK + 1) * BLOCK);
            prop_assert_eq!(des.decrypt(&cipher, padding), Ok(text));
        }

        #[test]
        fn blocks_side_by_side_are_what_they_are_alone(key in any::<[u8; 8]>(), text in any::<[[u8; 8]; 8]>()) {
            let des = Des::new(key);
            let mut together = text;
            run(&des.0, together.as_flattened_mut());
            let mut alone = text;
            for block in &mut alone {
                run(&des.0, block);
            }
            prop_assert_eq!(together, alone);
        }
    }
}
