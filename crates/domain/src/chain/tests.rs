use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;
use crate::ids::DecisionId;
use crate::time::Timestamp;

const KEPT: Duration = Duration::from_hours(24);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + seconds)
}

fn value(json: &serde_json::Value) -> Value {
    Value::from_json(&to_raw_value(json).expect("JSON")).expect("a value")
}

fn evidence(sequence: u64, seconds: i64, key: &str, worth: Option<&serde_json::Value>) -> Evidence {
    let value = worth.map(value);
    Evidence { sequence, at: at(seconds), key: name(key), value, confidence: Confidence::CERTAIN }
}

fn rule(json: &serde_json::Value) -> Rule {
    let mut whole = json!({
        "ruleId": "r", "trigger": "checkout", "priority": 0, "decision": { "offer": 1 }, "cooldownSeconds": null,
    });
    for (field, value) in json.as_object().expect("an object") {
        whole[field] = value.clone();
    }
    serde_json::from_str(&whole.to_string()).expect("a rule")
}

fn book(rules: Vec<Rule>) -> Rulebook {
    Rulebook::default().with_rules(rules, Publish::default(), at(0)).expect("good rules")
}

fn wants(key: &str, min_count: u32) -> serde_json::Value {
    json!({ "signalKey": key, "minCount": min_count })
}

#[test]
fn the_first_rule_that_holds_decides_and_says_by_which_signals() {
    let rules = book(vec![
        rule(&json!({ "ruleId": "b", "when": { "all": [wants("view", 2)] } })),
        rule(&json!({ "ruleId": "a", "when": { "all": [wants("view", 2)] } })),
        rule(
            &json!({ "ruleId": "first", "priority": 5, "when": { "all": [wants("view", 1), wants("cart", 2)] } }),
        ),
        rule(
            &json!({ "ruleId": "other", "trigger": "exit", "priority": 9, "when": { "all": [wants("view", 1)] } }),
        ),
    ]);
    let signals = [evidence(1, 0, "view", None), evidence(2, 1, "cart", None), evidence(3, 2, "view", None)];
    let board = Board::new(&signals, &[], at(10), KEPT);
    let ruling = board.rule(&rules, &name("checkout"));
    assert_eq!(ruling.rule.map(|rule| rule.rule_id.as_str()), Some("a"));
    assert_eq!(ruling.matched.iter().map(|it| it.sequence).collect::<Vec<_>>(), [1, 3]);
    let failure = Failure { group: Group::All, at: 1, signal_key: name("cart"), found: 1, needed: 2 };
    let explained: Vec<_> = ruling.explained.iter().map(|it| (it.rule_id.as_str(), &it.verdict)).collect();
    assert_eq!(explained, [("first", &Verdict::Failed(failure)), ("a", &Verdict::Matched)]);
    assert_eq!(board.rule(&rules, &name("nothing")).explained, []);
}

#[test]
fn conditions_ask_for_value_confidence_and_age() {
    let unsure = Evidence {
        confidence: Confidence::try_from(0.4).expect("a number"),
        ..evidence(3, 0, "plan", Some(&json!("pro")))
    };
    let signals = [
        evidence(1, 0, "total", Some(&json!(100))),
        evidence(2, 5, "total", Some(&json!({ "n": 100 }))),
        unsure,
        evidence(4, 5, "seen", None),
    ];
    let holds = |condition: serde_json::Value, now: i64| {
        let rules = book(vec![rule(&json!({ "when": { "all": [condition] } }))]);
        Board::new(&signals, &[], at(now), KEPT).rule(&rules, &name("checkout")).rule.is_some()
    };
    assert!(holds(json!({ "signalKey": "total", "minCount": 1, "value": 100.0 }), 9));
    assert!(!holds(json!({ "signalKey": "total", "minCount": 2, "value": 100 }), 9));
    assert!(!holds(json!({ "signalKey": "total", "minCount": 1, "value": "100" }), 9));
    assert!(!holds(json!({ "signalKey": "seen", "minCount": 1, "value": true }), 9));
    assert!(holds(json!({ "signalKey": "plan", "minCount": 1, "value": "pro", "minConfidence": 0.4 }), 9));
    assert!(!holds(json!({ "signalKey": "plan", "minCount": 1, "minConfidence": 0.5 }), 9));
    let young = json!({ "signalKey": "seen", "minCount": 1, "withinSeconds": 10 });
    assert!(holds(young.clone(), 14) && !holds(young, 15));
    // Whatever is older than signals are kept counts for nobody.
    let any = json!({ "signalKey": "seen", "minCount": 1 });
    assert!(holds(any.clone(), 5 + 24 * 3600 - 1) && !holds(any, 5 + 24 * 3600));
}

