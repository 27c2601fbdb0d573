//! What the official suites accept and refuse, and the mistakes that we can name.

use aws_lc_rs::hmac;
use data_encoding::BASE64;

use super::*;
use crate::InvalidVerifyKey;
use crate::key::mac;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &str = r#"{"test": 2432232314}"#;
const RIGHT: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const RIGHT_V1A: &str =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
const AT: u64 = 1_614_265_330;

fn findings(secret: &str, headers: &[(&str, &str)], body: &str, now: u64) -> [Finding; 4] {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let headers: Vec<(String, String)> = headers.iter().map(owned).collect();
    let received = Received { header: &|name| header_in(&headers, name), body: body.as_bytes() };
    let keys = [VerifyKey::parse(secret).expect("a key")];
    verify(&keys, &received, now, TOLERANCE)
}

fn verdict(of: Profile, findings: &[Finding; 4]) -> Verdict {
    findings.iter().find(|finding| finding.profile == of).expect("every profile is judged").verdict
}

/// The verdict on `v1` tokens of a request with this list.
fn standard(list: &str) -> Verdict {
    let headers = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", list)];
    verdict(Profile::Standard, &findings(SECRET, &headers, BODY, AT))
}

/// The verdict on the `v1` token of the shared vector, at another time.
fn standard_at(timestamp: &str, now: u64) -> Verdict {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key_bytes());
    let pieces = [ID.as_bytes(), b".", timestamp.as_bytes(), b".", BODY.as_bytes()];
    let list = format!("v1,{}", BASE64.encode(mac(&key, &pieces).as_ref()));
    let headers =
        [("webhook-id", ID), ("webhook-timestamp", timestamp), ("webhook-signature", list.as_str())];
    verdict(Profile::Standard, &findings(SECRET, &headers, BODY, now))
}

fn hex(key: &[u8], pieces: &[&str]) -> String {
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    let tag = mac(&hmac::Key::new(hmac::HMAC_SHA256, key), &pieces);
    data_encoding::HEXLOWER.encode(tag.as_ref())
}

fn key_bytes() -> Vec<u8> {
    BASE64.decode(SECRET.strip_prefix("whsec_").expect("a prefix").as_bytes()).expect("base64")
}

/// The verdict on an `x-arjun-signature`.
fn arjun(signature: &str, body: &str) -> Verdict {
    let headers = [("x-arjun-signature", signature), ("webhook-timestamp", "1614265330"), ("webhook-id", ID)];
    verdict(Profile::Arjun, &findings(SECRET, &headers, body, AT))
}

/// The verdict on an `x-event-signature`.
fn platformxe(signature: &str, body: &str, now: u64) -> Verdict {
    let headers = [("X-Event-Signature", signature), ("X-Event-Timestamp", "1614265330")];
    verdict(Profile::Platformxe, &findings(SECRET, &headers, body, now))
}

#[track_caller]
fn check_words(verdict: Verdict, expected: &str) {
    assert_eq!(verdict.to_string(), expected);
}

#[test]
fn the_right_token_is_found_anywhere_in_a_list() {
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for list in [
        RIGHT.to_owned(),
        format!("{wrong} {RIGHT}"),
        format!("{RIGHT} {wrong}"),
        format!("v2,AAAA garbage {wrong} {RIGHT} v1a,AAAA"),
        format!(" {RIGHT} "),
        format!("{RIGHT}  {RIGHT}"),
    ] {
        assert_eq!(standard(&list), Verdict::Verified, "{list}");
    }
}

/// The negative cases of the official suites.
#[test]
fn broken_lists_are_refused() {
    let token = RIGHT.strip_prefix("v1,").expect("a prefix");
    for list in [
        "",
        "v1,",
        &RIGHT[..11],
        token,
        &format!("v2,{token}"),
        &format!("v1{token}"),
        &format!("V1,{token}"),
    ] {
        let refused =
            matches!(standard(list), Verdict::Refused(Reason::Malformed { header: "webhook-signature", .. }));
        assert!(refused, "{list}: {}", standard(list));
    }
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(standard(wrong), Verdict::Refused(Reason::Wrong));
    assert_eq!(standard(&format!("{wrong} {wrong} v2,{token}")), Verdict::Refused(Reason::Wrong));
}

