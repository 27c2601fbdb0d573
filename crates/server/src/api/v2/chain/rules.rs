//! What a handle says of its chains: rules, what is published, and which pages may ask.

use angarium_domain::chain::{
    Condition, Confidence, Decision, Name, Origins, PRIORITIES, Publish, RULES_MAX, Rule, Rulebook, SECONDS,
    SIGNALS_PER_SESSION_MAX, Wanted, When,
};
use angarium_domain::time::Timestamp;
use angarium_engine::Chains;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::forms::{checked, named};
use crate::api::answer::{Answered, carried_out, json};
use crate::api::form::Form;
use crate::api::request::{Read, Write};
use crate::openapi::words;
use crate::problem::Problem;

/// The rules of a handle, in the order in which they are tried.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainRules)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::v2) struct RulesView {
    #[schema(value_type = Vec<words::ChainRule>)]
    rules: Vec<Rule>,
    #[schema(value_type = words::ChainPublish)]
    publish: Publish,
    /// Whether anybody may send signals and ask without a credential; if not, they find no such handle.
    public: bool,
    /// When rules, publishing or origins last changed; null if they never did.
    #[schema(value_type = Option<words::Time>)]
    updated_at: Option<Timestamp>,
}

/// The origins of the pages that may ask.
#[derive(Serialize, ToSchema)]
#[schema(as = ContextOrigins)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::v2) struct OriginsView {
    #[schema(value_type = Vec<words::ContextOrigin>)]
    origins: Vec<String>,
}

pub(in crate::api::v2) async fn get(
    State(chains): State<Chains>,
    read: Read,
) -> Result<Json<RulesView>, Problem> {
    Ok(Json(RulesView::of(&*chains.rulebook(&read.handle).await?)))
}

pub(in crate::api::v2) async fn put(State(chains): State<Chains>, write: Write) -> Result<Answered, Problem> {
    let (rules, publish, public) = new_rules(write.form()?)?;
    let (caller, once) = write.into_parts(|made| json(StatusCode::OK, &RulesView::of(made)));
    carried_out(async move { chains.put_rules(caller, rules, publish, !public, once).await }).await
}

pub(in crate::api::v2) async fn get_origins(
    State(chains): State<Chains>,
    read: Read,
) -> Result<Json<OriginsView>, Problem> {
    Ok(Json(OriginsView::of(&*chains.rulebook(&read.handle).await?)))
}

pub(in crate::api::v2) async fn put_origins(
    State(chains): State<Chains>,
    write: Write,
) -> Result<Answered, Problem> {
    let origins = new_origins(write.form()?)?;
    let (caller, once) = write.into_parts(|made| json(StatusCode::OK, &OriginsView::of(made)));
    carried_out(async move { chains.put_origins(caller, origins, once).await }).await
}

fn new_rules(mut form: Form<'_>) -> Result<(Vec<Rule>, Publish, bool), Problem> {
    let items = form.objects("rules", 0..=RULES_MAX);
    let mut rules = Vec::new();
    for (at, mut inner) in items.into_iter().flatten().enumerate() {
        rules.extend(rule(&mut inner));
        form.close(&format!("rules[{at}]"), inner);
    }
    let publish = publish(&mut form);
    let public = form.optional("public").unwrap_or(true);
    form.finish(Some((rules, publish, public)))
}

fn publish(form: &mut Form<'_>) -> Publish {
    let Some(mut inner) = form.optional_object("publish") else { return Publish::default() };
    let publish = Publish {
        signals: inner.optional("signals").unwrap_or_default(),
        decisions: inner.optional("decisions").unwrap_or_default(),
    };
    form.close("publish", inner);
    publish
}

fn rule(form: &mut Form<'_>) -> Option<Rule> {
    let (rule_id, trigger) = (named::<Name>(form, "ruleId"), named::<Name>(form, "trigger"));
    let priority: i32 = form.optional("priority").unwrap_or_default();
    if !PRIORITIES.contains(&priority) {
        let (least, most) = (PRIORITIES.start(), PRIORITIES.end());
        form.fault("priority", format!("priority is {priority}, the limits are {least} and {most}"));
    }
    let when = form.object("when").map(|mut inner| {
        let when = When {
            all: conditions(&mut inner, "all"),
            any: conditions(&mut inner, "any"),
            none: conditions(&mut inner, "none"),
        };
        form.close("when", inner);
        when
    });
    let decision = form.raw("decision").or_else(|| form.missing("decision")).map(Decision::from_json);
    let decision = checked(form, "decision", decision);
    let cooldown_seconds = form.optional("cooldownSeconds");
    let cooldown_seconds = form.within("cooldownSeconds", SECONDS, cooldown_seconds);
    Some(Rule {
        rule_id: rule_id?,
        trigger: trigger?,
        priority,
        when: when?,
        decision: decision?,
        cooldown_seconds,
    })
}

/// How many there may be in all groups together is judged with the rules as a whole.
fn conditions(form: &mut Form<'_>, group: &'static str) -> Vec<Condition> {
    let items = form.optional_objects(group);
    let mut conditions = Vec::new();
    for (at, mut inner) in items.into_iter().flatten().enumerate() {
        conditions.extend(condition(&mut inner));
        form.close(&format!("{group}[{at}]"), inner);
    }
    conditions
}

fn condition(form: &mut Form<'_>) -> Option<Condition> {
    let signal_key = named(form, "signalKey");
    let value = form.optional::<serde_json::Value>("value").map(Wanted::try_from);
    let value = checked(form, "value", value);
    let min_count = form.optional("minCount").or_else(|| (!form.is_at_fault("minCount")).then_some(1));
    let min_count = form.within("minCount", 1..=SIGNALS_PER_SESSION_MAX, min_count);
    let min_confidence = form.optional::<f64>("minConfidence").map(Confidence::try_from);
    let min_confidence = checked(form, "minConfidence", min_confidence);
    let within_seconds = form.optional("withinSeconds");
    let within_seconds = form.within("withinSeconds", SECONDS, within_seconds);
    Some(Condition { signal_key: signal_key?, value, min_count: min_count?, min_confidence, within_seconds })
}

fn new_origins(mut form: Form<'_>) -> Result<Origins, Problem> {
    use angarium_domain::chain::InvalidOrigins as Invalid;
    let texts: Option<Vec<String>> = form.required("origins");
    let origins = texts.and_then(|texts| match Origins::of(&texts) {
        Ok(origins) => Some(origins),
        Err(error) => {
            let field = match &error {
                Invalid::Origin { at, .. } | Invalid::Twice { at, .. } => format!("origins[{at}]"),
                Invalid::NotAlone | Invalid::TooMany { .. } => "origins".to_owned(),
            };
            form.fault(field, error.to_string());
            None
        }
    });
    form.finish(origins)
}

impl RulesView {
    fn of(rulebook: &Rulebook) -> RulesView {
        RulesView {
            rules: rulebook.rules().to_vec(),
            publish: rulebook.publish,
            public: !rulebook.is_closed,
            updated_at: rulebook.updated_at,
        }
    }
}

impl OriginsView {
    fn of(rulebook: &Rulebook) -> OriginsView {
        OriginsView { origins: rulebook.origins.texts().into_iter().map(str::to_owned).collect() }
    }
}