#[test]
fn a_rule_that_rests_lets_the_next_one_decide() {
    let rules = book(vec![
        rule(&json!({ "ruleId": "a", "priority": 1, "when": { "all": [wants("view", 1)] } })),
        rule(&json!({ "ruleId": "b", "when": { "all": [wants("view", 1)] } })),
    ]);
    let signals = [evidence(1, 0, "view", None)];
    let decision_id = DecisionId::from_bytes([7; 16]);
    let resting = [Cooldown { rule_id: name("a"), decision_id, decided_at: at(0), until: at(30) }];
    let decided = |now: i64| {
        let ruling = Board::new(&signals, &resting, at(now), KEPT).rule(&rules, &name("checkout"));
        (ruling.rule.map(|rule| rule.rule_id.to_string()), ruling.valid_until)
    };
    assert_eq!(decided(29), (Some("b".to_owned()), at(30)));
    assert_eq!(decided(30), (Some("a".to_owned()), at(90)));
}

#[test]
fn rules_are_judged_as_a_whole() {
    let empty = rule(&json!({ "ruleId": "empty", "when": {} }));
    let twice = rule(&json!({ "when": { "any": [wants("a", 1)] } }));
    let crowded = rule(&json!({ "ruleId": "crowded", "when": { "none": vec![wants("a", 1); 21] } }));
    let rules = vec![twice.clone(), empty, twice.clone(), crowded];
    let faults = Rulebook::default().with_rules(rules, Publish::default(), at(0)).expect_err("three faults");
    assert_eq!(
        faults,
        [
            InvalidRulebook::EmptyWhen { at: 1 },
            InvalidRulebook::Twice { at: 2, rule_id: name("r") },
            InvalidRulebook::TooManyConditions { at: 3, count: 21 },
        ]
    );
    let many = (0..101).map(|n| Rule { rule_id: name(&format!("r{n}")), ..twice.clone() }).collect();
    let faults = Rulebook::default().with_rules(many, Publish::default(), at(0)).expect_err("too many");
    assert_eq!(faults, [InvalidRulebook::TooMany { count: 101 }]);
    let long = json!({ "text": "x".repeat(4_000) });
    let large = (0..70).map(|n| {
        rule(&json!({ "ruleId": format!("r{n}"), "when": { "any": [wants("a", 1)] }, "decision": long }))
    });
    let faults = Rulebook::default().with_rules(large.collect(), Publish::default(), at(0));
    assert!(matches!(faults.expect_err("too large").as_slice(), [InvalidRulebook::TooLarge { .. }]));
}

#[test]
fn a_rulebook_is_stored_with_its_owners_words() {
    let decision = r#"{ "b": 1.50, "a": "x" }"#;
    let text = format!(
        r#"{{"ruleId":"r","trigger":"t","priority":3,"when":{{"any":[{{"signalKey":"a","value":1,"minCount":2,"minConfidence":0.5,"withinSeconds":60}}]}},"decision":{decision},"cooldownSeconds":5}}"#
    );
    let rules = vec![serde_json::from_str(&text).expect("a rule")];
    let origins = Origins::of(&["https://a.example".to_owned()]).expect("origins");
    let publish = Publish { signals: true, decisions: false };
    let written = Rulebook::default().with_rules(rules, publish, at(1)).expect("good rules");
    let written = written.with_origins(origins, at(2)).closed(true);
    let read = Rulebook::from_stored(9, &written.to_stored()).expect("it reads");
    assert_eq!(read.rules(), written.rules());
    assert_eq!(read.rules()[0].decision.as_str(), decision);
    assert_eq!((read.version, &read.origins, read.publish), (9, &written.origins, publish));
    assert_eq!((read.updated_at, read.is_closed), (Some(at(2)), true));
    // One of the days before handles could be closed is open.
    let older =
        br#"{"rules":[],"origins":[],"publish":{"signals":false,"decisions":false},"updatedAt":null}"#;
    assert!(!Rulebook::from_stored(1, older).expect("it reads").is_closed);
}

/// The definition, without an index, an order of looking, or an early end.
fn naive<'a>(
    rules: &'a [Rule],
    signals: &[Evidence],
    cooldowns: &[Cooldown],
    trigger: &Name,
    now: Timestamp,
) -> Option<&'a Rule> {
    let count = |condition: &Condition| {
        let counts = |signal: &&Evidence| {
            let age = now.since(signal.at);
            let window = condition.within_seconds.map(|it| Duration::from_secs(u64::from(it)));
            let wanted = condition.value.as_ref().map(|it| serde_json::to_value(it).expect("JSON"));
            signal.key == condition.signal_key
                && age < KEPT
                && window.is_none_or(|window| age < window)
                && condition.min_confidence.is_none_or(|least| signal.confidence.get() >= least.get())
                && wanted.is_none_or(|it| signal.value.as_ref().is_some_and(|value| *value.as_json() == it))
        };
        signals.iter().filter(counts).count() >= condition.min_count as usize
    };
    let holds = |rule: &&Rule| {
        let When { all, any, none } = &rule.when;
        let rests = cooldowns.iter().any(|it| it.rule_id == rule.rule_id && now < it.until);
        rule.trigger == *trigger
            && !rests
            && all.iter().all(count)
            && (any.is_empty() || any.iter().any(count))
            && !none.iter().any(count)
    };
    let mut holding: Vec<&Rule> = rules.iter().filter(holds).collect();
    holding.sort_by_key(|rule| (-rule.priority, rule.rule_id.clone()));
    holding.first().copied()
}