#[test]
fn every_header_of_the_standard_is_needed() {
    let all = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", RIGHT)];
    for missing in 0..3 {
        let mut headers = all.to_vec();
        let (header, _) = headers.remove(missing);
        let findings = findings(SECRET, &headers, BODY, AT);
        assert_eq!(verdict(Profile::Standard, &findings), Verdict::Refused(Reason::Missing { header }));
    }
    let none = findings(SECRET, &[], BODY, AT);
    assert!(none.iter().all(|finding| finding.verdict == Verdict::Absent));
}

#[test]
fn header_names_count_in_any_case() {
    let headers = [("Webhook-Id", ID), ("WEBHOOK-TIMESTAMP", "1614265330"), ("webhook-Signature", RIGHT)];
    let findings = findings(SECRET, &headers, BODY, AT);
    assert_eq!(verdict(Profile::Standard, &findings), Verdict::Verified);
}

#[test]
fn five_minutes_are_tolerated_and_a_second_more_is_not() {
    for now in [AT - 300, AT - 299, AT + 299, AT + 300] {
        assert_eq!(standard_at("1614265330", now), Verdict::Verified, "{now}");
    }
    check_words(standard_at("1614265330", AT + 301), "timestamp is 301 s old, the limit is 300 s");
    check_words(standard_at("1614265330", AT - 301), "timestamp is 301 s ahead, the limit is 300 s");
}

#[test]
fn timestamps_are_whole_seconds() {
    for timestamp in
        ["", "hello", "1614265330.5", "-1614265330", "+1614265330", "1614265330 ", "99999999999999999999"]
    {
        let expected = Reason::Malformed { header: "webhook-timestamp", shape: "whole Unix seconds" };
        assert_eq!(standard_at(timestamp, AT), Verdict::Refused(expected), "{timestamp}");
    }
    check_words(standard_at("1614265330000", AT), "timestamp is in milliseconds, it must be in seconds");
}

#[test]
fn secrets_work_with_and_without_their_prefix() {
    let bare = SECRET.strip_prefix("whsec_").expect("a prefix");
    let headers = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", RIGHT)];
    assert_eq!(verdict(Profile::Standard, &findings(bare, &headers, BODY, AT)), Verdict::Verified);
}

#[test]
fn key_pairs_verify_by_either_half_that_is_shown() {
    let pair =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    let list = format!("{RIGHT} {RIGHT_V1A}");
    let headers =
        [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", list.as_str())];
    for key in [PUBLIC, pair] {
        let findings = findings(key, &headers, BODY, AT);
        assert_eq!(verdict(Profile::StandardV1a, &findings), Verdict::Verified);
        assert_eq!(verdict(Profile::Standard, &findings), Verdict::NoKey);
    }
    let with_secret = findings(SECRET, &headers, BODY, AT);
    assert_eq!(verdict(Profile::StandardV1a, &with_secret), Verdict::NoKey);
    let other_body = findings(PUBLIC, &headers, "{}", AT);
    assert_eq!(verdict(Profile::StandardV1a, &other_body), Verdict::Refused(Reason::Wrong));
}

#[test]
fn one_good_key_among_several_is_enough() {
    let keys = [OTHER, PUBLIC, SECRET].map(|text| VerifyKey::parse(text).expect("a key"));
    let headers = [("webhook-id", ID), ("webhook-timestamp", "1614265330"), ("webhook-signature", RIGHT)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let received = Received { header: &|name| header_in(&headers, name), body: BODY.as_bytes() };
    let findings = verify(&keys, &received, AT, TOLERANCE);
    assert_eq!(verdict(Profile::Standard, &findings), Verdict::Verified);
}

/// The vector that GitHub documents has the same form.
#[test]
fn any_text_is_a_secret_for_the_hexadecimal_headers() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("x-arjun-signature", signature)];
    let findings = findings("It's a Secret to Everybody", &headers, "Hello, World!", AT);
    assert_eq!(verdict(Profile::Arjun, &findings), Verdict::Verified);
}

