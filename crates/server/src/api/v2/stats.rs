//! Webhooks in figures: what came of their attempts, what waits, and how their receivers do.

pub(super) mod docs;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use angarium_domain::dispatch::{Condition, LaneReport};
use angarium_domain::health::Breaker;
use angarium_domain::ids::{SubscriptionId, SubscriptionKind};
use angarium_domain::statistics::{Histogram, Window};
use angarium_domain::time::Timestamp;
use angarium_engine::{Figures, SubscriptionStatistics};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Items, found, items};
use crate::api::request::{PathId, Read};
use crate::openapi::words;
use crate::problem::Problem;

/// A webhook in figures.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookStats)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatsView {
    #[schema(value_type = words::SubscriptionId)]
    subscription_id: SubscriptionId,
    #[schema(value_type = words::StatsWindow)]
    window: Window,
    /// When the window began, with a whole span.
    #[schema(value_type = words::Time)]
    since: Timestamp,
    #[schema(value_type = words::Time)]
    until: Timestamp,
    /// Attempts that were made and settled.
    #[schema(example = 200)]
    attempts: u64,
    /// Deliveries that were accepted.
    #[schema(example = 190)]
    delivered: u64,
    /// Attempts after which another one was scheduled.
    #[schema(example = 7)]
    retried: u64,
    /// Deliveries that were given up.
    #[schema(example = 3)]
    dead: u64,
    /// Of the attempts, which share was accepted; none if there was none.
    #[schema(example = 0.95)]
    success_rate: Option<f64>,
    /// Attempts by status class, or by the word for a failure.
    #[schema(value_type = words::AnswerCounts)]
    answers: BTreeMap<Cow<'static, str>, u64>,
    /// How long attempts took.
    attempt_ms: PercentilesView,
    /// From the making of a delivery to the receiver's 2xx.
    delivery_ms: PercentilesView,
    lane: LaneView,
    backlog: BacklogView,
}

/// Milliseconds that so many percent did not exceed; null if nothing was measured.
#[derive(Serialize, ToSchema)]
#[schema(as = Percentiles)]
struct PercentilesView {
    #[schema(example = 12.5)]
    p50: Option<f64>,
    #[schema(example = 80.2)]
    p90: Option<f64>,
    #[schema(example = 310.0)]
    p99: Option<f64>,
}

/// What goes out now.
#[derive(Serialize, ToSchema)]
#[schema(as = LaneStats)]
#[serde(rename_all = "camelCase")]
struct LaneView {
    #[schema(value_type = words::LaneState)]
    state: Condition,
    /// Attempts that may be under way at a time; null if nothing went out since the service started.
    #[schema(example = 8)]
    limit: Option<u32>,
    #[schema(example = 1)]
    in_flight: u32,
    /// Null like the limit.
    breaker: Option<BreakerView>,
}

/// Whether the receiver is worth an attempt.
#[derive(Serialize, ToSchema)]
#[schema(as = BreakerStats)]
#[serde(rename_all = "camelCase")]
struct BreakerView {
    #[schema(value_type = words::BreakerState)]
    state: &'static str,
    /// Since when the receiver is out.
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    since: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    next_probe_at: Option<Timestamp>,
}

/// What waits for its time or its turn.
#[derive(Serialize, ToSchema)]
#[schema(as = BacklogStats)]
#[serde(rename_all = "camelCase")]
struct BacklogView {
    /// Counted up to 10000.
    #[schema(example = 0)]
    scheduled: u32,
    /// Whether there are more than were counted.
    more: bool,
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    oldest_made_at: Option<Timestamp>,
    #[schema(example = json!(null))]
    oldest_age_seconds: Option<u64>,
    #[schema(value_type = Option<words::Time>, example = json!(null))]
    next_due_at: Option<Timestamp>,
}

pub(super) async fn get(
    State(statistics): State<SubscriptionStatistics>,
    PathId(id): PathId<SubscriptionKind>,
    read: Read,
) -> Result<Json<StatsView>, Problem> {
    let mut query = read.query();
    let window = query.optional("window").unwrap_or_default();
    query.finish()?;
    let figures = statistics.get(&read.handle, id, window).await?;
    found(figures.map(|figures| StatsView::of(figures, window)))
}

pub(super) async fn list(
    State(statistics): State<SubscriptionStatistics>,
    read: Read,
) -> Result<Json<Items<StatsView>>, Problem> {
    let mut query = read.query();
    let window: Window = query.optional("window").unwrap_or_default();
    let list = format!("{} stats {window:?}", read.handle);
    let page = statistics.list(&read.handle, window, query.page(&list)?).await?;
    Ok(items(page, &list, |figures| StatsView::of(figures, window)))
}

impl StatsView {
    fn of(figures: Figures, window: Window) -> StatsView {
        let (lane, backlog) = (LaneView::of(&figures), BacklogView::of(&figures));
        let tally = figures.tally;
        StatsView {
            subscription_id: figures.subscription_id,
            window,
            since: figures.since,
            until: figures.until,
            attempts: tally.attempts,
            delivered: tally.delivered,
            retried: tally.retried,
            dead: tally.dead,
            success_rate: tally.success_rate(),
            attempt_ms: PercentilesView::of(&tally.attempt_time),
            delivery_ms: PercentilesView::of(&tally.delivery_time),
            answers: tally.answers,
            lane,
            backlog,
        }
    }
}

impl PercentilesView {
    fn of(histogram: &Histogram) -> PercentilesView {
        let millis = |percent| histogram.percentile(percent).map(|at: Duration| at.as_secs_f64() * 1_000.0);
        PercentilesView { p50: millis(50), p90: millis(90), p99: millis(99) }
    }
}

impl LaneView {
    fn of(figures: &Figures) -> LaneView {
        LaneView {
            state: figures.condition,
            limit: figures.lane.map(|lane| lane.limit),
            in_flight: figures.lane.map_or(0, |lane| lane.in_flight),
            breaker: figures.lane.map(BreakerView::from),
        }
    }
}

impl From<LaneReport> for BreakerView {
    fn from(lane: LaneReport) -> BreakerView {
        let (state, next_probe_at) = match lane.breaker {
            Breaker::Closed { .. } => ("closed", None),
            Breaker::Open { probe_at, .. } => ("open", Some(probe_at)),
            Breaker::Probing { .. } => ("probing", None),
        };
        BreakerView { state, since: lane.breaker.out_since(), next_probe_at }
    }
}

impl BacklogView {
    fn of(figures: &Figures) -> BacklogView {
        let backlog = figures.backlog;
        let more = figures.is_backlog_longer();
        let oldest_age = backlog.oldest_made_at.map(|made_at| figures.until.since(made_at));
        BacklogView {
            scheduled: backlog.scheduled - u32::from(more),
            more,
            oldest_made_at: backlog.oldest_made_at,
            oldest_age_seconds: oldest_age.map(|age| age.as_secs()),
            next_due_at: backlog.next_due_at,
        }
    }
}