fn some_evidence() -> impl Strategy<Value = Vec<Evidence>> {
    let value = option::of(select(vec![json!(1), json!("x"), json!(true), json!({ "a": 1 })]));
    let one = (select(vec!["a", "b", "c"]), value, 0_u8..=4, -90_000_i64..60);
    vec(one, 0..12).prop_map(|drawn| {
        let numbered = (1..).zip(drawn);
        numbered
            .map(|(sequence, (key, worth, quarters, seconds))| Evidence {
                confidence: Confidence::try_from(f64::from(quarters) / 4.0).expect("a number"),
                ..evidence(sequence, seconds, key, worth.as_ref())
            })
            .collect()
    })
}

fn some_conditions() -> impl Strategy<Value = Vec<Condition>> {
    let wanted = option::of(select(vec![json!(1), json!("x"), json!(true)]));
    let one =
        (select(vec!["a", "b", "c"]), wanted, 1_u32..4, option::of(0_u8..=4), option::of(1_u32..100_000));
    vec(
        one.prop_map(|(key, wanted, min_count, quarters, within_seconds)| Condition {
            signal_key: name(key),
            value: wanted.map(|it| Wanted::try_from(it).expect("a scalar")),
            min_count,
            min_confidence: quarters.map(|it| Confidence::try_from(f64::from(it) / 4.0).expect("a number")),
            within_seconds,
        }),
        0..3,
    )
}

fn some_rules() -> impl Strategy<Value = Vec<Rule>> {
    let when = (some_conditions(), some_conditions(), some_conditions());
    let one = (select(vec!["t", "u"]), -1_i32..=1, when);
    vec(one, 0..8).prop_map(|drawn| {
        let numbered = drawn.into_iter().enumerate();
        numbered
            .map(|(n, (trigger, priority, (all, any, none)))| Rule {
                rule_id: name(&format!("r{n}")),
                trigger: name(trigger),
                priority,
                when: When { all, any, none },
                ..rule(&json!({ "when": {} }))
            })
            .filter(|rule| rule.when.conditions() > 0)
            .collect()
    })
}

fn some_cooldowns() -> impl Strategy<Value = Vec<Cooldown>> {
    vec((0..8, 1_i64..200), 0..3).prop_map(|drawn| {
        let cooldown = |(n, until): (i32, i64)| Cooldown {
            rule_id: name(&format!("r{n}")),
            decision_id: DecisionId::from_bytes([1; 16]),
            decided_at: at(0),
            until: at(until),
        };
        drawn.into_iter().map(cooldown).collect()
    })
}

proptest! {
    #[test]
    fn rules_decide_as_their_definition_says(
        rules in some_rules(), signals in some_evidence(), cooldowns in some_cooldowns(), turn in 0_usize..8,
    ) {
        let (now, trigger) = (at(60), name("t"));
        let expected = naive(&rules, &signals, &cooldowns, &trigger, now);
        // The order in which they are written does not matter.
        let mut turned = rules.clone();
        turned.rotate_left(turn.min(rules.len()));
        let book = book(turned);
        let ruling = Board::new(&signals, &cooldowns, now, KEPT).rule(&book, &trigger);
        prop_assert_eq!(ruling.rule, expected);
        let tried = ruling.explained.iter().filter(|it| it.verdict == Verdict::Matched).count();
        prop_assert_eq!(tried, usize::from(expected.is_some()));
        let of_trigger = rules.iter().filter(|rule| rule.trigger == trigger).count();
        prop_assert!(expected.is_some() || ruling.explained.len() == of_trigger);
    }

    #[test]
    fn a_decision_stands_for_as_long_as_it_says(
        rules in some_rules(), signals in some_evidence(), cooldowns in some_cooldowns(), share in 0.0_f64..1.0,
    ) {
        let (now, trigger, book) = (at(60), name("t"), book(rules));
        let ruled = |at: Timestamp| {
            let board = Board::new(&signals, &cooldowns, at, KEPT);
            let Ruling { rule, matched, valid_until, .. } = board.rule(&book, &trigger);
            (rule.map(|rule| rule.rule_id.clone()), matched, valid_until)
        };
        let (rule, matched, valid_until) = ruled(now);
        prop_assert!(now < valid_until && valid_until <= now + DECISION_KEPT_MAX);
        let last = valid_until.saturating_sub(Duration::from_millis(1));
        for later in [now + last.since(now).mul_f64(share), last] {
            let (rule_then, matched_then, _) = ruled(later);
            prop_assert_eq!((&rule_then, &matched_then), (&rule, &matched));
        }
    }
}