#[test]
fn hexadecimal_headers_of_another_shape_are_refused() {
    let right = hex(SECRET.as_bytes(), &[BODY]);
    assert_eq!(arjun(&format!("sha256={right}"), BODY), Verdict::Verified);
    assert_eq!(arjun(&format!("sha256={}", right.to_uppercase()), BODY), Verdict::Verified);
    for broken in [&right, "", "sha256=", &format!("sha1={right}"), &format!("sha256={}", &right[..62])] {
        check_words(arjun(broken, BODY), "header x-arjun-signature is not sha256= and 64 hex digits");
    }
    let right = hex(SECRET.as_bytes(), &["1614265330.", BODY]);
    assert_eq!(platformxe(&right, BODY, AT), Verdict::Verified);
    check_words(
        platformxe(&format!("sha256={right}"), BODY, AT),
        "header x-event-signature is not 64 hex digits",
    );
    check_words(platformxe(&right, BODY, AT + 301), "timestamp is 301 s old, the limit is 300 s");
}

#[test]
fn a_wrong_form_of_the_key_is_named() {
    check_words(
        arjun(&format!("sha256={}", hex(&key_bytes(), &[BODY])), BODY),
        "signature was made with the bytes behind whsec_ instead of the secret's text",
    );
    let bare = SECRET.strip_prefix("whsec_").expect("a prefix");
    check_words(
        platformxe(&hex(bare.as_bytes(), &["1614265330.", BODY]), BODY, AT),
        "signature was made with the secret's text without whsec_ instead of the secret's text",
    );
    let with_text = mac(
        &hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()),
        &[ID.as_bytes(), b".1614265330.", BODY.as_bytes()],
    );
    check_words(
        standard(&format!("v1,{}", BASE64.encode(with_text.as_ref()))),
        "signature was made with the secret's text instead of the bytes behind whsec_",
    );
}

#[test]
fn a_wrong_signed_text_is_named() {
    check_words(
        platformxe(&hex(SECRET.as_bytes(), &[BODY]), BODY, AT),
        "signature was made over {body} instead of {timestamp}.{body}",
    );
    check_words(
        arjun(&format!("sha256={}", hex(SECRET.as_bytes(), &["1614265330.", BODY])), BODY),
        "signature was made over {timestamp}.{body} instead of {body}",
    );
    let body_alone = mac(&hmac::Key::new(hmac::HMAC_SHA256, &key_bytes()), &[BODY.as_bytes()]);
    check_words(
        standard(&format!("v1,{}", BASE64.encode(body_alone.as_ref()))),
        "signature was made over {body} instead of {id}.{timestamp}.{body}",
    );
}

#[test]
fn a_body_that_was_encoded_again_is_named() {
    let signature = format!("sha256={}", hex(SECRET.as_bytes(), &[r#"{"a":1,"b":"x, y"}"#]));
    let again =
        |form| format!("signature was made over another body, this one {form}: was the body re-encoded?");
    check_words(arjun(&signature, r#"{"a": 1, "b": "x, y"}"#), &again("as JSON without white space"));
    check_words(arjun(&signature, "{\"a\":1,\"b\":\"x, y\"}\r\n"), &again("without its last newline"));
    let spaced = format!("sha256={}", hex(SECRET.as_bytes(), &[r#"{"a": 1, "b": "x, y"}"#]));
    check_words(
        arjun(&spaced, r#"{"a":1,"b":"x, y"}"#),
        &again("as JSON with a space after each comma and colon"),
    );
    let with_newline = format!("sha256={}", hex(SECRET.as_bytes(), &["{}\n"]));
    check_words(arjun(&with_newline, "{}"), &again("with a newline at its end"));
    check_words(
        arjun(&signature, r#"{"a":2}"#),
        "signature was made with another secret, or the body was changed on its way",
    );
}

#[test]
fn texts_that_cannot_verify_are_refused() {
    let parse = |text: &str| VerifyKey::parse(text).err();
    assert_eq!(parse(""), Some(InvalidVerifyKey::Empty));
    assert_eq!(parse("whsec_%"), Some(InvalidVerifyKey::Shared));
    assert_eq!(parse("whsk_AAAA"), Some(InvalidVerifyKey::Pair));
    assert_eq!(parse("whpk_AAAA"), Some(InvalidVerifyKey::PublicKey));
    assert_eq!(parse("whpk_%"), Some(InvalidVerifyKey::PublicKey));
    let mismatched = format!("whsk_{}", BASE64.encode(&[7; 64]));
    assert_eq!(parse(&mismatched), Some(InvalidVerifyKey::Mismatch));
}
