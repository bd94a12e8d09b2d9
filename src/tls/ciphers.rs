//! Which cipher suites a list allows: `ECDHE-RSA-AES128-GCM-SHA256:!aNULL`, with OpenSSL's names or the standard's.

use rustls::{CipherSuite, SupportedCipherSuite};

/// All suites, best first.
pub(super) fn all() -> Vec<SupportedCipherSuite> {
    rustls::crypto::ring::ALL_CIPHER_SUITES.to_vec()
}

/// The names of a suite: that of OpenSSL, then that of the standard.
fn names(suite: CipherSuite) -> [&'static str; 2] {
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => ["TLS_AES_256_GCM_SHA384", "TLS13_AES_256_GCM_SHA384"],
        CipherSuite::TLS13_AES_128_GCM_SHA256 => ["TLS_AES_128_GCM_SHA256", "TLS13_AES_128_GCM_SHA256"],
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => {
            ["TLS_CHACHA20_POLY1305_SHA256", "TLS13_CHACHA20_POLY1305_SHA256"]
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => {
            ["ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => {
            ["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
        }
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            ["ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => {
            ["ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => {
            ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            ["ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"]
        }
        _ => ["", ""],
    }
}

fn is_old(suite: &SupportedCipherSuite) -> bool {
    matches!(suite, SupportedCipherSuite::Tls12(_))
}

/// What a list allows, in its order. As with OpenSSL, it is about TLS 1.2, and names that are not known are passed over;
/// suites of TLS 1.3 all stay unless the list names some of them.
///
/// Nothing weak is supported, so that words which leave weak suites out (`!aNULL`, `!MD5`) change nothing.
pub(super) fn select(list: &str) -> Option<Vec<SupportedCipherSuite>> {
    let known = all();
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut without = Vec::new();
    let mut add = |suite: &SupportedCipherSuite| {
        if !chosen.contains(suite) {
            chosen.push(*suite);
        }
    };
    for word in list.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        let is_named = |suite: &&SupportedCipherSuite, word: &str| {
            names(suite.suite()).iter().any(|name| name.eq_ignore_ascii_case(word))
        };
        if let Some(word) = word.strip_prefix(['!', '-']) {
            without.extend(known.iter().filter(|suite| is_named(suite, word)).copied());
        } else if ["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "AESGCM"].contains(&word) {
            let wanted =
                |suite: &&SupportedCipherSuite| word != "AESGCM" || names(suite.suite())[0].contains("-GCM-");
            known.iter().filter(|suite| is_old(suite)).filter(wanted).for_each(&mut add);
        } else {
            known.iter().filter(|suite| is_named(suite, word)).for_each(&mut add);
        }
    }
    if chosen.is_empty() {
        return None;
    }
    if chosen.iter().all(is_old) {
        let new = known.iter().filter(|suite| !is_old(suite));
        chosen.splice(0..0, new.copied());
    }
    chosen.retain(|suite| !without.contains(suite));
    (!chosen.is_empty()).then_some(chosen)
}

/// The names that a list may have, for error texts.
pub(super) fn known_names() -> String {
    let names: Vec<_> =
        all().iter().filter(|suite| is_old(suite)).map(|suite| names(suite.suite())[0]).collect();
    names.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(list: &str) -> Vec<&'static str> {
        let suites = select(list).unwrap_or_default();
        suites.iter().filter(|suite| is_old(suite)).map(|suite| names(suite.suite())[0]).collect()
    }

    #[test]
    fn each_suite_has_its_names() {
        assert!(all().iter().all(|suite| names(suite.suite()).iter().all(|name| !name.is_empty())));
    }

    #[test]
    fn a_list_allows_what_it_names_in_its_order() {
        assert_eq!(
            selected("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:RC4-SHA:ecdhe-ecdsa-chacha20-poly1305"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
        );
        assert_eq!(selected("HIGH:!aNULL:!MD5").len(), 6);
        assert_eq!(selected("AESGCM:-ECDHE-RSA-AES128-GCM-SHA256").len(), 3);
    }

    #[test]
    fn suites_of_tls_1_3_stay_unless_some_are_named() {
        let new = |list: &str| select(list).unwrap_or_default().iter().filter(|suite| !is_old(suite)).count();
        assert_eq!(new("ECDHE-RSA-AES128-GCM-SHA256"), 3);
        assert_eq!(new("HIGH:TLS_AES_128_GCM_SHA256"), 1);
    }

    #[test]
    fn a_list_that_allows_nothing_is_refused() {
        for list in ["", "RC4-SHA", "!aNULL", "ECDHE", "TLS_AES_128_GCM_SHA256:!TLS_AES_128_GCM_SHA256"] {
            assert_eq!(select(list).is_none(), list != "ECDHE", "{list:?}");
        }
    }
}
